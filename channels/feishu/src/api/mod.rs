//! The Open API: calls, and what their answers mean.
//!
//! **Architecture Invariant:** only `client` does IO.

mod client;
mod code;
mod failure;
mod judge;

pub(crate) use self::client::{Api, Call};
pub(crate) use self::failure::{Cure, Failure};
pub(crate) use self::judge::brief;
pub(crate) use self::judge::judge;
