//! What tieline itself says to people, in every language. Each failure has one sentence with what to
//! do; causes are for the operator's log and never shown in a chat.

pub(super) mod orders;

use std::time::Duration;

use tieline_channel::{Language, Text};

use crate::codex::{FailureKind, Refusal};
use crate::ledger::{CallRecord, Outcome};

/// Returns the sentence for a turn that failed.
pub(super) fn failure(kind: FailureKind) -> Text {
    match kind {
        FailureKind::ProviderAuthFailed => Text {
            en: "⚠️ Codex could not sign in to its model. Run `codex login` on the machine (or mend \
                 the API key), then send the message again.",
            zh: "⚠️ Codex 无法登录模型服务。请在机器上执行 `codex login`（或修正 API key），然后重新发送这条消息。",
        },
        FailureKind::SecretUnavailable => Text {
            en: "⚠️ Codex has no credential for its model. Set the key it is configured with on the \
                 machine, then send the message again.",
            zh: "⚠️ Codex 缺少访问模型的凭证。请在机器上设置好配置所要求的密钥，然后重新发送这条消息。",
        },
        FailureKind::ProviderRateLimited => Text {
            en: "⚠️ The model's usage limit is reached. Wait a while, then send the message again.",
            zh: "⚠️ 模型的用量已达上限。请稍等一段时间，再重新发送这条消息。",
        },
        FailureKind::ProviderUnavailable => Text {
            en: "⚠️ The model cannot be reached at the moment. Send the message again in a few \
                 minutes.",
            zh: "⚠️ 暂时无法连接到模型。请过几分钟再重新发送这条消息。",
        },
        FailureKind::ProviderStreamDisconnected => Text {
            en: "⚠️ The connection to the model broke off in the middle of the answer. Send \
                 “continue” to go on.",
            zh: "⚠️ 回答到一半时，与模型的连接断开了。发送“继续”即可接着进行。",
        },
        FailureKind::ProviderHttpError => Text {
            en: "⚠️ The model refused the request. Rephrase or shorten the message and send it \
                 again; if it happens every time, look at the log on the machine.",
            zh: "⚠️ 模型拒绝了这次请求。请换一种说法或缩短内容后重新发送；如果每次都这样，请查看机器上的日志。",
        },
        FailureKind::ProviderInvalidToolCall => Text {
            en: "⚠️ The model refused a tool call of this conversation. Send “continue” to try \
                 another way.",
            zh: "⚠️ 模型拒绝了这个会话中的一次工具调用。发送“继续”，换一种方式再试。",
        },
        FailureKind::ProviderCompactUnsupported => Text {
            en: "⚠️ The conversation is too long for the model and could not be shortened. \
                 Write `new` to begin another one.",
            zh: "⚠️ 会话太长，模型已无法处理，也无法压缩。请发送 `新会话` 另开一个。",
        },
        FailureKind::BackendTimeout => Text {
            en: "⚠️ Codex gave no sign of life for too long, so I stopped it. Send “continue” to go \
                 on.",
            zh: "⚠️ Codex 太久没有任何动静，我已将它停止。发送“继续”即可接着进行。",
        },
        FailureKind::BackendSpawnFailed => Text {
            en: "⚠️ Codex does not start. `tieline status` on the machine shows why; then send the \
                 message again.",
            zh: "⚠️ Codex 无法启动。在机器上运行 `tieline status` 可以查看原因；处理好之后，请重新发送这条消息。",
        },
        FailureKind::Disk => Text {
            en: "⚠️ The machine's disk does not take what this needs. Free space there, then send the \
                 message again.",
            zh: "⚠️ 机器的磁盘无法写入所需的文件。请在那里腾出空间，然后重新发送这条消息。",
        },
        FailureKind::Workspace => Text {
            en: "⚠️ There is no place to work at. `tieline status` on the machine shows why; then send \
                 the message again.",
            zh: "⚠️ 没有可用的工作目录。在机器上运行 `tieline status` 可以查看原因；处理好之后，请重新发送这条消息。",
        },
        FailureKind::Damaged => Text {
            en: "⚠️ The message is damaged on the machine's disk. Send it again.",
            zh: "⚠️ 这条消息在机器的磁盘上已损坏。请重新发送。",
        },
        FailureKind::BackendResponseInvalid | FailureKind::Unknown => Text {
            en: "⚠️ Codex finished without an answer. Send the message again, perhaps in other words.",
            zh: "⚠️ Codex 已结束，但没有给出回答。请重新发送这条消息，也可以换一种说法。",
        },
        FailureKind::BackendJsonParseError => Text {
            en: "⚠️ Codex answered with something unreadable. Send the message again; if it happens \
                 every time, update codex on the machine.",
            zh: "⚠️ Codex 返回了无法读取的内容。请重新发送这条消息；如果每次都这样，请更新机器上的 codex。",
        },
        FailureKind::ThreadResumeFailed => Text {
            en: "⚠️ The conversation's thread could not be opened. `tieline status` on the machine \
                 shows why; then send the message again.",
            zh: "⚠️ 无法打开这个会话的记录。在机器上运行 `tieline status` 可以查看原因；处理好之后，请重新发送这条消息。",
        },
        FailureKind::SessionStoreEvicted => Text {
            en: "⚠️ The conversation's thread is gone from the machine, and the configuration says \
                 not to begin a new one (`on_lost_thread = \"stop\"`). Restore it, or begin \
                 anew with `new`; then send the message again.",
            zh: "⚠️ 机器上已找不到这个会话的记录，而配置要求不要另开新会话（`on_lost_thread = \"stop\"`）。请恢复记录，或发送 `新会话` 另开一个，然后重新发送这条消息。",
        },
        FailureKind::Cancelled => STOPPED,
    }
}

/// The operator has switched the dispatcher off.
pub(super) const SWITCHED_OFF: Text = Text {
    en: "⏸️ I am switched off at the moment. Your message is kept, and I answer it when I am switched \
         on again.",
    zh: "⏸️ 我目前已被停用。你的消息已保存，重新启用后我会回复。",
};

/// A turn was stopped because somebody asked for it.
pub(super) const STOPPED: Text = Text {
    en: "⏹️ Stopped.",
    zh: "⏹️ 已停止。",
};

/// A turn was stopped because somebody else asked for it; the operator, without a name.
pub(super) fn stopped_by(name: Option<&str>, language: Language) -> String {
    match (name, language) {
        (Some(name), Language::English) => format!("⏹️ Stopped by {name}."),
        (Some(name), Language::Chinese) => format!("⏹️ 已被 {name} 停止。"),
        (None, Language::English) => "⏹️ Stopped by the operator of this machine.".to_owned(),
        (None, Language::Chinese) => "⏹️ 已被这台机器的管理者停止。".to_owned(),
    }
}

/// A turn was stopped because a newer message is to be taken instead.
pub(super) const SUPERSEDED: Text = Text {
    en: "⏹️ Stopped; taking your newer message instead.",
    zh: "⏹️ 已停止，改为处理你的新消息。",
};

/// A turn has run to its end without anything for those who wrote.
pub(super) const NOTHING_SENT: Text = Text {
    en: "⚠️ I have finished with this, but wrote you nothing. Ask me what came of it.",
    zh: "⚠️ 这件事我已经处理完，但没有给你任何回复。请问我结果如何。",
};

/// A turn was cut off and people are to decide.
pub(super) const INTERRUPTED: Text = Text {
    en: "⚠️ I was interrupted while working on this. Send “continue” to go on.",
    zh: "⚠️ 处理这条消息时我被中断了。发送“继续”即可接着进行。",
};

/// A turn was cut off so often that it may be the cause.
pub(super) const INTERRUPTED_TOO_OFTEN: Text = Text {
    en: "❓ I was interrupted again and again while working on this, so I stopped trying. Some of it \
         may be done. Look at `tieline status` on the machine, then send “continue” to go on.",
    zh: "❓ 处理这条消息时我一再被中断，所以不再重试，其中一部分可能已经完成。请先在机器上查看 `tieline status`，再发送“继续”接着进行。",
};

/// It is not known what became of a message.
pub(super) const UNCLEAR: Text = Text {
    en: "❓ I cannot tell whether this message was worked on before I was interrupted, so I did not \
         run it again. Check, and send it again if it is needed.",
    zh: "❓ 我无法确定这条消息在中断之前是否已经处理过，所以没有再次执行。请检查一下，需要的话请重新发送。",
};

/// The child is away for longer than people should wait in silence.
pub(super) const RESTARTING: Text = Text {
    en: "🔄 Codex is restarting. Your message is kept and runs as soon as it is back.",
    zh: "🔄 Codex 正在重启。你的消息已保存，恢复后会立即处理。",
};

/// The child does not start. The message is kept, so unlike for a failed turn nobody has to send it
/// again.
pub(super) fn not_starting(kind: FailureKind) -> Text {
    match kind {
        FailureKind::ProviderAuthFailed => Text {
            en: "🔄 Codex is not logged in on the machine: run `codex login` there. Your message is \
                 kept and runs as soon as that is done.",
            zh: "🔄 机器上的 Codex 尚未登录：请在那里执行 `codex login`。你的消息已保存，登录后会立即处理。",
        },
        _ => Text {
            en: "🔄 Codex does not start; I keep trying. `tieline status` on the machine shows why. \
                 Your message is kept and runs as soon as it is back.",
            zh: "🔄 Codex 无法启动，我会不断重试。在机器上运行 `tieline status` 可以查看原因。你的消息已保存，恢复后会立即处理。",
        },
    }
}

/// Codex cannot sign in to its model. The message is kept, so nobody has to send it again.
pub(super) fn cannot_sign_in(kind: FailureKind) -> Text {
    match kind {
        FailureKind::SecretUnavailable => Text {
            en: "🔑 Codex has no credential for its model. Set the key on the machine; `tieline status` \
                 there says which. Your message is kept and runs as soon as that is done.",
            zh: "🔑 Codex 缺少访问模型的凭证。请在机器上设置密钥；在那里运行 `tieline status` 可以查看是哪一个。你的消息已保存，设置好后会立即处理。",
        },
        _ => Text {
            en: "🔑 Codex cannot sign in to its model: the login has expired, or the key is not accepted. \
                 Run `codex login` on the machine (or mend the API key); `tieline status` there says \
                 how. Your message is kept and runs as soon as that is done.",
            zh: "🔑 Codex 无法登录模型服务：登录已过期，或密钥未被接受。请在机器上执行 `codex login`（或修正 API key）；在那里运行 `tieline status` 可以查看具体做法。你的消息已保存，处理好之后会立即执行。",
        },
    }
}

/// The model has answered after people were told that codex cannot sign in.
pub(super) const SIGNED_IN: Text = Text {
    en: "✅ Codex is signed in again. Working on your message now.",
    zh: "✅ Codex 已重新登录，正在处理你的消息。",
};

/// Codex is there and does not take this one conversation up. The message is kept.
pub(super) fn held_up(refusal: &Refusal) -> Text {
    match refusal {
        Refusal::ActiveWriter => Text {
            en: "🔄 This conversation is open in another Codex on the machine. Close it there; your \
                 message is kept and runs as soon as that is done.",
            zh: "🔄 机器上的另一个 Codex 正打开着这个会话，请在那里将它关闭。你的消息已保存，关闭后会立即处理。",
        },
        Refusal::BadConfiguration => Text {
            en: "🔄 Codex cannot load its configuration; the log on the machine says what is wrong. \
                 Your message is kept and runs as soon as that is mended.",
            zh: "🔄 Codex 无法加载它的配置，机器上的日志写明了问题所在。你的消息已保存，修好后会立即处理。",
        },
        Refusal::McpServerFailed => Text {
            en: "🔄 An MCP server that Codex needs does not start; the log on the machine says which. \
                 Your message is kept and runs as soon as it does.",
            zh: "🔄 Codex 所需的一个 MCP 服务器无法启动，机器上的日志写明了是哪一个。你的消息已保存，它启动后会立即处理。",
        },
        _ => Text {
            en: "🔄 Codex does not take this conversation up at the moment; I keep trying, and the \
                 log on the machine says why. Your message is kept.",
            zh: "🔄 Codex 暂时无法继续这个会话，我会不断重试，原因见机器上的日志。你的消息已保存。",
        },
    }
}

/// Work that was handed out is over.
pub(super) fn teammate_done(
    name: &str,
    outcome: &Outcome,
    took: Duration,
    language: Language,
) -> String {
    let took = humantime::format_duration(Duration::from_secs(took.as_secs()));
    match (outcome, language) {
        (Outcome::Answered, Language::English) => format!("🧩 `{name}` is done ({took})."),
        (Outcome::Answered, Language::Chinese) => format!("🧩 `{name}` 已完成（用时 {took}）。"),
        (Outcome::Cancelled, Language::English) => format!("🧩 `{name}` was stopped ({took})."),
        (Outcome::Cancelled, Language::Chinese) => format!("🧩 `{name}` 已被停止（用时 {took}）。"),
        (Outcome::Failed { .. } | Outcome::Unclear { .. }, Language::English) => {
            format!("🧩 `{name}` could not finish ({took}).")
        }
        (Outcome::Failed { .. } | Outcome::Unclear { .. }, Language::Chinese) => {
            format!("🧩 `{name}` 未能完成（用时 {took}）。")
        }
    }
}

/// Codex does not take the work of a teammate up. Its tasks are kept.
pub(super) fn teammate_held_up(name: &str, language: Language) -> String {
    match language {
        Language::English => format!(
            "🔄 `{name}` has to wait: Codex does not take its work up at the moment. I keep trying; \
             `tieline status` on the machine shows why."
        ),
        Language::Chinese => format!(
            "🔄 `{name}` 需要等待：Codex 暂时无法接手它的工作，我会不断重试。在机器上运行 `tieline status` 可以查看原因。"
        ),
    }
}

/// The thread of a teammate was lost and a new one begun.
pub(super) fn teammate_forgot(name: &str, language: Language) -> String {
    match language {
        Language::English => format!(
            "⚠️ The history of `{name}` was lost on the machine, so it begins anew. What it was told \
             before, it no longer knows: its next task has to say it."
        ),
        Language::Chinese => format!(
            "⚠️ 机器上 `{name}` 的历史记录丢失了，它将重新开始，之前交代过的内容它已经不记得，请在下一项任务里重新说明。"
        ),
    }
}

/// What was asked for is done, and the model could not be made to deal with it.
pub(super) const COMPLETION_FAILED: Text = Text {
    en: "⚠️ The result of some work has arrived, but Codex could not be made to deal with it; the log on \
         the machine says why. Ask for the result if you miss it.",
    zh: "⚠️ 一项工作的结果已经送到，但 Codex 未能处理，原因见机器上的日志。如果没有看到结果，请直接询问。",
};

/// It is not known whether the model has dealt with the result of some work.
pub(super) const COMPLETION_UNCLEAR: Text = Text {
    en: "❓ The result of some work has arrived, but I cannot tell whether Codex has dealt with it. Ask \
         for it if you miss it.",
    zh: "❓ 一项工作的结果已经送到，但我无法确定 Codex 是否处理过。如果没有看到结果，请直接询问。",
};

/// The child is back after people were told that it is away.
pub(super) const BACK: Text = Text {
    en: "✅ Codex is back. Working on your message now.",
    zh: "✅ Codex 已恢复，正在处理你的消息。",
};

/// The daemon was restarted while a message was worked on.
pub(super) const RESUMED: Text = Text {
    en: "🔄 I was restarted while working on your message. It was kept; going on with it now.",
    zh: "🔄 处理你的消息时我重启了。消息已保存，现在继续处理。",
};

/// A thread was lost and a new one begun.
pub(super) const THREAD_LOST: Text = Text {
    en: "⚠️ The history of this conversation was lost on the machine, so I begin anew. What was said \
         before, I no longer know: tell me again what matters.",
    zh: "⚠️ 机器上这个会话的历史记录丢失了，我只能重新开始；之前说过的内容我已经不知道了，请把重要的再告诉我一次。",
};

/// How many characters of a task people are shown.
const MAX_SHOWN_TASK: usize = 120;

/// Work was handed to a teammate: what its first line says.
pub(super) fn handed_out(name: &str, task: &str, language: Language) -> String {
    let mark = |c: char| c.is_whitespace() || matches!(c, '#' | '*' | '-' | '>');
    let mut lines = task
        .lines()
        .map(|line| line.trim_start_matches(mark).trim_end());
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let shown = tieline_channel::cut(first, MAX_SHOWN_TASK);
    match language {
        Language::English => format!("🧩 Handed to `{name}`: {shown}"),
        Language::Chinese => format!("🧩 已交给 `{name}`：{shown}"),
    }
}

/// How many calls the model is reminded of.
const MAX_REMINDED: usize = 20;

/// What the model is told when a turn goes on that was cut off after calls of its tools; `prompt` says
/// what to make of the list.
pub(super) fn calls_done(prompt: &str, calls: &[CallRecord]) -> String {
    let latest = &calls[calls.len().saturating_sub(MAX_REMINDED)..];
    let done: Vec<_> = latest
        .iter()
        .map(|call| format!("- {}: {}", call.tool, call.receipt))
        .collect();
    format!("{prompt}\n\n{}", done.join("\n"))
}

/// What the model is told when it reaches people in another way from now on.
pub(super) fn reach_changed(answering: &str) -> String {
    format!("What reaches people has changed. From now on this holds:\n\n{answering}")
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use tieline_channel::language::assert_speaks_both;

    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_and_mixes_none() {
        let fixed = [
            STOPPED,
            SUPERSEDED,
            INTERRUPTED,
            INTERRUPTED_TOO_OFTEN,
            UNCLEAR,
            RESTARTING,
            BACK,
            SIGNED_IN,
            RESUMED,
            NOTHING_SENT,
            THREAD_LOST,
            COMPLETION_FAILED,
            COMPLETION_UNCLEAR,
        ];
        let failures = FailureKind::ALL.iter().copied();
        let refusals = [
            Refusal::ActiveWriter,
            Refusal::BadConfiguration,
            Refusal::McpServerFailed,
            Refusal::Other,
        ];
        let all = fixed
            .into_iter()
            .chain(failures.clone().map(failure))
            .chain(failures.clone().map(cannot_sign_in))
            .chain(failures.map(not_starting))
            .chain(refusals.iter().map(held_up));
        for text in all {
            assert_speaks_both(|language| text.within(language).to_owned());
        }
        assert_speaks_both(|language| handed_out("reviewer", "1.2", language));
    }

    #[test]
    fn people_are_shown_the_first_line_of_a_task() {
        let table = [
            ("Review it.", "Review it."),
            ("\n \n## Review it \nEvery file.", "Review it"),
            ("- all of it", "all of it"),
            ("\n", ""),
        ];
        for (task, shown) in table {
            let text = handed_out("a-1", task, Language::English);
            assert_eq!(text, format!("🧩 Handed to `a-1`: {shown}"));
        }
        let long = handed_out("a", &"界".repeat(500), Language::Chinese);
        assert_eq!(
            long,
            format!("🧩 已交给 `a`：{}…", "界".repeat(MAX_SHOWN_TASK))
        );
    }

    #[test]
    fn a_model_is_reminded_of_its_last_calls() {
        let call = |number| CallRecord {
            number,
            tool: "reply".to_owned(),
            receipt: format!("posted {number}"),
        };
        let calls: Vec<_> = (1..=2).map(call).collect();
        assert_eq!(
            calls_done("Once.", &calls),
            "Once.\n\n- reply: posted 1\n- reply: posted 2"
        );
        let calls: Vec<_> = (1..=50).map(call).collect();
        let reminder = calls_done("Once.", &calls);
        assert!(!reminder.contains("posted 30\n") && reminder.contains("posted 31\n"));
    }
}
