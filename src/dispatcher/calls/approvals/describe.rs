//! What a request wants, as people see it.

use std::fmt::Write as _;

use serde_json::Value;
use tieline_channel::{Language, Text};

use crate::approvals::{excerpt, is_short, visible};
use crate::codex::protocol::{ChangeKind, FileChange, ServerRequest, ServerRequestKind, rights};
use crate::ledger::{ApprovalKind, MAX_ASIDE, Wanted};

/// What a request wants.
#[derive(Debug)]
pub(super) struct Description {
    /// As it is asked.
    pub(super) wanted: Wanted,
    /// All of it, where that is too long to be asked.
    pub(super) whole: Option<Whole>,
}

/// All of something, for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// What the file is called.
    pub(super) name: &'static str,
    /// What is in it.
    pub(super) text: String,
}

impl Whole {
    /// Returns it as a block of code, for where there are no files.
    pub(super) fn fenced(&self) -> String {
        let runs = self.text.split(|c| c != '`').map(str::len);
        let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
        format!("{fence}\n{}\n{fence}", self.text.trim_end_matches('\n'))
    }
}

/// Stands for the changes of which codex did not tell us.
const CHANGES_UNKNOWN: Text = Text {
    en: "(which files is not known: the connection to Codex was lost; decline if in doubt)",
    zh: "（不知道是哪些文件：与 Codex 的连接中断过；拿不准就请拒绝）",
};

impl Description {
    /// Describes a request; `None` when it is not for people.
    pub(super) fn of(
        request: &ServerRequest,
        teammate: Option<String>,
        language: Language,
    ) -> Option<Self> {
        let (kind, short, long, file, place, reason, for_session) = match &request.kind {
            ServerRequestKind::CommandApproval {
                command,
                cwd,
                reason,
                is_input,
                extras,
            } => {
                let mut text = command.clone().unwrap_or_default();
                for extra in extras {
                    text.push_str("\n+ ");
                    text.push_str(extra);
                }
                let kind = match is_input {
                    true => ApprovalKind::Input,
                    false => ApprovalKind::Command,
                };
                (kind, None, text, "command.txt", cwd, reason, true)
            }
            ServerRequestKind::FileChangeApproval {
                reason,
                grant_root,
                changes,
            } => {
                let mut list = match changes {
                    Some(changes) => list(changes),
                    None => CHANGES_UNKNOWN.within(language).to_owned(),
                };
                if let Some(root) = grant_root {
                    list.push_str("\n+ write: ");
                    list.push_str(root);
                }
                let diffs = changes.as_deref().map(diffs).unwrap_or_default();
                let all = format!("{list}\n\n{diffs}");
                let all = all.trim_end().to_owned();
                let kind = ApprovalKind::FileChange;
                (kind, Some(list), all, "changes.diff", &None, reason, true)
            }
            ServerRequestKind::PermissionsApproval {
                reason,
                cwd,
                permissions,
            } => {
                let text = rights(permissions).join("\n");
                let kind = ApprovalKind::Permissions;
                (kind, None, text, "permissions.txt", cwd, reason, true)
            }
            ServerRequestKind::Elicitation {
                server,
                message,
                tool: Some(tool),
            } => {
                let mut text = format!("{server}.{}", tool.name);
                if !tool.arguments.is_null() {
                    text.push('\n');
                    text.push_str(&pretty(&tool.arguments));
                }
                let kind = ApprovalKind::McpTool;
                let for_session = tool.for_session;
                (
                    kind,
                    None,
                    text,
                    "arguments.txt",
                    &None,
                    message,
                    for_session,
                )
            }
            _ => return None,
        };
        let mut long = visible(&long);
        let place = place.as_deref().map(visible);
        // A path is not cut: its end matters most.
        let place = match place {
            Some(place) if place.len() > MAX_ASIDE => {
                long = format!("{long}\n@ {place}");
                None
            }
            place => place,
        };
        let is_cut = !is_short(&long);
        let what = match short.map(|it| visible(&it)) {
            Some(short) if is_cut => excerpt(&short),
            _ => excerpt(&long),
        };
        let whole = is_cut.then_some(Whole {
            name: file,
            text: long,
        });
        let wanted = Wanted {
            kind,
            what,
            is_cut,
            place,
            reason: reason
                .as_deref()
                .map(str::trim)
                .filter(|reason| !reason.is_empty())
                .map(|reason| cut(&visible(reason))),
            teammate,
            for_session,
        };
        Some(Self { wanted, whole })
    }
}

/// Lists which files change, and how much.
fn list(changes: &[FileChange]) -> String {
    let lines = changes.iter().map(|change| {
        let (added, removed) = change.lines();
        let path = &change.path;
        match &change.kind {
            ChangeKind::Add => format!("A {path}  +{added}"),
            ChangeKind::Delete => format!("D {path}  −{removed}"),
            ChangeKind::Update {
                move_path: Some(to),
            } => format!("R {path} → {to}  +{added} −{removed}"),
            ChangeKind::Update { move_path: None } => format!("M {path}  +{added} −{removed}"),
            ChangeKind::Other => format!("? {path}  +{added} −{removed}"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Shows what changes in each file.
fn diffs(changes: &[FileChange]) -> String {
    let mut text = String::new();
    for change in changes {
        let sign = match change.kind {
            ChangeKind::Add => "+",
            ChangeKind::Delete => "-",
            ChangeKind::Update { .. } | ChangeKind::Other => "",
        };
        // A string takes everything.
        let _infallible = writeln!(text, "=== {}", change.path);
        for line in change.diff.lines() {
            let _infallible = writeln!(text, "{sign}{line}");
        }
    }
    text
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// Cuts what stands beside the question.
fn cut(text: &str) -> String {
    if text.len() <= MAX_ASIDE {
        return text.to_owned();
    }
    let mut end = MAX_ASIDE - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
