//! Calls of the Open API, with a token that is fetched when it is needed.

use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;
use tieline_net::Net;

use super::failure::Failure;
use crate::Settings;
use crate::inbound::Identity;

/// The Open API as our app. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// What it is called in errors, and whose budget it takes from: `im/v1/messages/create`.
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    /// The path below the base URL: `/open-apis/…`.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    /// The chat it posts to, which has a budget of its own.
    pub(crate) chat: Option<String>,
}

impl Api {
    pub(crate) fn new(_settings: &Settings, _net: &Net) -> Self {
        Self(Arc::new(Inner {}))
    }

    /// Makes a call and returns the body of an answer that says that it was done.
    ///
    /// # Errors
    ///
    /// [`Failure::Again`] without a call when it would have to wait for long for its budget.
    pub(crate) async fn call(&self, _call: Call) -> Result<Value, Failure> {
        Err(Failure::Unclear {
            reason: "not built".to_owned(),
        })
    }

    /// Asks for a file, and returns the answer once it is clear that the file follows; its body is
    /// still to be read, with a deadline of the reader's.
    ///
    /// # Errors
    ///
    /// As the calls; also when Feishu answers with something else than a file.
    pub(crate) async fn download(
        &self,
        _path: String,
        _query: Vec<(&'static str, String)>,
    ) -> Result<reqwest::Response, Failure> {
        Err(Failure::Unclear {
            reason: "not built".to_owned(),
        })
    }

    /// Asks who we are.
    ///
    /// # Errors
    ///
    /// As the calls.
    pub(crate) async fn identity(&self, _settings: &Settings) -> Result<Identity, Failure> {
        Err(Failure::Unclear {
            reason: "not built".to_owned(),
        })
    }
}
