//! The Open API: calls, and what their answers mean.
//!
//! - `client`: making calls, within their budgets
//! - `token`: what they are made with
//! - `transport`: requests and answers, whatever they mean
//! - `judge`, `code`: what an answer means
//! - `failure`: why a call came to nothing
//!
//! **Architecture Invariant:** only `client`, `token` and `transport` do IO.

mod client;
mod code;
mod failure;
mod judge;
#[cfg(test)]
mod tests;
mod token;
mod transport;

pub(crate) use self::client::{Api, Call};
pub(crate) use self::failure::{Cure, Failure};
pub(crate) use self::judge::{brief, judge, lacks_scope};
