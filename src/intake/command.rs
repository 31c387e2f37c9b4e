//! The words that tieline itself listens to. Everything else is for the model.

use tieline_channel::{Message, Segment};

use crate::ledger::{NotACode, PairingCode};

/// A message that tieline answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `pair CODE`: lets in whoever was given the code.
    Pair(Result<PairingCode, NotACode>),
    /// `where`: says where the messages of the conversation are.
    Where,
    /// `help`: says which commands there are.
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
        let (text, has_slash) = match text.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut words = text.split_whitespace();
        let word = words.next()?.to_ascii_lowercase();
        let rest: Vec<_> = words.collect();
        match word.as_str() {
            "help" if has_slash || rest.is_empty() => Some(Self::Help),
            "where" if has_slash || rest.is_empty() => Some(Self::Where),
            "pair" => {
                let code = rest.concat().parse();
                let looks_like_one = code.is_ok()
                    || matches!(rest.as_slice(), [only] if only.contains(|c: char| c.is_ascii_digit()));
                (has_slash || looks_like_one).then_some(Self::Pair(code))
            }
            _ => None,
        }
    }
}

/// Returns the text of a message that has nothing else but mentions before it.
fn text_after_mentions(body: &[Segment]) -> Option<&str> {
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
            ("please help", None),
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
