//! What the answers of the Open API mean.
//!
//! **Architecture Invariant:** this module does no IO.

mod code;
mod failure;
mod judge;

pub(crate) use self::failure::{Cure, Failure};
pub(crate) use self::judge::{brief, judge};
