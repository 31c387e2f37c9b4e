//! One WebSocket, from its opening to its end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tieline_channel::WithCauses;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{debug, info, warn};

use super::life::{ConnectionId, Event};
use super::lines::{CAPACITY, Outcome, Place, Queue, Receipt, Settled};
use super::phase::{Next, Order, Phase, Traffic};
use super::pulse::Pulse;
use super::room::Room;
use super::{Arrival, Heard, Opened, Session, SlipOf, Timing, at};

/// How many acknowledgements are written together.
const BATCH: usize = 64;

/// What a connection is made of.
pub(super) struct Connection<S: Session> {
    pub(super) id: ConnectionId,
    /// The platform's name.
    pub(super) platform: &'static str,
    pub(super) opened: Opened<S>,
    pub(super) queue: Queue<S::Delivery>,
    pub(super) orders: watch::Receiver<Order>,
    /// Takes what happens to it.
    pub(super) events: mpsc::Sender<Event>,
    /// Told of everything that comes in.
    pub(super) heard: Arc<Notify>,
    pub(super) timing: Timing,
}

/// Why a connection is not served any longer.
enum Over {
    /// We want it to end.
    Dismissed,
    /// The peer has sent its close frame; the answer is on its way.
    ClosedByPeer {
        /// What it said.
        reason: String,
        /// How long to stay away.
        after: Option<Duration>,
    },
    /// It is broken.
    Broken(String),
}

/// A connection at work.
struct Service<S: Session> {
    connection: Connection<S>,
    settlements: mpsc::Sender<Settled<SlipOf<S>>>,
    pulse: Pulse,
    room: Room<S::Delivery>,
    /// How many deliveries are without a settlement.
    in_flight: usize,
    /// When the last delivery came.
    delivered_at: Option<Instant>,
}

impl<S: Session> Connection<S> {
    /// Serves the connection until it ends. What is in flight then is handed in all the same, and
    /// comes again because it cannot be acknowledged.
    pub(super) async fn run(self) {
        // There is room for everything that has a place in the queue.
        let (settlements, settled) = mpsc::channel(CAPACITY);
        let ping = self.opened.upkeep.ping;
        let mut service = Service {
            pulse: Pulse::begin(ping, self.timing.pong, Instant::now()),
            connection: self,
            settlements,
            room: Room::Enough,
            in_flight: 0,
            delivered_at: None,
        };
        let over = service.serve(settled).await;
        // Closing takes a while, and whoever makes the next connection should not wait for it.
        service.tell_end(&over).await;
        service.end(over).await;
    }
}

// === impl Over ===

impl Over {
    /// Says what became of a write that had a deadline.
    fn unless_written(
        written: Result<Result<(), tungstenite::Error>, Elapsed>,
    ) -> Result<(), Self> {
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Self::Broken(format!(
                "cannot write to the connection: {}",
                WithCauses(&error)
            ))),
            Err(_elapsed) => Err(Self::Broken(
                "the peer does not read what we write".to_owned(),
            )),
        }
    }
}

// === impl Service ===

impl<S: Session> Service<S> {
    async fn serve(&mut self, mut settled: mpsc::Receiver<Settled<SlipOf<S>>>) -> Over {
        let Timing { patience, pong, .. } = self.connection.timing;
        let mut batch = Vec::with_capacity(BATCH);
        let mut phase = Phase::Serving;
        loop {
            if !phase.reads() {
                // What has no place by now comes again.
                drop(self.room.end_wait(Room::Enough));
            }
            let wakes_at = match phase.next(self.traffic(), &patience, Instant::now()) {
                Next::Phase(next, wakes_at) => {
                    phase = next;
                    wakes_at
                }
                Next::End => return Over::Dismissed,
            };
            let reads = phase.reads() && !self.room.is_awaited();
            let outcome = tokio::select! {
                // After a sleep of the machine, what has come in counts before how late it is.
                biased;
                changed = self.connection.orders.changed() => match changed {
                    Ok(()) => {
                        let order = *self.connection.orders.borrow_and_update();
                        phase = Phase::ordered(order, &patience, Instant::now());
                        Ok(())
                    }
                    // Nobody wants it any longer.
                    Err(_closed) => return Over::Dismissed,
                },
                _n = settled.recv_many(&mut batch, BATCH) => self.acknowledge(&mut batch).await,
                () = sleep_until(self.pulse.ping_at()) => self.ping().await,
                place = self.room.place(&self.connection.queue) => {
                    if let Some(arrival) = self.read_on(Room::Enough) {
                        self.put(arrival, place);
                    }
                    Ok(())
                }
                () = at(self.room.until()) => self.refuse_what_waits().await,
                message = self.connection.opened.socket.next(), if reads => {
                    self.received(message).await
                }
                () = at(self.pulse.dead_at()), if reads => Err(Over::Broken(format!(
                    "nothing was heard for {pong:?} after a ping"
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
            is_in_flight: self.in_flight > 0 || self.room.is_awaited(),
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
        self.connection.heard.notify_one();
        match message {
            Message::Text(_) | Message::Binary(_) => {
                let heard = self.connection.opened.session.read(message);
                self.follow(heard).await
            }
            Message::Close(frame) => Err(self.closed(frame.as_ref())),
            // A ping is answered by the next read or write.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn follow(&mut self, heard: Heard<S::Delivery>) -> Result<(), Over> {
        let id = self.connection.id;
        match heard {
            Heard::Nothing => Ok(()),
            Heard::Delivery(arrival) => self.deliver(arrival).await,
            Heard::Question(answer) => self.write(answer).await,
            Heard::Farewell { verdict, reason } => {
                info!(connection = id.0, reason, "a connection is to be replaced");
                self.tell(Event::Announced {
                    id,
                    verdict,
                    reason,
                })
                .await;
                Ok(())
            }
            Heard::Upkeep(upkeep) => {
                debug!(connection = id.0, ?upkeep, "kept in another way");
                self.pulse.ping_every(upkeep.ping, Instant::now());
                self.tell(Event::Paced(upkeep.longest)).await;
                Ok(())
            }
        }
    }

    fn closed(&self, frame: Option<&CloseFrame>) -> Over {
        let platform = self.connection.platform;
        Over::ClosedByPeer {
            reason: match frame {
                Some(frame) => format!("{platform} closed the connection ({})", frame.code),
                None => format!("{platform} closed the connection"),
            },
            after: self.connection.opened.session.stays_away(frame),
        }
    }

    async fn deliver(&mut self, arrival: Arrival<S::Delivery>) -> Result<(), Over> {
        let now = Instant::now();
        self.delivered_at = Some(now);
        if let Some(place) = self.connection.queue.try_place(arrival.bytes) {
            self.room = Room::Enough;
            self.put(arrival, place);
            return Ok(());
        }
        if let Room::Exhausted = self.room {
            return self.refuse(arrival).await;
        }
        debug!("too many deliveries wait, reading pauses");
        self.room = Room::Awaited {
            arrival,
            until: now + self.connection.timing.pause,
        };
        Ok(())
    }

    async fn refuse_what_waits(&mut self) -> Result<(), Over> {
        warn!(
            "too many messages wait to be recorded; new ones are refused, so that {} delivers \
             them again",
            self.connection.platform
        );
        match self.read_on(Room::Exhausted) {
            Some(arrival) => self.refuse(arrival).await,
            None => Ok(()),
        }
    }

    /// Ends a pause; returns what waited.
    fn read_on(&mut self, room: Room<S::Delivery>) -> Option<Arrival<S::Delivery>> {
        self.pulse.listens_again(Instant::now());
        self.room.end_wait(room)
    }

    async fn refuse(&mut self, arrival: Arrival<S::Delivery>) -> Result<(), Over> {
        match S::acknowledgement(arrival.slip, Outcome::Again) {
            Some(refusal) => self.write(refusal).await,
            None => Ok(()),
        }
    }

    fn put(&mut self, arrival: Arrival<S::Delivery>, place: Place) {
        self.in_flight += 1;
        let receipt = Receipt::new(arrival.slip, place, self.settlements.clone());
        self.connection.queue.put(arrival.delivery, receipt);
    }

    async fn ping(&mut self) -> Result<(), Over> {
        self.pulse.pinged(Instant::now());
        let ping = self.connection.opened.session.ping();
        self.write(ping).await
    }

    /// Writes acknowledgements, all with one flush.
    async fn acknowledge(&mut self, batch: &mut Vec<Settled<SlipOf<S>>>) -> Result<(), Over> {
        self.in_flight = self.in_flight.saturating_sub(batch.len());
        let socket = &mut self.connection.opened.socket;
        let written = timeout(self.connection.timing.write, async {
            for settled in batch.drain(..) {
                if let Some(message) = S::acknowledgement(settled.slip, settled.outcome) {
                    socket.feed(message).await?;
                }
            }
            socket.flush().await
        })
        .await;
        Over::unless_written(written)
    }

    async fn write(&mut self, message: Message) -> Result<(), Over> {
        let written = self.connection.opened.socket.send(message);
        Over::unless_written(timeout(self.connection.timing.write, written).await)
    }

    async fn tell(&self, event: Event) {
        // Fails only at the very end, when everything is being closed anyway.
        drop(self.connection.events.send(event).await);
    }

    async fn tell_end(&self, over: &Over) {
        let id = self.connection.id;
        let (reason, after) = match over {
            Over::Dismissed => ("it was closed on purpose", None),
            Over::ClosedByPeer { reason, after } => (reason.as_str(), *after),
            Over::Broken(reason) => (reason.as_str(), None),
        };
        info!(connection = id.0, reason, "a connection ends");
        self.tell(Event::Ended {
            id,
            reason: reason.to_owned(),
            has_delivered: self.delivered_at.is_some(),
            after,
        })
        .await;
    }

    /// Closes the connection as well as its state allows.
    async fn end(&mut self, over: Over) {
        match over {
            Over::Broken(_) => {}
            Over::ClosedByPeer { .. } => self.let_tcp_end().await,
            Over::Dismissed => {
                let within = self.connection.timing.close;
                let handshake = async {
                    self.connection.opened.socket.close(None).await?;
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

    /// Takes what the peer sent before it saw our close frame. It cannot be acknowledged any longer,
    /// but what is on its way need not wait for its second delivery.
    async fn read_the_rest(&mut self) {
        let takes = *self.connection.orders.borrow() != Order::Stop;
        while let Some(Ok(message)) = self.connection.opened.socket.next().await {
            match message {
                Message::Close(_) => return,
                Message::Text(_) | Message::Binary(_) if takes => {
                    if let Heard::Delivery(arrival) = self.connection.opened.session.read(message)
                        && let Some(place) = self.connection.queue.try_place(arrival.bytes)
                    {
                        self.put(arrival, place);
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

    /// Gives the peer a moment to close TCP. Then it is dropped.
    async fn let_tcp_end(&mut self) {
        let socket = &mut self.connection.opened.socket;
        let gone = async { while let Some(Ok(_)) = socket.next().await {} };
        if timeout(self.connection.timing.tcp, gone).await.is_err() {
            debug!("the peer leaves TCP open after the close handshake, dropping it");
        }
    }
}
