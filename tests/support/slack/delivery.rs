//! Envelopes: to which connection, acknowledged when, and again.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::socket::Socket;
use super::state::Later;
use super::{Knowledge as _, MockSlack, State};

/// What is delivered, as often as it takes. Its name stays over retries.
#[derive(Clone, Debug)]
pub(super) struct Push {
    pub(super) id: String,
    pub(super) kind: EnvelopeKind,
    /// The channel and message that it is about.
    pub(super) about: (String, String),
    pub(super) payload: Value,
    pub(super) attempts: Vec<Attempt>,
    /// What came with the acknowledgement.
    pub(super) response: Option<Value>,
}

/// One delivery of a push.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    envelope_id: String,
    envelope: Value,
    connection: u64,
    sent_at: Instant,
    sends: usize,
    acks: Vec<Instant>,
}

/// The kinds of envelopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EnvelopeKind {
    Event,
    Interactive,
    Command,
    /// Of a type that nobody knows.
    Odd(String),
}

/// The name of something that is delivered, the same for all attempts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventId(pub(crate) String);

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) event: EventId,
    /// From the delivery to its acknowledgement.
    pub(crate) after: Duration,
    /// Which delivery of the event it was, from 0.
    pub(crate) attempt: usize,
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

impl Push {
    pub(super) fn is_acked(&self) -> bool {
        self.attempts.iter().any(|attempt| !attempt.acks.is_empty())
    }
}

impl State {
    /// Delivers something new.
    pub(super) fn push(
        &mut self,
        kind: EnvelopeKind,
        id: String,
        about: (String, String),
        payload: Value,
    ) {
        let index = self.pushes.len();
        self.pushes.push(Push {
            id,
            kind,
            about,
            payload,
            attempts: Vec::new(),
            response: None,
        });
        match &mut self.held {
            Some(held) => held.push_back(index),
            None => self.deal(index),
        }
    }

    /// Delivers it once more, to any one of the open connections.
    pub(super) fn deal(&mut self, index: usize) {
        let open: Vec<u64> = self.open_connections();
        let Some(connection) = (!open.is_empty()).then(|| {
            let n = self.next() as usize;
            // Any one, and not in turn: nobody may rely on which.
            open[(n.wrapping_mul(2_654_435_761) >> 7) % open.len()]
        }) else {
            // People see an error for what is no event.
            let is_event = self.pushes[index].kind == EnvelopeKind::Event;
            if is_event && !self.waiting.contains(&index) {
                self.waiting.push_back(index);
            }
            return;
        };
        let envelope_id = format!("{:032x}", u128::from(self.next()) * 0x9e37_79b9_7f4a_7c15);
        let push = &self.pushes[index];
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
        self.pushes[index].attempts.push(Attempt {
            envelope_id,
            envelope: envelope.clone(),
            connection,
            sent_at: Instant::now(),
            sends: 1,
            acks: Vec::new(),
        });
        self.tell(connection, Socket::Text(envelope.to_string()));
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
        let push = &self.pushes[index];
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
        let found = self.pushes.iter_mut().rev().find_map(|push| {
            let at = push.attempts.iter().position(|it| it.envelope_id == id)?;
            Some((push, at))
        });
        let (push, at) = found.ok_or("names an envelope that was never sent")?;
        let accepts_payload = push.kind.accepts_payload();
        let attempt = &mut push.attempts[at];
        if attempt.connection != connection {
            return Err("came by another connection than the envelope");
        }
        if attempt.acks.len() == attempt.sends {
            return Err("came twice");
        }
        attempt.acks.push(Instant::now());
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

impl MockSlack {
    /// Returns what was delivered, or is to be, about a message.
    pub(crate) fn events_of(&self, channel: &str, ts: &str) -> Vec<EventId> {
        self.shared.look(|state| {
            let about = (channel.to_owned(), ts.to_owned());
            let of = state.pushes.iter().filter(|push| push.about == about);
            of.map(|push| EventId(push.id.clone())).collect()
        })
    }

    /// Delivers an event once more, as a retry: another envelope, the same event.
    pub(crate) fn redeliver(&self, event: &EventId) {
        self.shared.update(|state| {
            let index = state.push_index(event);
            state.deal(index);
        });
    }

    /// Delivers the events of a message that only history knew.
    pub(crate) fn announce_late(&self, channel: &str, ts: &str) {
        self.shared.update(|state| state.announce(channel, ts));
    }

    /// Sends the same envelope once more, by the same connection.
    pub(crate) fn repeat_envelope(&self, event: &EventId) {
        self.shared.update(|state| {
            let index = state.push_index(event);
            let attempt = state.pushes[index].attempts.last_mut();
            let attempt = attempt.expect("it was delivered");
            attempt.sends += 1;
            let (connection, text) = (attempt.connection, attempt.envelope.to_string());
            state.tell(connection, Socket::Text(text));
        });
    }

    /// From now on, events wait for [`release_events`](Self::release_events).
    pub(crate) fn hold_events(&self) {
        self.shared.update(|state| {
            state.held.get_or_insert_with(VecDeque::new);
        });
    }

    /// Delivers what was held, in order.
    pub(crate) fn release_events(&self) {
        self.shared.update(|state| {
            for index in state.held.take().unwrap_or_default() {
                state.deal(index);
            }
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
            state.push(kind, id.clone(), Default::default(), payload);
            EventId(id)
        })
    }

    /// Returns whether an event was acknowledged, by any of its deliveries.
    pub(crate) fn is_acked(&self, event: &EventId) -> bool {
        self.shared
            .look(|state| state.pushes[state.push_index(event)].is_acked())
    }

    /// Returns how often an event was delivered.
    pub(crate) fn deliveries(&self, event: &EventId) -> usize {
        self.shared
            .look(|state| state.pushes[state.push_index(event)].attempts.len())
    }

    /// Returns the payload that came with an acknowledgement.
    pub(crate) fn ack_payload(&self, event: &EventId) -> Option<Value> {
        self.shared
            .look(|state| state.pushes[state.push_index(event)].response.clone())
    }

    /// Returns what was delivered and not acknowledged, by none of its deliveries.
    pub(crate) fn unacknowledged(&self) -> Vec<EventId> {
        self.shared.look(|state| {
            let missing = state.pushes.iter().filter(|push| !push.is_acked());
            missing.map(|push| EventId(push.id.clone())).collect()
        })
    }

    /// Waits until everything that was delivered is acknowledged.
    pub(crate) async fn all_acknowledged(&self) {
        self.wait_for("all acknowledgements", |state| {
            state.pushes.iter().rev().all(Push::is_acked).then_some(())
        })
        .await;
    }

    /// Returns all acknowledgements, in the order of their events.
    pub(crate) fn acks(&self) -> Vec<Ack> {
        self.shared.look(|state| {
            let mut acks = Vec::new();
            for push in &state.pushes {
                for (attempt, it) in push.attempts.iter().enumerate() {
                    acks.extend(it.acks.iter().map(|at| Ack {
                        event: EventId(push.id.clone()),
                        after: at.duration_since(it.sent_at),
                        attempt,
                    }));
                }
            }
            acks
        })
    }
}

impl State {
    /// Returns the messages of which something was not acknowledged the first time it was
    /// delivered, by channel and `ts`.
    pub(super) fn delayed(&self) -> BTreeSet<(&str, &str)> {
        let is_delayed = |push: &&Push| push.attempts.first().is_some_and(|it| it.acks.is_empty());
        let delayed = self.pushes.iter().filter(is_delayed);
        delayed
            .map(|push| (push.about.0.as_str(), push.about.1.as_str()))
            .collect()
    }

    pub(super) fn push_index(&self, event: &EventId) -> usize {
        let index = self.pushes.iter().position(|push| push.id == event.0);
        index.expect("an event of this mock")
    }
}
