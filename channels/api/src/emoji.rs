//! Emoji that can be put on messages.

use serde::{Deserialize, Serialize};

/// An emoji that can be put on a message, on every platform.
///
/// Each channel knows what its platform calls them. Those by which one of them shows a
/// [`Status`](crate::Status) are not among these: so a mark of that kind is never mistaken for a
/// reaction, and none of these is taken away with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emoji {
    /// 👍
    ThumbsUp,
    /// 👎
    ThumbsDown,
    /// 👌
    OkHand,
    /// ❤️
    Heart,
    /// 😂
    Laugh,
    /// 😢
    Cry,
    /// 🤔
    Thinking,
    /// 🙏
    Pray,
    /// 🎉
    Tada,
    /// 👏
    Clap,
    /// 💪
    Muscle,
    /// 🔥
    Fire,
}

impl Emoji {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::ThumbsUp,
        Self::ThumbsDown,
        Self::OkHand,
        Self::Heart,
        Self::Laugh,
        Self::Cry,
        Self::Thinking,
        Self::Pray,
        Self::Tada,
        Self::Clap,
        Self::Muscle,
        Self::Fire,
    ];

    /// Their names, in the same order.
    pub const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].name();
            index += 1;
        }
        names
    };

    /// Returns our own name of it, under which it is also stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThumbsUp => "thumbs_up",
            Self::ThumbsDown => "thumbs_down",
            Self::OkHand => "ok_hand",
            Self::Heart => "heart",
            Self::Laugh => "laugh",
            Self::Cry => "cry",
            Self::Thinking => "thinking",
            Self::Pray => "pray",
            Self::Tada => "tada",
            Self::Clap => "clap",
            Self::Muscle => "muscle",
            Self::Fire => "fire",
        }
    }

    /// Returns the one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|emoji| emoji.name() == name)
    }

    /// Returns it as text.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::ThumbsUp => "👍",
            Self::ThumbsDown => "👎",
            Self::OkHand => "👌",
            Self::Heart => "❤️",
            Self::Laugh => "😂",
            Self::Cry => "😢",
            Self::Thinking => "🤔",
            Self::Pray => "🙏",
            Self::Tada => "🎉",
            Self::Clap => "👏",
            Self::Muscle => "💪",
            Self::Fire => "🔥",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_and_a_symbol_of_its_own_and_is_stored_by_its_name() {
        for (emoji, name) in Emoji::ALL.into_iter().zip(Emoji::NAMES) {
            assert_eq!(Emoji::named(name), Some(emoji));
            let stored = serde_json::to_value(emoji).unwrap();
            assert_eq!(stored, name);
            assert_eq!(serde_json::from_value::<Emoji>(stored).unwrap(), emoji);
        }
        let symbols: BTreeSet<_> = Emoji::ALL.into_iter().map(Emoji::symbol).collect();
        assert_eq!(symbols.len(), Emoji::ALL.len());
        assert_eq!(Emoji::named("eyes"), None);
    }
}
