//! The other end of a stream of events.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::timeout;

use crate::control::client::{Client, ClientError};
use crate::events::EventRecord;

/// After how long without any sign of life the daemon counts as gone; it gives one every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a line may be, in bytes; an event is much shorter.
const MAX_LINE: usize = 1024 * 1024;

/// Events as they happen, from a running daemon.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    answer: reqwest::Response,
    /// What has come of the present line.
    line: Vec<u8>,
    /// What has come of the present event.
    kind: String,
    data: String,
    ready: VecDeque<Streamed>,
}

/// What a stream of events brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Streamed {
    /// An event.
    Event(Box<EventRecord>),
    /// So many are missing, because they were not read fast enough.
    Missed(u64),
    /// Some of what was asked for is removed by now.
    Gone,
}

impl EventStream {
    pub(super) fn new(client: Client, answer: reqwest::Response) -> Self {
        Self {
            client,
            answer,
            line: Vec::new(),
            kind: String::new(),
            data: String::new(),
            ready: VecDeque::new(),
        }
    }

    /// Returns what comes next; `None` when the daemon has ended the stream, as it does when it stops.
    ///
    /// # Errors
    ///
    /// When the connection broke, or what comes is not understood.
    pub async fn next(&mut self) -> Result<Option<Streamed>, ClientError> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let chunk = timeout(SILENCE, self.answer.chunk())
                .await
                .map_err(|_elapsed| ClientError::Slow {
                    seconds: SILENCE.as_secs(),
                })?
                .map_err(|error| self.client.failed(error))?;
            let Some(chunk) = chunk else {
                return Ok(None);
            };
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(part);
                if self.line.len() > MAX_LINE {
                    return Err(ClientError::TooLong);
                }
                if part.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.line);
                    self.take(String::from_utf8_lossy(&line).trim_end())?;
                }
            }
        }
    }

    fn take(&mut self, line: &str) -> Result<(), ClientError> {
        if line.is_empty() {
            let (kind, data) = (
                std::mem::take(&mut self.kind),
                std::mem::take(&mut self.data),
            );
            if !data.is_empty() {
                self.ready.push_back(read(&kind, &data)?);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push_str(value),
            // A comment, which is a sign of life; the number is in the data, too.
            _ => {}
        }
        Ok(())
    }
}

fn read(kind: &str, data: &str) -> Result<Streamed, ClientError> {
    let not_understood = |source| ClientError::NotUnderstood { source };
    match kind {
        "gone" => Ok(Streamed::Gone),
        "missed" => {
            let value: serde_json::Value = serde_json::from_str(data).map_err(not_understood)?;
            let missed = value["missed"].as_u64().unwrap_or_default();
            Ok(Streamed::Missed(missed))
        }
        _ => serde_json::from_str(data)
            .map(|event| Streamed::Event(Box::new(event)))
            .map_err(not_understood),
    }
}
