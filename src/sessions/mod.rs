//! Conversations that programs have with Codex over the API.
//!
//! - `options`: what a session is set up with, and what one turn has another way; what is not allowed
//! - `input`: what goes into a turn, and by what it is found in a thread again
//! - `overrides`: what Codex is told with a turn, so that what an earlier one had is over
//! - `changes`: that something has happened, for those who wait for it
//!
//! **Invariants.** Nobody may do more than the dispatcher. What Codex does not know is refused here,
//! for it would pass over it in silence. Knows nothing of lanes.

mod changes;
mod input;
mod options;
mod overrides;

pub use self::changes::Changes;
pub use self::input::{Input, InputError, MAX_INPUT, Marks};
pub use self::options::{
    OptionsError, Rules, SessionOptions, TurnOptions, TurnRequest, sandbox_of, working_directory,
};
pub use self::overrides::overrides;
