//! What happens, as it happens: typed, numbered, on disk and live.
//!
//! Whoever does something says so by one line, `events.emit(Event::…)`, which never waits and never
//! fails. What is said gets a number that is never given twice, a place among the recent ones, a line in
//! `<state_dir>/events/events.jsonl`, and goes to everybody who listens.
//!
//! - [`Event`]: the list of all that is told, with a level and a sentence for each
//! - [`EventRecord`], [`About`]: an event as it is written, and what it is about
//! - [`Events`]: the handle; [`Subscriber`], [`Query`] and [`Page`] for those who read
//! - `log`: the files, and the one thread that writes them
//! - `output`: live output of commands, which is kept nowhere
//!
//! **Invariants.** Nobody who reads can hold up whoever tells. A full disk costs events their place on
//! disk, and nothing else. No event has the model's reasoning, the arguments or the result of a tool, or
//! a secret that the daemon knows. Knows nothing of lanes, channels or Codex.

mod event;
mod handle;
mod log;
mod output;
mod page;
mod record;
#[cfg(test)]
mod tests;

pub use self::event::{Count, Event, Level, MethodCount};
pub use self::handle::{Events, EventsSettings, EventsThread, Heard, Subscriber};
pub use self::output::{OutputLimit, OutputLine};
pub use self::page::{Filter, MAX_PAGE, Page, Query};
pub use self::record::{About, EventRecord};
