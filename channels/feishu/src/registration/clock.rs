//! The clock by which an invitation expires.

use std::time::{Duration, Instant};

use async_trait::async_trait;

/// A clock.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the time.
    fn now(&self) -> Instant;

    /// Waits.
    async fn sleep(&self, pause: Duration);
}

/// The clock on the wall.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}
