//! What goes over one connection.

use tieline_channel::ChannelId;
use tieline_net::uplink::{Arrival, Heard, Outcome, Session};
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, warn};

use super::census::Counted;
use super::envelope::{Envelope, Frame, acknowledgement};
use super::verdict;

/// A connection after `hello`.
#[derive(Debug)]
pub(super) struct SlackSession {
    /// For what the operator is told.
    pub(super) channel: ChannelId,
    /// Goes with the connection.
    pub(super) _counted: Counted,
}

impl Session for SlackSession {
    type Delivery = Envelope;

    fn read(&mut self, message: Message) -> Heard<Envelope> {
        let Message::Text(text) = message else {
            return Heard::Nothing;
        };
        match Frame::read(&text) {
            Frame::Envelope(envelope) => Heard::Delivery(Arrival {
                slip: envelope.envelope_id.clone(),
                delivery: envelope,
                bytes: text.len(),
            }),
            Frame::AppRateLimited { envelope_id } => {
                warn!(
                    "Slack withholds events of this app for now: there were more than 30,000 in \
                     an hour"
                );
                Heard::Question(acknowledgement(&envelope_id))
            }
            Frame::Unknown { envelope_id, kind } => {
                debug!(envelope_id, kind, "acknowledging what is unknown");
                Heard::Question(acknowledgement(&envelope_id))
            }
            Frame::Disconnect(reason) => Heard::Farewell {
                verdict: verdict::on_disconnect(&self.channel, &reason),
                reason: format!("Slack ended the connection ({reason:?})"),
            },
            Frame::Hello { .. } | Frame::Noise => Heard::Nothing,
        }
    }

    fn ping(&mut self) -> Message {
        Message::Ping("tieline".into())
    }

    fn acknowledgement(envelope_id: String, outcome: Outcome) -> Option<Message> {
        match outcome {
            Outcome::Taken => Some(acknowledgement(&envelope_id)),
            // Slack has no word for that; silence brings it again.
            Outcome::Again => None,
        }
    }
}
