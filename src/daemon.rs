//! Builds everything, runs it, shuts it down.
