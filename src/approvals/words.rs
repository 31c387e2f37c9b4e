//! What is asked, and what is shown of how it was settled: in every language, side by side.

use std::time::{Duration, SystemTime};

use tieline_channel::{Language, Text};

use super::button::choices;
use crate::ledger::{
    ApprovalKind, ApprovalRecord, ApprovalState, Decider, Decision, Ruled, VoidReason,
};

/// Returns what stands on the button of a decision.
pub fn label(decision: Decision) -> Text {
    match decision {
        Decision::Accept => Text {
            en: "Accept",
            zh: "批准",
        },
        Decision::AcceptForSession => Text {
            en: "Accept for session",
            zh: "本会话都批准",
        },
        Decision::Decline => Text {
            en: "Decline",
            zh: "拒绝",
        },
        Decision::Cancel => Text {
            en: "Cancel turn",
            zh: "拒绝并停止",
        },
    }
}

/// Asks people. Without buttons it says what to write.
pub fn question(record: &ApprovalRecord, has_buttons: bool, language: Language) -> String {
    let number = record.number;
    let wish = wish(record, language);
    let mut paragraphs = vec![match language {
        Language::English => format!("🔐 **Approval #{number}**: {wish}."),
        Language::Chinese => format!("🔐 **审批 #{number}**：{wish}。"),
    }];
    paragraphs.extend(details(record, language));
    let until = record.expires_at.duration_since(record.asked_at);
    let time = time_in_words(until.unwrap_or_default(), language);
    paragraphs.push(match language {
        Language::English => format!("*If nobody decides within {time}, it is declined.*"),
        Language::Chinese => format!("*{time}内没有人决定，就视为拒绝。*"),
    });
    if !has_buttons {
        paragraphs.push(how_to_type(record, language));
    }
    paragraphs.join("\n\n")
}

/// Shows how an approval was settled, in place of the question.
pub fn settled(record: &ApprovalRecord, language: Language) -> String {
    let wish = wish(record, language);
    let verdict = verdict(record, language);
    let mut paragraphs = vec![match language {
        Language::English => format!("{verdict} In question: {wish}."),
        Language::Chinese => format!("{verdict}事由：{wish}。"),
    }];
    paragraphs.extend(details(record, language));
    paragraphs.join("\n\n")
}

/// Says on one line how an approval stands.
pub fn verdict(record: &ApprovalRecord, language: Language) -> String {
    let number = record.number;
    let say = |sign: &str, en: String, zh: String| match language {
        Language::English => format!("{sign} **Approval #{number}** {en}."),
        Language::Chinese => format!("{sign} **审批 #{number}** {zh}。"),
    };
    match &record.state {
        ApprovalState::Open => say("🔐", "is open".to_owned(), "等待决定".to_owned()),
        ApprovalState::Decided { decision, by, at } => {
            let (who, at) = (name(by, language), clock(*at));
            match decision {
                Decision::Accept => say(
                    "✅",
                    format!("was accepted by {who} at {at}"),
                    format!("已由{who}于 {at} 批准"),
                ),
                Decision::AcceptForSession => say(
                    "✅",
                    format!("was accepted for the session by {who} at {at}"),
                    format!("已由{who}于 {at} 批准，本会话内有效"),
                ),
                Decision::Decline => say(
                    "🚫",
                    format!("was declined by {who} at {at}"),
                    format!("已由{who}于 {at} 拒绝"),
                ),
                Decision::Cancel => say(
                    "⏹️",
                    format!("was declined by {who} at {at}, who also stopped the turn"),
                    format!("已由{who}于 {at} 拒绝，并停止了这次处理"),
                ),
            }
        }
        ApprovalState::Expired { .. } => {
            let waited = record.expires_at.duration_since(record.asked_at);
            let waited = waited.unwrap_or_default();
            let (en, zh) = (Language::English, Language::Chinese);
            say(
                "⌛",
                format!(
                    "was declined: nobody decided within {}",
                    time_in_words(waited, en)
                ),
                format!("已拒绝：{}内没有人决定", time_in_words(waited, zh)),
            )
        }
        ApprovalState::Void { reason, .. } => {
            let (sign, en, zh) = match reason {
                VoidReason::TurnEnded => (
                    "⚪",
                    "is no longer needed: the turn has ended",
                    "已不再需要：这次处理已经结束",
                ),
                VoidReason::Stopped => (
                    "⏹️",
                    "is no longer needed: the turn was stopped",
                    "已不再需要：这次处理已被停止",
                ),
                VoidReason::Restarted => (
                    "🚫",
                    "was declined: tieline was restarted before anybody decided",
                    "已拒绝：有人决定之前，tieline 重新启动了",
                ),
                VoidReason::CodexLost => (
                    "🚫",
                    "was declined: Codex ended unexpectedly before anybody decided",
                    "已拒绝：有人决定之前，Codex 意外退出了",
                ),
                VoidReason::Withdrawn => (
                    "⚪",
                    "is no longer needed: Codex does not wait for it any more",
                    "已不再需要：Codex 不再等待这项决定",
                ),
            };
            say(sign, en.to_owned(), zh.to_owned())
        }
    }
}

/// Answers whoever has typed or pressed; `None` when what everybody sees says enough.
pub fn answer(ruled: &Ruled, language: Language) -> Option<String> {
    match ruled {
        Ruled::Decided(record) => Some(verdict(record, language)),
        Ruled::Settled(record) => {
            let verdict = verdict(record, language);
            Some(match language {
                Language::English => format!("Too late. {verdict}"),
                Language::Chinese => format!("来晚了。{verdict}"),
            })
        }
        Ruled::NotAllowed { record, .. } => Some(only_approvers(record, language)),
        Ruled::Unknown => Some(UNKNOWN.within(language).to_owned()),
        Ruled::Duplicate => None,
    }
}

/// To somebody who may not decide.
pub fn only_approvers(record: &ApprovalRecord, language: Language) -> String {
    let number = record.number;
    match language {
        Language::English => format!(
            "Only an approver can decide about #{number}. Who that is stands in the configuration of \
             the machine I run on."
        ),
        Language::Chinese => {
            format!("只有审批人才能决定 #{number}。谁是审批人，写在运行我的机器的配置里。")
        }
    }
}

/// To somebody who means an approval that there is not.
pub const UNKNOWN: Text = Text {
    en: "I know of no such approval. It may have been settled long ago.",
    zh: "没有这项审批，也可能早已处理完了。",
};

/// To somebody who wants to decide when there is nothing to decide.
pub const NOTHING_OPEN: Text = Text {
    en: "Nothing waits for a decision in this conversation.",
    zh: "这个会话里没有等待决定的事项。",
};

/// To somebody who has to say which one.
pub fn which(open: &[ApprovalRecord], language: Language) -> String {
    let lines = open.iter().map(|record| {
        let first = record.wanted.what.lines().next().unwrap_or_default();
        let shown: String = first.chars().take(60).collect();
        let more = if shown.len() < record.wanted.what.len() {
            "…"
        } else {
            ""
        };
        let wish = wish(record, language);
        format!(
            "- #{} {wish}: {}",
            record.number,
            code(&format!("{shown}{more}"))
        )
    });
    let lines: Vec<_> = lines.collect();
    let example = open.first().map_or(1, |record| record.number);
    let head = match language {
        Language::English => format!(
            "Which one? Add its number, as in `approve {example}` or `decline {example}`. These are open:"
        ),
        Language::Chinese => format!(
            "是哪一项？请加上编号，例如 `批准 {example}` 或 `拒绝 {example}`。等待决定的有："
        ),
    };
    format!("{head}\n\n{}", lines.join("\n"))
}

/// Says what is wanted.
fn wish(record: &ApprovalRecord, language: Language) -> String {
    let wanted = &record.wanted;
    let who = match (&wanted.teammate, language) {
        (None, _) => "Codex".to_owned(),
        (Some(name), Language::English) => format!("the teammate `{name}`"),
        (Some(name), Language::Chinese) => format!("队友 `{name}` "),
    };
    let (en, zh) = match wanted.kind {
        ApprovalKind::Command => ("wants to run a command", "想执行一条命令"),
        ApprovalKind::Input => (
            "wants to type into a command that runs",
            "想向正在运行的命令输入内容",
        ),
        ApprovalKind::FileChange => ("wants to change files", "想修改文件"),
        ApprovalKind::Permissions => ("wants more rights", "想获得更多权限"),
        ApprovalKind::McpTool => ("wants to use an MCP tool", "想使用一个 MCP 工具"),
    };
    match language {
        Language::English => format!("{who} {en}"),
        Language::Chinese => match &wanted.teammate {
            None => format!("{who} {zh}"),
            Some(_) => format!("{who}{zh}"),
        },
    }
}

/// Shows what is wanted, where and why.
fn details(record: &ApprovalRecord, language: Language) -> Vec<String> {
    let wanted = &record.wanted;
    let fence = fence(&wanted.what);
    let mut details = vec![format!(
        "{fence}\n{}\n{fence}",
        wanted.what.trim_end_matches('\n')
    )];
    if wanted.is_cut {
        let note = match language {
            Language::English => "*This is only a part of it. All of it is right above.*",
            Language::Chinese => "*这里只显示了一部分，完整内容就在上面。*",
        };
        details.push(note.to_owned());
    }
    let mut lines = Vec::new();
    if let Some(place) = &wanted.place {
        let place = code(place);
        lines.push(match language {
            Language::English => format!("Directory: {place}"),
            Language::Chinese => format!("目录：{place}"),
        });
    }
    if let Some(reason) = &wanted.reason {
        let reason = code(reason);
        lines.push(match language {
            Language::English => format!("Reason given: {reason}"),
            Language::Chinese => format!("给出的理由：{reason}"),
        });
    }
    if !lines.is_empty() {
        details.push(lines.join("\n"));
    }
    details
}

fn how_to_type(record: &ApprovalRecord, language: Language) -> String {
    let number = record.number;
    let word = |decision| match (decision, language) {
        (Decision::Accept, Language::English) => "approve",
        (Decision::AcceptForSession, Language::English) => "approve session",
        (Decision::Decline, Language::English) => "decline",
        (Decision::Cancel, Language::English) => "cancel",
        (Decision::Accept, Language::Chinese) => "批准",
        (Decision::AcceptForSession, Language::Chinese) => "本会话都批准",
        (Decision::Decline, Language::Chinese) => "拒绝",
        (Decision::Cancel, Language::Chinese) => "拒绝并停止",
    };
    let words: Vec<_> = choices(record)
        .map(|decision| format!("`{} {number}`", word(decision)))
        .collect();
    match language {
        Language::English => {
            let (last, others) = words
                .split_last()
                .map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
            format!(
                "Write {} or {last} (which also stops the turn).",
                others.join(", ")
            )
        }
        Language::Chinese => format!(
            "请回复 {}（最后一项会同时停止这次处理）。",
            words.join("、")
        ),
    }
}

fn name(by: &Decider, language: Language) -> String {
    match (by, language) {
        (Decider::Operator, Language::English) => "the operator".to_owned(),
        (Decider::Operator, Language::Chinese) => "操作员".to_owned(),
        (Decider::Person { user, name, .. }, language) => {
            let name = name.as_deref().unwrap_or(user.as_str());
            // People name themselves as they like.
            let plain = |c: char| !c.is_control() && !"*_`[]()<>|~".contains(c);
            let name: String = name.chars().filter(|c| plain(*c)).collect();
            match language {
                Language::English => name,
                Language::Chinese => format!(" {name} "),
            }
        }
    }
}

/// Returns the time of the day.
fn clock(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let minutes = since.unwrap_or_default().as_secs() / 60;
    format!("{:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

fn time_in_words(time: Duration, language: Language) -> String {
    let seconds = time.as_secs().max(1);
    let (count, en, zh) = match seconds {
        s if s % 3600 == 0 => (s / 3600, "hour", "小时"),
        s if s % 60 == 0 => (s / 60, "minute", "分钟"),
        s if s > 600 => (s / 60, "minute", "分钟"),
        s => (s, "second", "秒"),
    };
    match language {
        Language::English if count == 1 => format!("1 {en}"),
        Language::English => format!("{count} {en}s"),
        Language::Chinese => format!("{count} {zh}"),
    }
}

/// Returns what begins and ends a block of code that has this text.
fn fence(text: &str) -> String {
    "`".repeat(longest_run(text).max(2) + 1)
}

/// Returns a text as code within a line.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\t'], " ");
    let tick = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{tick}{space}{text}{space}{tick}")
}

fn longest_run(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use tieline_channel::language::assert_speaks_both;
    use tieline_channel::{ChannelId, ChatId, Conversation, UserId};

    use super::*;
    use crate::id::{ApprovalId, DispatcherId, LaneId, OutboxId, TurnKey};
    use crate::ledger::{Origin, Wanted};

    pub(in crate::approvals) fn record() -> ApprovalRecord {
        let asked_at = SystemTime::UNIX_EPOCH + Duration::from_secs(14 * 3600 + 25 * 60);
        ApprovalRecord::for_tests(
            ApprovalId::new(),
            DispatcherId::new("flow"),
            (LaneId::new("flow"), TurnKey::new()),
            Wanted {
                kind: ApprovalKind::Command,
                what: "touch /x; echo t".to_owned(),
                is_cut: false,
                place: Some("/srv/work".to_owned()),
                reason: Some("it needs to be there".to_owned()),
                teammate: None,
                for_session: true,
            },
            Origin {
                channel: ChannelId::new("team"),
                conversation: Conversation {
                    chat: ChatId::new("C1"),
                    thread: None,
                },
            },
            (OutboxId::new(), 3),
            (asked_at, asked_at + Duration::from_secs(600)),
        )
    }

    fn states() -> Vec<ApprovalState> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(14 * 3600 + 26 * 60);
        let mei = Decider::Person {
            channel: ChannelId::new("team"),
            user: UserId::new("U1"),
            name: Some("Mei".to_owned()),
        };
        let mut states = vec![ApprovalState::Open, ApprovalState::Expired { at }];
        for by in [mei, Decider::Operator] {
            states.extend(Decision::ALL.map(|decision| ApprovalState::Decided {
                decision,
                by: by.clone(),
                at,
            }));
        }
        let reasons = [
            VoidReason::TurnEnded,
            VoidReason::Stopped,
            VoidReason::Restarted,
            VoidReason::CodexLost,
            VoidReason::Withdrawn,
        ];
        states.extend(reasons.map(|reason| ApprovalState::Void { reason, at }));
        states
    }

    #[test]
    fn everything_is_said_in_both_languages() {
        let mut record = record();
        for decision in Decision::ALL {
            assert_speaks_both(|language| label(decision).within(language).to_owned());
        }
        for text in [UNKNOWN, NOTHING_OPEN] {
            assert_speaks_both(|language| text.within(language).to_owned());
        }
        for state in states() {
            record.state = state;
            assert_speaks_both(|language| verdict(&record, language));
        }
        assert_speaks_both(|language| only_approvers(&record, language));
    }

    #[test]
    fn a_question_says_what_where_why_and_until_when() {
        let mut record = record();
        record.wanted.what = "echo \"```\"\nrm x".to_owned();
        let text = question(&record, true, Language::English);
        let expected = "🔐 **Approval #3**: Codex wants to run a command.\n\n````\necho \"```\"\nrm x\n````\n\n\
            Directory: `/srv/work`\nReason given: `it needs to be there`\n\n\
            *If nobody decides within 10 minutes, it is declined.*";
        assert_eq!(text, expected);
        record.wanted.what = "rm x".to_owned();
        record.wanted.teammate = Some("flaky".to_owned());
        record.wanted.is_cut = true;
        record.wanted.for_session = false;
        let text = question(&record, false, Language::English);
        let expected = "🔐 **Approval #3**: the teammate `flaky` wants to run a command.\n\n```\nrm x\n```\n\n\
            *This is only a part of it. All of it is right above.*\n\n\
            Directory: `/srv/work`\nReason given: `it needs to be there`\n\n\
            *If nobody decides within 10 minutes, it is declined.*\n\n\
            Write `approve 3`, `decline 3` or `cancel 3` (which also stops the turn).";
        assert_eq!(text, expected);
        let text = question(&record, false, Language::Chinese);
        let expected = "🔐 **审批 #3**：队友 `flaky` 想执行一条命令。\n\n```\nrm x\n```\n\n\
            *这里只显示了一部分，完整内容就在上面。*\n\n\
            目录：`/srv/work`\n给出的理由：`it needs to be there`\n\n\
            *10 分钟内没有人决定，就视为拒绝。*\n\n\
            请回复 `批准 3`、`拒绝 3`、`拒绝并停止 3`（最后一项会同时停止这次处理）。";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_was_decided_says_by_whom_and_when() {
        let mut record = record();
        let mut lines = Vec::new();
        for state in states() {
            record.state = state;
            lines.push(verdict(&record, Language::English));
            lines.push(verdict(&record, Language::Chinese));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        🔐 **Approval #3** is open.
        🔐 **审批 #3** 等待决定。
        ⌛ **Approval #3** was declined: nobody decided within 10 minutes.
        ⌛ **审批 #3** 已拒绝：10 分钟内没有人决定。
        ✅ **Approval #3** was accepted by Mei at 14:26 UTC.
        ✅ **审批 #3** 已由 Mei 于 14:26 UTC 批准。
        ✅ **Approval #3** was accepted for the session by Mei at 14:26 UTC.
        ✅ **审批 #3** 已由 Mei 于 14:26 UTC 批准，本会话内有效。
        🚫 **Approval #3** was declined by Mei at 14:26 UTC.
        🚫 **审批 #3** 已由 Mei 于 14:26 UTC 拒绝。
        ⏹️ **Approval #3** was declined by Mei at 14:26 UTC, who also stopped the turn.
        ⏹️ **审批 #3** 已由 Mei 于 14:26 UTC 拒绝，并停止了这次处理。
        ✅ **Approval #3** was accepted by the operator at 14:26 UTC.
        ✅ **审批 #3** 已由操作员于 14:26 UTC 批准。
        ✅ **Approval #3** was accepted for the session by the operator at 14:26 UTC.
        ✅ **审批 #3** 已由操作员于 14:26 UTC 批准，本会话内有效。
        🚫 **Approval #3** was declined by the operator at 14:26 UTC.
        🚫 **审批 #3** 已由操作员于 14:26 UTC 拒绝。
        ⏹️ **Approval #3** was declined by the operator at 14:26 UTC, who also stopped the turn.
        ⏹️ **审批 #3** 已由操作员于 14:26 UTC 拒绝，并停止了这次处理。
        ⚪ **Approval #3** is no longer needed: the turn has ended.
        ⚪ **审批 #3** 已不再需要：这次处理已经结束。
        ⏹️ **Approval #3** is no longer needed: the turn was stopped.
        ⏹️ **审批 #3** 已不再需要：这次处理已被停止。
        🚫 **Approval #3** was declined: tieline was restarted before anybody decided.
        🚫 **审批 #3** 已拒绝：有人决定之前，tieline 重新启动了。
        🚫 **Approval #3** was declined: Codex ended unexpectedly before anybody decided.
        🚫 **审批 #3** 已拒绝：有人决定之前，Codex 意外退出了。
        ⚪ **Approval #3** is no longer needed: Codex does not wait for it any more.
        ⚪ **审批 #3** 已不再需要：Codex 不再等待这项决定。
        ");
        record.state = states().remove(2);
        let shown = settled(&record, Language::Chinese);
        let expected = "✅ **审批 #3** 已由 Mei 于 14:26 UTC 批准。事由：Codex 想执行一条命令。\n\n\
            ```\ntouch /x; echo t\n```\n\n目录：`/srv/work`\n给出的理由：`it needs to be there`";
        assert_eq!(shown, expected);
        let text = which(&[record.clone(), record], Language::English);
        let expected = "Which one? Add its number, as in `approve 3` or `decline 3`. These are open:\n\n\
            - #3 Codex wants to run a command: `touch /x; echo t`\n\
            - #3 Codex wants to run a command: `touch /x; echo t`";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_text_can_end_its_own_block() {
        for text in ["a", "```", "a ```` b", "`"] {
            assert!(longest_run(text) < fence(text).len(), "{text}");
        }
        assert_eq!(code("`a`"), "`` `a` ``");
        assert_eq!(code("a\nb"), "`a b`");
    }
}
