//! What to do about what Feishu says: where to click, in the words of its console.

use tieline_channel::setup::{Problem, Severity};

use super::needs::{Need, Scope};
use crate::Settings;
use crate::api::Failure;
use crate::discovery::Refusal;

/// What helps where a call is refused and its code does not say why.
pub(super) const CREDENTIALS: &str =
    "compare app_id and app_secret with Credentials & Basic Info in the developer console";
pub(super) const BOT: &str =
    "in the developer console: Add Features → Bot → Add, then create a version and publish it";
pub(super) const SCOPES: &str =
    "look at Permissions & Scopes in the developer console: docs/feishu.md lists what is needed";

/// Says what it means that a call failed; `otherwise` is what helps where its code does not say.
pub(super) fn of_failure(failure: Failure, otherwise: &str) -> Problem {
    match failure {
        Failure::Operator { remedy, reason } => Problem {
            severity: Severity::Error,
            what: reason,
            remedy,
        },
        Failure::Never { reason, .. } | Failure::TokenInvalid { reason } => Problem {
            severity: Severity::Error,
            what: reason,
            remedy: otherwise.to_owned(),
        },
        Failure::Again { reason, .. } | Failure::Unclear { reason } => of_silence(&reason),
    }
}

/// Says what it means that there is no place to connect to.
pub(super) fn of_refusal(refusal: Refusal) -> Problem {
    let (severity, remedy, reason) = match refusal {
        Refusal::Operator { remedy, reason } => (Severity::Error, remedy, reason),
        Refusal::Slow { remedy, reason } => (Severity::Warning, remedy, reason),
        Refusal::Retry { reason } => return of_silence(&reason),
    };
    Problem {
        severity,
        what: format!("Feishu gives no connection ({reason})"),
        remedy: remedy.to_owned(),
    }
}

/// Says that Feishu could not be asked.
pub(super) fn of_silence(reason: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        what: format!("Feishu could not be asked: {reason}"),
        remedy: "see that this machine reaches base_url; the app may be right all the same"
            .to_owned(),
    }
}

/// Says that the app is not enabled.
pub(super) fn of_status(status: i64) -> Problem {
    Problem {
        severity: Severity::Error,
        what: format!("the app is not enabled in the organisation (activate_status {status})"),
        remedy: "in the developer console: Version Management & Release → create a version and \
                 publish it; an administrator may have to approve or enable it"
            .to_owned(),
    }
}

/// Says that scopes are missing: those of one need.
pub(super) fn of_missing(settings: &Settings, need: Need, scopes: &[&&Scope]) -> Option<Problem> {
    let severity = match need {
        Need::Essential => Severity::Error,
        Need::Useful => Severity::Warning,
        Need::Optional => return None,
    };
    if scopes.is_empty() {
        return None;
    }
    let missing: Vec<_> = scopes
        .iter()
        .map(|scope| format!("`{}` ({})", scope.name, scope.purpose.en))
        .collect();
    let names: Vec<_> = scopes.iter().map(|scope| scope.name).collect();
    let s = if scopes.len() == 1 { "" } else { "s" };
    Some(Problem {
        severity,
        what: format!("the app lacks the scope{s} {}", missing.join(", ")),
        remedy: format!(
            "open {}app/{}/auth?q={} (or Permissions & Scopes → Batch import in the developer \
             console), add {}, then create a version and publish it",
            settings.base_url,
            settings.app_id,
            names.join(","),
            if scopes.len() == 1 { "it" } else { "them" },
        ),
    })
}
