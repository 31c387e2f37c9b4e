//! The token of our app: fetched when it is needed, by one caller for all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tieline_net::Net;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use super::failure::Failure;
use super::judge::judge;
use super::transport::{JSON, below, body, send};
use crate::Settings;

const NAME: &str = "auth/v3/tenant_access_token/internal";

/// How long fetching it may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// The longest that any token is good for.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// How long a failure stands for everybody who would fetch the token too.
const STANDS_FOR: Duration = Duration::from_secs(2);

/// Where the token comes from, and the one that is good now.
pub(super) struct Tokens {
    http: reqwest::Client,
    url: Url,
    app_id: String,
    app_secret: SecretString,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Empty until somebody has fetched it.
    current: Arc<OnceCell<Token>>,
    failed: Option<(Instant, Failure)>,
}

#[derive(Debug)]
struct Token {
    text: SecretString,
    good_until: Instant,
}

/// A token in use.
pub(super) struct Ticket(Arc<OnceCell<Token>>);

#[derive(Deserialize)]
struct Answer {
    tenant_access_token: String,
    /// Seconds.
    expire: u64,
}

impl Tokens {
    pub(super) fn new(settings: &Settings, net: &Net) -> Self {
        Self {
            http: net.http().clone(),
            url: below(&settings.base_url, &format!("/open-apis/{NAME}")),
            app_id: settings.app_id.clone(),
            app_secret: settings.app_secret.clone(),
            books: Mutex::default(),
        }
    }

    /// Returns the token, which is fetched if there is none that is good for a while.
    ///
    /// # Errors
    ///
    /// [`Failure::Again`] or [`Failure::Operator`]: nothing was done that might have to be undone.
    pub(super) async fn get(&self) -> Result<Ticket, Failure> {
        let cell = self.current();
        cell.get_or_try_init(|| self.fetch()).await?;
        Ok(Ticket(cell))
    }

    /// Forgets a token that Feishu does not take, so that the next call gets another one.
    pub(super) fn forget(&self, ticket: &Ticket) {
        let mut books = self.books();
        if Arc::ptr_eq(&books.current, &ticket.0) {
            books.current = Arc::default();
        }
    }

    fn current(&self) -> Arc<OnceCell<Token>> {
        let mut books = self.books();
        let token = books.current.get();
        if token.is_some_and(|token| token.good_until <= Instant::now()) {
            books.current = Arc::default();
        }
        Arc::clone(&books.current)
    }

    /// Fetches a token, unless that has just failed: of all who wait, one asks.
    async fn fetch(&self) -> Result<Token, Failure> {
        if let Some((until, failure)) = &self.books().failed
            && *until > Instant::now()
        {
            return Err(failure.clone());
        }
        let outcome = self.ask().await.map_err(certain);
        self.books().failed = outcome.as_ref().err().map(|failure| {
            let stands_for = match failure {
                Failure::Again { after, .. } => STANDS_FOR.max(*after),
                _ => STANDS_FOR,
            };
            (Instant::now() + stands_for, failure.clone())
        });
        outcome
    }

    async fn ask(&self) -> Result<Token, Failure> {
        let asked_at = Instant::now();
        let form = json!({
            "app_id": self.app_id,
            "app_secret": self.app_secret.expose_secret(),
        });
        let request = self
            .http
            .request(Method::POST, self.url.clone())
            .timeout(DEADLINE)
            .header(CONTENT_TYPE, JSON)
            .body(form.to_string());
        let response = send(NAME, request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let value = judge(NAME, status, &headers, &body(NAME, response).await?)?;
        let Ok(Answer {
            tenant_access_token,
            expire,
        }) = Answer::deserialize(&value)
        else {
            return Err(Failure::Unclear {
                reason: format!("{NAME}: an answer without a token"),
            });
        };
        Ok(Token {
            text: tenant_access_token.into(),
            good_until: asked_at + good_for(Duration::from_secs(expire)),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Returns the token, to be sent and nothing else.
    pub(super) fn text(&self) -> &str {
        let token = self.0.get();
        token.map_or("", |token| token.text.expose_secret())
    }
}

/// Returns how long a token is used that ends in so long: one that ends soon is used too.
fn good_for(expire: Duration) -> Duration {
    let expire = expire.min(LONGEST);
    expire.saturating_sub(MARGIN).max(expire / 2)
}

/// What a failure means to a call for which there is no token: it was not made.
fn certain(failure: Failure) -> Failure {
    match failure {
        Failure::Unclear { reason }
        | Failure::TokenInvalid { reason }
        | Failure::Never { reason, .. } => Failure::Again {
            after: Duration::ZERO,
            reason,
        },
        Failure::Again { .. } | Failure::Operator { .. } => failure,
    }
}
