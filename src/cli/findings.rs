//! Telling people what a check of a platform's app found wrong.

use anyhow::anyhow;
use tieline_channel::ChannelId;
use tieline_channel::setup::{Problem, Severity};

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, plain};

/// Warns of what is missing or could not be seen.
pub(crate) fn warn(id: &ChannelId, problems: &[Problem]) {
    for Problem { what, remedy, .. } in of_severity(problems, Severity::Warning) {
        output::warn(&plain_lines(&format!(
            "channel `{id}`: {what}\n  hint: {remedy}"
        )));
    }
}

/// Returns the failure that the errors among the problems are.
pub(crate) fn failure(id: &ChannelId, problems: &[Problem]) -> Option<Failure> {
    let mut text = format!("channel `{id}` cannot work yet:");
    let mut n = 0;
    for Problem { what, remedy, .. } in of_severity(problems, Severity::Error) {
        n += 1;
        text.push_str(&format!("\n  - {what}\n    hint: {remedy}"));
    }
    (n > 0).then(|| Failure::new(Exit::Config, anyhow!(plain_lines(&text))))
}

fn of_severity(problems: &[Problem], severity: Severity) -> impl Iterator<Item = &Problem> {
    problems
        .iter()
        .filter(move |problem| problem.severity == severity)
}

/// Keeps the lines, and replaces what else would move the cursor: strangers' words come along.
fn plain_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(plain).collect();
    lines.join("\n")
}
