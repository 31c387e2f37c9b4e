//! Cutting a turn short.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::codex::call::{CallError, Refusal};
use crate::codex::client::Client;
use crate::codex::protocol::{TurnInterrupt, TurnInterruptParams};

/// How often an interrupt is repeated: between the answer to `turn/start` and `turn/started` codex
/// knows no turn to interrupt.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);
/// For how long it is repeated.
const INTERRUPT_TRIES: Duration = Duration::from_secs(5);

/// Interrupts a turn, from anywhere and at any time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Interrupter {
    asked: watch::Sender<bool>,
}

/// An interrupt that is under way.
pub(super) type Interrupting = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// Interrupts a turn, also one that has been accepted and has not begun.
pub(super) fn interrupt(client: Client, params: TurnInterruptParams) -> Interrupting {
    Box::pin(async move {
        let give_up_at = Instant::now() + INTERRUPT_TRIES;
        loop {
            match client.call::<TurnInterrupt>(&params).await {
                Err(error)
                    if error.refusal() == Some(Refusal::NoActiveTurn)
                        && Instant::now() < give_up_at =>
                {
                    sleep(INTERRUPT_AGAIN).await;
                }
                answer => return answer.map(drop),
            }
        }
    })
}

// === impl Interrupter ===

impl Interrupter {
    /// Asks for the turn to be cut short. Asking again changes nothing.
    pub fn interrupt(&self) {
        self.asked.send_replace(true);
    }

    pub(super) fn new(asked: watch::Sender<bool>) -> Self {
        Self { asked }
    }
}
