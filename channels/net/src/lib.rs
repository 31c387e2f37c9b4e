//! How channels reach their platforms: one TLS configuration, with the certificates that this
//! machine trusts, for HTTP and for WebSockets, so that a company's own authority works for both;
//! and how often they call them.
//!
//! - [`uplink`]: a connection that is kept up, and what comes by it
//! - [`download`]: files that are written while they arrive
//! - [`pace`]: budgets of calls
//! - `scripted`: a server for tests (feature `scripted`)

pub mod download;
pub mod pace;
#[cfg(feature = "scripted")]
pub mod scripted;
pub mod uplink;
mod websocket;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;
use thiserror::Error;

pub use self::websocket::{ConnectError, WebSocket};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What a channel reaches its platform with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Net {
    http: reqwest::Client,
    tls: Arc<ClientConfig>,
}

/// Why nothing can be reached from this machine.
#[derive(Debug, Error)]
pub enum NetError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

impl Net {
    /// Sets up TLS and HTTP. Reads the machine's certificates, so make one and clone it.
    ///
    /// # Errors
    ///
    /// When either cannot be set up.
    pub fn new() -> Result<Self, NetError> {
        let tls = Arc::new(tls()?);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            // A redirect is followed by whoever knows which hosts may see the token.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .user_agent(concat!("tieline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NetError::Http)?;
        Ok(Self { http, tls })
    }

    /// Returns the HTTP client. It follows no redirects and has no deadline but for connecting: each
    /// request is given its own.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }
}

/// Makes a client of an HTTP server on a Unix socket of this machine, for which neither
/// certificates nor proxies matter.
///
/// # Errors
///
/// When it cannot be set up.
pub fn local_http(socket: &Path) -> Result<reqwest::Client, NetError> {
    let tls = builder()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .unix_socket(socket)
        .no_proxy()
        .build()
        .map_err(NetError::Http)
}

/// TLS by `ring`, whatever the process has for a default.
fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, NetError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(NetError::Tls)
}

fn tls() -> Result<ClientConfig, NetError> {
    match builder()?.with_platform_verifier() {
        Ok(verified) => Ok(verified.with_no_client_auth()),
        // What is reached without TLS can be reached all the same.
        Err(error) => {
            tracing::warn!(
                %error,
                "this machine has no certificate authorities, so that no platform can be reached \
                 over TLS: install its package `ca-certificates`"
            );
            Ok(builder()?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth())
        }
    }
}
