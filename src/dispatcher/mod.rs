//! One agent: its lanes, its Codex child, recovery and notices.
//!
//! - `supervisor` keeps the child alive and tells lanes whether there is a connection;
//! - `lane` works through one conversation's queue, a turn at a time;
//! - `recovery` says, without IO, what to do with a turn that something broke;
//! - `envelope` is how a message reads for the model, `words` what people are told.
//!
//! Knows the ledger, the outbox's composition and the codex module; nothing of the gate or of how
//! a platform works.

mod actor;
pub mod envelope;
mod lane;
mod recovery;
mod status_board;
mod supervisor;
mod wakes;
mod words;

use std::sync::Arc;

use tieline_channel::{Channel, ChannelId, Conversation, TextLimit};

pub use self::actor::{Dispatcher, Handle};
pub use self::supervisor::Condition;
use crate::codex::LaunchConfig;
use crate::codex::protocol::ThreadSettings;
use crate::config::{DispatcherConfig, Sessions};
use crate::id::{DispatcherId, LaneId};

/// Everything a dispatcher is told when it is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub id: DispatcherId,
    /// What the configuration says of it.
    pub config: DispatcherConfig,
    /// How its child is started.
    pub launch: LaunchConfig,
    /// How its threads are set up, given in full at each start and resume.
    pub thread: ThreadSettings,
}

impl Settings {
    /// Returns whether all conversations share one lane.
    fn keeps_one_lane(&self) -> bool {
        self.config.sessions == Sessions::Shared
    }

    /// Returns the lane of a conversation: the same one for ever.
    fn lane_of(&self, channel: &ChannelId, conversation: &Conversation) -> LaneId {
        let mut name = self.id.as_str().to_owned();
        let mut add = |part: &str| {
            name.push('/');
            // Platforms name chats as they like; a slash in a name is not a step.
            name.push_str(&part.replace('%', "%25").replace('/', "%2F"));
        };
        match self.config.sessions {
            Sessions::Shared => {}
            Sessions::Chat => {
                add(channel.as_str());
                add(conversation.chat.as_str());
            }
            Sessions::Thread => {
                add(channel.as_str());
                add(conversation.chat.as_str());
                if let Some(thread) = &conversation.thread {
                    add(thread.as_str());
                }
            }
        }
        LaneId::new(name)
    }
}

/// A channel, as dispatchers use it.
#[derive(Clone)]
pub struct Line {
    /// What kind of platform it is: `slack`, `feishu`, `console`.
    pub kind: &'static str,
    /// The channel.
    pub channel: Arc<dyn Channel>,
}

impl Line {
    fn text_limit(&self) -> TextLimit {
        self.channel.capabilities().text
    }
}
