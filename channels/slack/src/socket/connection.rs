//! One WebSocket, from `hello` to its end.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tieline_channel::WithCauses;
use tieline_net::WebSocket;
use tieline_net::life::ConnectionId;
use tieline_net::lines::{CAPACITY, Outcome, Place, Receipt, Settled};
use tieline_net::phase::{Next, Order, Phase, Traffic};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{debug, warn};

use super::envelope::{DisconnectReason, Envelope, Frame, acknowledgement};
use super::queue::Queue;
use super::timing::Timing;

/// How many acknowledgements are written together.
const BATCH: usize = 64;

/// What a connection says about itself.
#[derive(Debug)]
pub(super) enum Report {
    /// Slack has announced its end.
    Announced(DisconnectReason),
    /// It has ended; what remains is to close it.
    Ended {
        /// Why, for the log and the health.
        reason: String,
        /// Whether anything came by it.
        has_delivered: bool,
    },
}

/// What a connection is made of.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) socket: WebSocket,
    pub(super) queue: Queue,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) reporter: mpsc::Sender<(ConnectionId, Report)>,
    /// Told of everything that comes in.
    pub(super) pulse: Arc<Notify>,
    pub(super) timing: Timing,
}

/// Why a connection is not served any longer.
enum Over {
    /// We want it to end.
    Dismissed,
    /// The peer has sent its close frame; the answer is on its way.
    ClosedByPeer(String),
    /// It is broken.
    Broken(String),
}

/// An envelope for which there is no room yet.
struct Pending {
    envelope: Envelope,
    bytes: usize,
    /// When it is given up.
    until: Instant,
}

/// A connection at work.
struct Service {
    connection: Connection,
    settlements: mpsc::Sender<Settled<String>>,
    /// How many envelopes are without a settlement.
    in_flight: usize,
    pending: Option<Pending>,
    /// Whether envelopes without room are passed over: there was none for a whole pause.
    passes_over: bool,
    heard_at: Instant,
    /// When the last envelope came.
    delivered_at: Option<Instant>,
}

impl Connection {
    /// Serves the connection until it ends. What is in flight then is handed in all the same, and
    /// comes again because it cannot be acknowledged.
    pub(super) async fn run(self) {
        // There is room for everything that has a place in the queue.
        let (settlements, settled) = mpsc::channel(CAPACITY);
        let mut service = Service {
            connection: self,
            settlements,
            in_flight: 0,
            pending: None,
            passes_over: false,
            heard_at: Instant::now(),
            delivered_at: None,
        };
        let over = service.serve(settled).await;
        // Closing takes a while, and whoever makes the next connection should not wait for it.
        service
            .report(Report::Ended {
                reason: over.reason().to_owned(),
                has_delivered: service.delivered_at.is_some(),
            })
            .await;
        service.end(over).await;
    }
}

impl Over {
    fn reason(&self) -> &str {
        match self {
            Self::Dismissed => "it was closed on purpose",
            Self::ClosedByPeer(reason) | Self::Broken(reason) => reason,
        }
    }
}

impl Service {
    async fn serve(&mut self, mut settled: mpsc::Receiver<Settled<String>>) -> Over {
        let timing = self.connection.timing;
        let mut pings = interval_at(Instant::now() + timing.ping, timing.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        let mut phase = Phase::Serving;
        loop {
            if !phase.reads() {
                // What has no place by now comes again.
                self.pending = None;
            }
            let wakes_at = match phase.next(self.traffic(), &timing.patience, Instant::now()) {
                Next::Phase(next, wakes_at) => {
                    phase = next;
                    wakes_at
                }
                Next::End => return Over::Dismissed,
            };
            let reads = phase.reads() && self.pending.is_none();
            let pause_ends_at = self.pending.as_ref().map(|pending| pending.until);
            let silent_at = self.heard_at + timing.silence;
            let outcome = tokio::select! {
                changed = self.connection.orders.changed() => match changed {
                    Ok(()) => {
                        let order = *self.connection.orders.borrow_and_update();
                        phase = Phase::ordered(order, &timing.patience, Instant::now());
                        Ok(())
                    }
                    // Nobody wants it any longer.
                    Err(_closed) => return Over::Dismissed,
                },
                _n = settled.recv_many(&mut batch, BATCH) => self.acknowledge(&mut batch).await,
                _instant = pings.tick() => self.write(Message::Ping("tieline".into())).await,
                place = room(&self.connection.queue, self.pending.as_ref()) => {
                    if let Some(pending) = self.take_pending() {
                        self.put(pending.envelope, place);
                    }
                    Ok(())
                }
                () = at(pause_ends_at) => {
                    self.pass_over_pending();
                    Ok(())
                }
                message = self.connection.socket.next(), if reads => self.received(message).await,
                () = sleep_until(silent_at), if reads => Err(Over::Broken(format!(
                    "nothing was heard for {:?}",
                    timing.silence
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
        self.heard_at = Instant::now();
        self.connection.pulse.notify_one();
        match message {
            Message::Text(text) => self.read(&text).await,
            Message::Close(frame) => Err(Over::ClosedByPeer(match frame {
                Some(frame) => format!("Slack closed the connection ({})", frame.code),
                None => "Slack closed the connection".to_owned(),
            })),
            // A ping is answered by the next read or write.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn read(&mut self, text: &str) -> Result<(), Over> {
        match Frame::read(text) {
            Frame::Envelope(envelope) => {
                self.delivered_at = Some(Instant::now());
                let bytes = text.len();
                match self.connection.queue.try_place(bytes) {
                    Some(place) => {
                        self.passes_over = false;
                        self.put(envelope, place);
                    }
                    None if self.passes_over => {
                        debug!(envelope_id = envelope.envelope_id, "passed over");
                    }
                    None => {
                        debug!("too many envelopes wait, reading pauses");
                        let until = Instant::now() + self.connection.timing.pause;
                        self.pending = Some(Pending {
                            envelope,
                            bytes,
                            until,
                        });
                    }
                }
                Ok(())
            }
            Frame::AppRateLimited { envelope_id } => {
                warn!(
                    "Slack withholds events of this app for now: there were more than 30,000 in \
                     an hour"
                );
                self.write(Message::text(acknowledgement(&envelope_id)))
                    .await
            }
            Frame::Unknown { envelope_id, kind } => {
                debug!(envelope_id, kind, "acknowledging what is unknown");
                self.write(Message::text(acknowledgement(&envelope_id)))
                    .await
            }
            Frame::Disconnect(reason) => {
                self.report(Report::Announced(reason)).await;
                Ok(())
            }
            Frame::Hello { .. } | Frame::Noise => Ok(()),
        }
    }

    /// Ends a pause.
    fn take_pending(&mut self) -> Option<Pending> {
        // Silence only counts while somebody listens.
        self.heard_at = Instant::now();
        self.pending.take()
    }

    /// Reads on although there is no room: what is passed over is not acknowledged and comes again,
    /// and pings are answered.
    fn pass_over_pending(&mut self) {
        warn!(
            "too many messages wait to be recorded; new ones are passed over, so that Slack \
             delivers them again"
        );
        self.passes_over = true;
        drop(self.take_pending());
    }

    async fn report(&self, report: Report) {
        let report = (self.connection.id, report);
        // Fails only at the very end, when everything is being closed anyway.
        drop(self.connection.reporter.send(report).await);
    }

    fn put(&mut self, envelope: Envelope, place: Place) {
        self.in_flight += 1;
        let slip = envelope.envelope_id.clone();
        let receipt = Receipt::new(slip, place, self.settlements.clone());
        self.connection.queue.put(envelope, receipt);
    }

    /// Writes acknowledgements, all with one flush.
    async fn acknowledge(&mut self, batch: &mut Vec<Settled<String>>) -> Result<(), Over> {
        self.in_flight = self.in_flight.saturating_sub(batch.len());
        let frames: Vec<Message> = batch
            .iter()
            .filter(|settled| settled.outcome == Outcome::Taken)
            .map(|settled| Message::text(acknowledgement(&settled.slip)))
            .collect();
        let socket = &mut self.connection.socket;
        let written = timeout(self.connection.timing.write, async {
            for frame in frames {
                socket.feed(frame).await?;
            }
            socket.flush().await
        })
        .await;
        batch.clear();
        flatten(written)
    }

    async fn write(&mut self, message: Message) -> Result<(), Over> {
        let written = self.connection.socket.send(message);
        flatten(timeout(self.connection.timing.write, written).await)
    }

    /// Closes the connection as well as its state allows.
    async fn end(&mut self, over: Over) {
        let timing = self.connection.timing;
        match over {
            Over::Broken(_) => {}
            Over::ClosedByPeer(_) => self.let_tcp_end().await,
            Over::Dismissed => {
                let handshake = async {
                    self.connection.socket.close(None).await?;
                    self.read_the_rest().await;
                    Ok(())
                };
                match flatten(timeout(timing.close, handshake).await) {
                    Ok(()) => self.let_tcp_end().await,
                    Err(_over) => debug!("the close handshake is not completed"),
                }
            }
        }
    }

    /// Takes what Slack sent before it saw our close frame. It cannot be acknowledged any longer,
    /// but what is on its way need not wait for its second delivery.
    async fn read_the_rest(&mut self) {
        let takes = *self.connection.orders.borrow() != Order::Stop;
        while let Some(Ok(message)) = self.connection.socket.next().await {
            match message {
                Message::Close(_) => return,
                Message::Text(text) if takes => {
                    if let Frame::Envelope(envelope) = Frame::read(&text)
                        && let Some(place) = self.connection.queue.try_place(text.len())
                    {
                        self.put(envelope, place);
                    }
                }
                Message::Text(_)
                | Message::Binary(_)
                | Message::Ping(_)
                | Message::Pong(_)
                | Message::Frame(_) => {}
            }
        }
    }

    /// Gives the peer a moment to close TCP, which Slack does not do. Then it is dropped.
    async fn let_tcp_end(&mut self) {
        let gone = async { while let Some(Ok(_)) = self.connection.socket.next().await {} };
        if timeout(self.connection.timing.tcp, gone).await.is_err() {
            debug!("the peer leaves TCP open after the close handshake, dropping it");
        }
    }
}

/// Waits for room for what is pending; for ever if nothing is.
async fn room(queue: &Queue, pending: Option<&Pending>) -> Place {
    match pending {
        Some(pending) => queue.place(pending.bytes).await,
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn flatten(
    written: Result<Result<(), tungstenite::Error>, tokio::time::error::Elapsed>,
) -> Result<(), Over> {
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Over::Broken(format!(
            "cannot write to the connection: {}",
            WithCauses(&error)
        ))),
        Err(_elapsed) => Err(Over::Broken(
            "the peer does not read what we write".to_owned(),
        )),
    }
}
