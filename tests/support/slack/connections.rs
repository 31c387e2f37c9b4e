//! What a test does to the connections that only Slack has.

use super::super::mock::connections::Socket;
use super::{MockSlack, State};

impl MockSlack {
    /// Refreshes all open connections: `warning`, then `refresh_requested`, then the end.
    pub(crate) fn refresh(&self) {
        self.each_connection(State::refresh);
    }

    /// Sends frames that are no envelopes to all open connections.
    pub(crate) fn send_garbage(&self) {
        self.tell_all(|| Socket::Text("UNAUTHENTICATED: cache_error".to_owned()));
        self.tell_all(|| Socket::Text(String::new()));
        self.tell_all(|| Socket::Binary(vec![0, 159, 146, 150]));
        self.tell_all(|| Socket::Text("{}".to_owned()));
        self.tell_all(|| Socket::Text(r#"{"type":"novelty","x":1}"#.to_owned()));
    }

    /// Switches Socket Mode off in the app's settings, or on again.
    pub(crate) fn disable_link(&self, is_disabled: bool) {
        self.shared
            .update(|state| state.link_disabled = is_disabled);
        if is_disabled {
            self.each_connection(|state, id| {
                state.disconnect(id, "link_disabled");
                state.shut(id);
            });
        }
    }

    fn each_connection(&self, what: impl Fn(&mut State, u64)) {
        self.shared.update(|state| {
            for id in state.common.connections.open() {
                what(state, id);
            }
        });
    }
}
