//! Making an app by scanning a QR code: the device flow by which Feishu registers one with all that
//! it needs, and hands out its secret.
//!
//! [`begin`] gives an [`Invitation`], whose URL the user opens ([`qr`] draws it); [`wait`] asks until
//! they have agreed. Not every account may do so: then there is [`setup`](crate::setup).

mod answer;
mod clock;
pub mod qr;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tieline_net::Net;
use url::Url;

use self::answer::{Begun, Poll};
pub use self::clock::{Clock, SystemClock};

/// The path of the only call.
const PATH: &str = "oauth/v1/app/registration";

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// How many bytes of an answer are read.
const MAX_ANSWER: usize = 64 << 10;

/// How much longer to pause when Feishu asks for it.
const SLOWER: Duration = Duration::from_secs(5);

/// Where accounts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Where to begin.
    pub first: Url,
    /// Where to go on if the account turns out to be one of Lark.
    pub lark: Url,
}

/// Which of the two platforms an app lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// `open.feishu.cn`
    Feishu,
    /// `open.larksuite.com`
    Lark,
}

/// What the user opens to agree.
#[derive(Clone)]
pub struct Invitation {
    /// The page. Whoever opens it in time can make the app, so it is for the user only.
    pub url: Url,
    /// How long it is good for.
    pub expires_in: Duration,
    device_code: SecretString,
    interval: Duration,
    begun_at: Instant,
}

/// An app that was made.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The app, `cli_…`.
    pub app_id: String,
    /// Its secret.
    pub app_secret: SecretString,
    /// Who made it, as the app names them: `ou_…`.
    pub user: Option<String>,
    /// Where it lives.
    pub brand: Brand,
}

/// Why there is no app.
#[derive(Debug, Error)]
pub enum RegistrationError {
    /// There is no answer.
    #[error("cannot reach {host}; check the network and accounts_url")]
    Unreachable {
        /// Who does not answer.
        host: String,
        /// What happened, without the URL.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is none.
    #[error(
        "{host} does not answer as expected (HTTP status {http_status}); check accounts_url, or \
         make the app in the developer console"
    )]
    Strange {
        /// Who answered.
        host: String,
        /// Its status.
        http_status: u16,
    },
    /// The user said no.
    #[error("the app was not made because it was declined in Feishu; run the command again")]
    Denied,
    /// The user did not answer in time.
    #[error("nobody agreed in time; run the command again and scan the new code")]
    Expired,
    /// It is not possible for this account.
    #[error("Feishu does not make an app this way ({error}); make it in the developer console")]
    Refused {
        /// Feishu's word for it.
        error: String,
    },
}

impl Accounts {
    /// Returns where to go from `first`: to Lark's own place if `first` is Feishu's, else nowhere
    /// else.
    pub fn beginning_at(first: Url) -> Self {
        let of_feishu = first.host_str() == Some("accounts.feishu.cn");
        let lark = Url::parse("https://accounts.larksuite.com")
            .ok()
            .filter(|_| of_feishu);
        Self {
            lark: lark.unwrap_or_else(|| first.clone()),
            first,
        }
    }

    /// Returns where an account is until its own word for it is known.
    fn brand(&self) -> Brand {
        match self.first.host_str() {
            Some("accounts.larksuite.com") => Brand::Lark,
            _ => Brand::Feishu,
        }
    }
}

/// Asks for an invitation.
///
/// # Errors
///
/// When there is none.
pub async fn begin(
    net: &Net,
    accounts: &Accounts,
    clock: &dyn Clock,
) -> Result<Invitation, RegistrationError> {
    let form = [
        ("action", "begin"),
        ("archetype", "PersonalAgent"),
        ("auth_method", "client_secret"),
        ("request_user_info", "open_id"),
    ];
    let (http_status, body) = call(net, &accounts.first, &form).await?;
    match answer::begun(&body, &accounts.first) {
        Begun::Invited {
            url,
            device_code,
            interval,
            expires_in,
        } => Ok(Invitation {
            url,
            expires_in,
            device_code,
            interval,
            begun_at: clock.now(),
        }),
        Begun::Refused(error) => Err(RegistrationError::Refused { error }),
        Begun::Strange => Err(strange(&accounts.first, http_status)),
    }
}

/// Asks until the user has agreed, for as long as the invitation is good. A call that fails is only
/// repeated: the user may have to change to another network to scan the code.
///
/// # Errors
///
/// When there is no app at the end.
pub async fn wait(
    net: &Net,
    accounts: &Accounts,
    invitation: &Invitation,
    clock: &dyn Clock,
) -> Result<Registered, RegistrationError> {
    let form = [
        ("action", "poll"),
        ("device_code", invitation.device_code.expose_secret()),
    ];
    let mut brand = accounts.brand();
    let mut interval = invitation.interval;
    loop {
        let at = match brand {
            Brand::Feishu => &accounts.first,
            Brand::Lark => &accounts.lark,
        };
        let polled = match call(net, at, &form).await {
            Ok((_, body)) => answer::poll(&body),
            Err(error) => {
                tracing::debug!(%error, "a question whether the app is made got no answer");
                Poll::Pending
            }
        };
        match polled {
            Poll::OfLark if brand == Brand::Feishu => {
                brand = Brand::Lark;
                continue;
            }
            Poll::Made {
                app_id,
                app_secret,
                user,
                of_lark,
            } => {
                if of_lark && brand == Brand::Feishu {
                    brand = Brand::Lark;
                    continue;
                }
                return Ok(Registered {
                    app_id,
                    app_secret,
                    user,
                    brand,
                });
            }
            Poll::Pending | Poll::OfLark => {}
            Poll::SlowDown => interval += SLOWER,
            Poll::Denied => return Err(RegistrationError::Denied),
            Poll::Expired => return Err(RegistrationError::Expired),
            Poll::Refused(error) => return Err(RegistrationError::Refused { error }),
        }
        let elapsed = clock.now().saturating_duration_since(invitation.begun_at);
        if elapsed + interval > invitation.expires_in {
            return Err(RegistrationError::Expired);
        }
        clock.sleep(interval).await;
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// Returns the status and the body. Waiting and failing are told by status 400 and a body, so that
/// the status decides nothing.
async fn call(
    net: &Net,
    accounts: &Url,
    form: &[(&str, &str)],
) -> Result<(u16, Vec<u8>), RegistrationError> {
    let unreachable = |error: reqwest::Error| RegistrationError::Unreachable {
        host: host(accounts),
        source: error.without_url(),
    };
    let mut url = accounts.clone();
    let base = accounts.path().trim_end_matches('/');
    url.set_path(&format!("{base}/{PATH}"));
    let response = net
        .http()
        .post(url)
        .timeout(DEADLINE)
        .form(form)
        .send()
        .await
        .map_err(unreachable)?;
    let http_status = response.status().as_u16();
    let body = read(response).await.map_err(unreachable)?;
    Ok((http_status, body))
}

/// Reads as much of an answer as any good one has.
async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    Ok(body)
}

fn strange(accounts: &Url, http_status: u16) -> RegistrationError {
    RegistrationError::Strange {
        host: host(accounts),
        http_status,
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or("the accounts server").to_owned()
}
