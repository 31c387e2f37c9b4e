//! The ledger through its public face: what it promises to those who build on it.

mod behaviour;
mod child;
mod crash;
mod disk_full;
mod fixture;
mod model;
