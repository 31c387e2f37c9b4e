//! From what Slack delivers to what happened.

mod names;

use tieline_channel::Event;

pub(crate) use self::names::Names;
use crate::account::{Account, Identity};
use crate::socket::Envelope;

/// What an envelope means to us.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Delivered {
    /// Something happened: acknowledge it once it is on disk.
    Event(Event),
    /// Nothing of ours; acknowledge it. Says why, for the log.
    Nothing(String),
}

/// Reads an envelope. Names are looked up as far as that is quick.
pub(crate) async fn read(_account: &Account, _us: &Identity, _envelope: &Envelope) -> Delivered {
    Delivered::Nothing("not read yet".to_owned())
}
