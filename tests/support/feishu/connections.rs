//! What a test says on the connections that means nothing, and what pongs tell.

use super::{Knowledge as _, MockFeishu, garbage};

impl MockFeishu {
    /// Sends frames that mean nothing, and worse, to all open connections.
    pub(crate) fn send_garbage(&self) {
        for (_, garbage) in garbage::KINDS {
            self.tell_all(|| garbage().into());
        }
    }

    /// Sends the first of so many parts, of so many bytes, to all open connections. The others
    /// never come.
    pub(crate) fn send_first_part(&self, sum: u32, size: usize) {
        let name = self.shared.update(|state| state.name("never-whole-"));
        self.tell_all(|| garbage::first_part(name.clone(), sum, size).into());
    }

    /// Changes what pongs, and new endpoints, tell of how to keep a connection.
    pub(crate) fn set_ping(&self, seconds: u64) {
        self.shared
            .update(|state| state.options.timing.ping = seconds);
    }
}
