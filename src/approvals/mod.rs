//! What people see of approvals, and how they decide: texts, buttons, typed words.
//!
//! - `words`: what is asked, and what is shown of how it was settled
//! - `button`: the buttons below a question, and what comes back when one is pressed
//! - `typed`: words of people that decide
//! - `plain`: what a model wrote, so that none of it is hidden from those who read it
//!
//! Knows the ledger's records, and nothing of Codex, of lanes or of a platform. **Invariant**: nothing
//! here decides anything; who may, the gate says, and what counts, the ledger.

mod button;
mod plain;
mod typed;
pub mod words;

pub use self::button::{Pressed, buttons};
pub use self::plain::{excerpt, is_short, visible};
pub use self::typed::{Typed, Which};
