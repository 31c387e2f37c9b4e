//! How a connection ends.

use std::time::Duration;

use tieline_channel::WithCauses;
use tieline_channel::retry::RetryPolicy;
use tokio::time::error::Elapsed;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::discovery::Timing;

/// Why a connection is not served any longer.
#[derive(Debug)]
pub(super) enum Over {
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

impl Over {
    /// Says why the peer closed the connection. When a server goes, everybody is sent away at the
    /// same moment, and is asked to come back at different ones.
    pub(super) fn closed(frame: Option<&CloseFrame>, timing: &Timing) -> Self {
        let reason = match frame {
            Some(frame) => format!("Feishu closed the connection ({})", frame.code),
            None => "Feishu closed the connection".to_owned(),
        };
        let is_for_everybody =
            frame.is_some_and(|frame| matches!(frame.code, CloseCode::Restart | CloseCode::Again));
        Self::ClosedByPeer {
            reason,
            after: is_for_everybody.then(|| at_random(timing.reconnect_nonce)),
        }
    }

    /// Says what became of a write that had a deadline.
    ///
    /// # Errors
    ///
    /// When it failed.
    pub(super) fn unless_written(
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

    /// Returns why, in words.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Dismissed => "it was closed on purpose",
            Self::ClosedByPeer { reason, .. } | Self::Broken(reason) => reason,
        }
    }

    /// Returns how long to stay away.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::ClosedByPeer { after, .. } => *after,
            Self::Dismissed | Self::Broken(_) => None,
        }
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
            let over = Over::closed(frame.as_ref(), &timing);
            assert!(over.reason().contains("Feishu closed"), "{over:?}");
            assert_eq!(over.after().is_some(), stays_away, "{code:?}");
            assert!(over.after() <= Some(timing.reconnect_nonce), "{over:?}");
        }
    }
}
