//! Asks Feishu whether an app is set up as it must be. Changes nothing there.

use std::collections::BTreeSet;

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tieline_channel::setup::{Problem, Severity};
use tieline_net::Net;
use url::Url;

use super::ask::{Answer, ask};
use super::needs::{Need, missing};
use super::remedy;
use crate::Settings;
use crate::api::{Failure, judge};
use crate::discovery;

const TOKEN: &str = "open-apis/auth/v3/tenant_access_token/internal";
const BOT: &str = "open-apis/bot/v3/info";
const SCOPE_LIST: &str = "open-apis/application/v6/scopes";

/// What `activate_status` is for an app that people can use.
const ACTIVE: i64 = 2;

/// What `grant_status` is for a scope that the app has.
const GRANTED: i64 = 1;

/// What asking Feishu told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Who the bot is; `None` when app and secret do not fit, or Feishu could not be asked.
    pub bot: Option<Bot>,
    /// Whether Feishu told a place to connect to.
    pub connects: bool,
    /// Whether the app lacks scopes; `None` when Feishu did not tell.
    pub lacks_scopes: Option<bool>,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

/// The bot of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bot {
    /// Its name, to be found and mentioned by.
    pub name: String,
    /// The bot as this app names it, `ou_…`.
    pub open_id: String,
}

impl Findings {
    /// Tells whether App ID and App Secret are refused: good ones have to take their place.
    pub fn refuses(&self) -> bool {
        let mut problems = self.problems.iter();
        self.bot.is_none()
            && !self.connects
            && problems.any(|problem| problem.severity == Severity::Error)
    }
}

/// Asks Feishu about an app: whether its secret is good, whether it is enabled, what it lacks, and
/// whether it may connect. A few calls, which change nothing; the connection that is granted is not
/// opened.
pub async fn probe(settings: &Settings, net: &Net) -> Findings {
    let probe = Probe { settings, net };
    let mut findings = Findings::default();
    match probe.token().await {
        Ok(token) => {
            probe.bot(&token, &mut findings).await;
            probe.scopes(&token, &mut findings).await;
            probe.connection(&mut findings).await;
        }
        // Whoever does not answer here, or does not know the secret, has no more to say.
        Err(problem) => findings.problems.push(problem),
    }
    findings.problems.sort_by_key(|problem| problem.severity);
    findings
}

struct Probe<'a> {
    settings: &'a Settings,
    net: &'a Net,
}

impl Probe<'_> {
    async fn token(&self) -> Result<SecretString, Problem> {
        let Settings {
            app_id, app_secret, ..
        } = self.settings;
        let body = json!({"app_id": app_id, "app_secret": app_secret.expose_secret()});
        let answer = self
            .call("auth/v3/tenant_access_token", self.post(TOKEN)?.json(&body))
            .await
            .map_err(|failure| remedy::of_failure(failure, remedy::CREDENTIALS))?;
        match answer["tenant_access_token"].as_str() {
            Some(token) => Ok(token.to_owned().into()),
            None => Err(remedy::of_silence("the answer has no token")),
        }
    }

    async fn bot(&self, token: &SecretString, findings: &mut Findings) {
        let answer = match self.get("bot/v3/info", BOT, token).await {
            Ok(answer) => answer,
            Err(failure) => {
                let problem = remedy::of_failure(failure, remedy::BOT);
                findings.problems.push(problem);
                return;
            }
        };
        let bot = &answer["bot"];
        let text = |name: &str| bot[name].as_str().unwrap_or_default().to_owned();
        findings.bot = Some(Bot {
            name: text("app_name"),
            open_id: text("open_id"),
        });
        if let Some(status) = bot["activate_status"].as_i64()
            && status != ACTIVE
        {
            findings.problems.push(remedy::of_status(status));
        }
    }

    async fn scopes(&self, token: &SecretString, findings: &mut Findings) {
        let answer = match self.get("application/v6/scopes", SCOPE_LIST, token).await {
            Ok(answer) => answer,
            Err(failure) => {
                let problem = Problem {
                    severity: Severity::Warning,
                    ..remedy::of_failure(failure, remedy::SCOPES)
                };
                findings.problems.push(problem);
                return;
            }
        };
        let Some(listed) = answer["data"]["scopes"].as_array() else {
            let problem = remedy::of_silence("application/v6/scopes: the answer has no list");
            findings.problems.push(problem);
            return;
        };
        let granted: BTreeSet<_> = listed
            .iter()
            .filter(|scope| scope["grant_status"].as_i64() == Some(GRANTED))
            .filter_map(|scope| scope["scope_name"].as_str())
            .collect();
        let lacking = missing(|name| granted.contains(name));
        findings.lacks_scopes = Some(!lacking.is_empty());
        for need in [Need::Essential, Need::Useful] {
            let scopes: Vec<_> = lacking.iter().filter(|scope| scope.need == need).collect();
            findings
                .problems
                .extend(remedy::of_missing(self.settings, need, &scopes));
        }
    }

    async fn connection(&self, findings: &mut Findings) {
        let (path, body) = discovery::request(&self.settings.app_id, &self.settings.app_secret);
        let asked = match self.post(path) {
            Ok(request) => {
                let request = request.header("locale", "zh").json(&body);
                ask(request)
                    .await
                    .map_err(|reason| remedy::of_silence(&format!("discovery: {reason}")))
            }
            Err(problem) => Err(problem),
        };
        let read = asked.and_then(|answer| {
            discovery::read(&self.settings.base_url, answer.http_status, &answer.body)
                .map_err(remedy::of_refusal)
        });
        match read {
            Ok(_endpoint) => findings.connects = true,
            Err(problem) => findings.problems.push(problem),
        }
    }

    async fn get(&self, name: &str, path: &str, token: &SecretString) -> Result<Value, Failure> {
        let url = self
            .url(path)
            .map_err(|reason| Failure::Unclear { reason })?;
        let request = self.net.http().get(url).bearer_auth(token.expose_secret());
        self.call(name, request).await
    }

    async fn call(&self, name: &str, request: RequestBuilder) -> Result<Value, Failure> {
        let Answer {
            http_status,
            headers,
            body,
        } = ask(request).await.map_err(|reason| Failure::Unclear {
            reason: format!("{}: {reason}", self.host()),
        })?;
        judge(name, http_status, &headers, &body)
    }

    fn post(&self, path: &str) -> Result<RequestBuilder, Problem> {
        let url = self
            .url(path)
            .map_err(|reason| remedy::of_silence(&reason))?;
        Ok(self.net.http().post(url))
    }

    fn url(&self, path: &str) -> Result<Url, String> {
        let base = &self.settings.base_url;
        base.join(path).map_err(|error| error.to_string())
    }

    fn host(&self) -> &str {
        self.settings.base_url.host_str().unwrap_or_default()
    }
}
