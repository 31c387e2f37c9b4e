//! What a platform can and cannot do.

use std::time::Duration;

/// What a platform can and cannot do. The daemon asks nothing of a channel beyond this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How long the text of one post may be.
    pub text: TextLimit,
    /// What happens when a post is sent twice.
    pub repeat: Repeat,
    /// Posts can be changed.
    pub edit: bool,
    /// Posts can be deleted.
    pub delete: bool,
    /// A message's status can be shown, by a reaction or otherwise.
    pub status: bool,
    /// Emoji can be put on messages.
    pub reactions: bool,
    /// Posts can carry buttons.
    pub buttons: bool,
    /// Files can be sent.
    pub files: bool,
    /// How large a file may be that is sent, in bytes.
    pub max_file_bytes: u64,
    /// Whoever writes waits for the post that settles their message: there always is one, if only
    /// without a text.
    pub settles: bool,
    /// What was said can be read back: missed messages, and a thread's earlier ones.
    pub history: bool,
    /// Whoever reaches this channel is the operator of the daemon (a socket that only they can
    /// open), so the gate lets them in.
    pub operator_only: bool,
}

/// How long the text of one post may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimit {
    /// The greatest length.
    pub max: usize,
    /// What is counted.
    pub unit: TextUnit,
}

impl TextLimit {
    /// Returns the length of `text` in this limit's unit.
    pub fn measure(&self, text: &str) -> usize {
        match self.unit {
            TextUnit::Chars => text.chars().count(),
            TextUnit::Bytes => text.len(),
        }
    }

    /// Returns whether `text` is short enough.
    pub fn allows(&self, text: &str) -> bool {
        self.measure(text) <= self.max
    }
}

/// What a text limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextUnit {
    /// Unicode scalar values.
    Chars,
    /// Bytes of UTF-8.
    Bytes,
}

/// What happens when a post of unknown fate is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The platform recognises [`PostKey`](crate::PostKey): nothing appears twice.
    Idempotent,
    /// The platform recognises [`PostKey`](crate::PostKey) for so long after the first attempt. Later
    /// the post would appear twice, and nobody can tell.
    IdempotentFor(Duration),
    /// It would appear twice, but [`Channel::find`](crate::Channel::find) can tell whether it is
    /// there.
    Findable,
    /// It would appear twice, and nobody can tell.
    Blind,
}
