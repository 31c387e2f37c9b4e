//! What people are told of teammates. Everything is cut: a chat is no place for a report. What was
//! asked for in another chat, perhaps a private one, is not told at all.

use std::time::SystemTime;

use tieline_channel::{ChannelId, ChatId, Language, cut};

use super::age;
use crate::id::LaneId;
use crate::ledger::{
    Asker, CompletionStatus, Origin, TaskRecord, TaskReport, TaskState, Workspace, WorktreeFate,
};
use crate::teammates::{Details, State, TaskDetails, Teammate};

/// How many teammates are listed.
const LISTED: usize = 20;

/// How many results are told.
const RESULTS: usize = 3;

/// How much of a task is quoted, in characters.
const TASK: usize = 60;

/// How much is told of what one does, in characters.
const DOING: usize = 100;

/// How much is told of a result, in characters.
const RESULT: usize = 400;

/// Who asks, and where.
#[derive(Clone, Debug)]
pub(in crate::intake) struct Viewer {
    /// The channel.
    pub(in crate::intake) channel: ChannelId,
    /// The chat, in which all its people read the answer.
    pub(in crate::intake) chat: ChatId,
    /// The lane of the conversation.
    pub(in crate::intake) lane: LaneId,
    /// An administrator is told everything.
    pub(in crate::intake) is_admin: bool,
}

impl Viewer {
    /// Returns whether what was said there may be told.
    pub(in crate::intake) fn may_read(&self, from: &Origin) -> bool {
        self.is_admin || (from.channel == self.channel && from.conversation.chat == self.chat)
    }

    /// Returns whether somebody may know what was asked for.
    fn may_know(&self, asker: Option<&Asker>) -> bool {
        self.is_admin
            || asker.is_some_and(|asker| match &asker.origin {
                Some(origin) => self.may_read(origin),
                // On the machine, for a conversation that is told what came of it.
                None => asker.lane == self.lane,
            })
    }
}

/// To whoever asks who works for the dispatcher. Those that have left are passed over.
pub(in crate::intake) fn teammates(
    all: &[Teammate],
    viewer: &Viewer,
    now: SystemTime,
    language: Language,
) -> String {
    let mut open = all
        .iter()
        .filter(|teammate| !matches!(teammate.state, State::Closed));
    let mut lines: Vec<_> = open
        .by_ref()
        .take(LISTED)
        .map(|teammate| line(teammate, viewer, now, language))
        .collect();
    let more = open.count();
    if more > 0 {
        lines.push(match language {
            Language::English => format!("and {more} more"),
            Language::Chinese => format!("另外还有 {more} 个"),
        });
    }
    if lines.is_empty() {
        lines.push(match language {
            Language::English => "Nobody works for me at the moment.".to_owned(),
            Language::Chinese => "现在没有队友在为我工作。".to_owned(),
        });
    }
    listed(&lines)
}

/// To whoever asks for one of them.
pub(in crate::intake) fn teammate(
    found: &Details,
    viewer: &Viewer,
    now: SystemTime,
    language: Language,
) -> String {
    let Details {
        teammate,
        tasks,
        waiting: _,
    } = found;
    let mut lines = vec![line(teammate, viewer, now, language)];
    lines.extend(worktree(&teammate.record.workspace, language));
    let settled: Vec<_> = tasks
        .iter()
        .filter(|task| task.record.state.is_settled())
        .collect();
    let first = settled.len().saturating_sub(RESULTS);
    lines.extend(
        settled[first..]
            .iter()
            .map(|task| result(task, viewer, now, language)),
    );
    listed(&lines)
}

/// To whoever asks for somebody who is not there.
pub(in crate::intake) fn no_teammate(name: &str, language: Language) -> String {
    let name = plain(&cut(name, TASK));
    match language {
        Language::English => {
            format!("There is no teammate `{name}`. `teammates` lists those that there are.")
        }
        Language::Chinese => format!("没有叫 `{name}` 的队友。发送 `队友` 可以看到现有的队友。"),
    }
}

/// Says what one is at.
fn line(teammate: &Teammate, viewer: &Viewer, now: SystemTime, language: Language) -> String {
    let name = &teammate.record.name;
    let age = age(teammate.since, now, language);
    let task = teammate.task.as_ref();
    // Results wake it for whoever has given it the newest task.
    let begun = task.filter(|task| task.state == TaskState::InTurn);
    let doer = match begun {
        Some(task) => task.asker.as_ref(),
        None => Some(&teammate.record.asker),
    };
    let task = task.map(|task| quoted(task, viewer, language));
    let task = task.unwrap_or_default();
    let say = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    let mut line = match &teammate.state {
        State::Working { doing } => {
            let mut line = say(
                format!("⏳ `{name}` works for {age}: {task}"),
                format!("⏳ `{name}` 正在工作，已 {age}：{task}"),
            );
            if let Some(doing) = doing
                && viewer.may_know(doer)
            {
                let text = one_line(&doing.text, DOING);
                let ago = super::age(doing.at, now, language);
                line.push_str(&say(
                    format!("; {ago} ago: {text}"),
                    format!("；{ago}前：{text}"),
                ));
            }
            line
        }
        State::Waiting => say(
            format!("🕓 `{name}` waits for {age}: {task}"),
            format!("🕓 `{name}` 已等待 {age}：{task}"),
        ),
        State::Stopping => say(
            format!("⏹️ `{name}` is being stopped: {task}"),
            format!("⏹️ `{name}` 正在停止：{task}"),
        ),
        State::Idle if task.is_empty() => say(
            format!("💤 `{name}` is idle for {age}"),
            format!("💤 `{name}` 空闲，已 {age}"),
        ),
        State::Idle => say(
            format!("💤 `{name}` is idle for {age}, last: {task}"),
            format!("💤 `{name}` 空闲，已 {age}，上一项任务：{task}"),
        ),
        State::Closed => say(
            format!("👋 `{name}` has left {age} ago"),
            format!("👋 `{name}` 已于 {age}前离开"),
        ),
    };
    let waiting = teammate.waiting;
    if waiting > 0 {
        line.push_str(&say(
            format!("; tasks that wait: {waiting}"),
            format!("；等待的任务：{waiting}"),
        ));
    }
    line
}

/// Says what is to be known of a worktree: no paths, for those are nothing for a chat.
fn worktree(workspace: &Workspace, language: Language) -> Option<String> {
    let (branch, fate) = match workspace {
        Workspace::Shared | Workspace::Directory { .. } => return None,
        Workspace::Worktree { branch, fate, .. } => (branch, fate),
    };
    let (en, zh) = match fate {
        WorktreeFate::InUse => ("its branch", "它的分支"),
        WorktreeFate::Leaving { .. } => (
            "its worktree is about to go, its branch stays",
            "它的工作树即将删除，分支会保留",
        ),
        WorktreeFate::Removed => (
            "its worktree is gone, its branch stays",
            "它的工作树已删除，分支仍在",
        ),
        WorktreeFate::Kept { .. } => (
            "its worktree was kept, for it has what is nowhere else; its branch",
            "它的工作树保留了下来，因为里面有别处没有的内容；它的分支",
        ),
    };
    Some(match language {
        Language::English => format!("🌿 {en}: `{branch}`"),
        Language::Chinese => format!("🌿 {zh}：`{branch}`"),
    })
}

/// Says what came of a task.
fn result(task: &TaskDetails, viewer: &Viewer, now: SystemTime, language: Language) -> String {
    let TaskDetails { record, report, .. } = task;
    let age = age(record.changed_at, now, language);
    let task = quoted(record, viewer, language);
    let say = |en: String, zh: String| match language {
        Language::English => en,
        Language::Chinese => zh,
    };
    let mut line = match &record.state {
        TaskState::Done => say(
            format!("✅ done {age} ago: {task}"),
            format!("✅ {age}前完成：{task}"),
        ),
        TaskState::Failed { kind } => say(
            format!("⚠️ failed (`{kind}`) {age} ago: {task}"),
            format!("⚠️ {age}前失败（`{kind}`）：{task}"),
        ),
        TaskState::Stopped => say(
            format!("⏹️ stopped {age} ago: {task}"),
            format!("⏹️ {age}前已停止：{task}"),
        ),
        TaskState::Unclear | TaskState::Waiting | TaskState::InTurn => say(
            format!("❓ unclear {age} ago: {task}"),
            format!("❓ {age}前结果不明：{task}"),
        ),
    };
    match report {
        Some(_) if !viewer.may_know(record.asker.as_ref()) => {}
        Some(TaskReport {
            status: CompletionStatus::Ok | CompletionStatus::Failed,
            body,
        }) => line.push_str(&format!(" → {}", one_line(body, RESULT))),
        // It says no more than the state does.
        Some(TaskReport {
            status: CompletionStatus::Stopped,
            ..
        })
        | None => {}
    }
    line
}

fn quoted(task: &TaskRecord, viewer: &Viewer, language: Language) -> String {
    match (task.is_woken, language) {
        _ if !viewer.may_know(task.asker.as_ref()) => match language {
            Language::English => "(asked for in another conversation)".to_owned(),
            Language::Chinese => "（在其他对话中交办）".to_owned(),
        },
        (true, Language::English) => "(results that came in)".to_owned(),
        (true, Language::Chinese) => "（收到的结果）".to_owned(),
        (false, _) => format!("“{}”", one_line(&task.beginning, TASK)),
    }
}

fn listed(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}

/// Returns the beginning of a text, on one line.
fn one_line(text: &str, max: usize) -> String {
    let text = text.replace("```", " ");
    let words: Vec<_> = text.split_whitespace().collect();
    plain(&cut(&words.join(" "), max))
}

/// Takes away what would turn the rest of a message into code.
fn plain(text: &str) -> String {
    text.replace('`', "'")
}

#[cfg(test)]
mod tests;
