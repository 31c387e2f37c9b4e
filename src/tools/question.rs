//! The buttons below a question, and what comes back when one is pressed.
//!
//! A button carries the answer that it stands for and the beginning of its question, so that a press
//! can become a message that is understood on its own, however much later.

use tieline_channel::{Button, cut};

/// What begins the value of a button that answers.
const MARK: &str = "answer";

/// How many characters of the question a button carries. With the longest choice that stays below
/// what a button may carry.
const MAX_CARRIED: usize = 160;

/// An answer that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What was chosen: the button's label.
    pub answer: String,
    /// The beginning of the question.
    pub question: String,
}

/// Returns the buttons for these choices.
pub fn buttons(question: &str, choices: &[String]) -> Vec<Button> {
    let carried = cut(question.trim(), MAX_CARRIED);
    let button = |choice: &String| Button {
        label: choice.clone(),
        value: format!("{MARK}\n{choice}\n{carried}"),
    };
    choices.iter().map(button).collect()
}

impl Choice {
    /// Reads the value of a pressed button; `None` when it does not answer a question.
    pub fn read(value: &str) -> Option<Self> {
        let rest = value.strip_prefix(MARK)?.strip_prefix('\n')?;
        let (answer, question) = rest.split_once('\n')?;
        Some(Self {
            answer: answer.to_owned(),
            question: question.to_owned(),
        })
    }
}
