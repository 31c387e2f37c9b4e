//! The words that tieline itself listens to. Everything else is for the model.

use tieline_channel::{Message, Segment};

use crate::ledger::{NotACode, PairingCode};

/// A message that tieline answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `pair CODE` or `配对 CODE`: lets in whoever was given the code.
    Pair(Result<PairingCode, NotACode>),
    /// `where` or `进度`: says where the messages of the conversation are.
    Where,
    /// `teammates` or `队友`: says who works for the dispatcher, and at what.
    Teammates,
    /// `teammates NAME` or `队友 NAME`: says what one of them does, and what came of its last tasks.
    Teammate {
        /// What may be a name.
        name: String,
        /// It is a command also when there is no teammate of that name.
        is_certain: bool,
    },
    /// `help` or `帮助`: says which commands there are.
    Help,
}

impl Command {
    /// Recognises a command: its word, in any case, with or without a slash before it, and nothing
    /// before that but a mention.
    ///
    /// With a slash a word is always meant as a command. Without, it must look like one:
    /// "pair this with that" is for the model.
    pub(super) fn of(message: &Message) -> Option<Self> {
        if !message.addressed || !message.attachments.is_empty() {
            return None;
        }
        let text = text_after_mentions(&message.body)?;
        let (text, has_slash) = match text.strip_prefix(['/', '／']) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if let Some(rest) = HELP.rest_of(text) {
            return (has_slash || rest.trim().is_empty()).then_some(Self::Help);
        }
        if let Some(rest) = WHERE.rest_of(text) {
            return (has_slash || rest.trim().is_empty()).then_some(Self::Where);
        }
        if let Some(rest) = TEAMMATES.rest_of(text) {
            let words: Vec<_> = rest.split_whitespace().collect();
            return match words.as_slice() {
                [] => Some(Self::Teammates),
                [name] if may_be_name(name) => Some(Self::teammate(name, has_slash)),
                [name, ..] if has_slash => Some(Self::teammate(name, has_slash)),
                [_, ..] => None,
            };
        }
        let rest: Vec<_> = PAIR.rest_of(text)?.split_whitespace().collect();
        let code = rest.concat().parse();
        let looks_like_one = code.is_ok()
            || matches!(rest.as_slice(), [only] if only.is_ascii() && only.contains(|c: char| c.is_ascii_digit()));
        (has_slash || looks_like_one).then_some(Self::Pair(code))
    }

    fn teammate(name: &str, is_certain: bool) -> Self {
        // Keyboards of telephones like capitals; names have none.
        let name = name.to_ascii_lowercase();
        Self::Teammate { name, is_certain }
    }
}

/// Returns whether a word looks like the name of a teammate.
fn may_be_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The word of a command. Both are understood everywhere, whatever the channel speaks.
struct Word {
    en: &'static str,
    zh: &'static str,
}

const HELP: Word = Word {
    en: "help",
    zh: "帮助",
};
const WHERE: Word = Word {
    en: "where",
    zh: "进度",
};
const TEAMMATES: Word = Word {
    en: "teammates",
    zh: "队友",
};
const PAIR: Word = Word {
    en: "pair",
    zh: "配对",
};

impl Word {
    /// Returns what follows the word at the beginning of a text. Chinese needs no space there.
    fn rest_of<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let Some(rest) = text.strip_prefix(self.zh) {
            return Some(rest);
        }
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        word.eq_ignore_ascii_case(self.en).then_some(rest)
    }
}

/// Returns the text of a message that has nothing else but mentions before it.
pub(super) fn text_after_mentions(body: &[Segment]) -> Option<&str> {
    let mut found = None;
    for segment in body {
        match segment {
            Segment::Text(text) if text.trim().is_empty() => {}
            Segment::Text(text) if found.is_none() => found = Some(text.trim()),
            Segment::Mention { .. } if found.is_none() => {}
            Segment::Text(_) | Segment::Mention { .. } => return None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tieline_channel::UserId;

    use super::*;
    use crate::intake::fixture::message;

    fn of(text: &str) -> Option<Command> {
        let mut message = message("U1");
        message.body = vec![Segment::Text(text.to_owned())];
        Command::of(&message)
    }

    #[test]
    fn words_are_commands_only_when_they_must_be_meant_as_such() {
        let code = || Command::Pair("ABCD-2345".parse());
        let bad = || Command::Pair(Err(NotACode));
        let named = |name: &str, is_certain| {
            let name = name.to_owned();
            Some(Command::Teammate { name, is_certain })
        };
        let maybe = |name| named(name, false);
        let certainly = |name| named(name, true);
        let table = [
            ("pair ABCD-2345", Some(code())),
            ("  PAIR abcd2345 ", Some(code())),
            ("/pair abcd 2345", Some(code())),
            ("pair ABCD 2345", Some(code())),
            ("pair ABCD-1111", Some(bad())),
            ("/pair", Some(bad())),
            ("/pair somebody", Some(bad())),
            ("pair", None),
            ("pair somebody", None),
            ("pair this with that, 2 by 2", None),
            ("pairs ABCD-2345", None),
            ("help", Some(Command::Help)),
            ("Help", Some(Command::Help)),
            ("/help", Some(Command::Help)),
            ("/help me", Some(Command::Help)),
            ("help me", None),
            ("where", Some(Command::Where)),
            ("/where is it", Some(Command::Where)),
            ("where is it", None),
            ("进度", Some(Command::Where)),
            ("进度条怎么做", None),
            ("teammates", Some(Command::Teammates)),
            ("/Teammates ", Some(Command::Teammates)),
            ("队友", Some(Command::Teammates)),
            ("teammates flaky-2", maybe("flaky-2")),
            ("Teammates Flaky", maybe("flaky")),
            ("队友 flaky", maybe("flaky")),
            ("队友flaky", maybe("flaky")),
            ("/teammates flaky", certainly("flaky")),
            ("／队友 flaky", certainly("flaky")),
            ("/teammates what?", certainly("what?")),
            ("/teammates flaky and docs", certainly("flaky")),
            ("teammates are great", None),
            ("teammates?", None),
            ("teammates 2", None),
            ("队友们在干什么", None),
            ("队友 在干什么", None),
            ("teammate flaky", None),
            ("please help", None),
            ("帮助", Some(Command::Help)),
            ("／帮助", Some(Command::Help)),
            ("/帮助 我", Some(Command::Help)),
            ("帮助我写一个函数", None),
            ("配对 ABCD-2345", Some(code())),
            ("配对abcd2345", Some(code())),
            ("配对 ABCD-1111", Some(bad())),
            ("配对 2 个列表", None),
            ("配对这2个列表", None),
            ("配对", None),
            ("/配对", Some(bad())),
            ("/unknown", None),
            ("/", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_mentions_may_stand_before_a_command_and_nothing_behind_it() {
        let mention = || Segment::Mention {
            user: UserId::new("U-bot"),
            name: None,
        };
        let text = |text: &str| Segment::Text(text.to_owned());
        let table = [
            (vec![mention(), text(" help")], true),
            (vec![text(" "), mention(), text(" /help"), text("")], true),
            (vec![text("help "), mention()], false),
            (vec![text("ask"), mention(), text("help")], false),
            (vec![mention()], false),
            (vec![], false),
        ];
        for (body, is_command) in table {
            let mut message = message("U1");
            message.body = body.clone();
            assert_eq!(Command::of(&message).is_some(), is_command, "{body:?}");
        }
    }

    #[test]
    fn what_is_not_said_to_us_is_no_command() {
        let mut message = message("U1");
        message.body = vec![Segment::Text("help".to_owned())];
        assert!(Command::of(&message).is_some());
        message.addressed = false;
        assert_eq!(Command::of(&message), None);
    }
}
