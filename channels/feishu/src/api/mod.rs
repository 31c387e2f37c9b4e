//! What the answers of the Open API mean.
//!
//! **Architecture Invariant:** this module does no IO.

mod code;
mod failure;
mod judge;

#[expect(unused_imports, reason = "the calls that use them come next")]
pub(crate) use self::failure::{Cure, Failure};
pub(crate) use self::judge::brief;
#[expect(unused_imports, reason = "the calls that use it come next")]
pub(crate) use self::judge::judge;
