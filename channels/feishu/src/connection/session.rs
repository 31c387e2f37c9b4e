//! What goes over one connection.

use std::time::Duration;

use tieline_channel::WithCauses;
use tieline_channel::retry::RetryPolicy;
use tieline_net::uplink::{Arrival, Heard, Outcome, Session, Upkeep};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tracing::{debug, warn};

use super::push::{Push, Slip};
use crate::discovery::Timing;
use crate::frame::{Frame, Kind};
use crate::parts::{self, Parts};

/// A connection at work.
#[derive(Debug)]
pub(super) struct FeishuSession {
    /// What each ping names.
    service_id: i32,
    timing: Timing,
    parts: Parts,
}

impl FeishuSession {
    pub(super) fn new(service_id: i32, timing: Timing) -> Self {
        Self {
            service_id,
            timing,
            parts: Parts::new(),
        }
    }

    pub(super) fn upkeep(&self) -> Upkeep {
        Upkeep {
            ping: self.timing.ping,
            longest: self.timing.reconnect_interval,
        }
    }

    /// Takes an event, or a part of one, which may make it complete.
    fn event(&mut self, mut frame: Frame) -> Heard<Push> {
        let now = Instant::now();
        let payload = frame.payload.take().unwrap_or_default();
        let whole = parts::Place::of(&frame)
            .and_then(|place| self.parts.add(now.into_std(), place, payload));
        match whole {
            Ok(Some(payload)) => Heard::Delivery(Arrival {
                bytes: payload.len(),
                delivery: Push::new(payload),
                slip: Slip::new(frame, now),
            }),
            Ok(None) => Heard::Nothing,
            Err(error) => {
                warn!(%error, "an event cannot be put together");
                Heard::Nothing
            }
        }
    }

    fn pong(&mut self, pong: &Frame) -> Heard<Push> {
        let timing = self.timing.changed_by(pong.client_config());
        if timing == self.timing {
            return Heard::Nothing;
        }
        debug!(?timing, "Feishu configures the connection");
        self.timing = timing;
        Heard::Upkeep(self.upkeep())
    }
}

impl Session for FeishuSession {
    type Delivery = Push;

    fn read(&mut self, message: Message) -> Heard<Push> {
        let Message::Binary(bytes) = message else {
            debug!("a text where frames are expected");
            return Heard::Nothing;
        };
        let frame = match Frame::read(&bytes) {
            Ok(frame) => frame,
            Err(error) => {
                debug!(error = %WithCauses(&error), "passed over");
                return Heard::Nothing;
            }
        };
        match frame.kind() {
            Kind::Event => self.event(frame),
            Kind::Pong => self.pong(&frame),
            kind @ (Kind::Ping | Kind::Card | Kind::Unknown) => {
                debug!(?kind, "a frame that means nothing to us");
                Heard::Nothing
            }
        }
    }

    fn ping(&mut self) -> Message {
        self.parts.expire(Instant::now().into_std());
        Message::binary(Frame::ping(self.service_id).write())
    }

    fn acknowledgement(slip: Slip, outcome: Outcome) -> Option<Message> {
        Some(slip.acknowledgement(outcome))
    }

    /// When a server goes, everybody is sent away at the same moment, and is asked to come back at
    /// different ones.
    fn stays_away(&self, close: Option<&CloseFrame>) -> Option<Duration> {
        let is_for_everybody =
            close.is_some_and(|close| matches!(close.code, CloseCode::Restart | CloseCode::Again));
        is_for_everybody.then(|| at_random(self.timing.reconnect_nonce))
    }
}

/// Returns a random time up to `longest`.
fn at_random(longest: Duration) -> Duration {
    RetryPolicy::between(longest, longest).next_delay()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn only_who_is_sent_away_with_everybody_stays_away_for_a_while() {
        let timing = Timing {
            reconnect_nonce: Duration::from_secs(600),
            ..Timing::default()
        };
        let session = FeishuSession::new(1, timing);
        for (code, stays_away) in [
            (None, false),
            (Some(CloseCode::Normal), false),
            (Some(CloseCode::Away), false),
            (Some(CloseCode::Error), false),
            (Some(CloseCode::Restart), true),
            (Some(CloseCode::Again), true),
        ] {
            let frame = code.map(|code| CloseFrame {
                code,
                reason: "why".into(),
            });
            let after = session.stays_away(frame.as_ref());
            assert_eq!(after.is_some(), stays_away, "{code:?}");
            assert!(after <= Some(timing.reconnect_nonce), "{after:?}");
        }
    }
}
