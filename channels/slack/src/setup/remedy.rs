//! What to do about what Slack says: where to click, in the words of its own pages.

use tieline_channel::setup::{Problem, Severity};

use super::needs::{Need, Scope};

/// Which of the two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    App,
    Bot,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::App => "the app-level token (app_token)",
            Self::Bot => "the bot token (bot_token)",
        }
    }

    fn begins(self) -> &'static str {
        match self {
            Self::App => "xapp-",
            Self::Bot => "xoxb-",
        }
    }

    /// Where it is copied from.
    fn place(self) -> &'static str {
        match self {
            Self::App => {
                "at https://api.slack.com/apps, your app: Basic Information → App-Level Tokens → \
                 Generate Token and Scopes → Add Scope `connections:write` → Generate; copy xapp-…"
            }
            Self::Bot => {
                "at https://api.slack.com/apps, your app: OAuth & Permissions → Bot User OAuth \
                 Token; copy xoxb-…"
            }
        }
    }
}

/// Says that a token is of another sort, which its beginning tells without asking anybody.
pub(super) fn of_beginning(which: Which, token: &str) -> Option<Problem> {
    let sort = if token.starts_with(which.begins()) {
        return None;
    } else if token.starts_with("xapp-") {
        "an app-level token"
    } else if token.starts_with("xoxb-") {
        "a bot token"
    } else if token.starts_with("xoxp-") {
        "the token of a person"
    } else if token.starts_with("xoxe") {
        "a token that expires, for the app has token rotation on"
    } else {
        return None;
    };
    Some(Problem {
        severity: Severity::Error,
        what: format!("{} is {sort}", which.name()),
        remedy: which.place().to_owned(),
    })
}

/// Says what it means that Slack refuses a token.
pub(super) fn of_refusal(which: Which, error: &str) -> Problem {
    let name = which.name();
    let reinstall = "at https://api.slack.com/apps, your app: Install App → Reinstall to \
                     Workspace, then copy the token anew";
    let (what, remedy) = match (error, which) {
        ("invalid_auth" | "not_authed", _) => {
            (format!("Slack does not know {name}"), which.place())
        }
        ("not_allowed_token_type", _) => {
            (format!("{name} is a token of another sort"), which.place())
        }
        ("missing_scope", Which::App) => (
            format!("{name} lacks the scope `connections:write`"),
            which.place(),
        ),
        ("token_expired", _) => (
            format!("{name} has expired: the app has token rotation on"),
            "make the app anew from the manifest, which has it off",
        ),
        ("token_revoked", Which::App) => (format!("{name} was revoked"), which.place()),
        (
            "account_inactive"
            | "token_revoked"
            | "user_removed_from_team"
            | "team_access_not_granted",
            _,
        ) => (format!("{name} is no longer valid"), reinstall),
        ("team_disabled", _) => (
            "the Slack workspace is disabled".to_owned(),
            "ask the owners of the workspace",
        ),
        (_, Which::App) => (
            format!("Slack opens no connection for {name}"),
            "at https://api.slack.com/apps, your app: see that Settings → Socket Mode → Enable \
             Socket Mode is on",
        ),
        (_, Which::Bot) => (format!("Slack refuses {name}"), reinstall),
    };
    Problem {
        severity: Severity::Error,
        what: format!("{what} ({error})"),
        remedy: remedy.to_owned(),
    }
}

/// Says that a bot token belongs to a person.
pub(super) fn of_person() -> Problem {
    Problem {
        severity: Severity::Error,
        what: format!("{} is the token of a person", Which::Bot.name()),
        remedy: Which::Bot.place().to_owned(),
    }
}

/// Says that Slack could not be asked.
pub(super) fn of_silence(reason: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        what: format!("Slack could not be asked: {reason}"),
        remedy: "see that this machine reaches Slack; the tokens may be right all the same"
            .to_owned(),
    }
}

/// Says that scopes are missing: those of one need.
pub(super) fn of_missing(need: Need, scopes: &[&Scope]) -> Option<Problem> {
    let severity = match need {
        Need::Essential => Severity::Error,
        Need::Useful => Severity::Warning,
        Need::Later => return None,
    };
    if scopes.is_empty() {
        return None;
    }
    let missing: Vec<_> = scopes
        .iter()
        .map(|scope| format!("`{}` ({})", scope.name, scope.purpose))
        .collect();
    let names: Vec<_> = scopes
        .iter()
        .map(|scope| format!("`{}`", scope.name))
        .collect();
    let s = if scopes.len() == 1 { "" } else { "s" };
    Some(Problem {
        severity,
        what: format!("the bot lacks the scope{s} {}", missing.join(", ")),
        remedy: format!(
            "at https://api.slack.com/apps, your app: OAuth & Permissions → Scopes → Bot Token \
             Scopes → Add an OAuth Scope: {}; then Reinstall to Workspace at the top of the page",
            names.join(", ")
        ),
    })
}
