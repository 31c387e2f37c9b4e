//! Envelopes: to which connection, acknowledged when, and again.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::mock::connections::Socket;
use super::super::mock::delivery::{Attempt, TAKEN};
use super::state::Later;
use super::{EventId, Knowledge as _, MockSlack, State};

/// How something was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    envelope_id: String,
    envelope: Value,
    connection: u64,
    times: usize,
}

/// The kinds of envelopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeKind {
    Event,
    Interactive,
    Command,
    /// Of a type that nobody knows.
    Odd(String),
}

impl EnvelopeKind {
    fn name(&self) -> &str {
        match self {
            Self::Event => "events_api",
            Self::Interactive => "interactive",
            Self::Command => "slash_commands",
            Self::Odd(name) => name,
        }
    }

    fn accepts_payload(&self) -> bool {
        matches!(self, Self::Interactive | Self::Command)
    }
}

impl State {
    pub(super) fn deliver(&mut self, index: usize) {
        let Some(connection) = self.any_connection() else {
            // People see an error for what is no event.
            let is_event = self.common.pushes[index].kind == EnvelopeKind::Event;
            if is_event && !self.waiting.contains(&index) {
                self.waiting.push_back(index);
            }
            return;
        };
        let envelope_id = format!("{:032x}", u128::from(self.next()) * 0x9e37_79b9_7f4a_7c15);
        let push = &self.common.pushes[index];
        // What met no connection was an attempt, too.
        let missed = usize::from(self.waiting.contains(&index));
        let attempt = (push.attempts.len() + missed).min(3);
        let mut envelope = json!({
            "envelope_id": envelope_id,
            "type": push.kind.name(),
            "payload": push.payload,
            "accepts_response_payload": push.kind.accepts_payload(),
        });
        if push.kind == EnvelopeKind::Event {
            envelope["retry_attempt"] = json!(attempt);
            envelope["retry_reason"] = json!(if attempt == 0 { "" } else { "timeout" });
        }
        let n_attempt = push.attempts.len();
        let text = envelope.to_string();
        let sent = Sent {
            envelope_id,
            envelope,
            connection,
            times: 1,
        };
        self.common.pushes[index].attempts.push(Attempt::new(sent));
        self.tell(connection, Socket::Text(text));
        let due = Later::AckDue {
            push: index,
            attempt: n_attempt,
        };
        self.later(self.options.timing.ack, due);
    }

    /// Delivers what met no connection.
    pub(super) fn deal_waiting(&mut self) {
        for index in self.waiting.clone() {
            self.deal(index);
        }
        self.waiting.clear();
    }

    pub(super) fn ack_is_due(&mut self, index: usize, attempt: usize) {
        let push = &self.common.pushes[index];
        let is_latest = attempt + 1 == push.attempts.len();
        if !push.attempts[attempt].acks.is_empty() || !is_latest {
            return;
        }
        // Only events come again; people see an error for the rest.
        if push.kind == EnvelopeKind::Event
            && let Some(delay) = self.options.timing.retries.get(attempt)
        {
            self.later(*delay, Later::Retry { push: index });
        }
    }

    /// Takes what a client sent.
    pub(super) fn take_ack(&mut self, connection: u64, text: &str) {
        if let Err(why) = self.read_ack(connection, text) {
            self.violation(format!("an acknowledgement that {why}: {text}"));
        }
    }

    fn read_ack(&mut self, connection: u64, text: &str) -> Result<(), &'static str> {
        let Ok(Value::Object(ack)) = serde_json::from_str(text) else {
            return Err("is no JSON object");
        };
        if ack.keys().any(|it| it != "envelope_id" && it != "payload") {
            return Err("has unknown fields");
        }
        let id = ack.get("envelope_id").and_then(Value::as_str);
        let id = id.ok_or("names no envelope")?;
        let found = self.common.pushes.iter_mut().rev().find_map(|push| {
            let at = push
                .attempts
                .iter()
                .position(|it| it.sent.envelope_id == id)?;
            Some((push, at))
        });
        let (push, at) = found.ok_or("names an envelope that was never sent")?;
        let accepts_payload = push.kind.accepts_payload();
        let attempt = &mut push.attempts[at];
        if attempt.sent.connection != connection {
            return Err("came by another connection than the envelope");
        }
        if attempt.acks.len() == attempt.sent.times {
            return Err("came twice");
        }
        attempt.acks.push((Instant::now(), TAKEN));
        if let Some(payload) = ack.get("payload") {
            let is_empty = payload.as_object().is_some_and(serde_json::Map::is_empty);
            if !is_empty && !accepts_payload {
                return Err("has a payload where none is accepted");
            }
            push.response = Some(payload.clone());
        }
        Ok(())
    }
}

/// Returns the name of a message among all channels.
pub(super) fn name_of(channel: &str, ts: &str) -> String {
    format!("{channel}/{ts}")
}

impl MockSlack {
    /// Returns what was delivered, or is to be, about a message.
    pub(crate) fn events_of(&self, channel: &str, ts: &str) -> Vec<EventId> {
        self.events_about(&name_of(channel, ts))
    }

    /// Delivers the events of a message that only history knew.
    pub(crate) fn announce_late(&self, channel: &str, ts: &str) {
        self.shared.update(|state| state.announce(channel, ts));
    }

    /// Sends the same envelope once more, by the same connection.
    pub(crate) fn repeat_envelope(&self, event: &EventId) {
        self.shared.update(|state| {
            let mut pushes = state.common.pushes.iter_mut();
            let push = pushes.find(|push| push.id == event.0).expect("an event");
            let sent = &mut push.attempts.last_mut().expect("it was delivered").sent;
            sent.times += 1;
            let (connection, text) = (sent.connection, sent.envelope.to_string());
            state.tell(connection, Socket::Text(text));
        });
    }

    /// Delivers a payload of any kind, even one that Slack does not have.
    pub(crate) fn push_raw(&self, kind: &str, payload: Value) -> EventId {
        let kind = match kind {
            "events_api" => EnvelopeKind::Event,
            "interactive" => EnvelopeKind::Interactive,
            "slash_commands" => EnvelopeKind::Command,
            other => EnvelopeKind::Odd(other.to_owned()),
        };
        self.shared.update(|state| {
            let id = state.name("Ev0");
            state.push(kind, id, String::new(), payload)
        })
    }
}
