//! What happens: `GET /v1/events` by pages, `GET /v1/events/stream` as it happens.
//!
//! The stream is that of server-sent events: `id` is the number of an event, `event` its type, `data`
//! the event as a page has it. Who comes back with `Last-Event-ID`, or asks with `after`, gets what it
//! has not had first. Who is too slow is told so by `event: missed`, with how many in `data`, and goes
//! on; `event: gone` says that some of what was asked for is removed by now.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response, Sse as SseResponse};
use axum::{Extension, Json};
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::control::body::{Asked, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::server::Api;
use crate::events::{EventRecord, Events, Filter, Heard, Level, MAX_PAGE, Page, Query, Subscriber};

/// How many listen at a time; half of the connections that are served are for everybody else.
pub const MAX_STREAMS: usize = 128;

/// How often a stream on which nothing happens gives a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is shared by all streams.
#[derive(Clone)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    /// They end.
    stop: CancellationToken,
}

impl Streams {
    pub(super) fn until(stop: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            stop,
        }
    }
}

/// What can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<u64>,
    limit: Option<usize>,
    dispatcher: Option<String>,
    lane: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    level: Option<Level>,
}

impl Wanted for Which {
    const HINT: &'static str = "`after` is the number of an event, `limit` a number from 1 to 1000, `level` \
                                one of info, warn and error; `dispatcher`, `lane` and `type` are names";
}

impl Which {
    fn filter(self) -> Filter {
        Filter {
            dispatcher: self.dispatcher,
            lane: self.lane,
            kind: self.kind,
            level: self.level,
        }
    }
}

/// Tells a page of events.
pub(super) async fn page(
    State(api): State<Api>,
    which: Result<Asked<Which>, ApiError>,
) -> Result<Json<Page>, ApiError> {
    let Asked(which) = which?;
    let limit = which.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("{limit} events cannot be told at once"),
            Which::HINT,
        ));
    }
    let asked = Query {
        after: which.after,
        limit,
        filter: which.filter(),
    };
    Ok(Json(api.events.page(&asked).await))
}

/// Tells events as they happen.
pub(super) async fn stream(
    State(api): State<Api>,
    Extension(streams): Extension<Streams>,
    headers: HeaderMap,
    which: Result<Asked<Which>, ApiError>,
) -> Result<Response, ApiError> {
    let Asked(mut which) = which?;
    if let Some(last) = headers.get("last-event-id") {
        let last = last.to_str().ok().and_then(|last| last.parse().ok());
        let last = last.ok_or_else(|| {
            ApiError::new(
                Code::BadRequest,
                "the header Last-Event-ID is no number of an event",
                "leave it out, or ask with `after`",
            )
        })?;
        which.after = Some(last);
    }
    let place = streams.places.try_acquire_owned().map_err(|_full| {
        ApiError::new(
            Code::TooManyListeners,
            format!("{MAX_STREAMS} listen already"),
            "end one of them, or ask GET /v1/events for pages",
        )
    })?;
    let stream = Stream {
        // From now on, so that nothing is lost between what was and what comes.
        live: api.events.subscribe(),
        catching_up: which.after,
        events: api.events,
        filter: which.filter(),
        ready: VecDeque::new(),
        stop: streams.stop,
        _place: place,
    };
    let stream = unfold(stream, async |mut stream| {
        let next = stream.next().await?;
        Some((Ok::<_, Infallible>(next), stream))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(SseResponse::new(Box::pin(stream))
        .keep_alive(alive)
        .into_response())
}

/// One who listens.
struct Stream {
    events: Events,
    live: Subscriber,
    /// What came after this number is to be read first.
    catching_up: Option<u64>,
    filter: Filter,
    ready: VecDeque<Sse>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn next(&mut self) -> Option<Sse> {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.next_unless_stopped())
            .await
            .flatten()
    }

    async fn next_unless_stopped(&mut self) -> Option<Sse> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if let Some(after) = self.catching_up.take() {
                self.read(after).await;
                continue;
            }
            match self.live.next().await? {
                Heard::Event(event) if self.filter.lets(&event) => return Some(told(&event)),
                Heard::Event(_) => {}
                Heard::Missed(count) => {
                    let data = json!({ "missed": count }).to_string();
                    return Some(Sse::default().event("missed").data(data));
                }
            }
        }
    }

    /// Reads a page of what was before.
    async fn read(&mut self, after: u64) {
        let asked = Query {
            after: Some(after),
            limit: MAX_PAGE / 4,
            filter: self.filter.clone(),
        };
        let page = self.events.page(&asked).await;
        if page.gone {
            let data = json!({ "after": after }).to_string();
            self.ready
                .push_back(Sse::default().event("gone").data(data));
        }
        self.ready.extend(page.events.iter().map(told));
        if page.more {
            self.catching_up = Some(page.next_after);
        } else {
            self.live.skip_to(page.next_after);
        }
    }
}

fn told(event: &EventRecord) -> Sse {
    let mut sse = Sse::default().event(&event.kind);
    if let Some(seq) = event.seq {
        sse = sse.id(seq.to_string());
    }
    // It is made of text and numbers, which can always be written.
    sse.data(serde_json::to_string(event).unwrap_or_default())
}
