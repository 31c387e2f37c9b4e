//! Addresses of platforms.

use thiserror::Error;
use url::{Host, Url};

use crate::config::document::Value;

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unfit {
    /// It is none, or nothing that a browser would open.
    #[error("this is no address")]
    NotAnAddress,
    /// It is not reached over TLS, and not on this machine.
    #[error("secrets are sent there, so http:// is for this machine only")]
    Open,
    /// It has a user, a query or a fragment.
    #[error("it ends with its path: no user, `?` or `#`")]
    NotBare,
}

/// Reads the address of an API; it ends with a slash. Secrets are sent there, so it is reached over
/// TLS unless it is on this machine.
pub(super) fn read(value: &Value<'_>, example: &str) -> Option<Url> {
    let expected = format!("an address such as {example:?}");
    let problem = match parse(value.text(&expected)?) {
        Ok(url) => return Some(url),
        Err(Unfit::NotAnAddress) => value.mistake(&expected),
        Err(unfit @ Unfit::Open) => value
            .objection(&unfit.to_string())
            .hint("write https://, or http://127.0.0.1:PORT"),
        Err(unfit @ Unfit::NotBare) => value.objection(&unfit.to_string()),
    };
    value.reading().note(problem);
    None
}

/// Reads an address by the rules of [`read`].
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Url, Unfit> {
    let mut url = Url::parse(text).map_err(|_| Unfit::NotAnAddress)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(Unfit::Open),
        _ => return Err(Unfit::NotAnAddress),
    }
    let is_bare = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_bare {
        return Err(Unfit::NotBare);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
