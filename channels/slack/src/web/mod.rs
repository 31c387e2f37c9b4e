//! Calls of the Web API.
//!
//! Everything goes as a form, which every method takes; structured arguments are JSON in it. The
//! HTTP status says nothing but 429 and 5xx: `ok` in the body decides.

mod error;
mod method;
mod pace;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tieline_channel::WithCauses;
use tieline_net::Net;
use url::{Url, form_urlencoded};

pub(crate) use self::error::CallError;
use self::method::Token;
pub(crate) use self::method::{Method, Urgency};
use self::pace::Pace;
use crate::Settings;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long to leave a method alone when Slack does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The longest that Slack's word is taken for: what it says is seconds, seldom more than a minute.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The arguments of a call.
pub(crate) type Form = Vec<(&'static str, String)>;

/// The Web API with our tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Web(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    api_url: Url,
    app_token: SecretString,
    bot_token: SecretString,
    pace: Pace,
}

/// What every answer has.
#[derive(Deserialize)]
struct Verdict {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    needed: Option<String>,
    #[serde(default)]
    provided: Option<String>,
    #[serde(default)]
    response_metadata: Value,
}

impl Web {
    pub(crate) fn new(settings: &Settings, net: &Net) -> Self {
        Self(Arc::new(Inner {
            http: net.http().clone(),
            api_url: settings.api_url.clone(),
            app_token: settings.app_token.clone(),
            bot_token: settings.bot_token.clone(),
            pace: Pace::new(),
        }))
    }

    /// Calls a method with the token it takes, as soon as the rate limits allow.
    ///
    /// # Errors
    ///
    /// [`CallError::Limited`] without a call when it would have to wait for long.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        form: Form,
    ) -> Result<T, CallError> {
        self.call_as(method.urgency(), method, form).await
    }

    /// Calls a method as [`Web::call`], with another urgency than the method's usual one.
    ///
    /// # Errors
    ///
    /// As [`Web::call`].
    pub(crate) async fn call_as<T: DeserializeOwned>(
        &self,
        urgency: Urgency,
        method: Method,
        form: Form,
    ) -> Result<T, CallError> {
        let inner = &*self.0;
        let conversation = form
            .iter()
            .find(|(name, _)| *name == "channel")
            .map(|(_, value)| value.as_str());
        inner.pace.admit(method, urgency, conversation).await?;
        let outcome = inner.send(method, &form).await;
        if let Err(CallError::Limited { after }) = outcome {
            inner.pace.limited(method, conversation, after);
        }
        let value = outcome?;
        serde_json::from_value(value).map_err(|error| CallError::Lost {
            reason: format!("{}: unexpected answer: {error}", method.name()),
        })
    }
}

impl Inner {
    async fn send(&self, method: Method, form: &Form) -> Result<Value, CallError> {
        let name = method.name();
        let url = self
            .api_url
            .join(name)
            .map_err(|error| CallError::NotSent {
                reason: format!("{name}: {error}"),
            })?;
        let token = match method.token() {
            Token::App => &self.app_token,
            Token::Bot => &self.bot_token,
        };
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let response = self
            .http
            .post(url)
            .timeout(DEADLINE)
            .bearer_auth(token.expose_secret())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            // Without arguments it would be left out, which servers may refuse.
            .header(CONTENT_LENGTH, body.len())
            .body(body)
            .send()
            .await
            .map_err(|error| failed(name, error))?;
        let status = response.status();
        let after = retry_after(response.headers()).unwrap_or(DEFAULT_RETRY_AFTER);
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(CallError::Limited { after });
        }
        let body = response
            .bytes()
            .await
            .map_err(|error| failed(name, error))?;
        let Ok(value) = serde_json::from_slice::<Value>(&body) else {
            let reason = format!("{name}: HTTP {status} with a body that is no JSON");
            // Something between us and Slack that turns calls away, or a wrong `api_url`.
            return Err(if status.is_client_error() || status.is_redirection() {
                CallError::NotSent { reason }
            } else {
                CallError::Lost { reason }
            });
        };
        match Verdict::deserialize(&value) {
            Ok(verdict) if verdict.ok => Ok(value),
            // Whatever it says, it comes from a server that failed, perhaps in the middle.
            Ok(verdict) if status.is_server_error() => Err(CallError::Lost {
                reason: format!("{name}: HTTP {status}: {}", verdict.word()),
            }),
            Ok(verdict) => Err(refused(name, verdict, after)),
            Err(error) => Err(CallError::Lost {
                reason: format!("{name}: HTTP {status}: {error}"),
            }),
        }
    }
}

impl Verdict {
    /// Returns Slack's word for why it said no.
    fn word(&self) -> &str {
        self.error.as_deref().unwrap_or("no error given")
    }
}

/// Returns for how long Slack wants to be left alone, if it says so.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let after = Duration::from_secs(value.trim().parse().ok()?);
    Some(after.clamp(Duration::from_secs(1), LONGEST_RETRY_AFTER))
}

fn refused(name: &'static str, verdict: Verdict, after: Duration) -> CallError {
    let error = verdict.word().to_owned();
    match error.as_str() {
        "ratelimited" | "rate_limited" => CallError::Limited { after },
        // "It's possible some aspect of the operation succeeded": Slack on these.
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            CallError::Lost {
                reason: format!("{name}: {error}"),
            }
        }
        _ => CallError::Refused {
            method: name,
            error,
            needed: verdict.needed,
            provided: verdict.provided,
            messages: explanations(&verdict.response_metadata),
        },
    }
}

/// Returns what Slack explains a refusal with, whatever shape the rest is of.
fn explanations(metadata: &Value) -> Vec<String> {
    let messages = metadata["messages"].as_array();
    let texts = messages.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Tells whether Slack may have got the request. The error is shown without its URL.
fn failed(name: &str, error: reqwest::Error) -> CallError {
    let not_sent = error.is_connect() || error.is_builder();
    let reason = format!("{name}: {}", WithCauses(&error.without_url()));
    if not_sent {
        CallError::NotSent { reason }
    } else {
        CallError::Lost { reason }
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("api_url", &self.0.api_url.as_str())
            .finish_non_exhaustive()
    }
}
