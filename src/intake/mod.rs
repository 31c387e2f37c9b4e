//! Who may speak, and what is accepted: the way from a platform's event to the ledger.

mod accept;
mod gate;

pub use self::accept::ChannelIntake;
pub use self::gate::{Door, MAX_MESSAGE_CHARS, judge};
