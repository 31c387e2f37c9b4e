//! One call for a check: no pacing and no second try, but with what the answer says beside its
//! body.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tieline_channel::WithCauses;
use tieline_net::Net;
use url::Url;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// Where Slack lists the scopes of the token that was used. Not part of its reference, so it may be
/// missing.
const SCOPES_HEADER: &str = "x-oauth-scopes";

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    /// Slack did it.
    Done {
        /// All of the answer.
        body: Value,
        /// The scopes of the token, where the answer tells them.
        scopes: Option<BTreeSet<String>>,
    },
    /// Slack said no.
    Refused {
        /// Slack's word for it.
        error: String,
        /// The scopes of the token, where the answer tells them.
        scopes: Option<BTreeSet<String>>,
    },
    /// Nobody who speaks as Slack does was reached.
    Unclear {
        /// What happened.
        reason: String,
    },
}

/// What every answer has.
#[derive(Deserialize)]
struct Verdict {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    provided: Option<String>,
}

/// Calls a method once.
pub(super) async fn ask(
    net: &Net,
    api_url: &Url,
    token: &SecretString,
    method: &str,
    form: &[(&str, &str)],
) -> Answer {
    match call(net, api_url, token, method, form).await {
        Ok(answer) => answer,
        Err(reason) => Answer::Unclear { reason },
    }
}

async fn call(
    net: &Net,
    api_url: &Url,
    token: &SecretString,
    method: &str,
    form: &[(&str, &str)],
) -> Result<Answer, String> {
    let url = api_url.join(method).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    // The error is shown without the URL, which it would name twice.
    let failed = |error: reqwest::Error| format!("{host}: {}", WithCauses(&error.without_url()));
    let mut response = net
        .http()
        .post(url)
        .timeout(DEADLINE)
        .bearer_auth(token.expose_secret())
        .form(form)
        .send()
        .await
        .map_err(failed)?;
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(format!("{host}: too many calls; wait a minute"));
    }
    let listed = response
        .headers()
        .get(SCOPES_HEADER)
        .and_then(|value| value.to_str().ok())
        .map(split)
        .filter(|scopes| !scopes.is_empty());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(format!("{host}: the answer is too long to be Slack's"));
        }
    }
    let understood = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|value| Some((Verdict::deserialize(&value).ok()?, value)));
    let Some((verdict, value)) = understood else {
        return Err(format!(
            "{host}: HTTP {status}, and what came back is not Slack's"
        ));
    };
    if verdict.ok {
        return Ok(Answer::Done {
            body: value,
            scopes: listed,
        });
    }
    Ok(Answer::Refused {
        error: verdict.error.unwrap_or_else(|| "no error given".to_owned()),
        scopes: listed.or_else(|| {
            let provided = verdict.provided.as_deref().map(split);
            provided.filter(|scopes| !scopes.is_empty())
        }),
    })
}

/// Splits a list of scopes.
fn split(list: &str) -> BTreeSet<String> {
    list.split([',', ' '])
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect()
}
