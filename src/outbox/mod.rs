//! Replies and notices on their way out.

pub mod split;
