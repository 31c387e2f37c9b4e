//! An event on its way to the intake, and its acknowledgement.

use serde_json::Value;
use tieline_net::uplink::{Delivery, Outcome};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::api::brief;
use crate::frame::{AckCode, Frame};

/// An event or a callback, complete.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) payload: Vec<u8>,
    line: String,
    event_id: String,
    event_type: String,
}

/// What an event is acknowledged with: the frame that brought it, or its last part.
#[derive(Debug)]
pub(super) struct Slip {
    /// Without its payload.
    frame: Frame,
    received_at: Instant,
}

// === impl Push ===

impl Push {
    /// Looks at a payload just enough to see where it belongs. Whatever it is, it is a push.
    pub(super) fn new(payload: Vec<u8>) -> Self {
        let outline = serde_json::from_slice::<Value>(&payload).unwrap_or_default();
        let text = |place: &str| outline.pointer(place).and_then(Value::as_str);
        let event_type = brief(text("/header/event_type").unwrap_or_default());
        let line = match text("/event/context/open_message_id") {
            // Somebody waits for the answer to a press, so it waits for no message of its chat.
            Some(card) if event_type == "card.action.trigger" => card,
            Some(_) | None => text("/event/message/chat_id")
                .or_else(|| text("/event/chat_id"))
                .unwrap_or_default(),
        };
        Self {
            line: line.to_owned(),
            event_id: brief(text("/header/event_id").unwrap_or_default()),
            event_type,
            payload,
        }
    }
}

impl Delivery for Push {
    type Slip = Slip;

    fn line(&self) -> &str {
        &self.line
    }

    fn name(&self) -> &str {
        &self.event_id
    }

    fn kind(&self) -> &str {
        &self.event_type
    }
}

// === impl Slip ===

impl Slip {
    /// Keeps what `frame` has to be acknowledged with.
    pub(super) fn new(frame: Frame, received_at: Instant) -> Self {
        Self {
            frame: Frame {
                payload: None,
                ..frame
            },
            received_at,
        }
    }

    /// Makes the acknowledgement.
    pub(super) fn acknowledgement(self, outcome: Outcome) -> Message {
        let code = match outcome {
            Outcome::Taken => AckCode::Ok,
            Outcome::Again => AckCode::Failed,
        };
        let took_ms = u64::try_from(self.received_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Message::binary(self.frame.into_ack(code, None, took_ms).write())
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_push_stands_in_the_line_of_its_chat_or_card() {
        let header = |kind: &str| json!({"event_id": "e1", "event_type": kind});
        let table = [
            (
                json!({
                    "header": header("im.message.receive_v1"),
                    "event": {"message": {"chat_id": "oc_1", "message_id": "om_1"}},
                }),
                ("oc_1", "e1", "im.message.receive_v1"),
            ),
            (
                json!({
                    "header": header("im.message.recalled_v1"),
                    "event": {"chat_id": "oc_1", "message_id": "om_1"},
                }),
                ("oc_1", "e1", "im.message.recalled_v1"),
            ),
            (
                json!({
                    "header": header("card.action.trigger"),
                    "event": {"context": {"open_message_id": "om_2", "open_chat_id": "oc_1"}},
                }),
                ("om_2", "e1", "card.action.trigger"),
            ),
            (
                json!({"header": header("moon"), "event": {"chat_id": 7}}),
                ("", "e1", "moon"),
            ),
            (json!({"header": 7}), ("", "", "")),
            (json!([]), ("", "", "")),
        ];
        for (payload, expected) in table {
            let push = Push::new(payload.to_string().into_bytes());
            let seen = (push.line(), push.name(), push.kind());
            assert_eq!(seen, expected, "{payload}");
        }
        let garbage = Push::new(b"{\"header".to_vec());
        assert_eq!(garbage.line(), "");
    }
}
