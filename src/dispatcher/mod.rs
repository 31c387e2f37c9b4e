//! One agent: its lanes, its Codex child, recovery and notices.
//!
//! - `supervisor` keeps the child alive and tells lanes whether there is a connection;
//! - `lane` works through one conversation's queue, a turn at a time;
//! - `switch` is whether it works at all;
//! - `observed` is what Codex says of its threads;
//! - `outage` tells chats that there is no child, and when it is back;
//! - `recovery` says, without IO, what to do with a turn that something broke;
//! - `attachments` fetches what came with messages, `patience` says for how long;
//! - `calls` carries out what models call;
//! - `approvals` is what people decide at the machine;
//! - `report` takes results from whoever did the work, `teammates` and `lane_orders` orders of people,
//!   `sessions` what programs want;
//! - `spill` keeps completions that are too long for a conversation;
//! - `envelope` is how a message or a completion reads for the model, `words` what people are told.
//!
//! Knows the ledger, the outbox's composition and the codex module; nothing of the gate or of how
//! a platform works.

mod actor;
mod approvals;
pub mod attachments;
mod calls;
pub mod envelope;
#[cfg(test)]
mod fake_channel;
mod handle;
mod lane;
mod lane_orders;
mod login;
mod observed;
mod outage;
mod patience;
mod recovery;
mod report;
mod sessions;
pub mod spill;
mod status_board;
mod supervisor;
mod switch;
mod teammates;
mod waiting;
mod wakes;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::{Capabilities, Channel, ChannelId, Conversation, Language};

pub use self::actor::Dispatcher;
pub use self::handle::Handle;
pub use self::lane_orders::{LaneError, LaneThreads};
pub use self::login::LoginProblem;
pub use self::observed::Observed;
pub use self::report::{Report, ReportError};
pub use self::sessions::{Beginning, SessionTurn, SessionWish, SessionWishError};
pub use self::supervisor::Condition;
pub use self::teammates::WishError;
use crate::codex::LaunchConfig;
use crate::codex::protocol::{SandboxMode, ThreadSettings};
use crate::config::{DispatcherConfig, Sandbox, Sessions};
use crate::events::Events;
use crate::id::{DispatcherId, LaneId};

/// How long people wait without being told what for.
const TELL_AFTER: Duration = Duration::from_secs(5);

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
    /// Where what comes with messages is put: a private directory that is there.
    pub attachments: PathBuf,
    /// Where completions are put that are too long: a private directory that is there.
    pub spills: PathBuf,
    /// Where files are copied to that are sent: a private directory that is there.
    pub outgoing: PathBuf,
    /// Where the worktrees of teammates are made.
    pub worktrees: PathBuf,
    /// Where it tells what happens.
    pub events: Events,
    /// What whoever ordered the restart has to say about it to the models.
    pub restart_notice: Option<String>,
}

impl Settings {
    /// Returns whether a lane is the one that all conversations share: it stays loaded.
    fn is_shared_lane(&self, lane: &LaneId) -> bool {
        self.config.sessions == Sessions::Shared && lane.as_str() == self.id.as_str()
    }

    /// Returns the lane of a conversation: the same one for ever.
    fn lane_of(&self, channel: &ChannelId, conversation: &Conversation) -> LaneId {
        lane_of(&self.id, self.config.sessions, channel, conversation)
    }
}

fn lane_of(
    dispatcher: &DispatcherId,
    sessions: Sessions,
    channel: &ChannelId,
    conversation: &Conversation,
) -> LaneId {
    let mut name = dispatcher.as_str().to_owned();
    let mut add = |part: &str| {
        name.push('/');
        // Platforms name chats as they like; a slash in a name is not a step.
        name.push_str(&part.replace('%', "%25").replace('/', "%2F"));
    };
    match sessions {
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

/// Returns what Codex calls a sandbox of ours.
pub fn sandbox_mode(sandbox: Sandbox) -> SandboxMode {
    match sandbox {
        Sandbox::ReadOnly => SandboxMode::ReadOnly,
        Sandbox::WorkspaceWrite => SandboxMode::WorkspaceWrite,
        Sandbox::DangerFullAccess => SandboxMode::DangerFullAccess,
    }
}

/// A channel, as dispatchers use it.
#[derive(Clone)]
pub struct Line {
    /// What kind of platform it is: `slack`, `feishu`, `console`.
    pub kind: &'static str,
    /// The channel.
    pub channel: Arc<dyn Channel>,
    /// What its people are spoken to in.
    pub language: Language,
}

impl Line {
    fn capabilities(&self) -> &Capabilities {
        self.channel.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tieline_channel::{ChatId, ThreadKey};

    use super::*;

    /// Names as platforms give them, among them those that could run into each other.
    const NAMES: [&str; 9] = ["a", "b", "a/b", "a%2Fb", "a%", "%2F", "/", "", "ä b"];

    fn conversations() -> Vec<(ChannelId, Conversation)> {
        let mut all = Vec::new();
        for channel in ["a", "b"] {
            for chat in NAMES {
                for thread in [None].into_iter().chain(NAMES.map(Some)) {
                    let conversation = Conversation {
                        chat: ChatId::new(chat),
                        thread: thread.map(ThreadKey::new),
                    };
                    all.push((ChannelId::new(channel), conversation));
                }
            }
        }
        all
    }

    /// Asserts that two conversations have the same lane exactly when they have the same `part`.
    fn assert_lanes<P: Ord + std::fmt::Debug>(
        sessions: Sessions,
        part: impl Fn(&ChannelId, &Conversation) -> P,
    ) {
        let mut lanes = BTreeMap::new();
        let mut parts = BTreeMap::new();
        for (channel, conversation) in conversations() {
            let lane = lane_of(&DispatcherId::new("a"), sessions, &channel, &conversation);
            let part = format!("{:?}", part(&channel, &conversation));
            let other = lanes.insert(lane.as_str().to_owned(), part.clone());
            assert!(
                other.is_none_or(|other| other == part),
                "{lane} is shared: {conversation:?}"
            );
            let other = parts.insert(part, lane.clone());
            assert!(
                other.is_none_or(|other| other == lane),
                "{lane} is one of two: {conversation:?}"
            );
        }
    }

    #[test]
    fn conversations_share_a_lane_only_when_the_sessions_say_so() {
        assert_lanes(Sessions::Shared, |_, _| ());
        assert_lanes(Sessions::Chat, |channel, at| {
            (channel.clone(), at.chat.clone())
        });
        assert_lanes(Sessions::Thread, |channel, at| {
            (channel.clone(), at.clone())
        });
    }
}
