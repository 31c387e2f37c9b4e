//! Where the long connection is: what Feishu is asked, and what its answers mean.
//!
//! Each connect asks anew, because the ticket in the URL is good for one connection. The URL is a
//! credential: no error and no `Debug` shows it.
//!
//! **Architecture Invariant:** this module does no IO.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use crate::api::brief;
use crate::frame::ClientConfig;

/// Where to ask, below the base URL. Needs no token.
const PATH: &str = "callback/ws/endpoint";

/// A place to connect to, once.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The URL with its ticket.
    pub(crate) url: SecretString,
    /// What each ping names.
    pub(crate) service_id: i32,
    /// Feishu's name of this connection, for the log.
    pub(crate) device_id: Option<String>,
    /// How to keep the connection.
    pub(crate) timing: Timing,
}

/// How to keep a connection: what Feishu asks for, within sane limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How often to ping.
    pub(crate) ping: Duration,
    /// The longest pause between attempts.
    pub(crate) reconnect_interval: Duration,
    /// How much to spread the first attempt when Feishu sends everybody away.
    pub(crate) reconnect_nonce: Duration,
}

/// Why there is no connection, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// Try again soon.
    #[error("{reason}")]
    Retry {
        /// What happened.
        reason: String,
    },
    /// Try again in minutes: it passes by itself, or somebody helps it along.
    #[error("{remedy} ({reason})")]
    Slow {
        /// What would help.
        remedy: &'static str,
        /// What happened.
        reason: String,
    },
    /// Somebody must do something; try again in minutes to see whether they have.
    #[error("{remedy} ({reason})")]
    Operator {
        /// What they must do.
        remedy: &'static str,
        /// What happened.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    code: i64,
    #[serde(default)]
    msg: Option<String>,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "URL", default)]
    url: Option<String>,
    // Read apart, so that an odd one does not cost the connection.
    #[serde(rename = "ClientConfig", default)]
    config: Option<Value>,
}

/// What a refused handshake says in its headers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HandshakeHeaders<'a> {
    /// `Handshake-Status`.
    pub(crate) status: Option<&'a str>,
    /// `Handshake-Msg`.
    pub(crate) message: Option<&'a str>,
    /// `Handshake-Autherrcode`.
    pub(crate) auth_code: Option<&'a str>,
}

const PUBLISH: &str = "check app_id and app_secret in the developer console under Credentials, \
    and that a version of the app is published";
const LONG_CONNECTION: &str = "in the developer console choose \"long connection\" under Events & \
    callbacks of a custom app, and publish a version";
const OTHER_DOMAIN: &str = "the app is on the other side: set base_url to \
    \"https://open.larksuite.com\" for Lark, or \"https://open.feishu.cn\" for Feishu";
const TOO_MANY: &str = "stop the other programs that use this app: it has as many connections as \
    it may, and old ones take minutes to go";

/// Returns what to ask, and where below the base URL.
pub(crate) fn request(app_id: &str, app_secret: &SecretString) -> (&'static str, Value) {
    let body = json!({"AppID": app_id, "AppSecret": app_secret.expose_secret()});
    (PATH, body)
}

/// Reads the answer to the question that went to `base_url`.
///
/// # Errors
///
/// When it is not a place to connect to.
pub(crate) fn read(base_url: &Url, http_status: u16, body: &[u8]) -> Result<Endpoint, Refusal> {
    if http_status != 200 {
        return Err(retry(format!("discovery: HTTP status {http_status}")));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Err(retry("discovery: an answer that cannot be read".to_owned()));
    };
    if answer.code != 0 {
        return Err(refused(answer.code, answer.msg.as_deref()));
    }
    let Some(Data {
        url: Some(url),
        config,
    }) = answer.data
    else {
        return Err(retry("discovery: an answer without a URL".to_owned()));
    };
    let (service_id, device_id) = name_of_connection(base_url, &url)?;
    let config = config.and_then(|config| serde_json::from_value(config).ok());
    Ok(Endpoint {
        url: url.into(),
        service_id,
        device_id,
        timing: Timing::default().changed_by(config),
    })
}

/// Tells what a refused handshake means. Its HTTP status is not documented and says nothing.
pub(crate) fn handshake_refused(http_status: u16, headers: HandshakeHeaders<'_>) -> Refusal {
    let HandshakeHeaders {
        status,
        message,
        auth_code,
    } = headers;
    let mut reason = format!("handshake: HTTP status {http_status}");
    for (name, value) in [("status", status), ("code", auth_code), ("", message)] {
        if let Some(value) = value {
            reason.push_str(", ");
            reason.push_str(name);
            reason.push(' ');
            reason.push_str(&brief(value));
        }
    }
    match (status.map(str::trim), auth_code.map(str::trim)) {
        (Some("514"), Some("1000040350")) => Refusal::Slow {
            remedy: TOO_MANY,
            reason,
        },
        (Some("403"), _) => Refusal::Operator {
            remedy: LONG_CONNECTION,
            reason,
        },
        _ => retry(reason),
    }
}

fn refused(code: i64, message: Option<&str>) -> Refusal {
    let reason = match message {
        Some(message) if !message.is_empty() => {
            format!("discovery: code {code}: {}", brief(message))
        }
        _ => format!("discovery: code {code}"),
    };
    match code {
        403 => Refusal::Operator {
            remedy: LONG_CONNECTION,
            reason,
        },
        514 | 1_000_040_344 | 1_000_040_345 => Refusal::Operator {
            remedy: PUBLISH,
            reason,
        },
        1_000_040_351 => Refusal::Operator {
            remedy: OTHER_DOMAIN,
            reason,
        },
        1_000_040_350 => Refusal::Slow {
            remedy: TOO_MANY,
            reason,
        },
        // 1 and 1000040343 are known to pass; of others nothing is known.
        _ => retry(reason),
    }
}

/// Returns `service_id` and `device_id`, which stand anywhere in the query.
fn name_of_connection(base_url: &Url, url: &str) -> Result<(i32, Option<String>), Refusal> {
    let Ok(url) = Url::parse(url) else {
        return Err(retry("discovery: a URL that is none".to_owned()));
    };
    // Without TLS only where discovery itself was asked without.
    let trusted = url.scheme() == "wss" || (url.scheme() == "ws" && base_url.scheme() == "http");
    if !trusted {
        return Err(retry("discovery: a URL that is not `wss`".to_owned()));
    }
    let parameter = |name| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    match parameter("service_id").and_then(|text| text.parse().ok()) {
        Some(service_id) => Ok((service_id, parameter("device_id"))),
        None => Err(retry("discovery: a URL without `service_id`".to_owned())),
    }
}

fn retry(reason: String) -> Refusal {
    Refusal::Retry { reason }
}

// === impl Endpoint ===

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("service_id", &self.service_id)
            .field("device_id", &self.device_id)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

// === impl Timing ===

impl Timing {
    /// The most often that we ping: more keeps a broken link unnoticed for too long.
    const PING: Duration = Duration::from_secs(30);

    /// The longest pause that we let ourselves be asked for.
    const LONGEST: Duration = Duration::from_secs(600);

    /// Returns the timing after a word of Feishu. What is missing or makes no sense changes nothing.
    pub(crate) fn changed_by(self, config: Option<ClientConfig>) -> Self {
        let Some(config) = config else { return self };
        let seconds = |value: Option<i64>, least: u64| {
            let value = u64::try_from(value?).ok()?;
            (value >= least).then(|| Duration::from_secs(value).min(Self::LONGEST))
        };
        Self {
            ping: seconds(config.ping_interval, 1).map_or(self.ping, |ping| ping.min(Self::PING)),
            reconnect_interval: seconds(config.reconnect_interval, 1)
                .unwrap_or(self.reconnect_interval),
            reconnect_nonce: seconds(config.reconnect_nonce, 0).unwrap_or(self.reconnect_nonce),
        }
    }
}

impl Default for Timing {
    /// What the official clients assume until they are told.
    fn default() -> Self {
        Self {
            ping: Self::PING,
            reconnect_interval: Duration::from_secs(120),
            reconnect_nonce: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    use super::*;

    const SECRETS: [&str; 2] = ["K33P-key", "K33P-ticket"];

    fn base() -> Url {
        Url::parse("https://open.feishu.cn").unwrap()
    }

    fn ok(url: &str, config: Value) -> Vec<u8> {
        let data = json!({"URL": url, "ClientConfig": config});
        json!({"code": 0, "msg": "", "data": data})
            .to_string()
            .into_bytes()
    }

    fn kind(refusal: &Refusal) -> &'static str {
        match refusal {
            Refusal::Retry { .. } => "retry",
            Refusal::Slow { .. } => "slow",
            Refusal::Operator { .. } => "operator",
        }
    }

    #[test]
    fn the_question_names_the_app_with_its_secret() {
        assert_eq!(
            request("cli_1", &"s3cret".into()),
            (
                "callback/ws/endpoint",
                json!({"AppID": "cli_1", "AppSecret": "s3cret"})
            )
        );
    }

    #[test]
    fn an_endpoint_is_read_wherever_its_names_stand() {
        let table = [
            "wss://h/ws/v2?device_id=7&service_id=33554678&access_key=K33P-key&ticket=K33P-ticket",
            "wss://h/ws/v2?ticket=K33P-ticket&access_key=K33P-key&service_id=33554678&device_id=7",
        ];
        let config = json!({"ReconnectCount": -1, "ReconnectInterval": 90, "ReconnectNonce": 25, "PingInterval": 20});
        for url in table {
            let endpoint = read(&base(), 200, &ok(url, config.clone())).unwrap();
            assert_eq!(endpoint.url.expose_secret(), url);
            assert_eq!(endpoint.service_id, 33_554_678);
            assert_eq!(endpoint.device_id.as_deref(), Some("7"));
            let timing = Timing {
                ping: Duration::from_secs(20),
                reconnect_interval: Duration::from_secs(90),
                reconnect_nonce: Duration::from_secs(25),
            };
            assert_eq!(endpoint.timing, timing);
            let shown = format!("{endpoint:?}");
            assert!(
                SECRETS.iter().all(|secret| !shown.contains(secret)),
                "{shown}"
            );
        }
    }

    #[test]
    fn an_odd_configuration_does_not_cost_the_connection() {
        for config in [json!(null), json!("x"), json!({"PingInterval": "soon"})] {
            let endpoint = read(&base(), 200, &ok("wss://h/?service_id=1", config)).unwrap();
            assert_eq!(endpoint.timing, Timing::default());
        }
    }

    #[test]
    fn a_connection_without_tls_is_only_taken_from_a_base_url_without() {
        let answer = ok("ws://127.0.0.1:9/ws?service_id=1", json!(null));
        let local = Url::parse("http://127.0.0.1:9").unwrap();
        assert!(read(&local, 200, &answer).is_ok());
        let refusal = read(&base(), 200, &answer).unwrap_err();
        assert_eq!(refusal.to_string(), "discovery: a URL that is not `wss`");
    }

    #[test]
    fn every_code_is_treated_as_documented() {
        let table = [
            (1, "retry"),
            (403, "operator"),
            (514, "operator"),
            (1_000_040_343, "retry"),
            (1_000_040_344, "operator"),
            (1_000_040_345, "operator"),
            (1_000_040_350, "slow"),
            (1_000_040_351, "operator"),
            (7, "retry"),
            (-1, "retry"),
        ];
        for (code, expected) in table {
            let body = json!({"code": code, "msg": "why"}).to_string();
            let refusal = read(&base(), 200, body.as_bytes()).unwrap_err();
            assert_eq!(kind(&refusal), expected, "{code}");
            let said = refusal.to_string();
            assert!(said.contains(&format!("code {code}: why")), "{said}");
        }
    }

    #[test]
    fn what_is_no_answer_is_tried_again() {
        let no_names = ok(
            "wss://h/?access_key=K33P-key&ticket=K33P-ticket",
            json!(null),
        );
        let no_number = ok("wss://h/?service_id=K33P-key", json!(null));
        let no_url = ok("K33P-ticket", json!(null));
        let table: [(u16, &[u8]); 9] = [
            (500, br#"{"code":0,"data":{"URL":"wss://h/?service_id=1"}}"#),
            (502, b"<html>"),
            (200, b""),
            (200, b"[]"),
            (200, br#"{"code":0}"#),
            (200, br#"{"code":0,"data":{}}"#),
            (200, &no_names),
            (200, &no_number),
            (200, &no_url),
        ];
        for (status, body) in table {
            let refusal = read(&base(), status, body).unwrap_err();
            assert_eq!(kind(&refusal), "retry");
            let shown = format!("{refusal} {refusal:?}");
            assert!(
                SECRETS.iter().all(|secret| !shown.contains(secret)),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_wrong_domain_names_both() {
        let refusal = read(&base(), 200, br#"{"code":1000040351,"msg":""}"#).unwrap_err();
        insta::assert_snapshot!(refusal, @r#"the app is on the other side: set base_url to "https://open.larksuite.com" for Lark, or "https://open.feishu.cn" for Feishu (discovery: code 1000040351)"#);
    }

    #[test]
    fn a_refused_handshake_is_judged_by_its_headers() {
        let table = [
            (Some("514"), Some("1000040350"), "slow"),
            (Some(" 514 "), Some("1000040350 "), "slow"),
            (Some("514"), Some("1000040343"), "retry"),
            (Some("514"), None, "retry"),
            (Some("403"), None, "operator"),
            (Some("403"), Some("1000040350"), "operator"),
            (Some("500"), None, "retry"),
            (None, Some("1000040350"), "retry"),
            (None, None, "retry"),
        ];
        for (status, auth_code, expected) in table {
            let headers = HandshakeHeaders {
                status,
                message: Some("why"),
                auth_code,
            };
            let refusal = handshake_refused(400, headers);
            assert_eq!(kind(&refusal), expected, "{status:?} {auth_code:?}");
        }
    }

    #[test]
    fn a_timing_stays_within_sane_limits() {
        let config = |count, interval, nonce, ping| ClientConfig {
            reconnect_count: count,
            reconnect_interval: interval,
            reconnect_nonce: nonce,
            ping_interval: ping,
        };
        let timing = |ping, interval, nonce| Timing {
            ping: Duration::from_secs(ping),
            reconnect_interval: Duration::from_secs(interval),
            reconnect_nonce: Duration::from_secs(nonce),
        };
        let table = [
            (None, timing(30, 120, 30)),
            (Some(config(None, None, None, None)), timing(30, 120, 30)),
            (
                Some(config(Some(3), Some(60), Some(0), Some(5))),
                timing(5, 60, 0),
            ),
            (
                Some(config(Some(0), Some(0), Some(-1), Some(0))),
                timing(30, 120, 30),
            ),
            (
                Some(config(None, Some(i64::MAX), Some(i64::MAX), Some(i64::MAX))),
                timing(30, 600, 600),
            ),
            (
                Some(config(None, Some(i64::MIN), None, Some(i64::MIN))),
                timing(30, 120, 30),
            ),
        ];
        for (config, expected) in table {
            assert_eq!(Timing::default().changed_by(config), expected, "{config:?}");
        }
    }

    proptest! {
        #[test]
        fn no_url_is_ever_shown(
            tail in "[a-z0-9=&%?/#]{0,40}",
            scheme in prop::sample::select(vec!["wss", "ws", "https", "", "::"]),
        ) {
            let url = format!("{scheme}://h/?ticket=K33P-ticket&{tail}");
            let shown = format!("{:?}", read(&base(), 200, &ok(&url, json!(null))));
            prop_assert!(!shown.contains("K33P-ticket"), "{}", shown);
        }
    }
}
