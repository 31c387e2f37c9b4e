//! Replies and notices on their way out: cut to what the platform takes, delivered in order, each
//! with an honest state.
//!
//! Knows channels only through their interface, and nothing of lanes or Codex.

mod attempt;
mod line;
mod pace;
pub mod split;
mod words;
mod worker;

use tieline_channel::{
    Capabilities, ChannelId, Conversation, Emoji, Language, PostKind, TextLimit, WireId,
};

pub use self::worker::Worker;
use crate::ledger::{NewPost, Reaction};
use crate::redact::redactor;

/// What a text answers, and where it goes.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The channel.
    pub channel: ChannelId,
    /// The conversation.
    pub to: Conversation,
    /// The message it is shown as a reply to, if it answers one.
    pub reply_to: Option<WireId>,
    /// The messages that are settled by it.
    pub settles: Vec<WireId>,
    /// What kind of thing it says.
    pub kind: PostKind,
    /// What we add to it in.
    pub language: Language,
}

impl Reply {
    /// Makes one post of a text, whatever its length.
    pub fn template(&self, text: &str) -> NewPost {
        NewPost {
            channel: self.channel.clone(),
            to: self.to.clone(),
            reply_to: self.reply_to.clone(),
            settles: self.settles.clone(),
            kind: self.kind,
            text: text.to_owned(),
            buttons: Vec::new(),
            as_file: None,
            file: None,
            reaction: None,
        }
    }
}

/// How many posts a text may take before it becomes a file, where there are files.
const MAX_PARTS: usize = 4;

/// The name of the file that has a very long text.
const ANSWER_FILE: &str = "answer.md";

/// Makes the posts that carry a text; the last one settles.
///
/// A text that would take more than four posts goes as its beginning and a file, where the channel
/// has files. Without capabilities (the channel is no longer configured) it stays whole.
pub fn compose(reply: &Reply, text: &str, capabilities: Option<&Capabilities>) -> Vec<NewPost> {
    // Before it is cut: of a secret in two parts neither would be recognised.
    let text = &*redactor().redact(text);
    let template = reply.template(text);
    let Some(capabilities) = capabilities else {
        return vec![template];
    };
    let parts = split::split(text, capabilities.text);
    if parts.len() <= MAX_PARTS || !capabilities.files {
        return in_parts(template, parts);
    }
    let beginning = NewPost {
        text: beginning(text, capabilities.text, reply.language),
        settles: Vec::new(),
        ..template.clone()
    };
    let file = NewPost {
        as_file: Some(ANSWER_FILE.to_owned()),
        ..template
    };
    vec![beginning, file]
}

/// Returns the first part of a text, with a line that says where the rest is.
fn beginning(text: &str, limit: TextLimit, language: Language) -> String {
    let closing = format!("\n\n{}", words::FILE_BELOW.within(language));
    let room = TextLimit {
        max: limit.max.saturating_sub(limit.measure(&closing)),
        ..limit
    };
    let first = split::split(text, room).swap_remove(0);
    format!("{}{closing}", first.trim_end())
}

/// Makes the entry that puts an emoji on a message.
pub fn reaction(reply: &Reply, message: WireId, emoji: Emoji) -> NewPost {
    NewPost {
        reaction: Some(Reaction { message, emoji }),
        ..reply.template("")
    }
}

/// Makes the post that settles messages whose sender has been told everything already.
pub fn settling(reply: &Reply) -> NewPost {
    reply.template("")
}

/// Makes the posts that say what `post` was to say by a file, or that there will be none; none if it
/// was to have no file.
fn instead_of_file(post: &NewPost, limit: TextLimit, language: Language) -> Vec<NewPost> {
    let missing = match (&post.as_file, &post.file) {
        (Some(_), _) => words::NO_FILE.within(language).to_owned(),
        (None, Some(file)) => words::file_not_sent(&file.name, language),
        (None, None) => return Vec::new(),
    };
    let template = NewPost {
        as_file: None,
        file: None,
        ..post.clone()
    };
    let text = format!("{missing}\n\n{}", post.text);
    in_parts(template, split::split(text.trim_end(), limit))
}

/// Makes the post that says that `post` may be missing, so that it is not lost in silence; none if it
/// is a reaction or a notice, after which nobody would ask.
fn doubt_about(post: &NewPost, language: Language) -> Option<NewPost> {
    if post.reaction.is_some() {
        return None;
    }
    match post.kind {
        PostKind::Answer | PostKind::Failure => Some(NewPost {
            reply_to: post.reply_to.clone(),
            settles: post.settles.clone(),
            ..notice(&post.channel, &post.to, words::IN_DOUBT.within(language))
        }),
        PostKind::Notice => None,
    }
}

/// Makes a post of each part, of which the last one settles what `template` does.
fn in_parts(template: NewPost, parts: Vec<String>) -> Vec<NewPost> {
    let last = parts.len().saturating_sub(1);
    let part = |(index, text)| NewPost {
        text,
        settles: if index == last {
            template.settles.clone()
        } else {
            Vec::new()
        },
        ..template.clone()
    };
    parts.into_iter().enumerate().map(part).collect()
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
        file: None,
        reaction: None,
    }
}
