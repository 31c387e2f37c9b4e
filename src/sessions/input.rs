//! What goes into a turn, and by what it is found in a thread again.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codex::protocol::UserInput;

/// How many characters all texts of a turn may have together: as many as Codex takes.
pub const MAX_INPUT: usize = 1_048_576;

/// How many parts the input of a turn may have.
const MAX_PARTS: usize = 64;

/// What goes into a turn: a text, or parts as Codex has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A text.
    Text(String),
    /// Parts.
    Parts(Vec<UserInput>),
}

/// Why nothing can be made of an input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    /// There is nothing in it.
    #[error("the input is empty: it has neither text nor an image")]
    Empty,
    /// It is longer than Codex takes.
    #[error("the input has {chars} characters, {MAX_INPUT} are allowed")]
    TooLong {
        /// How long it is.
        chars: usize,
    },
    /// It has more parts than anybody needs.
    #[error("the input has {parts} parts, {MAX_PARTS} are allowed")]
    TooMany {
        /// How many it has.
        parts: usize,
    },
    /// An image that Codex would refuse.
    #[error("the URL of an image is no data URL: codex takes no others")]
    RemoteImage,
}

impl Input {
    /// Returns the parts, once it is known that they make sense.
    ///
    /// # Errors
    ///
    /// When there is nothing in it, or too much.
    pub fn into_parts(self) -> Result<Vec<UserInput>, InputError> {
        let parts = match self {
            Self::Text(text) => vec![UserInput::text(text)],
            Self::Parts(parts) => parts,
        };
        if parts.len() > MAX_PARTS {
            let parts = parts.len();
            return Err(InputError::TooMany { parts });
        }
        let mut chars = 0;
        let mut is_empty = true;
        for part in &parts {
            match part {
                UserInput::Text { text } => {
                    chars += text.chars().count();
                    is_empty &= text.trim().is_empty();
                }
                UserInput::Image { url } if !url.starts_with("data:") => {
                    return Err(InputError::RemoteImage);
                }
                UserInput::Image { .. } | UserInput::LocalImage { .. } => is_empty = false,
                // The model gets nothing of these alone.
                UserInput::Skill { .. } | UserInput::Mention { .. } => {}
            }
        }
        if is_empty {
            return Err(InputError::Empty);
        }
        if chars > MAX_INPUT {
            return Err(InputError::TooLong { chars });
        }
        Ok(parts)
    }
}

/// Returns the beginning of an input, for people.
pub(super) fn beginning(parts: &[UserInput]) -> String {
    let text = parts.iter().find_map(|part| match part {
        UserInput::Text { text } if !text.trim().is_empty() => Some(text.trim()),
        _ => None,
    });
    text.map_or_else(
        || "(an image)".to_owned(),
        |text| text.chars().take(600).collect(),
    )
}

/// By what an input is found among the messages of a thread: the model gets it as it was given, without
/// any mark of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    texts: Vec<String>,
}

impl Marks {
    /// Takes the marks of an input.
    pub fn of(parts: &[UserInput]) -> Self {
        let texts = parts.iter().filter_map(|part| match part {
            UserInput::Text { text } => Some(text.clone()),
            UserInput::Image { .. }
            | UserInput::LocalImage { .. }
            | UserInput::Skill { .. }
            | UserInput::Mention { .. } => None,
        });
        Self {
            texts: texts.collect(),
        }
    }

    /// Returns whether a message of these texts is the input. One that is an image only has no text of
    /// its own: Codex puts words of its own around it.
    pub fn are_in(&self, texts: &[&str]) -> bool {
        if self.texts.is_empty() {
            return texts.iter().any(|text| {
                text.starts_with("<image") || text.starts_with("image content omitted")
            }) || texts.is_empty();
        }
        let mut rest = texts.iter();
        self.texts.iter().all(|mark| rest.any(|text| text == mark))
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn image(url: &str) -> UserInput {
        UserInput::Image {
            url: url.to_owned(),
        }
    }

    #[test]
    fn an_input_without_content_is_refused() {
        let skill = UserInput::Skill {
            name: "s".to_owned(),
            path: "/s".into(),
        };
        for (input, expected) in [
            (Input::Text(String::new()), InputError::Empty),
            (Input::Text(" \n\t".to_owned()), InputError::Empty),
            (Input::Parts(Vec::new()), InputError::Empty),
            (Input::Parts(vec![skill]), InputError::Empty),
            (
                Input::Parts(vec![image("https://a.example/i.png")]),
                InputError::RemoteImage,
            ),
            (
                Input::Text("é".repeat(MAX_INPUT + 1)),
                InputError::TooLong {
                    chars: MAX_INPUT + 1,
                },
            ),
            (
                Input::Parts(vec![UserInput::text("a"); 65]),
                InputError::TooMany { parts: 65 },
            ),
        ] {
            assert_eq!(input.into_parts(), Err(expected));
        }
        let whole = Input::Text("é".repeat(MAX_INPUT)).into_parts();
        assert_eq!(whole.map(|parts| parts.len()), Ok(1));
        let alone = Input::Parts(vec![image("data:image/png;base64,")]).into_parts();
        assert!(alone.is_ok());
    }

    #[test]
    fn parts_are_read_as_codex_has_them_and_no_others() {
        let read = |json: &str| serde_json::from_str::<Input>(json);
        assert_eq!(read("\"a\"").unwrap(), Input::Text("a".to_owned()));
        let parts = r#"[{"type":"text","text":"a"},{"type":"localImage","path":"/i.png"},
            {"type":"skill","name":"s","path":"/s"},{"type":"mention","name":"m","path":"app://m"}]"#;
        let Input::Parts(parts) = read(parts).unwrap() else {
            panic!("it is a list");
        };
        assert_eq!(parts.len(), 4);
        for bad in [
            r#"[{"type":"audio","url":"data:"}]"#,
            r#"[{"type":"text"}]"#,
            r#"[{"type":"text","text":"a","extra":1}]"#,
            r#"{"type":"text","text":"a"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_input_is_found_by_its_whole_texts() {
        let marks = Marks::of(&[
            UserInput::text("alpha"),
            image("data:image/png;base64,"),
            UserInput::text("beta"),
        ]);
        assert!(marks.are_in(&["alpha", "image content omitted", "beta"]));
        assert!(!marks.are_in(&["alpha"]));
        assert!(!marks.are_in(&["beta", "alpha"]));
        assert!(!marks.are_in(&["alpha beta"]));
        let only_an_image = Marks::of(&[image("data:image/png;base64,")]);
        assert!(only_an_image.are_in(&["<image name=[Image #1]>", "</image>"]));
        assert!(!only_an_image.are_in(&["<environment_context>\n</environment_context>"]));
    }
}
