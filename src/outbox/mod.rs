//! Replies and notices on their way out: cut to what the platform takes, delivered in order, each
//! with an honest state.
//!
//! Knows channels only through their interface, and nothing of lanes or Codex.

mod attempt;
mod line;
mod pace;
pub mod split;
mod worker;

use tieline_channel::{ChannelId, Conversation, PostKind, TextLimit, WireId};

pub use self::worker::Worker;
use crate::ledger::NewPost;

/// What a text answers, and where it goes.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The channel.
    pub channel: ChannelId,
    /// The conversation.
    pub to: Conversation,
    /// The message it is shown as a reply to.
    pub reply_to: WireId,
    /// The messages that are settled by it.
    pub settles: Vec<WireId>,
    /// What kind of thing it says.
    pub kind: PostKind,
}

/// Cuts a text into the posts that carry it; the last one settles.
///
/// Without a limit (the channel is no longer configured) it stays whole.
pub fn compose(reply: &Reply, text: &str, limit: Option<TextLimit>) -> Vec<NewPost> {
    let parts = match limit {
        Some(limit) => split::split(text, limit),
        None => vec![text.to_owned()],
    };
    let last = parts.len().saturating_sub(1);
    parts
        .into_iter()
        .enumerate()
        .map(|(index, text)| NewPost {
            channel: reply.channel.clone(),
            to: reply.to.clone(),
            reply_to: Some(reply.reply_to.clone()),
            settles: if index == last {
                reply.settles.clone()
            } else {
                Vec::new()
            },
            kind: reply.kind,
            text,
            buttons: Vec::new(),
            as_file: None,
        })
        .collect()
}

/// Makes the post by which tieline tells a conversation something of its own.
pub fn notice(channel: &ChannelId, to: &Conversation, text: &str) -> NewPost {
    NewPost {
        channel: channel.clone(),
        to: to.clone(),
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Notice,
        text: text.to_owned(),
        buttons: Vec::new(),
        as_file: None,
    }
}
