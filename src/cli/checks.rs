//! What is checked by name, and how it is told: a line for each, or all of it as JSON.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};
use tieline_channel::setup::{Problem, Severity};

use crate::cli::failure::{Exit, Failure, count};
use crate::cli::output::{self, plain};

/// How wide the names are, in characters.
const NAME_WIDTH: usize = 24;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well; what was found.
    Ok(String),
    /// Something is not; a warning or an error.
    Problem(Problem),
    /// It was not checked, and why.
    Skipped(String),
}

/// The checks so far.
pub(crate) struct Checks {
    as_json: bool,
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    name: String,
    outcome: Outcome,
    took: Option<Duration>,
}

impl Outcome {
    /// Something does not work.
    pub(crate) fn failed(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::problem(Severity::Error, what, remedy)
    }

    /// Something may not work, or not for long.
    pub(crate) fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::problem(Severity::Warning, what, remedy)
    }

    fn problem(severity: Severity, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Problem(Problem {
            severity,
            what: what.into(),
            remedy: remedy.into(),
        })
    }

    /// Returns whether something does not work.
    pub(crate) fn is_failed(&self) -> bool {
        self.state() == "failed"
    }

    fn state(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Problem(problem) => match problem.severity {
                Severity::Warning => "warning",
                Severity::Error => "failed",
            },
            Self::Skipped(_) => "skipped",
        }
    }

    /// Returns what is said, and what to do about it.
    fn texts(&self) -> (&str, Option<&str>) {
        match self {
            Self::Ok(found) => (found, None),
            Self::Problem(problem) => (&problem.what, Some(&problem.remedy)),
            Self::Skipped(why) => (why, None),
        }
    }
}

impl From<Result<String, Problem>> for Outcome {
    fn from(found: Result<String, Problem>) -> Self {
        found.map_or_else(Self::Problem, Self::Ok)
    }
}

impl Checks {
    /// Begins; nothing is printed before the end when it is to be JSON.
    pub(crate) fn new(as_json: bool) -> Self {
        Self {
            as_json,
            told: Vec::new(),
        }
    }

    /// Tells how a check ended.
    pub(crate) fn tell(
        &mut self,
        name: impl Into<String>,
        outcome: impl Into<Outcome>,
    ) -> Result<(), Failure> {
        self.add(name.into(), outcome.into(), None)
    }

    /// Tells how a check ended that took a while.
    pub(crate) fn tell_timed(
        &mut self,
        name: impl Into<String>,
        outcome: Outcome,
        took: Duration,
    ) -> Result<(), Failure> {
        self.add(name.into(), outcome, Some(took))
    }

    fn add(
        &mut self,
        name: String,
        outcome: Outcome,
        took: Option<Duration>,
    ) -> Result<(), Failure> {
        let told = Told {
            name,
            outcome,
            took,
        };
        if !self.as_json {
            output::print(&self.render(&told))?;
        }
        self.told.push(told);
        Ok(())
    }

    /// Prints the sum, or all of it as JSON.
    pub(crate) fn close(self) -> Result<(), Failure> {
        if self.as_json {
            output::print(&output::json(&self.to_json())?)
        } else {
            output::print(&format!("\n{}\n", self.sum()))
        }
    }

    /// Closes, and fails when a check did.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let n_failed = self.n("failed");
        self.close()?;
        if n_failed == 0 {
            return Ok(());
        }
        let failed = count(n_failed, "check");
        Err(Failure::new(Exit::Check, anyhow!("{failed} failed")))
    }

    fn n(&self, state: &str) -> usize {
        let states = self.told.iter().map(|told| told.outcome.state());
        states.filter(|it| *it == state).count()
    }

    fn sum(&self) -> String {
        let warnings = count(self.n("warning"), "warning");
        let mut text = format!(
            "{} ok, {warnings}, {} failed",
            self.n("ok"),
            self.n("failed")
        );
        match self.n("skipped") {
            0 => {}
            n => text.push_str(&format!(", {n} skipped")),
        }
        text
    }

    fn render(&self, told: &Told) -> String {
        let (text, remedy) = told.outcome.texts();
        let took = told
            .took
            .map_or(String::new(), |took| format!(" ({})", seconds(took)));
        let state = told.outcome.state();
        let name = plain(&told.name);
        let mut line = format!("{state:<8} {name:<NAME_WIDTH$} {}{took}\n", plain(text));
        if let Some(remedy) = remedy {
            let remedy = plain(remedy);
            line.push_str(&format!("{:<9}{:<NAME_WIDTH$} hint: {remedy}\n", "", ""));
        }
        line
    }

    fn to_json(&self) -> Value {
        let checks = self.told.iter().map(|told| {
            let (text, remedy) = told.outcome.texts();
            json!({
                "name": told.name,
                "state": told.outcome.state(),
                "message": text,
                "hint": remedy,
                "took_ms": told.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            })
        });
        json!({"ok": self.n("failed") == 0, "checks": checks.collect::<Vec<_>>()})
    }
}

/// Returns a time as people read it.
fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Checks {
        // As JSON, so that nothing is printed here.
        let mut checks = Checks::new(true);
        let told = [
            ("configuration", Outcome::Ok("/etc/tieline.toml".to_owned())),
            (
                "team: slack",
                Outcome::failed("the token is refused\n\u{1b}[31m", "make a new token"),
            ),
            ("flow: version", Outcome::warning("it is old", "update it")),
            ("flow: turn", Outcome::Skipped("--no-turn".to_owned())),
        ];
        for (name, outcome) in told {
            checks.tell(name, outcome).unwrap();
        }
        let took = Duration::from_millis(3_210);
        let answered = Outcome::Ok("answered".to_owned());
        checks.tell_timed("other: turn", answered, took).unwrap();
        checks
    }

    #[test]
    fn checks_read_well() {
        let checks = checks();
        let lines: String = checks.told.iter().map(|it| checks.render(it)).collect();
        insta::assert_snapshot!(format!("{lines}\n{}", checks.sum()), @r"
        ok       configuration            /etc/tieline.toml
        failed   team: slack              the token is refused  [31m
                                          hint: make a new token
        warning  flow: version            it is old
                                          hint: update it
        skipped  flow: turn               --no-turn
        ok       other: turn              answered (3.2 s)

        2 ok, 1 warning, 1 failed, 1 skipped
        ");
    }

    #[test]
    fn json_has_every_check_and_whether_all_is_well() {
        let json = checks().to_json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["checks"].as_array().unwrap().len(), 5);
        assert_eq!(
            json["checks"][1],
            json!({
                "name": "team: slack", "state": "failed", "hint": "make a new token",
                "message": "the token is refused\n\u{1b}[31m", "took_ms": null,
            })
        );
        assert_eq!(json["checks"][4]["took_ms"], 3_210);
    }

    #[test]
    fn failed_check_is_a_failure_and_a_warning_is_none() {
        let failure = checks().finish().unwrap_err();
        assert_eq!(failure.exit(), Exit::Check);
        let mut checks = Checks::new(true);
        let warning = Outcome::warning("it is old", "update it");
        checks.tell("version", warning).unwrap();
        assert!(checks.finish().is_ok());
    }
}
