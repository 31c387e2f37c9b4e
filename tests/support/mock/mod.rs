//! What the strict mocks of chat platforms have in common.
//!
//! A mock is a server on loopback whose whole knowledge is behind one lock. It takes the stricter
//! side wherever facts leave a choice, and writes down as a violation what no client should do.
//!
//! - [`Mock`], [`Knowledge`], [`Common`]: the lock, who waits for changes, what happens later
//! - [`Fault`], [`Call`]: what goes wrong with a call
//! - [`Request`]: what was asked, and waiting for what becomes of it
//! - [`Asked`], [`Tally`]: what became of every question
//! - `connections`: who listens for events; [`Hangup`]: how that ends
//! - `delivery`: what is delivered, acknowledgements, redelivery
//! - `http`, `websocket`, `multipart`: what goes over the wire
#![allow(unused_imports, reason = "not every helper is used by every binary")]

pub(crate) mod connections;
pub(crate) mod delivery;
mod faults;
pub(crate) mod http;
pub(crate) mod multipart;
mod observe;
mod shared;
mod tally;
pub(crate) mod websocket;

pub(crate) use self::connections::Hangup;
pub(crate) use self::delivery::{Ack, EventId};
pub(crate) use self::faults::{Call, Fault};
pub(crate) use self::observe::Request;
pub(crate) use self::shared::{Common, Knowledge, Mock, Shared};
pub(crate) use self::tally::{Answer, Asked, Place, Tally};
