//! A terminal, or any local program, as a tieline channel over a Unix socket.
//!
//! The daemon is the server and has no terminal of its own; [`ConsoleChannel`] listens on a
//! socket that only the operator can open, and [`run_client`] is the terminal at its other end.
//! Scripts and other programs may speak to the socket as well: [`protocol`] is public and stable.
//!
//! - [`protocol`]: the lines that both sides speak
//! - [`ConsoleChannel`]: the daemon's side
//! - [`client`]: the terminal's side

mod channel;
pub mod client;

mod hub;
mod lines;
pub mod protocol;
mod session;

pub use crate::channel::ConsoleChannel;
pub use crate::client::{ClientError, ClientOptions, Outcome, run_client};
