//! Replies and notices on their way out.
