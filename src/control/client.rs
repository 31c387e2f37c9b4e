//! The other end of the control API, for the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::control::server::{ErrorBody, ErrorEnvelope};
use crate::control::status::Status;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Asks a running daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why a daemon gave no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon is running: nobody listens on {}", socket.display())]
    NotRunning {
        /// Where it would listen.
        socket: PathBuf,
    },
    /// The socket cannot be connected to.
    #[error("cannot connect to {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer takes too long.
    #[error("the daemon did not answer within {} s", DEADLINE.as_secs())]
    Slow,
    /// The connection failed under way.
    #[error("the daemon broke off")]
    Broken {
        /// What happened.
        source: hyper::Error,
    },
    /// The answer cannot be read to its end.
    #[error("the answer of the daemon cannot be read")]
    Unreadable {
        /// What happened.
        source: axum::Error,
    },
    /// The daemon says no.
    #[error("{message}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The answer is not what was asked for.
    #[error("the answer of the daemon is not understood")]
    NotUnderstood {
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning { .. } => Some(
                "start it with `tieline run`; if it runs with another configuration, name that \
                 with --config"
                    .to_owned(),
            ),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("only the user who runs the daemon may ask it".to_owned())
            }
            Self::Slow => Some("it may be very busy: try again, and look at its log".to_owned()),
            Self::Refused { hint, .. } => hint.clone(),
            Self::NotUnderstood { .. } => Some(
                "the daemon may be of another version: compare `tieline --version` with what runs"
                    .to_owned(),
            ),
            Self::Connect { .. } | Self::Broken { .. } | Self::Unreadable { .. } => {
                Some("look at the daemon's log, and try again".to_owned())
            }
        }
    }
}

impl Client {
    /// Makes a client of the daemon that listens on `socket`; connects at each question.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Asks how the daemon is.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is not understood.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Asks any route. As [`serde_json::Value`] the answer keeps what this version does not know.
    ///
    /// # Errors
    ///
    /// When there is no answer, it is not a success, or it is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, route: &str) -> Result<T, ClientError> {
        let (status, bytes) = timeout(DEADLINE, self.ask(route))
            .await
            .map_err(|_elapsed| ClientError::Slow)??;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|source| ClientError::NotUnderstood { source });
        }
        let ErrorBody { message, hint } = serde_json::from_slice(&bytes)
            .map(|ErrorEnvelope { error }| error)
            .unwrap_or_else(|_| ErrorBody {
                message: format!("the daemon answered {status}"),
                hint: None,
            });
        Err(ClientError::Refused {
            status,
            message,
            hint,
        })
    }

    async fn ask(&self, route: &str) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| self.failed_to_connect(source))?;
        let broken = |source| ClientError::Broken { source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with this question: dropping the set aborts what is in it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = route.parse().unwrap_or_default();
        request
            .headers_mut()
            .insert(header::HOST, header::HeaderValue::from_static("localhost"));
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let bytes = to_bytes(Body::new(response.into_body()), MAX_ANSWER)
            .await
            .map_err(|source| ClientError::Unreadable { source })?;
        Ok((status, bytes.into()))
    }

    fn failed_to_connect(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { socket }
            }
            _ => ClientError::Connect { socket, source },
        }
    }
}
