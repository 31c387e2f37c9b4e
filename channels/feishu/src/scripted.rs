//! A scripted Open API for tests.

use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::SecretString;
use serde_json::{Value, json};
use tieline_channel::ChannelId;
use tieline_net::Net;
use tieline_net::scripted::{Call, Reply, Scripted};
use url::Url;

use crate::Settings;
use crate::account::Account;
use tieline_channel::Language;

pub(crate) const APP_ID: &str = "cli_scripted";
pub(crate) const APP_SECRET: &str = "scripted-secret-of-the-app";

/// What every token begins with; a number follows.
pub(crate) const TOKEN: &str = "t-scripted-secret-";

/// The path that tokens come from.
pub(crate) const TOKEN_PATH: &str = "/open-apis/auth/v3/tenant_access_token/internal";

/// The path that tells who we are.
const BOT_INFO: &str = "bot/v3/info";

/// A server that gives tokens, each another one, and answers all other calls as told.
pub(crate) struct Feishu(pub(crate) Scripted);

impl Feishu {
    /// Starts one that answers calls with a token by `script`.
    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let n_tokens = AtomicUsize::new(0);
        let server = Scripted::start(move |call| {
            if call.path != TOKEN_PATH {
                return script(call);
            }
            let n = 1 + n_tokens.fetch_add(1, Ordering::Relaxed);
            Reply::Json(token(n))
        });
        Self(server.await)
    }

    /// Starts one that also tells who we are: the bot `ou_bot`.
    pub(crate) async fn of_bot(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |call| match api_path(call) {
            BOT_INFO => Reply::Json(json!({"code": 0, "bot": {"open_id": "ou_bot"}})),
            _ => script(call),
        })
        .await
    }

    /// Starts one that gives each call in turn the next of these answers, for ever the last.
    pub(crate) async fn with(replies: Vec<Reply>) -> Self {
        let n_calls = AtomicUsize::new(0);
        Self::start(move |_| {
            let n = n_calls.fetch_add(1, Ordering::Relaxed);
            replies[n.min(replies.len() - 1)].clone()
        })
        .await
    }

    /// Returns an account that has its API here.
    pub(crate) fn account(&self) -> Account {
        account(self.0.url("/"))
    }

    /// Returns the calls so far but for those for tokens.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let mut calls = self.0.calls();
        calls.retain(|call| call.path != TOKEN_PATH);
        calls
    }

    /// Returns the calls so far but for those for tokens and for who we are.
    pub(crate) fn asked(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| api_path(call) != BOT_INFO);
        calls
    }

    /// Returns the paths of these, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let asked = self.asked();
        let mut paths: Vec<_> = asked.iter().map(|call| api_path(call).to_owned()).collect();
        paths.sort();
        paths
    }

    /// Returns how many tokens were given.
    pub(crate) fn n_tokens(&self) -> usize {
        self.0.calls().len() - self.calls().len()
    }
}

/// Returns the answer with the `n`th token.
pub(crate) fn token(n: usize) -> Value {
    json!({"code": 0, "msg": "ok", "tenant_access_token": format!("{TOKEN}{n}"), "expire": 7_200})
}

/// Says that a call was done.
pub(crate) fn ok(data: &Value) -> Reply {
    Reply::Json(json!({"code": 0, "msg": "success", "data": data}))
}

/// Refuses a call.
pub(crate) fn refused(code: i64) -> Reply {
    Reply::status(
        400,
        &json!({"code": code, "msg": "scripted", "error": {"log_id": "L1"}}),
    )
}

/// Refuses a call with these words.
pub(crate) fn refused_with(code: i64, words: &str) -> Reply {
    Reply::status(400, &json!({"code": code, "msg": words}))
}

/// Returns what of a call's path is below the Open API.
pub(crate) fn api_path(call: &Call) -> &str {
    call.path.trim_start_matches("/open-apis/")
}

/// Returns a parameter of a call, empty when it is missing.
pub(crate) fn parameter<'a>(call: &'a Call, name: &str) -> &'a str {
    call.query.get(name).map_or("", String::as_str)
}

/// Returns an account with its API at `base_url`.
pub(crate) fn account(base_url: Url) -> Account {
    let settings = Settings {
        id: ChannelId::new("team"),
        app_id: APP_ID.to_owned(),
        app_secret: SecretString::from(APP_SECRET),
        base_url,
        reactions: true,
        language: Language::English,
    };
    Account::new(settings, Net::new().unwrap())
}
