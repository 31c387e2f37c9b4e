//! The ledger through its public face: what it promises to those who build on it.

mod behaviour;
mod fixture;
