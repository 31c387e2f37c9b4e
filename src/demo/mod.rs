//! A first conversation on a machine with nothing set up.
