//! From nothing to an open connection, and what to do when there is none.

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use secrecy::ExposeSecret as _;
use thiserror::Error;
use tieline_net::ConnectError;
use tieline_net::uplink::{Late, Opened, Platform, Verdict, within};
use tracing::debug;
use url::Url;

use super::EventReader;
use super::deadlines::Deadlines;
use super::session::FeishuSession;
use crate::account::Account;
use crate::api::Failure;
use crate::discovery::{self, Endpoint, HandshakeHeaders, Refusal};

/// The largest frame that is taken. Feishu cuts events into parts long before.
const MAX_FRAME: usize = 16 << 20;

/// The most that is read of discovery's answer.
const MAX_ANSWER: usize = 1 << 20;

/// Feishu, as an app connects to it.
pub(super) struct Feishu {
    pub(super) account: Arc<Account>,
    pub(super) reader: Arc<dyn EventReader>,
    pub(super) deadlines: Deadlines,
}

/// Why there is no connection. No text has the URL in it.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    /// Without knowing who we are, nothing that arrives can be read.
    #[error("Feishu does not say who this app is")]
    Unknown(#[from] Failure),
    /// Discovery cannot be asked.
    #[error("Feishu cannot be asked where to connect")]
    Unreachable(#[source] reqwest::Error),
    /// Discovery or the handshake refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no WebSocket.
    #[error(transparent)]
    Connect(ConnectError),
    /// A step took too long.
    #[error(transparent)]
    Late(#[from] Late),
}

impl Platform for Feishu {
    const NAME: &'static str = "Feishu";

    type Session = FeishuSession;
    type Error = OpenError;

    /// Sees to it that events can be read, asks where to connect, connects.
    async fn open(&self) -> Result<Opened<FeishuSession>, OpenError> {
        let Self {
            account,
            reader,
            deadlines,
        } = self;
        let prepared = reader.prepare();
        within("finding out who this app is", deadlines.identity, prepared).await??;
        let endpoint = within("discovery", deadlines.discovery, discover(account)).await??;
        let opened = account
            .net
            .open_websocket(endpoint.url.expose_secret(), MAX_FRAME, deadlines.connect)
            .await;
        let (socket, _response) = opened.map_err(not_connected)?;
        debug!(
            device_id = endpoint.device_id,
            "Feishu has a connection for us"
        );
        let session = FeishuSession::new(endpoint.service_id, endpoint.timing);
        Ok(Opened {
            socket,
            upkeep: session.upkeep(),
            session,
        })
    }

    fn verdict(&self, error: &OpenError) -> Verdict {
        verdict(error)
    }
}

/// Says what to do when a connection could not be opened.
fn verdict(error: &OpenError) -> Verdict {
    match error {
        OpenError::Unknown(Failure::Again { after, .. }) => Verdict::Retry {
            after: Some(*after),
        },
        OpenError::Unknown(Failure::Operator { remedy, reason }) => Verdict::Operator {
            remedy: format!("{remedy} ({reason})"),
        },
        // The one passes when old connections end, but not soon.
        OpenError::Refused(refusal @ (Refusal::Slow { .. } | Refusal::Operator { .. })) => {
            Verdict::Operator {
                remedy: refusal.to_string(),
            }
        }
        OpenError::Unknown(
            Failure::TokenInvalid { .. } | Failure::Never { .. } | Failure::Unclear { .. },
        )
        | OpenError::Refused(Refusal::Retry { .. })
        | OpenError::Unreachable(_)
        | OpenError::Connect(_)
        | OpenError::Late(_) => Verdict::Retry { after: None },
    }
}

/// Asks where to connect. The answer is good for one connection.
async fn discover(account: &Account) -> Result<Endpoint, OpenError> {
    let settings = &account.settings;
    let (path, body) = discovery::request(&settings.app_id, &settings.app_secret);
    let mut answer = account
        .net
        .http()
        .post(below(&settings.base_url, path))
        .header("locale", "zh")
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string())
        .send()
        .await
        .map_err(unreachable)?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            // What is cut is no answer, which is tried again.
            break;
        }
    }
    Ok(discovery::read(&settings.base_url, status, &body)?)
}

fn below(base_url: &Url, path: &str) -> Url {
    let mut url = base_url.clone();
    url.set_path(&format!("{}/{path}", base_url.path().trim_end_matches('/')));
    url
}

fn unreachable(error: reqwest::Error) -> OpenError {
    OpenError::Unreachable(error.without_url())
}

fn not_connected(error: ConnectError) -> OpenError {
    match error {
        ConnectError::Refused(response) => {
            handshake_refused(response.status().as_u16(), response.headers()).into()
        }
        error @ (ConnectError::Deadline(_) | ConnectError::Failed(_)) => OpenError::Connect(error),
    }
}

fn handshake_refused(status: u16, headers: &HeaderMap) -> Refusal {
    let header = |name| headers.get(name)?.to_str().ok();
    let headers = HandshakeHeaders {
        status: header("Handshake-Status"),
        message: header("Handshake-Msg"),
        auth_code: header("Handshake-Autherrcode"),
    };
    discovery::handshake_refused(status, headers)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pretty_assertions::assert_eq;

    use super::*;
    use crate::api::Cure;

    #[test]
    fn every_failure_has_its_verdict() {
        let reason = || "why".to_owned();
        let retry = |after: Option<u64>| Verdict::Retry {
            after: after.map(Duration::from_secs),
        };
        let operator = |remedy: &str| Verdict::Operator {
            remedy: remedy.to_owned(),
        };
        let table: Vec<(OpenError, Verdict)> = vec![
            (
                Failure::Again {
                    after: Duration::from_secs(7),
                    reason: reason(),
                }
                .into(),
                retry(Some(7)),
            ),
            (
                Failure::Operator {
                    remedy: "do this".to_owned(),
                    reason: reason(),
                }
                .into(),
                operator("do this (why)"),
            ),
            (Failure::Unclear { reason: reason() }.into(), retry(None)),
            (
                Failure::TokenInvalid { reason: reason() }.into(),
                retry(None),
            ),
            (
                Failure::Never {
                    cure: Cure::Nothing,
                    reason: reason(),
                }
                .into(),
                retry(None),
            ),
            (Refusal::Retry { reason: reason() }.into(), retry(None)),
            (
                Refusal::Slow {
                    remedy: "stop that",
                    reason: reason(),
                }
                .into(),
                operator("stop that (why)"),
            ),
            (
                Refusal::Operator {
                    remedy: "publish it",
                    reason: reason(),
                }
                .into(),
                operator("publish it (why)"),
            ),
            (
                OpenError::Connect(ConnectError::Deadline(Duration::from_secs(1))),
                retry(None),
            ),
            (
                OpenError::Late(Late {
                    step: "discovery",
                    within: Duration::from_secs(1),
                }),
                retry(None),
            ),
        ];
        for (error, expected) in table {
            assert_eq!(verdict(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn discovery_is_below_whatever_the_base_url_is() {
        for (base_url, expected) in [
            (
                "https://open.feishu.cn",
                "https://open.feishu.cn/callback/ws/endpoint",
            ),
            (
                "http://127.0.0.1:1/mock",
                "http://127.0.0.1:1/mock/callback/ws/endpoint",
            ),
            (
                "http://127.0.0.1:1/mock/",
                "http://127.0.0.1:1/mock/callback/ws/endpoint",
            ),
        ] {
            let base_url = Url::parse(base_url).unwrap();
            let url = below(&base_url, "callback/ws/endpoint");
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn a_refused_handshake_is_read_from_its_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("Handshake-Status", "514".parse().unwrap());
        headers.insert("Handshake-Msg", "too many".parse().unwrap());
        headers.insert("Handshake-Autherrcode", "1000040350".parse().unwrap());
        let refusal = handshake_refused(400, &headers);
        assert!(matches!(refusal, Refusal::Slow { .. }), "{refusal:?}");
        assert!(refusal.to_string().contains("too many"), "{refusal}");
        let refusal = handshake_refused(502, &HeaderMap::new());
        assert!(matches!(refusal, Refusal::Retry { .. }), "{refusal:?}");
    }
}
