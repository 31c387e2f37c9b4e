//! Whether a dispatcher works: what operators want, and what is so.
//!
//! One that is switched off has no child and takes no turns. What is written to it, reported or ordered is
//! accepted and waits on disk. A daemon that is started has all of its dispatchers switched on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long whoever switches waits until it is so: turns in flight get a while to end, and the child as
/// well.
const WITHIN: Duration = Duration::from_secs(20);

/// What operators want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// It is to work.
    pub(super) is_on: bool,
    /// How often it was to begin anew.
    restarts: u64,
}

/// What is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Present {
    is_on: bool,
    /// How often it has begun.
    starts: u64,
}

/// A dispatcher's switch. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    wanted: Arc<watch::Sender<Wanted>>,
    present: Arc<watch::Sender<Present>>,
}

impl Switch {
    /// Makes a switch that is on, of a dispatcher that has not begun.
    pub(super) fn new() -> Self {
        let wanted = Wanted {
            is_on: true,
            restarts: 0,
        };
        Self {
            wanted: Arc::new(watch::Sender::new(wanted)),
            present: Arc::default(),
        }
    }

    /// Switches it on; `false` if it has not begun in time.
    pub(super) async fn start(&self) -> bool {
        self.want(true);
        self.until(|present| present.is_on).await
    }

    /// Switches it off; `false` if it has not ended in time.
    pub(super) async fn stop(&self) -> bool {
        self.want(false);
        self.until(|present| !present.is_on).await
    }

    /// Has it begin anew, also when it is off; `false` if it has not in time.
    pub(super) async fn restart(&self) -> bool {
        let starts = self.present.borrow().starts;
        self.wanted.send_modify(|wanted| {
            wanted.is_on = true;
            wanted.restarts += 1;
        });
        self.until(|present| present.is_on && present.starts > starts)
            .await
    }

    /// Returns what is wanted, and every change of that.
    pub(super) fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Says what is so from now on.
    pub(super) fn is_now(&self, is_on: bool) {
        self.present.send_modify(|present| {
            present.is_on = is_on;
            present.starts += u64::from(is_on);
        });
    }

    fn want(&self, is_on: bool) {
        self.wanted.send_if_modified(|wanted| {
            let was_on = std::mem::replace(&mut wanted.is_on, is_on);
            was_on != is_on
        });
    }

    async fn until(&self, is_so: impl Fn(&Present) -> bool) -> bool {
        let mut present = self.present.subscribe();
        let reached = timeout(WITHIN, present.wait_for(|present| is_so(present)));
        matches!(reached.await, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_switches_waits_until_it_is_so() {
        let switch = Switch::new();
        assert!(switch.stop().await, "it has not begun");
        assert!(!switch.start().await, "nobody begins");
        let mut wanted = switch.wanted();
        let follow = async {
            for _ in 0..4 {
                let is_on = wanted.borrow_and_update().is_on;
                switch.is_now(is_on);
                wanted.changed().await.unwrap();
                switch.is_now(false);
            }
        };
        let order = async {
            assert!(switch.start().await);
            assert!(switch.restart().await);
            assert!(switch.stop().await);
            assert!(switch.restart().await, "it was off");
        };
        tokio::select! {
            () = follow => panic!("it was switched too often"),
            () = order => {}
        }
    }
}
