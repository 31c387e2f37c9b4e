//! Who may speak, and what is accepted: the way from a platform's event to the ledger.
//!
//! - `gate`: what the configuration says of a message, as pure functions; what is on record has
//!   the last word, in the ledger
//! - `command`: the words that tieline answers itself
//! - `accept`: from an event to the record, before it is acknowledged
//! - `press`: buttons that were pressed
//! - `whereabouts`, `standing`: what commands are answered from
//! - `desk`: the operator's side of pairing
//! - `words`: what people are told

mod accept;
mod command;
mod desk;
#[cfg(test)]
mod fixture;
mod gate;
mod press;
mod standing;
#[cfg(test)]
mod tests;
mod whereabouts;
mod words;

pub use self::accept::ChannelIntake;
pub use self::command::may_be_model;
pub use self::desk::PairingDesk;
pub use self::gate::{Door, MAX_MESSAGE_CHARS, judge, judge_press, role_of};
