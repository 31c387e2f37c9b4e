//! The figures of a daemon, for Prometheus: `GET /metrics`.
//!
//! Counters are those of [`Metrics`](crate::metrics::Metrics); what there is at this moment is read off
//! the status. Names and labels stay as they are.

use std::fmt;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tieline_channel::Link;

use crate::control::error::{ApiError, Code};
use crate::control::server::{Api, status_of};
use crate::control::status::Status;
use crate::events::Events;
use crate::ledger::Lifecycle;

/// How the text is written.
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// Tells all figures.
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let status = status_of(&api).await?;
    let mut text = String::new();
    let written = api
        .metrics
        .write(&mut text)
        .and_then(|()| write_present(&mut text, &status, &api.events))
        .and_then(|()| encode_eof(&mut text));
    match written {
        Ok(()) => Ok(([(CONTENT_TYPE, CONTENT)], text).into_response()),
        Err(fmt::Error) => Err(ApiError::new(
            Code::Busy,
            "the figures cannot be written",
            "try again, and look at the daemon's log",
        )),
    }
}

/// Writes what there is at this moment.
fn write_present(text: &mut String, status: &Status, events: &Events) -> fmt::Result {
    let mut present = Present(Registry::with_prefix("tieline"));
    present.figure(
        "build_info",
        "The daemon's version; always 1",
        [(vec![("version", status.version.clone())], 1)],
    );
    let started = status.started_at.duration_since(std::time::UNIX_EPOCH);
    let started = started.unwrap_or_default().as_secs();
    present.figure(
        "start_time_seconds",
        "When the daemon was started, in seconds since 1970",
        [(Vec::new(), started)],
    );
    let messages = status.ledger.messages.iter();
    present.figure(
        "messages",
        "Messages that are remembered, by state",
        messages.map(|(state, count)| (vec![("state", state.clone())], *count)),
    );
    let is_ok = status.ledger.state == "ok";
    present.figure(
        "ledger_up",
        "Whether the ledger can write",
        [(Vec::new(), u64::from(is_ok))],
    );
    present.figure(
        "ledger_size_bytes",
        "What the ledger takes on disk",
        [(Vec::new(), status.ledger.size_bytes)],
    );
    let outbox = &status.outbox;
    let outbox = [
        ("pending", outbox.pending),
        ("sending", outbox.sending),
        ("failed", outbox.failed),
        ("unclear", outbox.unclear),
    ];
    present.figure(
        "outbox",
        "Posts that are remembered, by state; those that were delivered are not",
        outbox.map(|(state, count)| (vec![("state", state.to_owned())], count)),
    );
    let all = &status.dispatchers;
    let of = |id: &dyn fmt::Display| ("dispatcher", id.to_string());
    present.figure(
        "child_up",
        "Whether Codex takes turns",
        all.iter()
            .map(|it| (vec![of(&it.id)], u64::from(it.state == Lifecycle::Ready))),
    );
    present.figure(
        "queue_length",
        "Inputs that wait for a turn",
        all.iter().map(|it| (vec![of(&it.id)], it.waiting)),
    );
    present.figure(
        "turns_open",
        "Turns in flight",
        all.iter().map(|it| {
            let open = it.lanes.iter().filter(|lane| lane.open_turn.is_some());
            (vec![of(&it.id)], open.count() as u64)
        }),
    );
    present.figure(
        "teammates",
        "Teammates, by what they are at",
        all.iter().flat_map(|it| {
            let counts = it.teammates;
            [
                ("working", counts.working),
                ("waiting", counts.waiting),
                ("idle", counts.idle),
            ]
            .map(|(state, count)| (vec![of(&it.id), ("state", state.to_owned())], count))
        }),
    );
    present.figure(
        "channel_up",
        "Whether a channel is connected",
        status.channels.iter().map(|it| {
            let labels = vec![("channel", it.id.to_string()), ("kind", it.kind.clone())];
            (labels, u64::from(it.state == Link::Up))
        }),
    );
    present.figure(
        "events_missed",
        "Events since the start that found no place on disk",
        [(Vec::new(), events.missed())],
    );
    present.figure(
        "event_listeners",
        "Who listens to events at this moment",
        [(Vec::new(), events.n_listeners() as u64)],
    );
    encode_registry(text, &present.0)
}

/// Figures of this moment.
struct Present(Registry);

impl Present {
    fn figure(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            if labels.is_empty() {
                let gauge = Gauge::<i64>::default();
                gauge.set(value);
                return self.0.register(name, help, gauge);
            }
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }
}
