//! tieline joins chat to Codex running on your own machine.
//!
//! A message comes in, becomes exactly one Codex turn, and its answer goes back where the message
//! came from: also when the process, the network, Codex or the platform fails between any two
//! steps. `ARCHITECTURE.md` tells how; the modules below are in the order of a message's way,
//! and each may know the ones after it and [`ledger`], never the ones before.
//!
//! - [`cli`]: the verbs of the command line
//! - [`demo`]: a first conversation on a machine with nothing set up
//! - [`daemon`]: builds everything, runs it, shuts it down
//! - [`control`]: HTTP on a Unix socket; looks at everything, owns nothing
//! - [`intake`]: who may speak, what is accepted, how it reads for the model
//! - [`backfill`]: what a connection did not bring, read back from a platform's history
//! - [`dispatcher`]: one agent: its lanes, its Codex child, recovery and notices
//! - [`teammates`]: the agents that work for a dispatcher, and where they do
//! - [`tools`]: what a model can call, as it is told of it
//! - [`outbox`]: replies and notices on their way out
//! - [`approvals`]: what people see of what they are to decide, and how they do
//! - [`codex`]: the only place that knows the app-server
//! - [`events`]: what happens, as it happens: on disk, in memory and live
//! - [`ledger`]: the only place that knows the database
//! - `leftovers`: files of records that the ledger has forgotten
//! - [`config`]: `tieline.toml`, read and checked
//! - [`redact`]: what must not be seen, blanked on every way out
//! - [`metrics`]: counters, fed by events
//! - [`terminal`]: this process's own terminal as a client of a console channel
//! - [`failure`]: what can go wrong, by name
//! - [`id`]: our own names of things

pub mod approvals;
pub mod backfill;
pub mod cli;
pub mod codex;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod dispatcher;
pub mod events;
pub mod failure;
pub mod id;
pub mod intake;
pub mod ledger;
mod leftovers;
pub mod metrics;
pub mod outbox;
pub mod redact;
pub mod runs;
pub mod sessions;
pub mod teammates;
pub mod terminal;
pub mod tools;
