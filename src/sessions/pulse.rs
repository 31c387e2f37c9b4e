//! That something has happened to some session, for those who wait for it.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells everybody who waits that they may look again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<watch::Sender<u64>>);

impl Pulse {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(Arc::new(watch::channel(0).0))
    }

    /// Says that something has happened, after it is on disk.
    pub fn beat(&self) {
        self.0.send_modify(|beats| *beats = beats.wrapping_add(1));
    }

    /// Returns what changes with each beat from now on: to be had before one looks.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
