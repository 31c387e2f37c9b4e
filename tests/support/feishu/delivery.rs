//! Pushes: to which connection, acknowledged when and how, and again.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::super::mock::delivery::{Attempt, TAKEN};
use super::state::Later;
use super::wire::Frame;
use super::{EventId, Knowledge as _, MockFeishu, State, garbage, parts};

/// What becomes of a push that nobody acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It comes again.
    Event,
    /// People see an error.
    Callback,
}

/// How something was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The header `message_id` of its frames; the first attempts share one.
    name: String,
    /// None when nobody was there.
    connection: Option<u64>,
    frames: Vec<Frame>,
}

impl State {
    pub(super) fn deliver(&mut self, index: usize) {
        let connection = self.any_connection();
        let attempts = &self.common.pushes[index].attempts;
        let attempt = attempts.len();
        let name = match attempts.last() {
            // Whether a push has its name again is not documented.
            Some(last) if attempt % 2 == 1 => last.sent.name.clone(),
            _ => {
                let name = format!("{:032x}", u128::from(self.next()) * 0x9e37_79b9_7f4a_7c15);
                self.push_names.insert(name.clone(), index);
                name
            }
        };
        let frames = connection
            .map(|connection| self.frames(index, &name, connection))
            .unwrap_or_default();
        for frame in frames.clone() {
            self.tell(connection.expect("there are frames"), frame);
        }
        let sent = Sent {
            name,
            connection,
            frames,
        };
        self.common.pushes[index].attempts.push(Attempt::new(sent));
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
        let push = &self.common.pushes[index];
        let (id, payload) = (push.id.clone(), push.payload.to_string().into_bytes());
        let service = self.clients[&connection].service;
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
        let push = &self.common.pushes[index];
        let is_latest = attempt + 1 == push.attempts.len();
        if !is_latest || push.is_acked() || !push.attempts[attempt].acks.is_empty() {
            return;
        }
        self.redeliver_later(index, attempt);
    }

    fn redeliver_later(&mut self, index: usize, attempt: usize) {
        // Only events come again; people see an error for callbacks.
        if self.common.pushes[index].kind == Kind::Event
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
        let push = &mut self.common.pushes[index];
        let is_echo = |it: &Attempt<Sent>| it.sent.frames.iter().any(|sent| echoes(sent, frame));
        let at = push.attempts.iter().position(is_echo);
        let at = at.ok_or("does not echo what was sent")?;
        let attempt = &mut push.attempts[at];
        if attempt.sent.connection != Some(connection) {
            return Err("came by another connection than the push".to_owned());
        }
        if attempt.acks.len() == attempt.sent.frames.len() {
            return Err("came twice".to_owned());
        }
        let (code, response) = read_answer(frame.payload.as_deref(), push.kind)?;
        let is_late = attempt.sent_at.elapsed() > self.options.timing.ack;
        attempt.acks.push((Instant::now(), code));
        push.response = response.or(push.response.take());
        let is_latest = at + 1 == push.attempts.len();
        if code != TAKEN && is_latest && !is_late && !push.is_acked() {
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
    let code = code.filter(|code| matches!(*code, TAKEN | 500));
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
        self.events_about(message)
    }

    /// Delivers an event once more, under a new id.
    pub(crate) fn duplicate(&self, event: &EventId) -> EventId {
        let (kind, about, mut payload) = self.look_at(event, |push| {
            (push.kind, push.about.clone(), push.payload.clone())
        });
        self.shared.update(|state| {
            let id = state.name("ev_");
            payload["header"]["event_id"] = json!(id);
            state.push(kind, id, about, payload)
        })
    }

    /// Delivers the event of a message that only history knew.
    pub(crate) fn announce_late(&self, message: &str) {
        self.shared.update(|state| state.announce(message));
    }

    /// Delivers an event of any type, even one that Feishu does not have.
    pub(crate) fn push_raw(&self, event_type: &str, event: Value) -> EventId {
        self.shared
            .update(|state| state.push_event(event_type, String::new(), event))
    }
}
