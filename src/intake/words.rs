//! What the gate says to people, and nowhere else: in every language, side by side.

pub(super) mod commands;
mod teammates;

use std::time::SystemTime;

use tieline_channel::{Language, Text};

use crate::codex::FailureKind;
use crate::intake::gate::MAX_MESSAGE_CHARS;
use crate::intake::whereabouts::{Entry, Whereabouts};
use crate::ledger::{MessageState, Paired, PairingCode, PairingError};

pub(super) use self::teammates::{Viewer, no_teammate, teammate, teammates};

/// To somebody who is let in and wrote too much.
pub(super) fn too_long(language: Language) -> String {
    match language {
        Language::English => format!(
            "That message is too long for one turn (the limit is {MAX_MESSAGE_CHARS} characters). \
             Send it in parts, or as a file."
        ),
        Language::Chinese => format!(
            "这条消息太长，一次处理不了（上限是 {MAX_MESSAGE_CHARS} 个字符）。请分成几条发送，或者作为文件发送。"
        ),
    }
}

/// To a stranger.
pub(super) fn invitation(code: &PairingCode, language: Language) -> String {
    match language {
        Language::English => format!(
            "I do not know you yet. Ask an administrator to let you in: they write `pair {code}` to \
             me, or run `tieline pair {code}` on the machine I run on. The code is good for an \
             hour. Your message was not kept: send it again once you are in."
        ),
        Language::Chinese => format!(
            "我还不认识你。请管理员为你配对：给我发送 `配对 {code}`，或者在运行我的机器上执行 \
             `tieline pair {code}`。配对码一小时内有效。你刚才的消息没有保存，配对之后请重新发送。"
        ),
    }
}

/// To a stranger who is none any more.
pub(super) const YOU_ARE_IN: Text = Text {
    en: "You are in. What you wrote before was not kept: please send it again.",
    zh: "配对成功。你之前发的消息没有保存，请重新发送。",
};

/// To the administrator who let somebody in.
pub(super) fn let_in(paired: &Paired, language: Language) -> String {
    let guest = &paired.guest;
    let who = guest.name.as_deref().unwrap_or(guest.user.as_str());
    let revoke = format!("tieline pair --revoke {}:{}", guest.channel, guest.user);
    match language {
        Language::English => format!("{who} is in. `{revoke}` on the machine takes it back."),
        Language::Chinese => {
            format!("已与 {who} 配对。如需撤销，请在机器上执行 `{revoke}`。")
        }
    }
}

/// To an administrator whose code lets nobody in.
pub(super) fn not_let_in(error: PairingError) -> Text {
    match error {
        PairingError::Unknown => Text {
            en: "Nobody was given this code, or it has been used. Compare it with what I told \
                 whoever asked.",
            zh: "这个配对码不存在，或者已经用过。请与我发给对方的配对码核对一下。",
        },
        PairingError::Expired => Text {
            en: "This code is no longer good: codes live for an hour. Whoever asked gets a new one \
                 by writing to me again.",
            zh: "这个配对码已经过期：有效期只有一小时。请对方再给我发一条消息，就会得到新的配对码。",
        },
    }
}

/// To an administrator who gave something else than a code.
pub(super) const NOT_A_CODE: Text = Text {
    en: "That is not a code: a code is four letters and four digits, like ABCD-2345.",
    zh: "这不是配对码：配对码由四个字母和四个数字组成，例如 ABCD-2345。",
};

/// To whoever asks where their messages are.
pub(super) fn whereabouts(found: &Whereabouts, now: SystemTime, language: Language) -> String {
    let say = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    let mut lines = Vec::new();
    for entry in &found.in_turn {
        let (age, text) = (age(entry.since, now, language), quoted(entry, language));
        lines.push(say(
            format!("⏳ in a turn for {age}: {text}"),
            format!("⏳ 正在处理，已 {age}：{text}"),
        ));
    }
    for (place, entry) in &found.queued {
        let (age, text) = (age(entry.since, now, language), quoted(entry, language));
        let waiting = found.waiting;
        lines.push(if *place == 1 {
            say(
                format!("🕓 waits for {age}, next: {text}"),
                format!("🕓 已等待 {age}，下一个就是：{text}"),
            )
        } else {
            say(
                format!("🕓 waits for {age}, {place} of {waiting}: {text}"),
                format!("🕓 已等待 {age}，排在第 {place} 位，共 {waiting} 条：{text}"),
            )
        });
    }
    if lines.is_empty() {
        let waiting = found.waiting;
        lines.push(if waiting == 0 {
            say(
                "Nothing of this conversation waits or is worked on.".to_owned(),
                "这个会话里没有正在等待或处理的消息。".to_owned(),
            )
        } else {
            say(
                format!(
                    "Nothing of this conversation waits among the first, or is worked on; {waiting} \
                     of others wait."
                ),
                format!("这个会话里没有排在前面或正在处理的消息；其他会话有 {waiting} 条在等待。"),
            )
        });
    }
    for entry in &found.settled {
        let (age, text) = (age(entry.since, now, language), quoted(entry, language));
        lines.push(match &entry.state {
            MessageState::Answered => say(
                format!("✅ answered {age} ago: {text}"),
                format!("✅ {age}前已回答：{text}"),
            ),
            MessageState::Failed { kind } => say(
                format!("⚠️ failed (`{kind}`) {age} ago: {text}"),
                format!("⚠️ {age}前失败（`{kind}`）：{text}"),
            ),
            MessageState::Cancelled => say(
                format!("⏹️ stopped {age} ago: {text}"),
                format!("⏹️ {age}前已停止：{text}"),
            ),
            MessageState::Unclear
            | MessageState::Queued
            | MessageState::InTurn
            | MessageState::Refused { .. } => say(
                format!("❓ unclear {age} ago: {text}"),
                format!("❓ {age}前结果不明：{text}"),
            ),
        });
    }
    let lines: Vec<_> = lines.iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}

/// The model cannot be signed in to.
fn login(kind: FailureKind) -> Text {
    match kind {
        FailureKind::SecretUnavailable => Text {
            en: "⚠️ Codex has no credential for its model: set the key that it is configured with on \
                 the machine",
            zh: "⚠️ Codex 缺少访问模型的凭证：请在机器上设置好配置所要求的密钥",
        },
        _ => Text {
            en: "⚠️ Codex could not sign in to its model: run `codex login` on the machine, or mend the \
                 key that it is configured with",
            zh: "⚠️ Codex 无法登录模型服务：请在机器上执行 `codex login`，或修正配置的密钥",
        },
    }
}

fn quoted(entry: &Entry, language: Language) -> String {
    match (entry.text.is_empty(), language) {
        (false, _) => format!("“{}”", entry.text),
        (true, Language::English) => "(only files)".to_owned(),
        (true, Language::Chinese) => "（只有文件）".to_owned(),
    }
}

/// Returns how long ago it was, in its greatest unit.
fn age(since: SystemTime, now: SystemTime, language: Language) -> String {
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    let (number, en, zh) = match seconds {
        0..60 => (seconds, "s", "秒"),
        60..3_600 => (seconds / 60, "min", "分钟"),
        3_600..86_400 => (seconds / 3_600, "h", "小时"),
        _ => (seconds / 86_400, "d", "天"),
    };
    let unit = match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tieline_channel::language::assert_speaks_both;
    use tieline_channel::{ChannelId, ChatId, Conversation, UserId};

    use super::*;
    use crate::id::DispatcherId;
    use crate::ledger::{Guest, Host};

    #[test]
    fn every_text_is_there_in_both_languages_and_mixes_none() {
        let errors = [PairingError::Unknown, PairingError::Expired];
        let fixed = [YOU_ARE_IN, NOT_A_CODE];
        for text in fixed.into_iter().chain(errors.map(not_let_in)) {
            assert_speaks_both(|language| text.within(language).to_owned());
        }
        let code = "ABCD-2345".parse().unwrap();
        let paired = Paired {
            guest: Guest {
                dispatcher: DispatcherId::new("flow"),
                channel: ChannelId::new("team"),
                user: UserId::new("ou_1"),
                name: None,
                conversation: Conversation {
                    chat: ChatId::new("oc_1"),
                    thread: None,
                },
            },
            by: Host::Operator,
            at: SystemTime::UNIX_EPOCH,
        };
        assert_speaks_both(too_long);
        assert_speaks_both(|language| invitation(&code, language));
        assert_speaks_both(|language| let_in(&paired, language));
    }

    fn entry(text: &str, state: MessageState, seconds: u64) -> Entry {
        Entry {
            text: text.to_owned(),
            state,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - seconds),
        }
    }

    fn told(found: &Whereabouts) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut silent = found.clone();
        let queued = silent.queued.iter_mut().map(|(_, entry)| entry);
        for entry in silent
            .in_turn
            .iter_mut()
            .chain(queued)
            .chain(&mut silent.settled)
        {
            entry.text.clear(); // people write in the language they like
        }
        assert_speaks_both(|language| whereabouts(&silent, now, language));
        whereabouts(found, now, Language::English)
    }

    #[test]
    fn every_state_is_told_with_its_age() {
        let found = Whereabouts {
            in_turn: vec![entry("fix the test", MessageState::InTurn, 61)],
            waiting: 4,
            queued: vec![
                (1, entry("and the docs", MessageState::Queued, 30)),
                (3, entry("", MessageState::Queued, 2)),
            ],
            settled: vec![
                entry("hello", MessageState::Answered, 90_000),
                entry(
                    "again",
                    MessageState::Failed {
                        kind: crate::failure::FailureKind::ProviderRateLimited,
                    },
                    7_300,
                ),
                entry("stop it", MessageState::Cancelled, 200),
                entry("who knows", MessageState::Unclear, 100),
            ],
        };
        insta::assert_snapshot!(told(&found), @r"
        - ⏳ in a turn for 1 min: “fix the test”
        - 🕓 waits for 30 s, next: “and the docs”
        - 🕓 waits for 2 s, 3 of 4: (only files)
        - ✅ answered 1 d ago: “hello”
        - ⚠️ failed (`provider-rate-limited`) 2 h ago: “again”
        - ⏹️ stopped 3 min ago: “stop it”
        - ❓ unclear 1 min ago: “who knows”
        ");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let mut found = Whereabouts::default();
        insta::assert_snapshot!(told(&found), @"- Nothing of this conversation waits or is worked on.");
        found.waiting = 12;
        insta::assert_snapshot!(told(&found), @"- Nothing of this conversation waits among the first, or is worked on; 12 of others wait.");
    }
}
