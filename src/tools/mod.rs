//! The tools that a model is given: what each is called, what it is for, and what it takes.
//!
//! One table has them all. From a tool's `Parameter`s comes the schema that the model is shown, and
//! against the same ones its arguments are checked, so that the two cannot disagree. What comes out
//! is a [`Call`] that can be carried out, or an answer that tells the model what to do instead.
//!
//! - `argument`: parameters, their schema, and the check
//! - `teammates`: the tools by which work is handed out
//! - `question`: the buttons below a question, and what comes back when one is pressed
//! - `file`: a file of the workspace, made ready to be sent
//!
//! A further tool is an entry of a set here, a variant of [`Call`], and a text in `prompts/tools/`.
//!
//! **Invariants.** Knows nothing of lanes, turns, channels or Codex; whoever carries a call out does.

mod argument;
pub mod file;
mod question;
mod teammates;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use thiserror::Error;
use tieline_channel::Emoji;

pub use self::argument::ArgumentError;
use self::argument::{Arguments, Kind, Parameter};
pub use self::question::{Choice, buttons};
pub use self::teammates::TeamQuestion;
use crate::teammates::Wish;

/// The version of the sets: a thread keeps the tools it was begun with, and its lane this number.
/// Grows with every change that a model can see. 0 stands for no tools.
pub const VERSION: u32 = 2;

/// How many characters one call may post. What is longer belongs into a file.
const MAX_TEXT: usize = 100_000;

/// How many characters a question may have: it is read at a glance, above its choices.
const MAX_QUESTION: usize = 2_000;

/// How many characters a choice may have: as many as every platform shows on a button.
const MAX_CHOICE: usize = 75;

/// How many choices a question may have.
const MAX_CHOICES: usize = 10;

/// How many characters a path may have.
const MAX_PATH: usize = 4_096;

/// Which tools a model has, by what its lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Those of a teammate: none, for it speaks to nobody and hands nothing on.
    Teammate,
    /// Those of a lane that people write to.
    Chat,
    /// Those of such a lane whose model can hand out work as well.
    Dispatching,
}

/// A tool.
#[derive(Debug)]
struct Tool {
    name: &'static str,
    /// What it does, when to use it, and what comes back.
    description: &'static str,
    parameters: &'static [Parameter],
    /// Makes a call of arguments that were checked.
    read: fn(Arguments) -> Call,
}

/// What a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Posts a text.
    Reply {
        /// The text, as Markdown.
        text: String,
    },
    /// Puts an emoji on the message that is answered.
    React {
        /// The emoji.
        emoji: Emoji,
    },
    /// Sends a file of the workspace.
    SendFile {
        /// Where it lies, from the workspace on or absolute.
        path: String,
        /// What is said with it.
        text: Option<String>,
    },
    /// Puts a question with choices.
    AskUser {
        /// The question, as Markdown.
        question: String,
        /// What can be answered: different, one line each.
        choices: Vec<String>,
    },
    /// Orders something about teammates.
    Order(Wish),
    /// Asks how they are.
    Look(TeamQuestion),
}

/// Why there is no call to carry out; for the model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The set is empty.
    #[error(
        "you have no tools of tieline here: nobody can be reached and no work handed on; do the task \
         yourself, and say what matters in your final answer, which is brought to whoever gave it"
    )]
    NoTools,
    /// The set has no such tool.
    #[error("there is no tool {name:?} here; the tools are: {}", known.join(", "))]
    UnknownTool {
        /// What was called.
        name: String,
        /// What could have been.
        known: Vec<&'static str>,
    },
    /// The arguments are not those of the tool.
    #[error("nothing was done: {problem}. Call `{tool}` again with arguments that fit.")]
    Arguments {
        /// The tool.
        tool: &'static str,
        /// What is wrong with them.
        problem: ArgumentError,
    },
}

/// The tools of a chat lane.
const CHAT: &[Tool] = &[
    Tool {
        name: "reply",
        description: include_str!("../../prompts/tools/reply.md"),
        parameters: &[Parameter {
            name: "text",
            about: "What people read, as Markdown.",
            kind: Kind::Text { max: MAX_TEXT },
            required: true,
        }],
        read: |mut arguments| Call::Reply {
            text: arguments.text("text"),
        },
    },
    Tool {
        name: "react",
        description: include_str!("../../prompts/tools/react.md"),
        parameters: &[Parameter {
            name: "emoji",
            about: "Which emoji, by its name.",
            kind: Kind::Choice(&Emoji::NAMES),
            required: true,
        }],
        read: |mut arguments| Call::React {
            emoji: Emoji::named(&arguments.text("emoji"))
                .expect("only these names are let through"),
        },
    },
    Tool {
        name: "send_file",
        description: include_str!("../../prompts/tools/send_file.md"),
        parameters: &[
            Parameter {
                name: "path",
                about: "Where the file lies, relative to the workspace.",
                kind: Kind::Text { max: MAX_PATH },
                required: true,
            },
            Parameter {
                name: "text",
                about: "What to say with it, as Markdown.",
                kind: Kind::Text { max: MAX_QUESTION },
                required: false,
            },
        ],
        read: |mut arguments| Call::SendFile {
            path: arguments.text("path"),
            text: arguments.optional_text("text"),
        },
    },
    Tool {
        name: "ask_user",
        description: include_str!("../../prompts/tools/ask_user.md"),
        parameters: &[
            Parameter {
                name: "question",
                about: "The question, as Markdown, with all that is needed to decide.",
                kind: Kind::Text { max: MAX_QUESTION },
                required: true,
            },
            Parameter {
                name: "choices",
                about: "What can be answered: all different, a few words each.",
                kind: Kind::Lines {
                    least: 2,
                    most: MAX_CHOICES,
                    max: MAX_CHOICE,
                },
                required: true,
            },
        ],
        read: |mut arguments| Call::AskUser {
            question: arguments.text("question"),
            choices: arguments.lines("choices"),
        },
    },
];

/// Returns the name of a tool, if it is one of ours.
pub fn known(name: &str) -> Option<&'static str> {
    let mut tools = Set::Dispatching.tools();
    tools.find(|tool| tool.name == name).map(|tool| tool.name)
}

impl Set {
    /// Returns the tools as Codex is given them when a thread is begun.
    pub fn declaration(self) -> Vec<Value> {
        let declare = |tool: &Tool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description.trim_end(),
                "inputSchema": argument::schema(tool.parameters),
            })
        };
        self.tools().map(declare).collect()
    }

    /// Reads what a model calls.
    ///
    /// # Errors
    ///
    /// When the set has no such tool, or the arguments are not what it takes.
    pub fn read(self, name: &str, arguments: &Value) -> Result<Call, CallError> {
        let Some(tool) = self.tools().find(|tool| tool.name == name) else {
            let known: Vec<_> = self.tools().map(|tool| tool.name).collect();
            if known.is_empty() {
                return Err(CallError::NoTools);
            }
            let name = tieline_channel::cut(name, 64);
            return Err(CallError::UnknownTool { name, known });
        };
        let checked = argument::check(tool.parameters, arguments);
        checked
            .map(tool.read)
            .map_err(|problem| CallError::Arguments {
                tool: tool.name,
                problem,
            })
    }

    fn tools(self) -> impl Iterator<Item = &'static Tool> {
        let (chat, team) = match self {
            Self::Teammate => (&[][..], &[][..]),
            Self::Chat => (CHAT, &[][..]),
            Self::Dispatching => (CHAT, teammates::TOOLS),
        };
        chat.iter().chain(team)
    }
}
