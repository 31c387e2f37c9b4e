//! What Slack's frames say.

use serde::Deserialize;
use serde_json::{Value, json};
use tieline_net::uplink::Delivery;
use tokio_tungstenite::tungstenite::Message;

/// What Slack delivers, with what is needed to acknowledge it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    /// The name of this delivery.
    pub(crate) envelope_id: String,
    /// `events_api`, `interactive`, `slash_commands`.
    pub(crate) kind: String,
    /// What happened.
    pub(crate) payload: Value,
}

impl Envelope {
    /// Returns the chat that it is about, where that can be told: what must stay in order.
    fn chat(&self) -> Option<&str> {
        const PLACES: &[&str] = &[
            "/event/channel",
            "/event/channel/id",
            "/event/item/channel",
            "/channel/id",
            "/container/channel_id",
            "/channel_id",
        ];
        PLACES
            .iter()
            .find_map(|place| self.payload.pointer(place)?.as_str())
    }
}

impl Delivery for Envelope {
    /// Its `envelope_id`, to acknowledge it.
    type Slip = String;

    fn line(&self) -> &str {
        self.chat().unwrap_or_default()
    }

    fn name(&self) -> &str {
        &self.envelope_id
    }

    fn kind(&self) -> &str {
        &self.kind
    }
}

/// One text frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// The connection is ready.
    Hello {
        /// How many connections the app has, this one included.
        num_connections: Option<usize>,
    },
    /// The connection is about to end.
    Disconnect(DisconnectReason),
    /// Something for us.
    Envelope(Envelope),
    /// Slack withholds events: there were too many within an hour.
    AppRateLimited {
        /// To be acknowledged.
        envelope_id: String,
    },
    /// Nothing that we know, to be acknowledged: another delivery would be no clearer.
    Unknown {
        /// To be acknowledged.
        envelope_id: String,
        /// Slack's word for it.
        kind: String,
    },
    /// Not even that. Slack's own errors come so.
    Noise,
}

/// Why Slack ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DisconnectReason {
    /// It ends in about ten seconds.
    Warning,
    /// Routine, every few hours.
    RefreshRequested,
    /// The app has more than ten connections.
    TooManyWebsockets,
    /// Socket Mode is switched off.
    LinkDisabled,
    /// Something new, or nothing.
    Other(String),
}

/// Everything that any frame may have; all of it may be missing.
#[derive(Deserialize)]
struct RawFrame {
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    envelope_id: Value,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    reason: Value,
    #[serde(default)]
    num_connections: Value,
}

impl Frame {
    /// Reads a text frame. Nothing is an error: what cannot be read is [`Frame::Noise`].
    pub(super) fn read(text: &str) -> Self {
        let Ok(raw) = serde_json::from_str::<RawFrame>(text) else {
            return Self::Noise;
        };
        let kind = raw.kind.as_str().unwrap_or_default();
        match kind {
            "hello" => {
                return Self::Hello {
                    num_connections: raw
                        .num_connections
                        .as_u64()
                        .and_then(|number| usize::try_from(number).ok()),
                };
            }
            "disconnect" => {
                return Self::Disconnect(DisconnectReason::read(
                    raw.reason.as_str().unwrap_or_default(),
                ));
            }
            _ => {}
        }
        let envelope_id = match raw.envelope_id {
            Value::String(envelope_id) if !envelope_id.is_empty() => envelope_id,
            _ => return Self::Noise,
        };
        let is_app_rate_limited = kind == "app_rate_limited"
            || raw.payload.get("type").and_then(Value::as_str) == Some("app_rate_limited");
        if is_app_rate_limited {
            return Self::AppRateLimited { envelope_id };
        }
        match kind {
            "events_api" | "interactive" | "slash_commands" => Self::Envelope(Envelope {
                envelope_id,
                kind: kind.to_owned(),
                payload: raw.payload,
            }),
            _ => Self::Unknown {
                envelope_id,
                kind: kind.to_owned(),
            },
        }
    }
}

impl DisconnectReason {
    fn read(word: &str) -> Self {
        match word {
            "warning" => Self::Warning,
            "refresh_requested" => Self::RefreshRequested,
            "too_many_websockets" => Self::TooManyWebsockets,
            "link_disabled" => Self::LinkDisabled,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Returns the frame that acknowledges a delivery.
pub(super) fn acknowledgement(envelope_id: &str) -> Message {
    Message::text(json!({ "envelope_id": envelope_id }).to_string())
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn frames_are_read_leniently() {
        let unknown = |kind: &str| Frame::Unknown {
            envelope_id: "e1".to_owned(),
            kind: kind.to_owned(),
        };
        let hello = |num_connections| Frame::Hello { num_connections };
        let limited = || Frame::AppRateLimited {
            envelope_id: "e1".to_owned(),
        };
        let envelope = |kind: &str, payload| {
            Frame::Envelope(Envelope {
                envelope_id: "e1".to_owned(),
                kind: kind.to_owned(),
                payload,
            })
        };
        use DisconnectReason as Reason;
        let cases = [
            ("", Frame::Noise),
            ("UNAUTHENTICATED: cache_error", Frame::Noise),
            ("null", Frame::Noise),
            ("[1]", Frame::Noise),
            ("\"hello\"", Frame::Noise),
            ("{}", Frame::Noise),
            (r#"{"type":1}"#, Frame::Noise),
            (r#"{"type":"hello"}"#, hello(None)),
            (r#"{"type":"hello","num_connections":"many"}"#, hello(None)),
            (
                r#"{"type":"hello","num_connections":2,"debug_info":{},"connection_info":null}"#,
                hello(Some(2)),
            ),
            (
                r#"{"type":"disconnect"}"#,
                Frame::Disconnect(Reason::Other(String::new())),
            ),
            (
                r#"{"type":"disconnect","reason":"warning","debug_info":{"host":"x"}}"#,
                Frame::Disconnect(Reason::Warning),
            ),
            (
                r#"{"type":"disconnect","reason":"refresh_requested"}"#,
                Frame::Disconnect(Reason::RefreshRequested),
            ),
            (
                r#"{"type":"disconnect","reason":"too_many_websockets"}"#,
                Frame::Disconnect(Reason::TooManyWebsockets),
            ),
            (
                r#"{"type":"disconnect","reason":"link_disabled"}"#,
                Frame::Disconnect(Reason::LinkDisabled),
            ),
            (
                r#"{"type":"disconnect","reason":"moon"}"#,
                Frame::Disconnect(Reason::Other("moon".to_owned())),
            ),
            (r#"{"type":"events_api","payload":{}}"#, Frame::Noise),
            (
                r#"{"type":"events_api","envelope_id":"","payload":{}}"#,
                Frame::Noise,
            ),
            (r#"{"type":"events_api","envelope_id":7}"#, Frame::Noise),
            (
                r#"{"type":"events_api","envelope_id":"e1"}"#,
                envelope("events_api", Value::Null),
            ),
            (
                r#"{"type":"interactive","envelope_id":"e1","payload":[],"retry_attempt":"x"}"#,
                envelope("interactive", json!([])),
            ),
            (
                r#"{"type":"slash_commands","envelope_id":"e1","payload":{"a":1},"new":1}"#,
                envelope("slash_commands", json!({"a": 1})),
            ),
            (r#"{"type":"moon","envelope_id":"e1"}"#, unknown("moon")),
            (r#"{"type":1,"envelope_id":"e1"}"#, unknown("")),
            (r#"{"envelope_id":"e1"}"#, unknown("")),
            (
                r#"{"type":"events_api","envelope_id":"e1","payload":{"type":"app_rate_limited"}}"#,
                limited(),
            ),
            (
                r#"{"type":"app_rate_limited","envelope_id":"e1"}"#,
                limited(),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Frame::read(text), expected, "{text}");
        }
    }

    #[test]
    fn chat_is_found_wherever_slack_puts_it() {
        let cases = [
            (json!({"event": {"channel": "C1"}}), Some("C1")),
            (json!({"event": {"channel": {"id": "C1"}}}), Some("C1")),
            (json!({"event": {"item": {"channel": "C1"}}}), Some("C1")),
            (json!({"channel": {"id": "C1"}}), Some("C1")),
            (json!({"container": {"channel_id": "C1"}}), Some("C1")),
            (json!({"channel_id": "C1"}), Some("C1")),
            (json!({"event": {"channel": 7}}), None),
            (json!("C1"), None),
            (Value::Null, None),
        ];
        for (payload, expected) in cases {
            let envelope = Envelope {
                envelope_id: "e1".to_owned(),
                kind: "events_api".to_owned(),
                payload,
            };
            assert_eq!(envelope.chat(), expected, "{}", envelope.payload);
        }
    }

    #[test]
    fn acknowledgement_is_the_bare_id() {
        assert_eq!(
            acknowledgement("a\"b"),
            Message::text(r#"{"envelope_id":"a\"b"}"#)
        );
    }
}
