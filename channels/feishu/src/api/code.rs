//! The codes of the Open API.

use std::time::Duration;

use super::failure::Cure;

/// What a code asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Wait, at least so long, and repeat.
    Again(Duration),
    /// Get a new token and repeat.
    TokenInvalid,
    /// Give up, or do something else.
    Never(Cure),
    /// Tell the operator to do this.
    Operator(&'static str),
    /// Tell the operator to grant the scopes that the answer names.
    ScopeMissing,
    /// Find out, or repeat with the same `uuid`.
    Unclear,
}

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// In words; empty where Feishu's own words must do.
    pub(super) words: &'static str,
    pub(super) class: Class,
}

/// The pause when a limit is hit and Feishu does not say for how long.
pub(super) const LIMITED: Duration = Duration::from_secs(2);

const A_SECOND: Duration = Duration::from_secs(1);

const CREDENTIALS: &str =
    "check app_id and app_secret against Credentials in the developer console";
const ENABLE: &str = "publish a version of the app in the developer console, and have it enabled by \
    an administrator";

/// Returns what a code means; `None` for those that nobody has told us of.
pub(super) fn meaning(code: i64) -> Option<Meaning> {
    use Class::{Again, Never, Operator, ScopeMissing, TokenInvalid, Unclear};
    let (words, class) = match code {
        // Of every call.
        99_991_400 => ("too many calls", Again(LIMITED)),
        99_991_403 => (
            "the month's quota of calls is used up",
            Operator("wait for the next month, or raise the organisation's quota of API calls"),
        ),
        99_991_401 => (
            "this machine's address is not on the app's white list",
            Operator(
                "add this machine's address under Security in the developer console, or empty \
                 the list",
            ),
        ),
        99_991_661 | 99_991_663 | 99_991_664 | 99_991_665 | 99_991_668 | 99_991_671
        | 99_991_677 => ("the token is not valid any more", TokenInvalid),
        99_991_662 | 99_991_673 => ("the app is not enabled", Operator(ENABLE)),
        99_991_672 => ("a permission is missing", ScopeMissing),
        99_992_402 => ("", Never(Cure::Nothing)),
        99_992_351 | 99_992_361 => ("nobody has this open_id in this app", Never(Cure::Nothing)),
        9499 => ("", Never(Cure::Nothing)),
        1663 => ("an internal error", Unclear),

        // Of the call for a token.
        10_003 | 10_012 | 10_014 | 10_015 => {
            ("app_id and app_secret do not fit", Operator(CREDENTIALS))
        }

        // Of messages.
        // Says nothing about which parameter it is; of the content, or of an edit of what is no
        // card, a simpler form mends it.
        230_001 => ("", Never(Cure::SimplerForm)),
        230_002 => ("the bot is not in this chat", Never(Cure::Nothing)),
        230_006 => (
            "the app has no bot",
            Operator("add the Bot ability in the developer console, and publish a version"),
        ),
        230_009 => ("it is too late to recall it", Never(Cure::Nothing)),
        230_011 | 230_110 | 231_003 => ("the message is gone", Never(Cure::NewMessage)),
        230_013 => (
            "the app is not available to this person: widen its availability in the developer \
             console",
            Never(Cure::Nothing),
        ),
        230_017 => (
            "the file was not uploaded by this app",
            Never(Cure::Nothing),
        ),
        230_018 | 230_035 => ("the bot may not write in this chat", Never(Cure::Nothing)),
        230_019 => ("the topic does not exist", Never(Cure::PlainReply)),
        230_020 => ("too many messages in this chat", Again(A_SECOND)),
        230_022 => ("refused for words in it", Never(Cure::NeutralNotice)),
        230_025 => ("it is too long", Never(Cure::Split)),
        230_026 => ("it is not a message of this app", Never(Cure::Nothing)),
        230_027 => (
            "not permitted in this chat, which may belong to several organisations",
            Never(Cure::Nothing),
        ),
        230_028 => (
            "refused by the organisation's rules against data loss",
            Never(Cure::NeutralNotice),
        ),
        230_031 => ("the card is older than 14 days", Never(Cure::NewMessage)),
        230_034 | 232_006 => ("there is no such chat", Never(Cure::Nothing)),
        230_049 => ("the same message is being sent", Again(A_SECOND)),
        230_053 => ("the person has stopped the bot", Never(Cure::Nothing)),
        230_054 => (
            "this chat does not take this kind of message",
            Never(Cure::SimplerForm),
        ),
        230_055 => ("the file is of another type", Never(Cure::Nothing)),
        230_071 => ("there are no topics in this chat", Never(Cure::PlainReply)),
        // Of an edit: there were twenty already. Of a reply: no topic can begin there.
        230_072 => (
            "no topic can begin there, or it was edited 20 times",
            Never(Cure::PlainReply),
        ),
        230_075 => (
            "it is too late to edit it, or the chat is encrypted",
            Never(Cure::Nothing),
        ),
        230_099 => ("the card is refused", Never(Cure::SimplerForm)),
        232_009 => ("the chat was dissolved", Never(Cure::Nothing)),
        232_011 => ("the bot is not in this chat", Never(Cure::Nothing)),

        // Of reactions.
        231_001 => ("there is no such reaction", Never(Cure::Nothing)),
        231_007 | 231_010 | 231_011 => ("it is not a reaction of this app", Never(Cure::Nothing)),
        231_015 => ("the same reaction is being set", Again(A_SECOND)),
        231_017 => (
            "this kind of message takes no reactions",
            Never(Cure::Nothing),
        ),

        // Of files.
        234_003 => ("the file is not in this message", Never(Cure::Nothing)),
        234_004 => (
            "the bot is not in the chat of the file",
            Never(Cure::Nothing),
        ),
        234_006 | 234_037 => ("the file is too large", Never(Cure::Nothing)),
        234_008 => (
            "the file was not uploaded by this app",
            Never(Cure::Nothing),
        ),
        234_009 => (
            "files cannot be fetched from a chat of several organisations",
            Never(Cure::Nothing),
        ),
        234_010 => ("the file is empty", Never(Cure::Nothing)),
        234_038 => ("the message may not be copied", Never(Cure::Nothing)),
        234_043 => (
            "files in cards and in forwarded messages cannot be fetched",
            Never(Cure::Nothing),
        ),

        // Of card entities.
        200_740 | 200_750 => ("the card is gone", Never(Cure::NewMessage)),
        200_810 => ("somebody is using the card", Again(A_SECOND)),
        200_860 => ("the card is too large", Never(Cure::Split)),
        300_120..=300_122 => ("an internal error", Unclear),
        _ => return None,
    };
    Some(Meaning { words, class })
}
