//! How runs look to people.

use std::time::SystemTime;

use tieline_channel::cut;

use crate::cli::output::plain;
use crate::cli::table;
use crate::control::{RunDetails, RunStatus, RunsPage};

/// How many characters of a prompt a list shows.
const PROMPT: usize = 60;

/// Says that a run was taken.
pub(super) fn queued(run: &RunDetails, flags: &str) -> String {
    let id = run.run.id;
    format!(
        "{id} {}\n`tieline exec show {id}{flags} --wait` waits for it and tells what came of it\n",
        standing(run)
    )
}

/// Says how far a run is, while it is waited for.
pub(super) fn progress(run: &RunDetails) -> String {
    let doing = run.run.doing.as_ref();
    let doing = doing.map(|doing| format!(": {}", plain(&doing.text)));
    format!("{}{}", standing(run), doing.unwrap_or_default())
}

fn standing(run: &RunDetails) -> String {
    match (run.run.status.as_str(), run.ahead) {
        ("queued", 0) => "is queued, and next".to_owned(),
        ("queued", n) => format!("is queued, after {n} that wait"),
        ("running", _) if run.run.stopping => "runs, and is being stopped".to_owned(),
        ("running", _) => "runs".to_owned(),
        (other, _) => format!("is {other}"),
    }
}

/// Says how a run came to nothing.
pub(super) fn outcome(run: &RunStatus) -> String {
    let kind = run.failure_kind.map(|kind| format!(" ({kind})"));
    let kind = kind.unwrap_or_default();
    match run.status.as_str() {
        "failed" => format!("the run failed{kind}"),
        "cancelled" => "the run was cancelled".to_owned(),
        "unclear" => "it is not known what became of the run".to_owned(),
        status => format!("the run is {status}{kind}"),
    }
}

/// Says what became of an order to end one.
pub(super) fn cancelled(run: &RunDetails) -> String {
    let id = run.run.id;
    match (run.run.status.as_str(), run.run.stopping) {
        (_, true) => format!("{id} is being stopped\n"),
        ("cancelled", _) => format!("{id} is cancelled\n"),
        (status, _) => format!("{id} was over before: it is {status}\n"),
    }
}

/// Lists runs.
pub(super) fn list(page: &RunsPage, now: SystemTime) -> String {
    if page.runs.is_empty() && page.next.is_none() {
        return "no runs; `tieline exec PROMPT` orders one\n".to_owned();
    }
    let mut rows = table::table(["ID", "STATUS", "AGE", "FOR", "DISPATCHER", "PROMPT"]);
    for run in &page.runs {
        rows.add_row([
            run.id.to_string(),
            status(run),
            table::since(run.queued_at, now),
            run.purpose.clone(),
            run.dispatcher.to_string(),
            cut(&plain(&run.beginning), PROMPT),
        ]);
    }
    let mut text = table::write(&rows);
    if let Some(next) = &page.next {
        text.push_str(&format!("there may be more: --cursor {next}\n"));
    }
    text
}

fn status(run: &RunStatus) -> String {
    match run.failure_kind {
        Some(kind) => format!("{} ({kind})", run.status),
        None if run.stopping => "stopping".to_owned(),
        None => run.status.clone(),
    }
}

/// Tells all of a run.
pub(super) fn details(run: &RunDetails, now: SystemTime) -> String {
    let about = &run.run;
    let mut rows = table::rows();
    let mut add = |name: &str, value: String| {
        rows.add_row([name.to_owned(), value]);
    };
    add("run", about.id.to_string());
    add("status", status(about));
    if let Some(problem) = &about.failure_message {
        add("problem", plain(problem));
    }
    if let Some(doing) = &about.doing {
        let ago = table::since(doing.at, now);
        add("doing", format!("{} ({ago} ago)", plain(&doing.text)));
    }
    if about.status == "queued" {
        add("before it", run.ahead.to_string());
    }
    add("for", about.purpose.clone());
    add("dispatcher", about.dispatcher.to_string());
    add(
        "ordered",
        format!("{} ago", table::since(about.queued_at, now)),
    );
    if let Some(started) = about.started_at {
        let until = about.ended_at.unwrap_or(now);
        let took = table::since(started, until);
        let limit = &run.timeout;
        add("took", format!("{took} (at most {limit})"));
    }
    add("directory", plain(&run.cwd.display().to_string()));
    add("sandbox", run.sandbox.clone());
    for (name, value) in [
        ("model", run.model.clone()),
        ("profile", run.profile.clone()),
        ("thread", about.thread.as_ref().map(ToString::to_string)),
        ("goes on with", run.resume.as_ref().map(ToString::to_string)),
        (
            "reported to",
            about.report_to.as_ref().map(ToString::to_string),
        ),
        ("exit code", run.exit_code.map(|code| code.to_string())),
        ("signal", run.exit_signal.map(|signal| signal.to_string())),
    ] {
        if let Some(value) = value {
            add(name, plain(&value));
        }
    }
    let paths = |paths: &[std::path::PathBuf]| {
        let paths = paths.iter().map(|path| path.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    };
    let metadata = run
        .metadata
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let tokens = run.usage.iter().map(|(name, count)| {
        let name = name.strip_suffix("_tokens").unwrap_or(name);
        format!("{count} {}", name.replace('_', " "))
    });
    for (name, value) in [
        ("images", paths(&run.images)),
        ("also writes to", paths(&run.writable_dirs)),
        ("variables", run.env.join(", ")),
        ("settings", run.config.join(", ")),
        ("metadata", metadata.collect::<Vec<_>>().join(", ")),
        ("tokens", tokens.collect::<Vec<_>>().join(", ")),
    ] {
        if !value.is_empty() {
            add(name, plain(&value));
        }
    }
    let mut text = table::write(&rows);
    text.push_str(&section("prompt", &run.prompt));
    if let Some(reply) = &run.reply {
        text.push_str(&section("reply", reply));
    }
    text
}

/// Writes a longer text below its name, without what would move the cursor.
fn section(name: &str, text: &str) -> String {
    let lines = text
        .trim_end()
        .lines()
        .map(|line| format!("  {}\n", plain(line)));
    format!("{name}:\n{}", lines.collect::<String>())
}
