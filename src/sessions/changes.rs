//! That something has happened to some session, for those who wait for it.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells everybody who waits that they may look again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Changes(Arc<watch::Sender<u64>>);

impl Changes {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(Arc::new(watch::channel(0).0))
    }

    /// Says that something has happened, after it is on disk.
    pub fn tell(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Returns what changes with each change from now on: to be had before one looks.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
