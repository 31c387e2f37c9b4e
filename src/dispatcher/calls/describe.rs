//! How teammates are, in plain text for a model: short, bounded, and right in every state.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use crate::dispatcher::envelope::Age;
use crate::id::LaneId;
use crate::ledger::{TaskRecord, TaskState, Workspace, WorktreeFate};
use crate::teammates::{Details, State, TaskDetails, Teammate};

/// How many characters of tasks and results are shown of one teammate.
const MAX_SHOWN: usize = 30_000;

/// How many characters a list may have until it goes on with names and states alone.
const MAX_LIST: usize = 20_000;

/// How many of those that have left are listed.
const MAX_CLOSED: usize = 10;

/// How many characters are shown of what one is doing, and of a task that is only named.
const MAX_LINE: usize = 120;

/// Returns how all of them are, for the model of a lane.
pub(super) fn all(teammates: &[Teammate], reader: &LaneId, now: SystemTime) -> String {
    let (open, mut closed): (Vec<_>, Vec<_>) = teammates
        .iter()
        .partition(|teammate| teammate.record.closed_at.is_none());
    closed.sort_by_key(|teammate| Reverse(teammate.record.closed_at));
    let n_closed = closed.len();
    let mut text = match open.len() {
        0 => "There are no teammates; spawn_teammate starts one.".to_owned(),
        1 => "There is 1 teammate.".to_owned(),
        n_open => format!("There are {n_open} teammates."),
    };
    if !open.is_empty() {
        text.push_str(" Their results are brought to you by themselves.");
    }
    for teammate in open.into_iter().chain(closed.into_iter().take(MAX_CLOSED)) {
        let lines = lines(teammate, reader, now);
        let is_room = text.len() < MAX_LIST;
        let shown = if is_room { &lines[..] } else { &lines[..1] };
        text.push_str("\n\n");
        text.push_str(&shown.join("\n  "));
    }
    if n_closed > MAX_CLOSED {
        let more = n_closed - MAX_CLOSED;
        let _ = write!(
            text,
            "\n\n{more} more were closed before that; they can be read by name."
        );
    }
    text
}

/// Returns how one is and what came of its last tasks, for the model of a lane.
pub(super) fn one(details: &Details, reader: &LaneId, now: SystemTime) -> String {
    let teammate = &details.teammate;
    let mut text = lines(teammate, reader, now).join("\n  ");
    let joined = Age(elapsed(teammate.record.joined_at, now));
    let _ = write!(text, "\n  joined {joined} ago");
    for task in &details.waiting {
        let given = Age(elapsed(task.given_at, now));
        let _ = write!(text, "\n  waits, given {given} ago: {}", name_of(task));
    }
    // What is newest is taken first, and what came of a task before the task.
    let mut room = MAX_SHOWN;
    let mut blocks: Vec<_> = details
        .tasks
        .iter()
        .rev()
        .map(|task| block(task, &mut room, now))
        .collect();
    blocks.reverse();
    for block in blocks {
        text.push_str("\n\n");
        text.push_str(&block);
    }
    text
}

/// Returns what there is to say of one, a line each; the first says who it is and what it is at.
fn lines(teammate: &Teammate, reader: &LaneId, now: SystemTime) -> Vec<String> {
    let record = &teammate.record;
    let ends = match &teammate.task {
        Some(task) if task.state == TaskState::InTurn => "; its turn is ending",
        Some(_) | None => "",
    };
    let since = Age(elapsed(teammate.since, now));
    let state = match &teammate.state {
        State::Idle => "idle: it can be given a task".to_owned(),
        State::Waiting => "waiting for a free place among those that work, or for Codex".to_owned(),
        State::Working { doing: _ } => format!("working for {since}"),
        State::Stopping => "stopping: its turn is ending".to_owned(),
        State::Closed => format!("closed {since} ago{ends}"),
    };
    let waiting = match teammate.waiting {
        0 => String::new(),
        1 => "; 1 task waits for it".to_owned(),
        more => format!("; {more} tasks wait for it"),
    };
    let mut lines = vec![format!("{}: {state}{waiting}", record.name)];
    if let Some(task) = &teammate.task {
        match task.state {
            TaskState::InTurn => lines.push(format!("task: {}", name_of(task))),
            TaskState::Waiting => lines.push(format!("next: {}", name_of(task))),
            // The last one, of which more is said below.
            TaskState::Done
            | TaskState::Failed { .. }
            | TaskState::Stopped
            | TaskState::Unclear => {}
        }
    }
    if let State::Working { doing } = &teammate.state {
        lines.push(match doing {
            Some(doing) => {
                let heard = Age(elapsed(doing.at, now));
                format!("doing, {heard} ago: {}", line(&doing.text))
            }
            None => "doing: nothing was heard of it yet".to_owned(),
        });
    }
    if let Some(last) = &teammate.last {
        let settled = Age(elapsed(last.changed_at, now));
        let outcome = outcome(&last.state);
        lines.push(format!(
            "last task, {outcome} {settled} ago: {}",
            name_of(last)
        ));
    }
    if record.asker.lane != *reader {
        lines.push("its newest task is for another conversation, which is told of it".to_owned());
    }
    lines.push(place(&record.workspace));
    let own = [("model", &record.model), ("sandbox", &record.sandbox)];
    for (what, own) in own {
        if let Some(own) = own {
            lines.push(format!("{what}: {own}"));
        }
    }
    lines
}

/// Returns where one works, and what became of that place.
fn place(workspace: &Workspace) -> String {
    let (path, branch, fate) = match workspace {
        Workspace::Shared => return "works in your workspace".to_owned(),
        Workspace::Directory { path } => return format!("works in {}", path.display()),
        Workspace::Worktree {
            path, branch, fate, ..
        } => (path.display(), branch, fate),
    };
    match fate {
        WorktreeFate::InUse => format!("works on branch {branch}, in the worktree {path}"),
        WorktreeFate::Leaving { force: false } => format!(
            "its worktree {path} goes when nobody works in it, unless something would be lost by that; \
             branch {branch} stays"
        ),
        WorktreeFate::Leaving { force: true } => format!(
            "its worktree {path} goes when nobody works in it, with all that is not committed; branch \
             {branch} stays"
        ),
        WorktreeFate::Removed => {
            format!("its worktree is gone; what it committed is on branch {branch}")
        }
        WorktreeFate::Kept { reason } => {
            format!(
                "its worktree {path} is still there, on branch {branch}: {reason}; take that over \
                 (`git -C {path} diff --ignore-submodules=dirty HEAD`, and what `git -C {path} status --ignore-submodules=dirty` shows; the skill dispatching \
                 says how), and only then close it once more with discard, which destroys what is not \
                 committed"
            )
        }
    }
}

/// Returns a task with what came of it, of which so many characters may be shown.
fn block(task: &TaskDetails, room: &mut usize, now: SystemTime) -> String {
    let record = &task.record;
    let given = Age(elapsed(record.given_at, now));
    let changed = Age(elapsed(record.changed_at, now));
    let result = task.report.as_ref().map(|report| cut(&report.body, room));
    let text = cut(&task.text, room);
    let state = match &record.state {
        TaskState::Waiting => "waiting".to_owned(),
        TaskState::InTurn => format!("begun {changed} ago, not done yet"),
        settled => format!("{} {changed} ago", outcome(settled)),
    };
    let mut block = if record.is_woken {
        format!("=== Nobody's task: results that it was brought, {state} ===")
    } else {
        format!("=== Task given {given} ago, {state} ===\n{text}")
    };
    match (result, &task.report) {
        (Some(result), Some(report)) => {
            let status = report.status.as_str();
            let _ = write!(block, "\n--- Its result, status {status} ---\n{result}");
        }
        _ if record.state.is_settled() => block.push_str("\n--- There is no result ---"),
        _ => {}
    }
    block
}

/// Returns as much of a text as there is room for, and says what is missing.
fn cut(text: &str, room: &mut usize) -> String {
    let text = text.trim();
    let chars = text.chars().count();
    let shown = chars.min(*room);
    *room -= shown;
    match shown {
        0 if chars > 0 => format!("(left out here: {chars} characters)"),
        shown if shown < chars => {
            let beginning: String = text.chars().take(shown).collect();
            format!("{beginning}…\n(cut here: the first {shown} of {chars} characters)")
        }
        _ => text.to_owned(),
    }
}

fn outcome(state: &TaskState) -> String {
    match state {
        TaskState::Failed { kind } => format!("failed ({kind})"),
        TaskState::Unclear => "unclear whether done,".to_owned(),
        TaskState::Waiting | TaskState::InTurn | TaskState::Done | TaskState::Stopped => {
            state.as_str().to_owned()
        }
    }
}

/// Returns the beginning of a task.
fn name_of(task: &TaskRecord) -> String {
    if task.is_woken {
        "results that it was brought".to_owned()
    } else {
        line(&task.beginning)
    }
}

fn line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    tieline_channel::cut(&text, MAX_LINE)
}

/// Returns how long ago it was; no time if the clock was set back.
fn elapsed(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or_default()
}

#[cfg(test)]
mod tests;
