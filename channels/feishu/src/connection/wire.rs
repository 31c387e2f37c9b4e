//! One WebSocket, from its opening to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tieline_channel::WithCauses;
use tieline_net::WebSocket;
use tieline_net::life::ConnectionId;
use tieline_net::lines::{CAPACITY, Outcome, Place, Receipt, Settled};
use tieline_net::phase::{Next, Order, Phase, Traffic};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{debug, warn};

use super::deadlines::Deadlines;
use super::over::Over;
use super::pulse::Pulse;
use super::push::{Push, Queue, Slip};
use crate::discovery::Timing;
use crate::frame::{Frame, Kind};
use crate::parts::{self, Parts};

/// How many acknowledgements are written together.
const BATCH: usize = 64;

/// What a connection says about itself.
#[derive(Debug)]
pub(super) enum Report {
    /// Feishu wants connections to be kept in another way.
    Configured(Timing),
    /// It has ended; what remains is to close it.
    Ended {
        /// Why, for the log and the health.
        reason: String,
        /// Whether anything came by it.
        has_delivered: bool,
        /// How long to stay away.
        after: Option<Duration>,
    },
}

/// What a connection is made of.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) id: ConnectionId,
    pub(super) socket: WebSocket,
    pub(super) service_id: i32,
    pub(super) timing: Timing,
    pub(super) queue: Queue,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) reporter: mpsc::Sender<(ConnectionId, Report)>,
    /// Told of everything that comes in.
    pub(super) heard: Arc<Notify>,
    pub(super) deadlines: Deadlines,
}

/// An event that has come in.
struct Arrival {
    push: Push,
    slip: Slip,
    bytes: usize,
}

/// An event for which there is no room yet.
struct Pending {
    arrival: Arrival,
    /// When it is given up.
    until: Instant,
}

/// A connection at work.
struct Service {
    wire: Wire,
    settlements: mpsc::Sender<Settled<Slip>>,
    parts: Parts,
    pulse: Pulse,
    /// How many events are without a settlement.
    in_flight: usize,
    pending: Option<Pending>,
    /// Whether events without room are refused at once: there was none for a whole pause.
    refuses: bool,
    /// When the last event came.
    delivered_at: Option<Instant>,
}

impl Wire {
    /// Serves the connection until it ends. What is in flight then is handed in all the same, and
    /// comes again because it cannot be acknowledged.
    pub(super) async fn run(self) {
        // There is room for everything that has a place in the queue.
        let (settlements, settled) = mpsc::channel(CAPACITY);
        let pulse = Pulse::begin(self.timing.ping, self.deadlines.pong, Instant::now());
        let mut service = Service {
            wire: self,
            settlements,
            parts: Parts::new(),
            pulse,
            in_flight: 0,
            pending: None,
            refuses: false,
            delivered_at: None,
        };
        let over = service.serve(settled).await;
        // Closing takes a while, and whoever makes the next connection should not wait for it.
        service
            .report(Report::Ended {
                reason: over.reason().to_owned(),
                has_delivered: service.delivered_at.is_some(),
                after: over.after(),
            })
            .await;
        service.end(over).await;
    }
}

impl Service {
    async fn serve(&mut self, mut settled: mpsc::Receiver<Settled<Slip>>) -> Over {
        let patience = self.wire.deadlines.patience;
        let mut batch = Vec::with_capacity(BATCH);
        let mut phase = Phase::Serving;
        loop {
            if !phase.reads() {
                // What has no place by now comes again.
                self.pending = None;
            }
            let wakes_at = match phase.next(self.traffic(), &patience, Instant::now()) {
                Next::Phase(next, wakes_at) => {
                    phase = next;
                    wakes_at
                }
                Next::End => return Over::Dismissed,
            };
            let reads = phase.reads() && self.pending.is_none();
            let pause_ends_at = self.pending.as_ref().map(|pending| pending.until);
            let outcome = tokio::select! {
                // After a sleep of the machine, what has come in counts before how late it is.
                biased;
                changed = self.wire.orders.changed() => match changed {
                    Ok(()) => {
                        let order = *self.wire.orders.borrow_and_update();
                        phase = Phase::ordered(order, &patience, Instant::now());
                        Ok(())
                    }
                    // Nobody wants it any longer.
                    Err(_closed) => return Over::Dismissed,
                },
                _n = settled.recv_many(&mut batch, BATCH) => self.acknowledge(&mut batch).await,
                () = sleep_until(self.pulse.ping_at()) => self.ping().await,
                place = room(&self.wire.queue, self.pending.as_ref()) => {
                    if let Some(Pending { arrival, .. }) = self.end_pause() {
                        self.put(arrival, place);
                    }
                    Ok(())
                }
                () = at(pause_ends_at) => self.refuse_pending().await,
                message = self.wire.socket.next(), if reads => self.received(message).await,
                () = at(self.pulse.dead_at()), if reads => Err(Over::Broken(format!(
                    "nothing was heard for {:?} after a ping",
                    self.wire.deadlines.pong
                ))),
                () = at(wakes_at) => Ok(()),
            };
            if let Err(over) = outcome {
                return over;
            }
        }
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            is_in_flight: self.in_flight > 0 || self.pending.is_some(),
            delivered_at: self.delivered_at,
        }
    }

    async fn received(
        &mut self,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), Over> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                return Err(Over::Broken(format!(
                    "the connection broke: {}",
                    WithCauses(&error)
                )));
            }
            None => return Err(Over::Broken("the connection was cut off".to_owned())),
        };
        self.pulse.heard();
        self.wire.heard.notify_one();
        match message {
            Message::Binary(bytes) => self.read(&bytes).await,
            Message::Close(frame) => Err(Over::closed(frame.as_ref(), &self.wire.timing)),
            Message::Text(_) => {
                debug!("a text where frames are expected");
                Ok(())
            }
            // A ping is answered by the next read or write.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn read(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let frame = match Frame::read(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                debug!(error = %WithCauses(&error), "passed over");
                return Ok(());
            }
        };
        match frame.kind() {
            Kind::Event => match self.complete(frame) {
                Some(arrival) => self.deliver(arrival).await,
                None => Ok(()),
            },
            Kind::Pong => {
                self.configure(&frame).await;
                Ok(())
            }
            kind @ (Kind::Ping | Kind::Card | Kind::Unknown) => {
                debug!(?kind, "a frame that means nothing to us");
                Ok(())
            }
        }
    }

    /// Takes an event, or a part of one; returns what is complete now.
    fn complete(&mut self, mut frame: Frame) -> Option<Arrival> {
        let now = Instant::now();
        let payload = frame.payload.take().unwrap_or_default();
        let whole = parts::Place::of(&frame)
            .and_then(|place| self.parts.add(now.into_std(), place, payload));
        match whole {
            Ok(whole) => whole.map(|payload| Arrival {
                bytes: payload.len(),
                push: Push::new(payload),
                slip: Slip::new(frame, now),
            }),
            Err(error) => {
                warn!(%error, "an event cannot be put together");
                None
            }
        }
    }

    async fn deliver(&mut self, arrival: Arrival) -> Result<(), Over> {
        self.delivered_at = Some(Instant::now());
        match self.wire.queue.try_place(arrival.bytes) {
            Some(place) => {
                self.refuses = false;
                self.put(arrival, place);
                Ok(())
            }
            None if self.refuses => {
                self.write(arrival.slip.acknowledgement(Outcome::Again))
                    .await
            }
            None => {
                debug!("too many events wait, reading pauses");
                self.pending = Some(Pending {
                    arrival,
                    until: Instant::now() + self.wire.deadlines.pause,
                });
                Ok(())
            }
        }
    }

    fn end_pause(&mut self) -> Option<Pending> {
        self.pulse.listens_again(Instant::now());
        self.pending.take()
    }

    /// Reads on although there is no room, so that pongs are heard.
    async fn refuse_pending(&mut self) -> Result<(), Over> {
        warn!(
            "too many messages wait to be recorded; new ones are refused, so that Feishu delivers \
             them again"
        );
        self.refuses = true;
        match self.end_pause() {
            Some(pending) => {
                self.write(pending.arrival.slip.acknowledgement(Outcome::Again))
                    .await
            }
            None => Ok(()),
        }
    }

    fn put(&mut self, arrival: Arrival, place: Place) {
        self.in_flight += 1;
        let receipt = Receipt::new(arrival.slip, place, self.settlements.clone());
        self.wire.queue.put(arrival.push, receipt);
    }

    async fn configure(&mut self, pong: &Frame) {
        let timing = self.wire.timing.changed_by(pong.client_config());
        if timing != self.wire.timing {
            debug!(?timing, "Feishu configures the connection");
            self.wire.timing = timing;
            self.pulse.ping_every(timing.ping, Instant::now());
            self.report(Report::Configured(timing)).await;
        }
    }

    async fn ping(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        self.pulse.pinged(now);
        self.parts.expire(now.into_std());
        let ping = Frame::ping(self.wire.service_id);
        self.write(Message::binary(ping.write())).await
    }

    async fn report(&self, report: Report) {
        let report = (self.wire.id, report);
        // Fails only at the very end, when everything is being closed anyway.
        drop(self.wire.reporter.send(report).await);
    }

    /// Writes acknowledgements, all with one flush.
    async fn acknowledge(&mut self, batch: &mut Vec<Settled<Slip>>) -> Result<(), Over> {
        self.in_flight = self.in_flight.saturating_sub(batch.len());
        let frames: Vec<Message> = batch
            .drain(..)
            .map(|settled| settled.slip.acknowledgement(settled.outcome))
            .collect();
        let socket = &mut self.wire.socket;
        let written = timeout(self.wire.deadlines.write, async {
            for frame in frames {
                socket.feed(frame).await?;
            }
            socket.flush().await
        })
        .await;
        Over::unless_written(written)
    }

    async fn write(&mut self, message: Message) -> Result<(), Over> {
        let written = self.wire.socket.send(message);
        Over::unless_written(timeout(self.wire.deadlines.write, written).await)
    }

    /// Closes the connection as well as its state allows.
    async fn end(&mut self, over: Over) {
        match over {
            Over::Broken(_) => {}
            Over::ClosedByPeer { .. } => self.let_tcp_end().await,
            Over::Dismissed => {
                let within = self.wire.deadlines.close;
                let handshake = async {
                    self.wire.socket.close(None).await?;
                    self.read_the_rest().await;
                    Ok(())
                };
                match Over::unless_written(timeout(within, handshake).await) {
                    Ok(()) => self.let_tcp_end().await,
                    Err(_over) => debug!("the close handshake is not completed"),
                }
            }
        }
    }

    /// Takes what Feishu sent before it saw our close frame. It cannot be acknowledged any longer,
    /// but what is on its way need not wait for its second delivery.
    async fn read_the_rest(&mut self) {
        let takes = *self.wire.orders.borrow() != Order::Stop;
        while let Some(Ok(message)) = self.wire.socket.next().await {
            match message {
                Message::Close(_) => return,
                Message::Binary(bytes) if takes => self.take_unacknowledged(&bytes),
                Message::Binary(_)
                | Message::Text(_)
                | Message::Ping(_)
                | Message::Pong(_)
                | Message::Frame(_) => {}
            }
        }
    }

    fn take_unacknowledged(&mut self, bytes: &[u8]) {
        if let Ok(frame) = Frame::read(bytes)
            && frame.kind() == Kind::Event
            && let Some(arrival) = self.complete(frame)
            && let Some(place) = self.wire.queue.try_place(arrival.bytes)
        {
            self.put(arrival, place);
        }
    }

    /// Gives the peer a moment to close TCP. Then it is dropped.
    async fn let_tcp_end(&mut self) {
        let gone = async { while let Some(Ok(_)) = self.wire.socket.next().await {} };
        if timeout(self.wire.deadlines.tcp, gone).await.is_err() {
            debug!("the peer leaves TCP open after the close handshake, dropping it");
        }
    }
}

/// Waits for room for what is pending; for ever if nothing is.
async fn room(queue: &Queue, pending: Option<&Pending>) -> Place {
    match pending {
        Some(pending) => queue.place(pending.arrival.bytes).await,
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
