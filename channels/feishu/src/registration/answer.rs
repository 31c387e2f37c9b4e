//! What the answers of the registration mean. Does no IO.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::api::brief;

/// The answer to `begin`.
#[derive(Debug)]
pub(super) enum Begun {
    Invited {
        url: Url,
        device_code: SecretString,
        interval: Duration,
        expires_in: Duration,
    },
    Refused(String),
    Strange,
}

/// The answer to `poll`.
#[derive(Debug)]
pub(super) enum Poll {
    Pending,
    SlowDown,
    /// Ask at Lark.
    OfLark,
    Made {
        app_id: String,
        app_secret: SecretString,
        user: Option<String>,
        of_lark: bool,
    },
    Denied,
    Expired,
    Refused(String),
}

/// Reads the answer to `begin` that came from `accounts`.
pub(super) fn begun(body: &[u8], accounts: &Url) -> Begun {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Begun::Strange;
    };
    if let Some(error) = text(&answer, "/error") {
        return Begun::Refused(refusal(&answer, error));
    }
    let code = text(&answer, "/device_code");
    let page = text(&answer, "/verification_uri_complete").and_then(|url| Url::parse(url).ok());
    let (Some(device_code), Some(mut url)) = (code, page) else {
        return Begun::Strange;
    };
    // Without TLS only where we asked without.
    if url.scheme() != "https" && url.scheme() != accounts.scheme() {
        return Begun::Strange;
    }
    for (name, value) in [("from", "sdk"), ("source", "tieline"), ("tp", "sdk")] {
        if !url.query_pairs().any(|(key, _)| key == name) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let seconds = |pointers: &[&str], default: u64, longest: u64| {
        let found = pointers
            .iter()
            .find_map(|pointer| answer.pointer(pointer)?.as_u64());
        Duration::from_secs(found.unwrap_or(default).clamp(1, longest))
    };
    Begun::Invited {
        url,
        device_code: device_code.into(),
        interval: seconds(&["/interval"], 5, 60),
        // It is known under both names.
        expires_in: seconds(&["/expires_in", "/expire_in"], 600, 3600),
    }
}

/// Reads the answer to `poll`. What cannot be read is asked for again.
pub(super) fn poll(body: &[u8]) -> Poll {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Poll::Pending;
    };
    let of_lark = text(&answer, "/user_info/tenant_brand") == Some("lark");
    let app_id = text(&answer, "/client_id");
    let app_secret = text(&answer, "/client_secret");
    if let (Some(app_id), Some(app_secret)) = (app_id, app_secret) {
        return Poll::Made {
            app_id: app_id.to_owned(),
            app_secret: app_secret.into(),
            user: text(&answer, "/user_info/open_id").map(str::to_owned),
            of_lark,
        };
    }
    match text(&answer, "/error") {
        _ if of_lark => Poll::OfLark,
        None | Some("authorization_pending") => Poll::Pending,
        Some("slow_down") => Poll::SlowDown,
        Some("access_denied") => Poll::Denied,
        Some("expired_token") => Poll::Expired,
        Some(error) => Poll::Refused(refusal(&answer, error)),
    }
}

fn refusal(answer: &Value, error: &str) -> String {
    match text(answer, "/error_description") {
        Some(description) => brief(&format!("{error}: {description}")),
        None => brief(error),
    }
}

fn text<'a>(answer: &'a Value, pointer: &str) -> Option<&'a str> {
    answer
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}
