//! What people are told when an order about their thread was carried out, or could not be.

use tieline_channel::{Language, Text};

use super::failure;
use crate::codex::{FailureKind, Refusal};
use crate::ledger::{KeptThread, LaneOrder, Which};

fn say(language: Language, en: String, zh: String) -> String {
    match language {
        Language::English => en,
        Language::Chinese => zh,
    }
}

/// The next turn begins in a new thread. `number` is that of the present one, if it has any.
pub(in crate::dispatcher) fn begins_anew(
    had_turn: bool,
    number: Option<u32>,
    language: Language,
) -> String {
    match (had_turn, number) {
        (true, Some(number)) => say(
            language,
            format!(
                "🆕 Your next message begins a new thread, which knows nothing of this one. \
                 `resume {number}` goes back."
            ),
            format!("🆕 你的下一条消息将开始一个新会话，它不知道之前的内容。发送 `恢复 {number}` 可以回到原来的会话。"),
        ),
        (true, None) => say(
            language,
            "🆕 Your next message begins a new thread, which knows nothing of this one. `threads` \
             lists both."
                .to_owned(),
            "🆕 你的下一条消息将开始一个新会话，它不知道之前的内容。发送 `会话列表` 可以看到这两个会话。".to_owned(),
        ),
        (false, _) => say(
            language,
            "🆕 Your next message begins a new thread.".to_owned(),
            "🆕 你的下一条消息将开始一个新会话。".to_owned(),
        ),
    }
}

/// There is no such thread.
pub(in crate::dispatcher) fn no_thread(which: &Which, language: Language) -> String {
    let name = match which {
        Which::Number(number) => number.to_string(),
        Which::Thread(thread) => thread.to_string(),
    };
    say(
        language,
        format!("There is no thread `{name}` here. `threads` lists those that there are."),
        format!("这里没有会话 `{name}`。发送 `会话列表` 可以看到有哪些。"),
    )
}

/// It is the one that goes on anyway.
pub(in crate::dispatcher) fn present_thread(number: u32, language: Language) -> String {
    say(
        language,
        format!("Thread {number} is the present one: just go on."),
        format!("会话 {number} 就是当前的会话，直接继续即可。"),
    )
}

/// The lane goes on in an earlier thread.
pub(in crate::dispatcher) fn gone_back(
    thread: &KeptThread,
    order: &LaneOrder,
    language: Language,
) -> String {
    let number = thread.number;
    // Others may have written it in another chat.
    let is_here = thread.from.as_ref().is_some_and(|from| {
        let here = order.by.origin.as_ref();
        here.is_some_and(|here| {
            here.channel == from.channel && here.conversation.chat == from.conversation.chat
        })
    });
    if !is_here || thread.beginning.is_empty() {
        return say(
            language,
            format!("↩️ Back in thread {number}: your next message goes on there."),
            format!("↩️ 已回到会话 {number}，你的下一条消息会在那里继续。"),
        );
    }
    let beginning = &thread.beginning;
    say(
        language,
        format!("↩️ Back in thread {number} (“{beginning}”): your next message goes on there."),
        format!("↩️ 已回到会话 {number}（“{beginning}”），你的下一条消息会在那里继续。"),
    )
}

/// An earlier thread cannot be opened.
pub(in crate::dispatcher) fn cannot_go_back(
    number: u32,
    refusal: &Refusal,
    language: Language,
) -> String {
    match refusal {
        Refusal::ActiveWriter => say(
            language,
            format!(
                "⚠️ Thread {number} is open in another Codex on the machine. Close it there and ask \
                 again; the present thread stays."
            ),
            format!(
                "⚠️ 机器上的另一个 Codex 正打开着会话 {number}。请在那里关闭后再试；当前会话保持不变。"
            ),
        ),
        Refusal::NoRollout | Refusal::ThreadNotFound => say(
            language,
            format!(
                "⚠️ Thread {number} is gone from the machine and cannot be opened. The present thread \
                 stays."
            ),
            format!("⚠️ 机器上已找不到会话 {number}，无法打开。当前会话保持不变。"),
        ),
        Refusal::Archived => say(
            language,
            format!(
                "⚠️ Thread {number} was archived on the machine. `codex unarchive` there brings it \
                 back; until then the present thread stays."
            ),
            format!(
                "⚠️ 会话 {number} 已在机器上归档。在那里执行 `codex unarchive` 可以取回；在此之前，当前会话保持不变。"
            ),
        ),
        _ => say(
            language,
            format!(
                "⚠️ Codex does not open thread {number}; the log on the machine says why. The present \
                 thread stays."
            ),
            format!("⚠️ Codex 无法打开会话 {number}，原因见机器上的日志。当前会话保持不变。"),
        ),
    }
}

/// The lane goes on in a copy. `number` is that of what was copied, if it has any.
pub(in crate::dispatcher) fn copied(number: Option<u32>, language: Language) -> String {
    match number {
        Some(number) => say(
            language,
            format!(
                "🔀 Going on in a copy: what comes now is not in the thread before. `resume {number}` \
                 goes back to that."
            ),
            format!("🔀 已改在副本中继续，之后的内容不会进入原来的会话。发送 `恢复 {number}` 可以回到原来的会话。"),
        ),
        None => say(
            language,
            "🔀 Going on in a copy: what comes now is not in the thread before. `threads` lists both."
                .to_owned(),
            "🔀 已改在副本中继续，之后的内容不会进入原来的会话。发送 `会话列表` 可以看到这两个会话。".to_owned(),
        ),
    }
}

/// No copy could be made.
pub(in crate::dispatcher) fn not_copied(refusal: &Refusal, language: Language) -> String {
    match refusal {
        Refusal::UnknownMethod => say(
            language,
            "⚠️ The Codex on this machine cannot copy threads: it has to be updated. The present \
             thread stays."
                .to_owned(),
            "⚠️ 机器上的 Codex 不支持复制会话，需要更新。当前会话保持不变。".to_owned(),
        ),
        _ => say(
            language,
            "⚠️ Codex could not copy the thread; the log on the machine says why. The present one \
             stays."
                .to_owned(),
            "⚠️ Codex 未能复制会话，原因见机器上的日志。当前会话保持不变。".to_owned(),
        ),
    }
}

/// There is nothing that could be copied.
pub(in crate::dispatcher) const NOTHING_TO_COPY: Text = Text {
    en: "There is nothing to copy: nothing has been said in this thread yet.",
    zh: "没有可以复制的内容：这个会话里还没有说过什么。",
};

/// There is nothing that could be shortened.
pub(in crate::dispatcher) const NOTHING_TO_SHORTEN: Text = Text {
    en: "There is nothing to shorten: nothing has been said in this thread yet.",
    zh: "没有可以压缩的内容：这个会话里还没有说过什么。",
};

/// A message that waited was withdrawn on the machine.
pub(in crate::dispatcher) const WITHDRAWN: Text = Text {
    en: "⏹️ The operator of this machine has withdrawn this message before I came to it. Send it again \
         if it is still wanted.",
    zh: "⏹️ 这条消息还没有处理，就被这台机器的管理者撤回了。如果仍然需要，请重新发送。",
};

/// The history was shortened.
pub(in crate::dispatcher) const SHORTENED: Text = Text {
    en: "🗜️ Shortened: from here on the model has a summary of what was said, and your messages.",
    zh: "🗜️ 已压缩：从现在起，模型只保留之前内容的摘要和你的消息。",
};

/// The history could not be shortened.
pub(in crate::dispatcher) fn not_shortened(kind: FailureKind, language: Language) -> String {
    match kind {
        FailureKind::ProviderAuthFailed
        | FailureKind::SecretUnavailable
        | FailureKind::ProviderRateLimited
        | FailureKind::ProviderUnavailable => {
            let why = failure(kind).within(language);
            say(
                language,
                format!("{why} That was to shorten the thread, which stays as it is."),
                format!("{why}这次是要压缩会话，它保持不变。"),
            )
        }
        _ => say(
            language,
            "⚠️ The thread could not be shortened and stays as it is; the log on the machine says \
             why. `new` begins another one."
                .to_owned(),
            "⚠️ 会话未能压缩，保持不变，原因见机器上的日志。发送 `新会话` 可以另开一个。"
                .to_owned(),
        ),
    }
}

/// The lane's turns are run by another model.
pub(in crate::dispatcher) fn model(name: &str, language: Language) -> String {
    say(
        language,
        format!(
            "🧠 From the next turn on: `{name}`. If Codex does not know it, turns fail; \
             `model default` goes back."
        ),
        format!(
            "🧠 从下一轮开始使用 `{name}`。如果 Codex 不认识它，处理会失败；发送 `模型 default` 可以改回来。"
        ),
    )
}

/// The lane's turns are run by the model of the configuration.
pub(in crate::dispatcher) fn model_default(name: Option<&str>, language: Language) -> String {
    match name {
        Some(name) => say(
            language,
            format!("🧠 From the next turn on the default again: `{name}`."),
            format!("🧠 从下一轮开始改回默认模型 `{name}`。"),
        ),
        None => say(
            language,
            "🧠 From the next turn on the default model again.".to_owned(),
            "🧠 从下一轮开始改回默认模型。".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tieline_channel::language::assert_speaks_both;
    use tieline_channel::{ChannelId, ChatId, Conversation};

    use super::*;
    use crate::id::{OrderId, ThreadId};
    use crate::ledger::{LaneWish, OrderPhase, Orderer, Origin, Reach};

    #[test]
    fn every_text_is_there_in_both_languages_and_mixes_none() {
        for text in [NOTHING_TO_COPY, NOTHING_TO_SHORTEN, SHORTENED, WITHDRAWN] {
            assert_speaks_both(|language| text.within(language).to_owned());
        }
        for number in [None, Some(2)] {
            assert_speaks_both(|language| begins_anew(true, number, language));
            assert_speaks_both(|language| copied(number, language));
        }
        assert_speaks_both(|language| begins_anew(false, None, language));
        assert_speaks_both(|language| no_thread(&Which::Number(2), language));
        assert_speaks_both(|language| present_thread(2, language));
        for refusal in [
            Refusal::ActiveWriter,
            Refusal::NoRollout,
            Refusal::Archived,
            Refusal::UnknownMethod,
            Refusal::Other,
        ] {
            assert_speaks_both(|language| cannot_go_back(2, &refusal, language));
            assert_speaks_both(|language| not_copied(&refusal, language));
        }
        for kind in FailureKind::ALL {
            assert_speaks_both(|language| not_shortened(*kind, language));
        }
        assert_speaks_both(|language| model("o9", language));
        for name in [None, Some("o9")] {
            assert_speaks_both(|language| model_default(name, language));
        }
    }

    #[test]
    fn a_thread_is_quoted_where_it_was_begun_and_nowhere_else() {
        let origin = |chat: &str| Origin {
            channel: ChannelId::new("team"),
            conversation: Conversation {
                chat: ChatId::new(chat),
                thread: None,
            },
        };
        let thread = KeptThread {
            thread: ThreadId::new("t2"),
            number: 2,
            copy_of: None,
            beginning: "1 + 1".to_owned(),
            from: Some(origin("C1")),
            reach: Reach::default(),
            begun_at: SystemTime::UNIX_EPOCH,
            used_at: SystemTime::UNIX_EPOCH,
        };
        let told = |chat: Option<&str>| {
            let order = LaneOrder {
                id: OrderId::new(),
                wish: LaneWish::New,
                by: Orderer {
                    origin: chat.map(origin),
                    ..Orderer::default()
                },
                phase: OrderPhase::Waiting,
                given_at: SystemTime::UNIX_EPOCH,
            };
            assert_speaks_both(|language| gone_back(&thread, &order, language));
            gone_back(&thread, &order, Language::English)
        };
        assert!(told(Some("C1")).contains("“1 + 1”"));
        assert!(!told(Some("C2")).contains("1 + 1"));
        assert!(!told(None).contains("1 + 1"));
    }
}
