//! Pushes: to which connection, acknowledged when and how, and again.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::socket::Socket;
use super::state::Later;
use super::wire::Frame;
use super::{Knowledge as _, MockFeishu, State, garbage, parts};

/// What is delivered, as often as it takes. Its name stays over redelivery.
#[derive(Clone, Debug)]
pub(super) struct Push {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// The message that it is about.
    pub(super) about: String,
    pub(super) payload: Value,
    pub(super) attempts: Vec<Attempt>,
    /// What came with the acknowledgement of a callback.
    pub(super) response: Option<Value>,
}

/// What becomes of a push that nobody acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It comes again.
    Event,
    /// People see an error.
    Callback,
}

/// One delivery of a push.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The header `message_id` of its frames; the first attempts share one.
    name: String,
    /// None when nobody was there.
    connection: Option<u64>,
    frames: Vec<Frame>,
    sent_at: Instant,
    acks: Vec<(Instant, i64)>,
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
    /// 200, or 500.
    pub(crate) code: i64,
}

impl Push {
    pub(super) fn is_acked(&self) -> bool {
        self.attempts.iter().any(Attempt::is_acked)
    }
}

impl Attempt {
    fn is_acked(&self) -> bool {
        self.acks.iter().any(|(_, code)| *code == 200)
    }
}

impl State {
    /// Returns the messages that had to be delivered again.
    pub(super) fn delayed(&self) -> BTreeSet<&str> {
        let is_delayed = |push: &&Push| push.attempts.len() > 1 && !push.attempts[0].is_acked();
        let delayed = self.pushes.iter().filter(is_delayed);
        delayed.map(|push| push.about.as_str()).collect()
    }

    /// Delivers something new.
    pub(super) fn push(&mut self, kind: Kind, id: String, about: String, payload: Value) {
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
        let open = self.open_connections();
        let number = self.next();
        // Any one, and not in turn: nobody may rely on which.
        let dice = (number as usize).wrapping_mul(2_654_435_761) >> 7;
        let connection = (!open.is_empty()).then(|| open[dice % open.len()]);
        let attempt = self.pushes[index].attempts.len();
        let name = match self.pushes[index].attempts.last() {
            // Whether a push has its name again is not documented.
            Some(last) if attempt % 2 == 1 => last.name.clone(),
            _ => {
                let name = format!("{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15);
                self.push_names.insert(name.clone(), index);
                name
            }
        };
        let frames: Vec<Frame> = connection
            .map(|connection| self.frames(index, &name, connection))
            .unwrap_or_default();
        for frame in frames.clone() {
            let connection = connection.expect("there are frames");
            self.tell(connection, Socket::Frame(frame));
        }
        self.pushes[index].attempts.push(Attempt {
            name,
            connection,
            frames,
            sent_at: Instant::now(),
            acks: Vec::new(),
        });
        let due = Later::AckDue {
            push: index,
            attempt,
        };
        match connection {
            Some(_) => self.later(self.options.timing.ack, due),
            None => self.ack_is_due(index, attempt),
        }
    }

    fn frames(&mut self, index: usize, name: &str, connection: u64) -> Vec<Frame> {
        let push = &self.pushes[index];
        let (id, payload) = (push.id.clone(), push.payload.to_string().into_bytes());
        let service = self.connections[&connection].service;
        let parts = parts::cut(&payload, self.options.cut);
        let sum = parts.iter().map(|(seq, _)| seq + 1).max().unwrap_or(1);
        let mut frames = Vec::new();
        for (seq, payload) in parts {
            let number = self.next();
            let headers = [
                ("timestamp", number.to_string()),
                ("type", "event".to_owned()),
                ("message_id", name.to_owned()),
                ("sum", sum.to_string()),
                ("seq", seq.to_string()),
                ("trace_id", id.clone()),
                ("instance_id", format!("instance-{connection}")),
                // What is not known yet is to be echoed, too.
                ("novelty", String::new()),
            ];
            frames.push(Frame {
                seq_id: number,
                log_id: u64::MAX - number,
                service,
                method: 1,
                headers: headers.map(|(key, value)| (key.to_owned(), value)).into(),
                payload: Some(payload),
                log_id_new: number.is_multiple_of(2).then(|| format!("log-{number}")),
                ..Frame::default()
            });
        }
        frames
    }

    pub(super) fn ack_is_due(&mut self, index: usize, attempt: usize) {
        let push = &self.pushes[index];
        let is_latest = attempt + 1 == push.attempts.len();
        if !is_latest || push.is_acked() || !push.attempts[attempt].acks.is_empty() {
            return;
        }
        self.redeliver_later(index, attempt);
    }

    fn redeliver_later(&mut self, index: usize, attempt: usize) {
        // Only events come again; people see an error for callbacks.
        if self.pushes[index].kind == Kind::Event
            && let Some(delay) = self.options.timing.redeliveries.get(attempt)
        {
            self.later(*delay, Later::Redeliver { push: index });
        }
    }

    /// Takes a data frame of a client: an acknowledgement.
    pub(super) fn take_ack(&mut self, connection: u64, frame: &Frame) {
        if let Err(why) = self.read_ack(connection, frame) {
            let mut frame = frame.clone();
            let payload = frame.payload.take().unwrap_or_default();
            let payload = String::from_utf8_lossy(&payload).into_owned();
            self.violation(format!("an ack that {why}: {frame:?} with {payload}"));
        }
    }

    fn read_ack(&mut self, connection: u64, frame: &Frame) -> Result<(), String> {
        let name = frame.header("message_id").ok_or("names no push")?;
        if name == garbage::NAME {
            return Ok(());
        }
        let index = self.push_names.get(name);
        let index = *index.ok_or("names a push that was never sent")?;
        let push = &mut self.pushes[index];
        let is_echo = |it: &Attempt| it.frames.iter().any(|sent| echoes(sent, frame));
        let at = push.attempts.iter().position(is_echo);
        let at = at.ok_or("does not echo what was sent")?;
        let attempt = &mut push.attempts[at];
        if attempt.connection != Some(connection) {
            return Err("came by another connection than the push".to_owned());
        }
        if attempt.acks.len() == attempt.frames.len() {
            return Err("came twice".to_owned());
        }
        let (code, response) = read_answer(frame.payload.as_deref(), push.kind)?;
        let is_late = attempt.sent_at.elapsed() > self.options.timing.ack;
        attempt.acks.push((Instant::now(), code));
        push.response = response.or(push.response.take());
        let is_latest = at + 1 == push.attempts.len();
        if code != 200 && is_latest && !is_late && !push.is_acked() {
            self.redeliver_later(index, at);
        }
        Ok(())
    }
}

/// Returns whether an acknowledgement is the frame that was sent, with nothing but its own payload
/// and `biz_rt`.
fn echoes(sent: &Frame, ack: &Frame) -> bool {
    let mut headers = ack.headers.clone();
    headers.retain(|(key, _)| key != "biz_rt");
    let (mut sent_headers, has_once) =
        (sent.headers.clone(), ack.headers.len() <= headers.len() + 1);
    headers.sort();
    sent_headers.sort();
    has_once
        && headers == sent_headers
        && (ack.seq_id, ack.log_id) == (sent.seq_id, sent.log_id)
        && (ack.service, ack.method) == (sent.service, sent.method)
        && ack.log_id_new == sent.log_id_new
        && ack.payload_encoding == sent.payload_encoding
        && ack.payload_type == sent.payload_type
}

/// Reads what an acknowledgement says: its code, and the answer to a callback.
fn read_answer(payload: Option<&[u8]>, kind: Kind) -> Result<(i64, Option<Value>), String> {
    let payload = payload.ok_or("has no payload")?;
    let Ok(Value::Object(answer)) = serde_json::from_slice(payload) else {
        return Err("is no JSON object".to_owned());
    };
    let is_known = |key: &String| matches!(key.as_str(), "code" | "headers" | "data");
    if !answer.keys().all(is_known) {
        return Err("has unknown fields".to_owned());
    }
    let code = answer.get("code").and_then(Value::as_i64);
    let code = code.filter(|code| matches!(code, 200 | 500));
    let code = code.ok_or("has another code than 200 and 500")?;
    if answer.get("headers").is_some_and(|it| !it.is_null()) {
        return Err("has headers".to_owned());
    }
    let data = match answer.get("data") {
        None | Some(Value::Null) => return Ok((code, None)),
        Some(_) if kind == Kind::Event => return Err("has data where none is taken".to_owned()),
        Some(Value::String(data)) => data,
        Some(_) => return Err("has data that is no base64 text".to_owned()),
    };
    let bytes = BASE64.decode(data);
    let bytes = bytes.map_err(|_| "has data that is no base64")?;
    let Ok(response) = serde_json::from_slice::<Value>(&bytes) else {
        return Err("has data that is no JSON".to_owned());
    };
    check_response(&response)?;
    Ok((code, Some(response)))
}

/// Refuses answers to a press that show an error (200672).
fn check_response(response: &Value) -> Result<(), String> {
    let fields = response.as_object().ok_or("answers with no object")?;
    for (name, value) in fields {
        let is_good = match name.as_str() {
            "toast" => {
                let kinds = ["info", "success", "error", "warning"];
                let kind = value["type"].as_str().unwrap_or_default();
                kinds.contains(&kind) && value["content"].is_string()
            }
            "card" => value["type"] == "raw" && value["data"]["schema"] == "2.0",
            _ => false,
        };
        if !is_good {
            return Err(format!("answers with a bad {name}"));
        }
    }
    Ok(())
}

impl MockFeishu {
    /// Returns what was delivered, or is to be, about a message.
    pub(crate) fn events_of(&self, message: &str) -> Vec<EventId> {
        self.shared.look(|state| {
            let of = state.pushes.iter().filter(|push| push.about == message);
            of.map(|push| EventId(push.id.clone())).collect()
        })
    }

    /// Delivers an event once more, under the same id.
    pub(crate) fn redeliver(&self, event: &EventId) {
        self.shared.update(|state| {
            let index = state.push_index(event);
            state.deal(index);
        });
    }

    /// Delivers an event once more, under a new id.
    pub(crate) fn duplicate(&self, event: &EventId) -> EventId {
        self.shared.update(|state| {
            let push = state.pushes[state.push_index(event)].clone();
            let id = state.name("ev_");
            let mut payload = push.payload;
            payload["header"]["event_id"] = json!(id);
            state.push(push.kind, id.clone(), push.about, payload);
            EventId(id)
        })
    }

    /// Delivers the event of a message that only history knew.
    pub(crate) fn announce_late(&self, message: &str) {
        self.shared.update(|state| state.announce(message));
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

    /// Delivers an event of any type, even one that Feishu does not have.
    pub(crate) fn push_raw(&self, event_type: &str, event: Value) -> EventId {
        self.shared.update(|state| {
            let id = state.name("ev_");
            let payload = state.envelope(&id, event_type, event);
            state.push(Kind::Event, id.clone(), String::new(), payload);
            EventId(id)
        })
    }

    /// Returns whether an event was acknowledged with 200, by any of its deliveries.
    pub(crate) fn is_acked(&self, event: &EventId) -> bool {
        self.shared
            .look(|state| state.pushes[state.push_index(event)].is_acked())
    }

    /// Returns how often an event was delivered, or was to be when nobody was there.
    pub(crate) fn deliveries(&self, event: &EventId) -> usize {
        self.shared
            .look(|state| state.pushes[state.push_index(event)].attempts.len())
    }

    /// Returns the answer to a callback.
    pub(crate) fn response(&self, event: &EventId) -> Option<Value> {
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
                    acks.extend(it.acks.iter().map(|(at, code)| Ack {
                        event: EventId(push.id.clone()),
                        after: at.duration_since(it.sent_at),
                        attempt,
                        code: *code,
                    }));
                }
            }
            acks
        })
    }
}

impl State {
    pub(super) fn push_index(&self, event: &EventId) -> usize {
        let index = self.pushes.iter().position(|push| push.id == event.0);
        index.expect("an event of this mock")
    }
}
