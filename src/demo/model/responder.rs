//! What a model says: the stream of events of one answer, and its failures.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Request;
use super::answer::{Answer, Chunk, Head};

/// How many chunks may wait for a client that reads slowly; the script waits beyond that.
const CHUNKS_IN_FLIGHT: usize = 16;

/// How many characters of a message are streamed at once.
const DELTA_CHARS: usize = 12;

/// Nobody listens any more: the client has closed its connection, or the model is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nobody listens to the model's answer any more")]
pub struct Gone;

/// What a message of the model is meant as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not said, as many providers do.
    Unsaid,
    /// Progress.
    Commentary,
    /// The answer.
    FinalAnswer,
}

impl Phase {
    fn to_json(self) -> Value {
        match self {
            Self::Unsaid => Value::Null,
            Self::Commentary => json!("commentary"),
            Self::FinalAnswer => json!("final_answer"),
        }
    }
}

/// Says the model's answer to one request, piece by piece.
#[derive(Debug)]
pub struct Responder {
    number: u64,
    tools: Vec<String>,
    n_items: usize,
    tokens: u64,
    head: Option<oneshot::Sender<Head>>,
    chunks: mpsc::Sender<Chunk>,
    body: Option<mpsc::Receiver<Chunk>>,
    ended: bool,
    stop: CancellationToken,
}

pub(super) fn pair(number: u64, request: &Request, stop: CancellationToken) -> (Responder, Answer) {
    let (head, answer) = oneshot::channel();
    let (chunks, body) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let responder = Responder {
        number,
        tools: request.tools().to_vec(),
        n_items: 0,
        tokens: 15,
        head: Some(head),
        chunks,
        body: Some(body),
        ended: false,
        stop,
    };
    (responder, Answer(answer))
}

impl Responder {
    /// Says a whole message.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens, as for all that follow.
    pub async fn message(&mut self, text: &str, phase: Phase) -> Result<(), Gone> {
        let mut message = self.begin(phase).await?;
        message.say(text).await?;
        message.end().await
    }

    /// Begins a message. One that is not ended was broken off.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn begin(&mut self, phase: Phase) -> Result<Message<'_>, Gone> {
        let index = self.n_items;
        self.n_items += 1;
        let id = format!("msg_{}_{index}", self.number);
        let item = message_item(&id, "in_progress", "", phase);
        let event = json!({"output_index": index, "item": item});
        self.event("response.output_item.added", event).await?;
        Ok(Message {
            responder: self,
            id,
            index,
            text: String::new(),
            phase,
        })
    }

    /// Thinks: a summary for people and the thoughts themselves, both streamed and then whole.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn reasoning(&mut self, summary: &str, thoughts: &str) -> Result<(), Gone> {
        let index = self.n_items;
        self.n_items += 1;
        let id = format!("rs_{}_{index}", self.number);
        let item = json!({"type": "reasoning", "id": id, "summary": [], "content": []});
        let event = json!({"output_index": index, "item": item});
        self.event("response.output_item.added", event).await?;
        let delta = json!({"item_id": id, "summary_index": 0, "delta": summary});
        self.event("response.reasoning_summary_text.delta", delta)
            .await?;
        let delta = json!({"item_id": id, "content_index": 0, "delta": thoughts});
        self.event("response.reasoning_text.delta", delta).await?;
        let item = json!({
            "type": "reasoning",
            "id": id,
            "summary": [{"type": "summary_text", "text": summary}],
            "content": [{"type": "reasoning_text", "text": thoughts}],
        });
        self.item_done(index, item).await
    }

    /// Calls the tool that runs a shell command, under whichever name Codex offers it.
    ///
    /// The output is in the next request ([`Request::fresh_tool_outputs`]).
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn command(&mut self, command: &str) -> Result<(), Gone> {
        let offered = |name: &str| self.tools.iter().any(|tool| tool == name);
        // `login: false` keeps the noise of a user's profile out of the output.
        let (name, arguments) = if offered("shell_command") {
            ("shell_command", json!({"command": command, "login": false}))
        } else if offered("shell") {
            ("shell", json!({"command": ["/bin/sh", "-c", command]}))
        } else {
            ("exec_command", json!({"cmd": command, "login": false}))
        };
        self.call(name, &arguments).await
    }

    /// Calls a tool.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn call(&mut self, name: &str, arguments: &Value) -> Result<(), Gone> {
        self.raw_call(name, &arguments.to_string()).await
    }

    /// Calls a tool with arguments that may be no JSON.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn raw_call(&mut self, name: &str, arguments: &str) -> Result<(), Gone> {
        let index = self.n_items;
        self.n_items += 1;
        let item = json!({
            "type": "function_call",
            "id": format!("fc_{}_{index}", self.number),
            "call_id": format!("call_{}_{index}", self.number),
            "name": name,
            "arguments": arguments,
            "status": "completed",
        });
        self.item_done(index, item).await
    }

    /// Has the answer claim that the conversation takes so many tokens.
    pub fn claim_tokens(&mut self, tokens: u64) {
        self.tokens = tokens;
    }

    /// Ends the answer well, if it has not ended yet.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn finish(&mut self) -> Result<(), Gone> {
        if self.ended {
            return Ok(());
        }
        let response = json!({
            "id": self.response_id(),
            "usage": {
                "input_tokens": self.tokens.saturating_sub(5),
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.tokens,
            },
        });
        self.event("response.completed", json!({"response": response}))
            .await?;
        self.ended = true;
        Ok(())
    }

    /// Answers with an HTTP status instead of a stream. Only before anything else was said.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens or the stream has begun.
    pub async fn status(
        &mut self,
        status: StatusCode,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<(), Gone> {
        let mut response = Response::new(Body::from(body.to_owned()));
        *response.status_mut() = status;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| Gone)?;
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
        self.ended = true;
        self.send_head(Head::Plain(response))
    }

    /// Ends the answer with `response.failed`.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn failed(&mut self, code: &str, message: &str) -> Result<(), Gone> {
        let error = json!({"code": code, "message": message});
        let response = json!({"id": self.response_id(), "status": "failed", "error": error});
        self.event("response.failed", json!({"response": response}))
            .await?;
        self.ended = true;
        Ok(())
    }

    /// Ends the answer with `response.incomplete`.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn incomplete(&mut self, reason: &str) -> Result<(), Gone> {
        let details = json!({"reason": reason});
        let response = json!({
            "id": self.response_id(),
            "status": "incomplete",
            "incomplete_details": details,
        });
        self.event("response.incomplete", json!({"response": response}))
            .await?;
        self.ended = true;
        Ok(())
    }

    /// Breaks the connection: before the first byte, or in the middle of what was said so far.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn cut(&mut self) -> Result<(), Gone> {
        self.ended = true;
        if self.head.is_some() {
            return self.send_head(Head::Cut);
        }
        self.send(Err(io::Error::from(io::ErrorKind::ConnectionAborted)))
            .await
    }

    /// Ends the stream in an orderly way without having completed the answer.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn end(&mut self) -> Result<(), Gone> {
        self.start().await?;
        self.ended = true;
        Ok(())
    }

    /// Puts any bytes into the stream, such as an event that is no JSON.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn raw(&mut self, bytes: &'static [u8]) -> Result<(), Gone> {
        self.start().await?;
        self.send(Ok(Bytes::from_static(bytes))).await
    }

    /// Sends the response header and `response.created`, if that has not happened yet.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn start(&mut self) -> Result<(), Gone> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        self.send_head(Head::Stream(body))?;
        let response = json!({"id": self.response_id(), "status": "in_progress"});
        self.send_event("response.created", json!({"response": response}))
            .await
    }

    /// Says nothing more until the client gives up. Without [`start`](Self::start) not even the
    /// response header is sent.
    ///
    /// # Errors
    ///
    /// Always [`Gone`].
    pub async fn silence(&mut self) -> Result<(), Gone> {
        self.until(std::future::pending()).await
    }

    /// Waits for `release`, as long as somebody listens.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn until<T>(&mut self, release: impl Future<Output = T>) -> Result<T, Gone> {
        tokio::select! {
            value = release => Ok(value),
            () = Self::unheard(self.head.as_mut(), &self.chunks) => Err(Gone),
            () = self.stop.cancelled() => Err(Gone),
        }
    }

    /// Waits until the client has gone.
    async fn unheard(head: Option<&mut oneshot::Sender<Head>>, chunks: &mpsc::Sender<Chunk>) {
        match head {
            Some(head) => head.closed().await,
            None => chunks.closed().await,
        }
    }

    async fn item_done(&mut self, index: usize, item: Value) -> Result<(), Gone> {
        let event = json!({"output_index": index, "item": item});
        self.event("response.output_item.done", event).await
    }

    fn response_id(&self) -> String {
        format!("resp_{}", self.number)
    }

    async fn event(&mut self, kind: &str, event: Value) -> Result<(), Gone> {
        self.start().await?;
        self.send_event(kind, event).await
    }

    async fn send_event(&mut self, kind: &str, mut event: Value) -> Result<(), Gone> {
        event["type"] = json!(kind);
        let chunk = format!("event: {kind}\ndata: {event}\n\n");
        self.send(Ok(Bytes::from(chunk))).await
    }

    async fn send(&mut self, chunk: Chunk) -> Result<(), Gone> {
        let chunks = self.chunks.clone();
        self.until(chunks.send(chunk)).await?.map_err(|_| Gone)
    }

    fn send_head(&mut self, head: Head) -> Result<(), Gone> {
        let sender = self.head.take().ok_or(Gone)?;
        sender.send(head).map_err(|_| Gone)
    }
}

// === impl Message ===

/// A message that the model is saying.
#[derive(Debug)]
pub struct Message<'a> {
    responder: &'a mut Responder,
    id: String,
    index: usize,
    text: String,
    phase: Phase,
}

impl Message<'_> {
    /// Says more of it, in small deltas.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn say(&mut self, text: &str) -> Result<(), Gone> {
        let mut rest = text;
        while !rest.is_empty() {
            let mut ends = rest.char_indices().skip(DELTA_CHARS).map(|(end, _)| end);
            let (delta, later) = rest.split_at(ends.next().unwrap_or(rest.len()));
            let event = json!({"item_id": self.id, "content_index": 0, "delta": delta});
            self.responder
                .event("response.output_text.delta", event)
                .await?;
            rest = later;
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Waits for `release` in the middle of it, as [`Responder::until`].
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn until<T>(&mut self, release: impl Future<Output = T>) -> Result<T, Gone> {
        self.responder.until(release).await
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens.
    pub async fn end(self) -> Result<(), Gone> {
        let item = message_item(&self.id, "completed", &self.text, self.phase);
        self.responder.item_done(self.index, item).await
    }
}

fn message_item(id: &str, status: &str, text: &str, phase: Phase) -> Value {
    let content = match text {
        "" => json!([]),
        text => json!([{"type": "output_text", "text": text, "annotations": []}]),
    };
    let mut item = json!({
        "type": "message",
        "id": id,
        "role": "assistant",
        "status": status,
        "content": content,
    });
    if phase != Phase::Unsaid {
        item["phase"] = phase.to_json();
    }
    item
}
