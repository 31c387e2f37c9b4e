//! Calls of the Open API: paced, with a token, judged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, multipart};
use serde::Deserialize;
use serde_json::Value;
use tieline_net::Net;
use tieline_net::pace::{Budget, Limited, Pace, Urgency};
use tokio::time::timeout;
use url::Url;

use super::failure::Failure;
use super::judge::{Quiet, judge, quiet};
use super::token::{Ticket, Tokens};
use super::transport::{JSON, below, body, is_file, send, unclear};
use crate::Settings;
use crate::inbound::Identity;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long sending a file may take; less than whoever posts it waits.
const UPLOAD_DEADLINE: Duration = Duration::from_secs(40);

/// What Feishu takes of each call is 50 a second and 1,000 a minute. This is less than both in any
/// second and in any minute, however they are counted: 30 + 16, 30 + 960.
const CALLS: Budget = Budget::per_minute(960, 30);

/// Feishu takes 5 a second in one chat, from all bots together, and as many changes of one message.
const IN_A_CHAT: Budget = Budget::per_minute(230, 1);

/// What a file is asked for by.
const DOWNLOAD: &str = "im/v1/messages/resources/get";

/// The Open API as our app. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    base_url: Url,
    tokens: Tokens,
    pace: Pace<&'static str>,
}

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
    /// The chat it posts to, or the message it changes: either has a budget of its own.
    pub(crate) chat: Option<String>,
}

/// What a call is to the budgets.
#[derive(Clone, Copy)]
struct Share<'a> {
    name: &'static str,
    urgency: Urgency,
    chat: Option<&'a str>,
}

#[derive(Deserialize)]
struct Info {
    bot: Bot,
}

#[derive(Deserialize)]
struct Bot {
    open_id: String,
}

impl Api {
    pub(crate) fn new(settings: &Settings, net: &Net) -> Self {
        Self(Arc::new(Inner {
            http: net.http().clone(),
            base_url: settings.base_url.clone(),
            tokens: Tokens::new(settings, net),
            pace: Pace::new(|_call| Some(CALLS), IN_A_CHAT),
        }))
    }

    /// Makes a call and returns the body of an answer that says that it was done. What only asks
    /// is less urgent than what does something.
    ///
    /// # Errors
    ///
    /// [`Failure::Again`] without a call when it would have to wait for long for its budget.
    pub(crate) async fn call(&self, call: Call) -> Result<Value, Failure> {
        let urgency = match call.method {
            Method::GET => Urgency::Ordinary,
            _ => Urgency::Answer,
        };
        self.call_as(urgency, call).await
    }

    /// Makes a call as [`Api::call`], with an urgency of its own.
    ///
    /// # Errors
    ///
    /// As [`Api::call`].
    pub(crate) async fn call_as(&self, urgency: Urgency, call: Call) -> Result<Value, Failure> {
        match self.0.call(urgency, &call).await {
            Err(Failure::TokenInvalid { .. }) => self.0.call(urgency, &call).await,
            outcome => outcome,
        }
    }

    /// Asks for a file, and returns the answer once it is clear that the file follows; its body is
    /// still to be read, with a deadline of the reader's.
    ///
    /// # Errors
    ///
    /// As the calls; also when Feishu answers with something else than a file.
    pub(crate) async fn download(
        &self,
        path: String,
        query: Vec<(&'static str, String)>,
    ) -> Result<Response, Failure> {
        match self.0.download(&path, &query).await {
            Err(Failure::TokenInvalid { .. }) => self.0.download(&path, &query).await,
            outcome => outcome,
        }
    }

    /// Sends a form with a file in it, once: after [`Failure::TokenInvalid`] send it again.
    ///
    /// # Errors
    ///
    /// As the calls.
    pub(crate) async fn upload(
        &self,
        name: &'static str,
        path: &str,
        form: multipart::Form,
    ) -> Result<Value, Failure> {
        let request = self
            .0
            .request(Method::POST, path)
            .timeout(UPLOAD_DEADLINE)
            .multipart(form);
        let share = Share {
            name,
            urgency: Urgency::Answer,
            chat: None,
        };
        self.0.exchange(share, request).await
    }

    /// Asks who we are.
    ///
    /// # Errors
    ///
    /// As the calls.
    pub(crate) async fn identity(&self, settings: &Settings) -> Result<Identity, Failure> {
        let name = "bot/v3/info";
        let call = Call {
            name,
            method: Method::GET,
            path: format!("/open-apis/{name}"),
            query: Vec::new(),
            body: None,
            chat: None,
        };
        let value = self.call_as(Urgency::Answer, call).await?;
        let Info { bot } = Info::deserialize(&value).map_err(|error| Failure::Unclear {
            reason: format!("{name}: an unexpected answer: {error}"),
        })?;
        Ok(Identity {
            open_id: bot.open_id,
            app_id: settings.app_id.clone(),
        })
    }
}

impl Inner {
    async fn call(&self, urgency: Urgency, call: &Call) -> Result<Value, Failure> {
        let mut request = self
            .request(call.method.clone(), &call.path)
            .timeout(DEADLINE)
            .query(&call.query);
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        }
        let share = Share {
            name: call.name,
            urgency,
            chat: call.chat.as_deref(),
        };
        self.exchange(share, request).await
    }

    async fn exchange(&self, share: Share<'_>, request: RequestBuilder) -> Result<Value, Failure> {
        let ticket = self.admit(share).await?;
        let response = send(share.name, request.bearer_auth(ticket.text())).await?;
        self.read(share, &ticket, response).await
    }

    async fn download(
        &self,
        path: &str,
        query: &[(&'static str, String)],
    ) -> Result<Response, Failure> {
        let share = Share {
            name: DOWNLOAD,
            urgency: Urgency::Ordinary,
            chat: None,
        };
        let request = self.request(Method::GET, path).query(query);
        let ticket = self.admit(share).await?;
        let answer = async {
            let response = send(DOWNLOAD, request.bearer_auth(ticket.text())).await?;
            if is_file(&response) {
                return Ok(response);
            }
            self.read(share, &ticket, response).await?;
            Err(unclear(DOWNLOAD, "an answer without a file"))
        };
        timeout(DEADLINE, answer)
            .await
            .unwrap_or_else(|_elapsed| Err(unclear(DOWNLOAD, "no answer in time")))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, below(&self.base_url, path))
    }

    /// Waits until a call may be made, and returns the token to make it with.
    async fn admit(&self, share: Share<'_>) -> Result<Ticket, Failure> {
        let Share {
            name,
            urgency,
            chat,
        } = share;
        let admitted = self.pace.admit(name, urgency, chat).await;
        admitted.map_err(|Limited { after }| Failure::Again {
            after,
            reason: format!("{name}: more calls than Feishu takes"),
        })?;
        self.tokens.get().await
    }

    /// Reads and judges an answer, and takes note of what it says about the next calls.
    async fn read(
        &self,
        share: Share<'_>,
        ticket: &Ticket,
        response: Response,
    ) -> Result<Value, Failure> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = body(share.name, response).await?;
        let outcome = judge(share.name, status, &headers, &body);
        match &outcome {
            Err(Failure::TokenInvalid { .. }) => self.tokens.forget(ticket),
            Err(Failure::Again { after, .. }) => match (quiet(status, &body), share.chat) {
                (Some(Quiet::Chat), Some(chat)) => self.pace.limited_in(chat, *after),
                (Some(Quiet::Call), chat) => self.pace.limited(share.name, chat, *after),
                (Some(Quiet::Chat), None) | (None, _) => {}
            },
            _ => {}
        }
        outcome
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("base_url", &self.0.base_url.as_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Returns when each of `n` calls was admitted.
    async fn admitted(chat: Option<&str>, n: usize) -> Vec<Instant> {
        let pace = Pace::new(|_call| Some(CALLS), IN_A_CHAT);
        let mut times = Vec::new();
        while times.len() < n {
            match pace.admit("call", Urgency::Answer, chat).await {
                Ok(()) => times.push(Instant::now()),
                Err(Limited { after }) => tokio::time::sleep(after).await,
            }
        }
        times
    }

    /// Returns the greatest number of these times that lie within so long.
    fn most(times: &[Instant], within: Duration) -> usize {
        let from = |begin: &Instant| {
            let in_window = |at: &&Instant| (*begin..*begin + within).contains(at);
            times.iter().filter(in_window).count()
        };
        times.iter().map(from).max().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn feishu_is_never_called_more_often_than_it_takes() {
        let times = admitted(None, 1_200).await;
        assert!(most(&times, Duration::from_secs(1)) <= 50);
        assert!(most(&times, Duration::from_secs(60)) <= 1_000);
        let times = admitted(Some("oc_1"), 20).await;
        assert!(most(&times, Duration::from_secs(1)) <= 4);
    }
}
