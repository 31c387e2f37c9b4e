//! A strict mock of Feishu, as a server on loopback: one organisation, one app.
//!
//! Where the facts leave a choice, it takes the stricter side: what the real Feishu may refuse, it
//! refuses, and what no client should do is written down as a violation, which
//! [`finish`](MockFeishu::finish) turns into a failure.
//!
//! - [`MockFeishu`], [`Options`]: the server
//! - `world`: people, chats, and what is said; `deeds`: what else people do
//! - `connections`, `garbage`: what a test sends on the connections
//! - `observe`: what people see, and waiting for it; `asks`: questions whose answers are counted
//! - `service`: what it has in common with others
//! - [`Fault`]: what goes wrong with a call; this and what else all mocks have is in `mock`
//! - `state`: everything that it knows
//! - `server`: HTTP; `api`: the calls of the Open API; `content`, `card`: what a message may say;
//!   `rates`: how often; `emoji`: which reactions there are
//! - `discovery`, `socket`: the long connection; `wire`: its frames
//! - `delivery`: pushes, acknowledgements, redelivery; `parts`: cutting payloads
//! - `events`: the shapes of what is delivered
#![allow(unused_imports, reason = "not every helper is used by every binary")]

mod api;
mod asks;
mod card;
mod connections;
mod content;
mod deeds;
mod delivery;
mod discovery;
mod emoji;
mod events;
mod garbage;
mod observe;
mod options;
mod parts;
mod rates;
mod server;
mod service;
mod socket;
mod state;
pub(crate) mod wire;
mod world;

use std::sync::Arc;

use tokio::net::TcpListener;

pub(crate) use self::api::Args;
pub(crate) use self::garbage::KINDS as GARBAGE;
pub(crate) use self::observe::Post;
pub(crate) use self::options::{Cut, Options, Rates, Timing};
pub(crate) use self::state::State as Feishu;
use self::state::State;
pub(crate) use self::world::ChatMode;
use super::mock::{self, Knowledge, Mock};
pub(crate) use super::mock::{Ack, Asked, EventId, Hangup, Request, Tally};

/// The app.
pub(crate) const APP_ID: &str = "cli_a1b2c3d4e5f60718";
/// The app's secret that the mock takes.
pub(crate) const APP_SECRET: &str = "q7Zx0mWc5vTn2LrK8sHd4JfYbA9eUg3P";
/// The organisation.
pub(crate) const TENANT: &str = "2ed263bf32cf1651";
/// Another organisation, for people from outside.
pub(crate) const OTHER_TENANT: &str = "736588c9260f175d";
/// The bot, as people mention it.
pub(crate) const BOT: &str = "ou_b07b07b07b07b07b07b07b07b07b07b0";

/// One organisation with one app, on loopback.
pub(crate) type MockFeishu = Mock<State>;
/// What goes wrong with a call; refusals are called by their code.
pub(crate) type Fault = mock::Fault<i64>;
/// A call that a fault may fit.
pub(crate) type Call<'a> = mock::Call<'a, Args>;
type Shared = mock::Shared<State>;

impl MockFeishu {
    /// Starts it with a bot that is nowhere yet.
    pub(crate) async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Shared::new(State::new(options, port));
        shared.spawn(server::serve(listener, Arc::clone(&shared)));
        Self { shared }
    }

    /// Returns what `base_url` must be.
    pub(crate) fn base_url(&self) -> String {
        self.shared.look(State::base_url)
    }
}
