//! A strict mock of Slack, as a server on loopback: one workspace, one app.
//!
//! Where the facts leave a choice, it takes the stricter side: what the real Slack may refuse, it
//! refuses, and what no client should do is written down as a violation, which
//! [`MockSlack::finish`] turns into a failure.
//!
//! - [`MockSlack`], [`Options`]: the server
//! - `world`: people, channels, and what is said; `deeds`: what else people do
//! - `connections`: what a test does to the connections that only Slack has
//! - `observe`: what happened, and waiting for it; `asks`: questions whose answers are counted
//! - `service`: what it has in common with others
//! - [`Fault`]: what goes wrong with a call; this and what else all mocks have is in `mock`
//! - `state`: everything that it knows, behind one lock
//! - `server`: HTTP; `api`: the methods; `limits`: how much fits into a message; `rates`: how often
//! - `socket`: Socket Mode connections; `delivery`: envelopes, acknowledgements, redelivery
//! - `events`: the shapes of what is delivered; `files`: uploads and downloads
#![allow(unused_imports, reason = "not every helper is used by every binary")]

mod api;
mod asks;
mod connections;
mod deeds;
mod delivery;
mod events;
mod files;
mod limits;
mod observe;
mod options;
mod rates;
mod server;
mod service;
mod socket;
mod state;
mod world;

use std::sync::Arc;

use tokio::net::TcpListener;

use super::mock::{self, Knowledge, Mock};
pub(crate) use super::mock::{Ack, Asked, EventId, Hangup, Request, Tally};

use self::api::Args;
pub(crate) use self::observe::Post;
pub(crate) use self::options::{MentionOrder, Options, Rates, Timing};
pub(crate) use self::state::State as Slack;
use self::state::State;
pub(crate) use self::world::{ChannelKind, Redirect, escape};

/// The app-level token that the mock takes.
pub(crate) const APP_TOKEN: &str = "xapp-1-A0TIELINE-4711-9e107d9d372bb6826bd81d3542a419d6";
/// The bot token that the mock takes.
pub(crate) const BOT_TOKEN: &str = "xoxb-2718281828-3141592653-E4d909c290d0fb1ca068ffad";
/// The workspace.
pub(crate) const TEAM: &str = "T0TIELINE";
/// Another workspace, for people from outside.
pub(crate) const OTHER_TEAM: &str = "T0ELSEWHERE";
/// The app.
pub(crate) const APP: &str = "A0TIELINE";
/// The bot as a user.
pub(crate) const BOT_USER: &str = "U0BOT";
/// The bot itself.
pub(crate) const BOT: &str = "B0BOT";

/// One workspace with one app, on loopback.
pub(crate) type MockSlack = Mock<State>;
/// What goes wrong with a call.
pub(crate) type Fault = mock::Fault<&'static str>;
/// A call that a fault may fit.
pub(crate) type Call<'a> = mock::Call<'a, Args>;
type Shared = mock::Shared<State>;

impl MockSlack {
    /// Starts it with a bot that is nowhere yet.
    pub(crate) async fn start(options: Options) -> Self {
        let bind = async || TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (listener, elsewhere) = (bind().await, bind().await);
        let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let state = State::new(options, port(&listener), port(&elsewhere));
        let shared = Shared::new(state);
        shared.spawn(server::serve(listener, Arc::clone(&shared)));
        shared.spawn(server::serve_elsewhere(elsewhere, Arc::clone(&shared)));
        Self { shared }
    }

    /// Returns what `api_url` must be, with a slash at the end.
    pub(crate) fn api_url(&self) -> String {
        self.shared
            .look(|state| format!("{}/api/", state.base_url()))
    }
}
