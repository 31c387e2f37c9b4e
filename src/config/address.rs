//! Addresses of platforms.

use url::{Host, Url};

use crate::config::document::Value;

/// Reads the address of an API; it ends with a slash. Secrets are sent there, so it is reached over
/// TLS unless it is on this machine.
pub(super) fn read(value: &Value<'_>, example: &str) -> Option<Url> {
    let expected = format!("an address such as {example:?}");
    let text = value.text(&expected)?;
    let Ok(mut url) = Url::parse(text) else {
        value.reading().note(value.mistake(&expected));
        return None;
    };
    let problem = match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some(
            value
                .objection("tokens are sent there, so http:// is for this machine only")
                .hint("write https://, or http://127.0.0.1:PORT"),
        ),
        _ => Some(value.mistake(&expected)),
    };
    let problem = problem.or_else(|| {
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        (!bare).then(|| value.objection("it ends with its path: no user, `?` or `#`"))
    });
    if let Some(problem) = problem {
        value.reading().note(problem);
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
