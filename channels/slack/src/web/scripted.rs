//! A scripted Web API for tests.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Value, json};
use tieline_channel::ChannelId;
use tieline_net::Net;
use tieline_net::scripted;
use url::{Url, form_urlencoded};

use crate::Settings;
use crate::account::Account;

pub(crate) const APP_TOKEN: &str = "xapp-1-scripted-secret";
pub(crate) const BOT_TOKEN: &str = "xoxb-scripted-secret";

/// A call as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// What comes after `/api/`, or the whole path.
    pub(crate) method: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn arg(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.arg(name)).unwrap_or_default()
    }
}

/// How a call is answered.
pub(crate) enum Reply {
    /// With status 200.
    Json(Value),
    /// With a status, further header lines and a body.
    Http(u16, &'static str, &'static str),
    /// Not at all: the connection ends.
    Lost,
}

/// Refuses a call.
pub(crate) fn error(error: &str) -> Reply {
    Reply::Json(json!({"ok": false, "error": error}))
}

/// A server at work. It ends with this.
pub(crate) struct Scripted(scripted::Scripted);

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let script = move |call: &scripted::Call| script(&Call::from(call.clone())).into();
        Self(scripted::Scripted::start(script).await)
    }

    /// Starts a server that gives each call in turn the next of these answers, for ever the last.
    pub(crate) async fn with(replies: Vec<Reply>) -> Self {
        let replies = replies.into_iter().map(scripted::Reply::from);
        Self(scripted::Scripted::with(replies.collect()).await)
    }

    /// Returns an account that has its API here.
    pub(crate) fn account(&self) -> Account {
        account(&self.url("/api/"), true)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.0.url(path).into()
    }

    /// Returns the calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.calls().into_iter().map(Call::from).collect()
    }

    /// Returns the methods that were called.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.method).collect()
    }

    /// Waits until there are so many calls.
    pub(crate) async fn called(&self, n: usize) -> Vec<Call> {
        let calls = self.0.called(n).await;
        calls.into_iter().map(Call::from).collect()
    }
}

/// Returns an account with its API at `api_url`.
pub(crate) fn account(api_url: &str, reactions: bool) -> Account {
    let settings = Settings {
        id: ChannelId::new("team"),
        app_token: SecretString::from(APP_TOKEN),
        bot_token: SecretString::from(BOT_TOKEN),
        api_url: Url::parse(api_url).unwrap(),
        reactions,
        thread_direct: false,
        language: tieline_channel::Language::English,
    };
    Account::new(settings, Net::new().unwrap())
}

impl From<scripted::Call> for Call {
    fn from(call: scripted::Call) -> Self {
        let is_form = call
            .headers
            .get("content-type")
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let form = if is_form {
            form_urlencoded::parse(&call.body).into_owned().collect()
        } else {
            BTreeMap::new()
        };
        let method = call.path.strip_prefix("/api/").unwrap_or(&call.path);
        Self {
            method: method.to_owned(),
            headers: call.headers,
            form,
            body: call.body,
        }
    }
}

impl From<Reply> for scripted::Reply {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Json(value) => Self::Json(value),
            Reply::Http(status, headers, body) => {
                Self::Http(status, headers.to_owned(), body.to_owned())
            }
            Reply::Lost => Self::Lost,
        }
    }
}
