//! What a platform has of its own.

use std::error::Error as StdError;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::life::Verdict;
use super::lines::{Delivery, Outcome};
use crate::WebSocket;

/// What a platform delivers.
pub type DeliveryOf<P> = <<P as Platform>::Session as Session>::Delivery;

/// What a session acknowledges deliveries with.
pub type SlipOf<S> = <<S as Session>::Delivery as Delivery>::Slip;

/// A platform to which a connection is kept.
pub trait Platform: Send + Sync + 'static {
    /// What people call it, for the log and the health.
    const NAME: &'static str;

    /// What goes over a connection.
    type Session: Session;

    /// Why there is no connection. Its text must not have a URL in it.
    type Error: StdError + Send + Sync + 'static;

    /// Opens a connection on which deliveries may come at once. Each step has its deadline; at most
    /// one connection is being opened at any time, and the future may be dropped.
    ///
    /// # Errors
    ///
    /// When there is none; [`verdict`](Self::verdict) says what to do.
    fn open(&self) -> impl Future<Output = Result<Opened<Self::Session>, Self::Error>> + Send;

    /// Says what to do about a failure.
    fn verdict(&self, error: &Self::Error) -> Verdict;
}

/// What goes over one connection: the state of a protocol, without IO. It goes with its connection.
pub trait Session: Send + Sync + 'static {
    /// What it delivers.
    type Delivery: Delivery;

    /// Says what a text or binary message means. Nothing is an error: what cannot be read means
    /// nothing.
    fn read(&mut self, message: Message) -> Heard<Self::Delivery>;

    /// Makes a ping, to which the peer sends an answer of whatever kind.
    fn ping(&mut self) -> Message;

    /// Says what became of a delivery, where the platform wants to hear that.
    fn acknowledgement(slip: SlipOf<Self>, outcome: Outcome) -> Option<Message>;

    /// Says how long the platform wants us to stay away after it has closed the connection so.
    fn stays_away(&self, _close: Option<&CloseFrame>) -> Option<Duration> {
        None
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Opened<S> {
    /// The connection.
    pub socket: WebSocket,
    /// What goes over it.
    pub session: S,
    /// How to keep it.
    pub upkeep: Upkeep,
}

/// How a platform wants connections to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// How often to ping.
    pub ping: Duration,
    /// The longest wait between attempts.
    pub longest: Duration,
}

/// What a message means.
pub enum Heard<D: Delivery> {
    /// Nothing for us.
    Nothing,
    /// A delivery has come, complete.
    Delivery(Arrival<D>),
    /// This is to be answered.
    Question(Message),
    /// The connection is about to end.
    Farewell {
        /// What to do, if it is not the routine, which is to replace the connection now.
        verdict: Option<Verdict>,
        /// What the platform said.
        reason: String,
    },
    /// Connections are to be kept like this from now on.
    Upkeep(Upkeep),
}

/// A delivery that has come.
pub struct Arrival<D: Delivery> {
    /// What it is.
    pub delivery: D,
    /// What it is acknowledged with.
    pub slip: D::Slip,
    /// How large it is.
    pub bytes: usize,
}
