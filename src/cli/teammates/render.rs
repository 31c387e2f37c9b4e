//! How teammates are told on a terminal.

use std::time::SystemTime;

use crate::cli::failure::count;
use crate::cli::output::plain;
use crate::cli::table::{right_align, rows, since, table, write};
use crate::control::{
    TaskDetails, TaskStatus, TeammateDetails, TeammateHalted, TeammateStatus, WorkspaceStatus,
};

/// How much of a text has place in a table, in characters.
const TEXT: usize = 40;

/// Writes all of them, as of `now`.
pub(super) fn list(teammates: &[TeammateStatus], now: SystemTime) -> String {
    if teammates.is_empty() {
        return "no teammates\n".to_owned();
    }
    let mut table = table(["NAME", "STATE", "FOR", "WAITING", "WHERE", "TASK", "DOING"]);
    right_align(&mut table, &[3]);
    for teammate in teammates {
        let task = teammate.task.as_ref();
        let doing = teammate.doing.as_ref();
        table.add_row([
            plain(&teammate.name),
            plain(&teammate.state),
            since(teammate.since, now),
            teammate.waiting.to_string(),
            place(&teammate.workspace),
            task.map_or("-".to_owned(), describe_task),
            doing.map_or("-".to_owned(), |it| plain(&cut(&it.text))),
        ]);
    }
    write(&table)
}

/// Writes one with its last tasks, as of `now`.
pub(super) fn details(details: &TeammateDetails, now: SystemTime) -> String {
    let TeammateDetails {
        teammate,
        tasks,
        waiting_tasks,
    } = details;
    let mut table = rows();
    let state = format!(
        "{} for {}",
        plain(&teammate.state),
        since(teammate.since, now)
    );
    table.add_row([plain(&teammate.name), state]);
    if let Some(doing) = &teammate.doing {
        let ago = since(doing.at, now);
        table.add_row([
            "doing".to_owned(),
            format!("{} ({ago} ago)", plain(&doing.text)),
        ]);
    }
    if teammate.waiting > 0 {
        let waiting = count(
            usize::try_from(teammate.waiting).unwrap_or(usize::MAX),
            "task",
        );
        table.add_row(["waiting".to_owned(), waiting]);
    }
    table.add_row(["where".to_owned(), whole_place(&teammate.workspace)]);
    for (what, value) in [("model", &teammate.model), ("sandbox", &teammate.sandbox)] {
        if let Some(value) = value {
            table.add_row([what.to_owned(), plain(value)]);
        }
    }
    let mut text = write(&table);
    for task in tasks {
        text.push('\n');
        text.push_str(&describe_details(task, now));
    }
    for status in waiting_tasks {
        let task = TaskDetails {
            text: status.beginning.clone(),
            status: status.clone(),
            result: None,
        };
        text.push('\n');
        text.push_str(&describe_details(&task, now));
    }
    text
}

/// Says that one has joined.
pub(super) fn joined(teammate: &TeammateStatus, dispatcher: &str) -> String {
    let name = plain(&teammate.name);
    format!(
        "{name} has joined {dispatcher}: it works in {}, and what comes of its task is told in the chat\n",
        whole_place(&teammate.workspace)
    )
}

/// Says that one was given a further task.
pub(super) fn given(teammate: &TeammateStatus) -> String {
    let name = plain(&teammate.name);
    match teammate.waiting {
        0 => format!("{name} is at it\n"),
        1 if teammate.state == "working" => format!("{name} has it next, after what it does\n"),
        1 => format!("{name} has it next\n"),
        n => format!("{name} has it, after {}\n", waiting_tasks(n - 1)),
    }
}

/// Says what one was stopped in.
pub(super) fn stopped(halted: &TeammateHalted) -> String {
    let name = plain(&halted.teammate.name);
    match describe_halt(halted) {
        Some(what) => format!("{name} stops: {what}\n"),
        None => format!("{name} had nothing to do\n"),
    }
}

/// Says that one has left, and what became of its worktree; `flags` find the same daemon again.
pub(super) fn closed(halted: &TeammateHalted, flags: &str) -> String {
    let teammate = &halted.teammate;
    let name = plain(&teammate.name);
    let mut text = match describe_halt(halted) {
        Some(what) => format!("{name} is closed: {what}\n"),
        None => format!("{name} is closed\n"),
    };
    let WorkspaceStatus {
        kind: _,
        path,
        branch,
        fate,
        reason,
    } = &teammate.workspace;
    let path = path.as_ref().map(|path| plain(&path.display().to_string()));
    let path = path.unwrap_or_default();
    let branch = plain(branch.as_deref().unwrap_or_default());
    match fate.as_deref() {
        Some("removed") => {
            text.push_str(&format!(
                "its worktree is removed; the branch {branch} stays\n"
            ));
        }
        Some("kept") => {
            let reason = plain(reason.as_deref().unwrap_or("it is not known why"));
            text.push_str(&format!(
                "its worktree {path} is kept: {reason}\n\
                 look at it (`git -C {path} status --ignore-submodules=dirty`), take over what you need, and then\n\
                 `tieline teammates close {name} --discard{flags}` removes it, with what is only there\n"
            ));
        }
        Some("leaving") => text.push_str(&format!(
            "its worktree {path} goes when nobody works in it any more; \
             `tieline teammates read {name}{flags}` says what became of it\n"
        )),
        Some(_) | None => {}
    }
    text
}

fn describe_halt(halted: &TeammateHalted) -> Option<String> {
    let parts = [
        halted.was_working.then(|| "its turn ends".to_owned()),
        (halted.withdrawn > 0)
            .then(|| format!("{} will not be done", waiting_tasks(halted.withdrawn))),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn waiting_tasks(n: u64) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), "waiting task")
}

fn describe_task(task: &TaskStatus) -> String {
    let beginning = plain(&cut(&task.beginning));
    if task.state == "in_turn" {
        return beginning;
    }
    format!("{beginning} ({})", describe_state(task))
}

fn describe_state(task: &TaskStatus) -> String {
    let state = match task.state.as_str() {
        "in_turn" => "being done",
        other => other,
    };
    match &task.failure {
        Some(failure) => plain(&format!("{state}: {failure}")),
        None => plain(state),
    }
}

fn describe_details(task: &TaskDetails, now: SystemTime) -> String {
    let TaskDetails {
        status,
        text,
        result,
    } = task;
    let what = if status.woken {
        "woken by results"
    } else {
        "task"
    };
    let given = since(status.given_at, now);
    let changed = since(status.changed_at, now);
    let state = describe_state(status);
    let state = match status.state.as_str() {
        "waiting" => state,
        "in_turn" => format!("{state} for {changed}"),
        _ => format!("{state} {changed} ago"),
    };
    let mut told = format!("{what}, given {given} ago, {state}\n{}", block(text));
    if let Some(result) = result {
        told.push_str(&format!(
            "result, {}\n{}",
            result.status.as_str(),
            block(&result.body)
        ));
    }
    told
}

/// Writes a text of several lines below what it is.
fn block(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {}", plain(line)).trim_end().to_owned() + "\n")
        .collect()
}

/// Says shortly where one works.
fn place(workspace: &WorkspaceStatus) -> String {
    let WorkspaceStatus {
        kind,
        path,
        branch,
        fate,
        reason: _,
    } = workspace;
    let place = match (branch, path) {
        (Some(branch), _) => branch.clone(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => kind.clone(),
    };
    match fate.as_deref() {
        Some("in_use") | None => plain(&place),
        Some(fate) => plain(&format!("{place} ({fate})")),
    }
}

/// Says in full where one works.
fn whole_place(workspace: &WorkspaceStatus) -> String {
    let WorkspaceStatus {
        kind,
        path,
        branch,
        fate,
        reason,
    } = workspace;
    let mut place = match (kind.as_str(), path) {
        ("shared", _) => "the dispatcher's workspace".to_owned(),
        (kind, Some(path)) => format!("the {kind} {}", path.display()),
        (kind, None) => kind.to_owned(),
    };
    if let Some(branch) = branch {
        place.push_str(&format!(" on the branch {branch}"));
    }
    match (fate.as_deref(), reason) {
        (Some("in_use") | None, _) => {}
        (Some("leaving"), _) => place.push_str(", which is about to go"),
        (Some(fate), None) => place.push_str(&format!(", {fate}")),
        (Some(fate), Some(reason)) => place.push_str(&format!(", {fate}: {reason}")),
    }
    plain(&place)
}

fn cut(text: &str) -> String {
    tieline_channel::cut(text, TEXT)
}

#[cfg(test)]
mod tests;
