//! The words that tieline itself listens to. Everything else is for the model.

use tieline_channel::{Message, Segment};

use crate::config::Role;
use crate::id::ThreadId;
use crate::ledger::{LaneWish, NotACode, PairingCode, Which};

/// How long a word may be that is taken for a command, in characters.
const MAX_WORD: usize = 20;

/// How long the name of a model may be, in characters.
const MAX_MODEL: usize = 100;

/// A message that tieline answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Says which commands there are.
    Help,
    /// Says how the dispatcher is, and what it does here.
    Status,
    /// Says where the messages of the conversation are.
    Where,
    /// Lists the threads that the conversation had.
    Threads,
    /// Says who works for the dispatcher, and at what.
    Teammates,
    /// Says what one of them does, and what came of its last tasks.
    Teammate {
        /// What may be a name.
        name: String,
        /// It is a command also when there is no teammate of that name.
        is_certain: bool,
    },
    /// Ends the turn that runs.
    Stop {
        /// What waits is not done either.
        all: bool,
    },
    /// Wants something of the thread.
    Order(LaneWish),
    /// Says which model is at work.
    Model,
    /// Lets in whoever was given the code.
    Pair(Result<PairingCode, NotACode>),
    /// A command that is not said as it has to be: nothing is done.
    Misused(Misuse),
    /// Certainly meant as a command, and none.
    Unknown(String),
}

/// How a command was misused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misuse {
    /// Something stands behind a word that stands alone.
    NotAlone(&'static Word),
    /// It does not say to which thread to go back.
    WhichThread,
    /// That is no name of a model.
    NotAModel,
}

impl Command {
    /// Recognises a command: its word, in any case, with or without a slash before it, and nothing
    /// before that but a mention.
    ///
    /// With a slash a word is always meant as a command. Without, it must look like one:
    /// "pair this with that" is for the model. So is what begins with a slash and is no word, as the
    /// path of a file is none, or has more behind a word that we do not know.
    pub(super) fn of(message: &Message) -> Option<Self> {
        if !message.addressed || !message.attachments.is_empty() {
            return None;
        }
        let text = text_after_mentions(&message.body)?;
        let (text, has_slash) = match text.strip_prefix(['/', '／']) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let Some((word, rest)) = ALL
            .iter()
            .find_map(|word| Some((*word, word.rest_of(text)?.trim())))
        else {
            return (has_slash && is_word(text)).then(|| Self::Unknown(text.to_owned()));
        };
        match word.with(rest, has_slash) {
            Read::Certain(command) => Some(command),
            Read::Perhaps(command) => has_slash.then_some(command),
        }
    }

    /// Returns what whoever says it has to be, in a lane that several chats share or one of its own.
    pub(super) fn needs(&self, is_shared: bool) -> Role {
        match self {
            Self::Help
            | Self::Status
            | Self::Where
            | Self::Threads
            | Self::Teammates
            | Self::Teammate { .. }
            | Self::Model
            | Self::Misused(_)
            | Self::Unknown(_) => Role::Viewer,
            Self::Stop { .. } | Self::Order(LaneWish::Compact) => Role::User,
            // Everybody who shares the thread goes on in another one.
            Self::Order(LaneWish::New | LaneWish::Resume { .. } | LaneWish::Fork) => {
                if is_shared {
                    Role::Approver
                } else {
                    Role::User
                }
            }
            // It is the operator who pays.
            Self::Order(LaneWish::Model { .. }) => Role::Admin,
            Self::Pair(_) => Role::Admin,
        }
    }
}

/// What a word and what stands behind it can mean.
enum Read {
    /// A command, also without a slash.
    Certain(Command),
    /// A command if there is a slash; without, it may be the beginning of a sentence.
    Perhaps(Command),
}

/// The word of a command. Both are understood everywhere, whatever the channel speaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
    kind: Kind,
}

/// What a word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Help,
    Status,
    Where,
    Stop,
    New,
    Threads,
    Resume,
    Fork,
    Compact,
    Model,
    Teammates,
    Pair,
}

const fn word(en: &'static str, zh: &'static str, kind: Kind) -> Word {
    Word { en, zh, kind }
}

/// All of them, in the order in which people are told of them.
const ALL: [&Word; 12] = [
    &word("help", "帮助", Kind::Help),
    &word("status", "状态", Kind::Status),
    &word("where", "进度", Kind::Where),
    &word("stop", "停止", Kind::Stop),
    &word("new", "新会话", Kind::New),
    &word("threads", "会话列表", Kind::Threads),
    &word("resume", "恢复", Kind::Resume),
    &word("fork", "分叉", Kind::Fork),
    &word("compact", "压缩", Kind::Compact),
    &word("model", "模型", Kind::Model),
    &word("teammates", "队友", Kind::Teammates),
    &word("pair", "配对", Kind::Pair),
];

impl Word {
    /// Returns what follows the word at the beginning of a text. Chinese needs no space there.
    fn rest_of<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let Some(rest) = text.strip_prefix(self.zh) {
            return Some(rest);
        }
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (mut word, mut rest) = text.split_at(end);
        if self.kind == Kind::Stop && rest.trim().is_empty() {
            // Whoever says that is in a hurry.
            word = word.trim_end_matches(['.', '!', '。', '！']);
            rest = "";
        }
        word.eq_ignore_ascii_case(self.en).then_some(rest)
    }

    /// Reads what stands behind the word.
    fn with(&'static self, rest: &str, has_slash: bool) -> Read {
        let words: Vec<_> = rest.split_whitespace().collect();
        match self.kind {
            Kind::Help => asks(Command::Help, rest),
            Kind::Status => asks(Command::Status, rest),
            Kind::Where => asks(Command::Where, rest),
            Kind::Threads => asks(Command::Threads, rest),
            Kind::New => self.alone(LaneWish::New, rest),
            Kind::Fork => self.alone(LaneWish::Fork, rest),
            Kind::Compact => self.alone(LaneWish::Compact, rest),
            Kind::Stop => match words.as_slice() {
                [] => Read::Certain(Command::Stop { all: false }),
                ["全部"] => Read::Certain(Command::Stop { all: true }),
                [only] if only.chars().all(|c| "。！!.".contains(c)) => {
                    Read::Certain(Command::Stop { all: false })
                }
                [all] if all.eq_ignore_ascii_case("all") => {
                    Read::Certain(Command::Stop { all: true })
                }
                _ => Read::Perhaps(Command::Misused(Misuse::NotAlone(self))),
            },
            Kind::Resume => match words.as_slice() {
                [which] if let Some(which) = read_thread(which) => {
                    Read::Certain(Command::Order(LaneWish::Resume { which }))
                }
                _ => Read::Perhaps(Command::Misused(Misuse::WhichThread)),
            },
            Kind::Model => match words.as_slice() {
                [] => Read::Certain(Command::Model),
                [name] if name.eq_ignore_ascii_case("default") || *name == "默认" => {
                    Read::Certain(Command::Order(LaneWish::Model { name: None }))
                }
                [name] if may_be_model(name) => {
                    let is_name = name.contains(|c: char| c.is_ascii_digit() || c == '-');
                    let name = Some((*name).to_owned());
                    let command = Command::Order(LaneWish::Model { name });
                    if is_name {
                        Read::Certain(command)
                    } else {
                        Read::Perhaps(command)
                    }
                }
                _ => Read::Perhaps(Command::Misused(Misuse::NotAModel)),
            },
            Kind::Teammates => match words.as_slice() {
                [] => Read::Certain(Command::Teammates),
                [name] if may_be_name(name) && !has_slash => Read::Certain(teammate(name, false)),
                [name, ..] => Read::Perhaps(teammate(name, true)),
            },
            Kind::Pair => {
                let code = words.concat().parse();
                let looks_like_one = code.is_ok()
                    || matches!(words.as_slice(), [only] if only.is_ascii() && only.contains(|c: char| c.is_ascii_digit()));
                if looks_like_one {
                    Read::Certain(Command::Pair(code))
                } else {
                    Read::Perhaps(Command::Pair(code))
                }
            }
        }
    }

    /// A word that changes something: what stands behind it would be lost.
    fn alone(&'static self, wish: LaneWish, rest: &str) -> Read {
        if rest.is_empty() {
            Read::Certain(Command::Order(wish))
        } else {
            Read::Perhaps(Command::Misused(Misuse::NotAlone(self)))
        }
    }
}

/// A word that only asks: what stands behind it does not matter.
fn asks(command: Command, rest: &str) -> Read {
    if rest.is_empty() {
        Read::Certain(command)
    } else {
        Read::Perhaps(command)
    }
}

fn teammate(name: &str, is_certain: bool) -> Command {
    // Keyboards of telephones like capitals; names have none.
    let name = name.to_ascii_lowercase();
    Command::Teammate { name, is_certain }
}

/// Returns whether a word looks like the name of a teammate.
fn may_be_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Returns whether a word can be the name of a model.
pub fn may_be_model(word: &str) -> bool {
    word.len() <= MAX_MODEL
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.:/@".contains(c))
}

/// Reads the number or the name of a thread.
fn read_thread(word: &str) -> Option<Which> {
    let word = word.trim_start_matches('#');
    if let Ok(number) = word.parse() {
        return Some(Which::Number(number));
    }
    let is_uuid = word.len() == 36 && uuid::Uuid::parse_str(word).is_ok();
    is_uuid.then(|| Which::Thread(ThreadId::new(word.to_ascii_lowercase())))
}

/// Returns whether a text is one word, as the names of commands are.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= MAX_WORD
        && text
            .chars()
            .all(|c| c.is_alphabetic() || c == '-' || c == '_')
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
        let named = |name: &str, is_certain| {
            let name = name.to_owned();
            Some(Command::Teammate { name, is_certain })
        };
        let maybe = |name| named(name, false);
        let certainly = |name| named(name, true);
        let order = |wish| Some(Command::Order(wish));
        let stop = |all| Some(Command::Stop { all });
        let resume = |number| {
            order(LaneWish::Resume {
                which: Which::Number(number),
            })
        };
        let model = |name: Option<&str>| {
            order(LaneWish::Model {
                name: name.map(str::to_owned),
            })
        };
        let alone = |en: &str| {
            let word = ALL.into_iter().find(|word| word.en == en).unwrap();
            Some(Command::Misused(Misuse::NotAlone(word)))
        };
        let which = Some(Command::Misused(Misuse::WhichThread));
        let no_model = Some(Command::Misused(Misuse::NotAModel));
        let unknown = |word: &str| Some(Command::Unknown(word.to_owned()));
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
            ("status", Some(Command::Status)),
            ("/Status", Some(Command::Status)),
            ("状态", Some(Command::Status)),
            ("状态机怎么写", None),
            ("status of the build?", None),
            ("stop", stop(false)),
            ("Stop!", stop(false)),
            ("/stop.", stop(false)),
            ("停止", stop(false)),
            ("停止！", stop(false)),
            ("stop all", stop(true)),
            ("/STOP All", stop(true)),
            ("停止全部", stop(true)),
            ("停止 全部", stop(true)),
            ("stop the server", None),
            ("停止服务器", None),
            ("/stop the server", alone("stop")),
            ("stopping", None),
            ("new", order(LaneWish::New)),
            ("/new", order(LaneWish::New)),
            ("新会话", order(LaneWish::New)),
            ("new idea: do it twice", None),
            ("/new fix the tests", alone("new")),
            ("threads", Some(Command::Threads)),
            ("会话列表", Some(Command::Threads)),
            ("threads in Rust", None),
            ("resume 2", resume(2)),
            ("/resume #12", resume(12)),
            ("恢复 2", resume(2)),
            ("恢复2", resume(2)),
            ("恢复2号机", None),
            ("resume", None),
            ("/resume", which.clone()),
            ("/resume the work", which),
            ("resume the work", None),
            (
                "resume 019F7C2A-0000-7000-8000-00000000ABCD",
                order(LaneWish::Resume {
                    which: Which::Thread(ThreadId::new("019f7c2a-0000-7000-8000-00000000abcd")),
                }),
            ),
            ("fork", order(LaneWish::Fork)),
            ("分叉", order(LaneWish::Fork)),
            ("fork the repository", None),
            ("/fork the repository", alone("fork")),
            ("compact", order(LaneWish::Compact)),
            ("压缩", order(LaneWish::Compact)),
            ("压缩这个目录", None),
            ("model", Some(Command::Model)),
            ("模型", Some(Command::Model)),
            ("model gpt-5.1", model(Some("gpt-5.1"))),
            ("模型 o3", model(Some("o3"))),
            ("model default", model(None)),
            ("模型默认", model(None)),
            ("model trains", None),
            ("/model llama", model(Some("llama"))),
            ("model 3", None),
            ("模型是什么", None),
            ("/model what is it?", no_model),
            ("/unknown", unknown("unknown")),
            ("／未知", unknown("未知")),
            ("/unknown word", None),
            ("/etc/hosts", None),
            ("/etc/hosts is wrong", None),
            ("/v2", None),
            ("/", None),
            ("//", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_somebody_must_be_stands_in_one_table() {
        use Role::{Admin, Approver, User, Viewer};
        // What is said, the role in a lane of its own, and in a shared one.
        let table = [
            ("help", Viewer, Viewer),
            ("status", Viewer, Viewer),
            ("where", Viewer, Viewer),
            ("threads", Viewer, Viewer),
            ("teammates", Viewer, Viewer),
            ("teammates a", Viewer, Viewer),
            ("model", Viewer, Viewer),
            ("/typo", Viewer, Viewer),
            ("/new things", Viewer, Viewer),
            ("stop", User, User),
            ("stop all", User, User),
            ("compact", User, User),
            ("new", User, Approver),
            ("resume 1", User, Approver),
            ("fork", User, Approver),
            ("model o3", Admin, Admin),
            ("model default", Admin, Admin),
            ("pair ABCD-2345", Admin, Admin),
        ];
        for (text, own, shared) in table {
            let command = of(text).unwrap();
            assert_eq!(command.needs(false), own, "{text}");
            assert_eq!(command.needs(true), shared, "{text}");
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
