//! Asks Slack whether an app is set up as it must be. Changes nothing there.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use serde::Deserialize as _;
use tieline_channel::setup::{Problem, Severity};
use tieline_net::Net;

use super::ask::{Answer, ask};
use super::needs::{Need, SCOPES, Scope};
use super::remedy::{self, Which};
use crate::Settings;
use crate::account::Identity;

/// What asking Slack told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Who the bot is; `None` when its token is wrong, or Slack could not be asked.
    pub bot: Option<Bot>,
    /// Whether Slack opens connections for the app token.
    pub connects: bool,
    /// The scopes of which Slack did not tell whether the bot has them.
    pub unchecked: Vec<&'static str>,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

/// The bot that a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bot {
    /// The name of its user, to be mentioned by.
    pub name: String,
    /// Its user, `U…`.
    pub user: String,
    /// The name of the workspace.
    pub workspace: String,
    /// The workspace, `T…`.
    pub team: String,
}

impl Findings {
    /// Tells whether a token is wrong: a good one has to take its place.
    pub fn refuses(&self) -> bool {
        let is_open = self.bot.is_none() || !self.connects;
        let mut problems = self.problems.iter();
        is_open && problems.any(|problem| problem.severity == Severity::Error)
    }
}

/// What is known about the scopes of the bot token.
enum Granted {
    /// All of them.
    All(BTreeSet<String>),
    /// Only of some whether they are there.
    Some(Vec<(&'static str, bool)>),
}

/// A call that needs one scope, does nothing, and is refused without it: for an API that lists
/// scopes nowhere.
struct Revealing {
    scope: &'static str,
    method: &'static str,
    form: &'static [(&'static str, &'static str)],
}

const REVEALING: &[Revealing] = &[
    Revealing {
        scope: "channels:read",
        method: "conversations.list",
        form: &[("types", "public_channel"), ("limit", "1")],
    },
    Revealing {
        scope: "groups:read",
        method: "conversations.list",
        form: &[("types", "private_channel"), ("limit", "1")],
    },
    Revealing {
        scope: "im:read",
        method: "conversations.list",
        form: &[("types", "im"), ("limit", "1")],
    },
    Revealing {
        scope: "mpim:read",
        method: "conversations.list",
        form: &[("types", "mpim"), ("limit", "1")],
    },
];

/// Asks Slack about the two tokens: whose they are, and what they lack. A few calls, which change
/// nothing; the connection that is granted is not opened.
pub async fn probe(settings: &Settings, net: &Net) -> Findings {
    let mut findings = Findings {
        bot: None,
        connects: false,
        unchecked: Vec::new(),
        problems: Vec::new(),
    };
    let (bot, app) = tokio::join!(
        probe_bot(settings, net, &mut findings.bot, &mut findings.unchecked),
        probe_app(settings, net),
    );
    findings.connects = app.is_empty();
    findings.problems = bot;
    for problem in app {
        // When Slack cannot be reached, once is enough.
        if !findings.problems.contains(&problem) {
            findings.problems.push(problem);
        }
    }
    findings.problems.sort_by_key(|problem| problem.severity);
    findings
}

async fn probe_app(settings: &Settings, net: &Net) -> Vec<Problem> {
    let token = &settings.app_token;
    if let Some(problem) = remedy::of_beginning(Which::App, token.expose_secret()) {
        return vec![problem];
    }
    match ask(net, &settings.api_url, token, "apps.connections.open", &[]).await {
        Answer::Done { .. } => Vec::new(),
        Answer::Refused { error, .. } => vec![remedy::of_refusal(Which::App, &error)],
        Answer::Unclear { reason } => vec![remedy::of_silence(&reason)],
    }
}

async fn probe_bot(
    settings: &Settings,
    net: &Net,
    bot: &mut Option<Bot>,
    unchecked: &mut Vec<&'static str>,
) -> Vec<Problem> {
    let token = &settings.bot_token;
    if let Some(problem) = remedy::of_beginning(Which::Bot, token.expose_secret()) {
        return vec![problem];
    }
    let (body, listed) = match ask(net, &settings.api_url, token, "auth.test", &[]).await {
        Answer::Done { body, scopes } => (body, scopes),
        Answer::Refused { error, .. } => return vec![remedy::of_refusal(Which::Bot, &error)],
        Answer::Unclear { reason } => return vec![remedy::of_silence(&reason)],
    };
    let identity = match Identity::deserialize(&body) {
        Ok(identity) => identity,
        Err(error) => return vec![remedy::of_silence(&format!("auth.test: {error}"))],
    };
    if identity.bot_id.is_none() {
        return vec![remedy::of_person()];
    }
    *bot = Some(Bot {
        name: body["user"].as_str().unwrap_or_default().to_owned(),
        user: identity.user_id.clone(),
        workspace: identity.team,
        team: identity.team_id,
    });
    let granted = match listed {
        Some(scopes) => Granted::All(scopes),
        None => reveal(settings, net, &identity.user_id).await,
    };
    *unchecked = SCOPES
        .iter()
        .filter(|scope| scope.need != Need::Later && granted.has(scope).is_none())
        .map(|scope| scope.name)
        .collect();
    [Need::Essential, Need::Useful]
        .into_iter()
        .filter_map(|need| {
            let missing: Vec<_> = SCOPES
                .iter()
                .filter(|scope| scope.need == need && granted.has(scope) == Some(false))
                .collect();
            remedy::of_missing(need, &missing)
        })
        .collect()
}

/// Finds out about scopes by calls that need them. The first refusal lists all that there are.
async fn reveal(settings: &Settings, net: &Net, us: &str) -> Granted {
    let ourselves = [("user", us)];
    let calls = REVEALING
        .iter()
        .map(|call| (call.scope, call.method, call.form))
        .chain([("users:read", "users.info", &ourselves[..])]);
    let mut known = Vec::new();
    for (scope, method, form) in calls {
        match ask(net, &settings.api_url, &settings.bot_token, method, form).await {
            Answer::Done { .. } => known.push((scope, true)),
            Answer::Refused {
                error,
                scopes: Some(scopes),
            } if error == "missing_scope" => return Granted::All(scopes),
            Answer::Refused { error, .. } if error == "missing_scope" => {
                known.push((scope, false));
            }
            Answer::Refused { .. } => {}
            // Whatever is wrong now would be wrong with the next call too.
            Answer::Unclear { .. } => break,
        }
    }
    Granted::Some(known)
}

impl Granted {
    /// Tells whether a scope is there, if that is known.
    fn has(&self, scope: &Scope) -> Option<bool> {
        match self {
            Self::All(scopes) => Some(scopes.contains(scope.name)),
            Self::Some(known) => known
                .iter()
                .find(|(name, _)| *name == scope.name)
                .map(|(_, is_there)| *is_there),
        }
    }
}
