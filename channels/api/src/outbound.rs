//! What goes out to a platform, in one shape for all of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::WireId;
use crate::inbound::Conversation;
use crate::language::Language;
use crate::opaque_id;

opaque_id! {
    /// Our own name of a post, the same at every attempt. At most 50 ASCII characters.
    ///
    /// It is what makes a repeated post harmless: a platform's idempotency key where there is
    /// one, else invisible metadata by which an unclear post is looked up.
    PostKey
}

/// A message of ours, small enough for one message of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Our own name of it.
    pub key: PostKey,
    /// Where it goes.
    pub to: Conversation,
    /// The message it answers, shown as a reply where the platform can.
    pub reply_to: Option<WireId>,
    /// The messages that are settled once this is posted: nothing else follows for them.
    pub settles: Vec<WireId>,
    /// What kind of thing it says.
    pub kind: PostKind,
    /// The text, as Markdown, within [`Capabilities::text`](crate::Capabilities::text). It may be
    /// empty beside a file.
    pub text: String,
    /// Buttons below the text.
    pub buttons: Vec<Button>,
    /// A file that goes with it, where [`Capabilities::files`](crate::Capabilities::files).
    pub file: Option<File>,
}

/// What kind of thing a post says, so that a platform may dress it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostKind {
    /// The model's answer.
    Answer,
    /// tieline says that a message came to no answer, and why.
    Failure,
    /// tieline says something of its own.
    Notice,
}

/// A button below a post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What people read. At most 75 characters.
    pub label: String,
    /// What comes back in [`Press::value`](crate::Press::value): opaque, at most 255 characters.
    pub value: String,
}

/// Returns a text with the choices that its buttons would offer, numbered, for where no buttons can be
/// shown; whoever reads it answers with a message.
pub fn with_choices(text: &str, buttons: &[Button], language: Language) -> String {
    if buttons.is_empty() {
        return text.to_owned();
    }
    let ask = match language {
        Language::English => "Answer with the number of your choice:",
        Language::Chinese => "请回复所选项的编号：",
    };
    let mut paragraphs = Vec::with_capacity(3);
    if !text.trim().is_empty() {
        paragraphs.push(text.to_owned());
    }
    paragraphs.push(ask.to_owned());
    let choice = |(index, button): (usize, &Button)| format!("{}. {}", index + 1, button.label);
    let choices: Vec<_> = buttons.iter().enumerate().map(choice).collect();
    paragraphs.push(choices.join("\n"));
    paragraphs.join("\n\n")
}

/// The platform has taken a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The platform's name of it.
    pub id: WireId,
}

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The name people see, ending as its type does. It is the same at every attempt and no other
    /// post's file has it, so that a platform without another mark is asked for it.
    pub name: String,
    /// What is in it.
    pub content: FileContent,
}

/// What is in a file to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileContent {
    /// This text.
    Text(String),
    /// What is in this file of ours.
    Path(PathBuf),
}

/// What a message's sender sees while it is worked on. Not durable: losing one costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is on disk and waits for its turn.
    Received,
    /// Its turn runs; with the model's latest word on what it does, if there is one.
    Working {
        /// A progress message of the model, as Markdown.
        progress: Option<String>,
    },
    /// It is settled with an answer.
    Done,
    /// It is settled without one.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn button(label: &str) -> Button {
        Button {
            label: label.to_owned(),
            value: "opaque".to_owned(),
        }
    }

    #[test]
    fn choices_are_numbered_below_the_text() {
        let buttons = [button("Go on"), button("Stop")];
        let within = |text, language| with_choices(text, &buttons, language);
        assert_eq!(
            within("It failed.", Language::English),
            "It failed.\n\nAnswer with the number of your choice:\n\n1. Go on\n2. Stop"
        );
        assert_eq!(
            within(" ", Language::Chinese),
            "请回复所选项的编号：\n\n1. Go on\n2. Stop"
        );
        assert_eq!(with_choices("Done.", &[], Language::English), "Done.");
    }
}
