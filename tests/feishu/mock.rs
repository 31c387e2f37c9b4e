//! The mock bites: what a strict Feishu would refuse, it refuses.

mod calls;
mod client;
mod pushes;
