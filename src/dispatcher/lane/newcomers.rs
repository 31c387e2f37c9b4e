//! Messages that come while a turn runs: they wait, join it, or end it.

use futures_util::future::BoxFuture;

use super::prepare::Prepared;
use super::*;
use crate::codex::Turn;
use crate::config::OnBusy;

/// What is to be done about messages that came while the turn runs.
enum Newcomers {
    Wait,
    Interrupt,
    Join(Vec<MessageRecord>),
}

/// Messages that are to join the running turn and are being made ready. Until they do, they wait
/// like others: a turn that ends first takes nothing of them with it.
#[derive(Default)]
pub(super) struct Joining<'a> {
    preparing: Option<BoxFuture<'a, Option<Vec<Prepared>>>>,
    /// More came while they were made ready.
    late: bool,
}

impl Joining<'_> {
    /// Returns them once they are ready, which may be never.
    pub(super) async fn ready(&mut self) -> Vec<Prepared> {
        let Some(preparing) = &mut self.preparing else {
            return std::future::pending().await;
        };
        let ready = preparing.await;
        self.preparing = None;
        // Told to stop, they wait for the next start.
        ready.unwrap_or_default()
    }

    /// Returns whether more came since this was asked last.
    pub(super) fn is_late(&mut self) -> bool {
        std::mem::take(&mut self.late)
    }
}

/// What came of messages that were to join the running turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Nothing more is to be done about them.
    Done,
    /// The turn takes no more of them.
    Full,
    /// One was edited while it was made ready, and waits again.
    LookAgain,
}

impl Lane {
    /// Does what `on_busy` says with what came while the turn runs. `true` when the turn was told
    /// to end.
    pub(super) async fn mind_queue<'a>(
        &'a self,
        work: &Work,
        turn: &mut Turn<'_>,
        joining: &mut Joining<'a>,
    ) -> Result<bool, StepError> {
        match self.look_at_queue(work).await? {
            Newcomers::Wait => Ok(false),
            Newcomers::Interrupt => {
                info!("the turn is interrupted for a newer message");
                turn.interrupter().interrupt();
                Ok(true)
            }
            Newcomers::Join(waiting) => {
                if joining.preparing.is_some() {
                    joining.late = true;
                } else if !waiting.is_empty() && turn.id().is_some() {
                    // Before its id is known there is nothing to join; `Started` comes back here.
                    joining.preparing = Some(Box::pin(self.prepare(waiting)));
                }
                Ok(false)
            }
        }
    }

    /// Adds messages that are ready to the running turn.
    pub(super) async fn join(
        &self,
        open: &OpenTurn,
        ready: Vec<Prepared>,
        turn: &mut Turn<'_>,
    ) -> Result<Joined, StepError> {
        for prepared in ready {
            let input = self.input(None, std::slice::from_ref(&prepared));
            let call = turn.steer(input, Some(prepared.record.id.to_string()));
            match self.steer(open, &prepared.record, call).await? {
                Joined::Done => {}
                stop @ (Joined::Full | Joined::LookAgain) => return Ok(stop),
            }
        }
        Ok(Joined::Done)
    }

    /// Says what `on_busy` means for what came while the turn runs.
    async fn look_at_queue(&self, work: &Work) -> Result<Newcomers, StepError> {
        let mut waiting = self.context.ledger.waiting(&self.id, MAX_BATCH).await?;
        let newest = work.messages.last().map(|message| message.id);
        let same = |message: &MessageRecord| work.concerns(message);
        // What was there before this turn's own messages is not what it is to be dropped for.
        if waiting
            .first()
            .is_some_and(|message| message.urgent && Some(message.id) > newest)
        {
            return Ok(Newcomers::Interrupt);
        }
        Ok(match self.context.settings.config.on_busy {
            OnBusy::Queue => Newcomers::Wait,
            OnBusy::Interrupt if waiting.iter().any(same) => Newcomers::Interrupt,
            OnBusy::Interrupt => Newcomers::Wait,
            OnBusy::Steer => {
                let joining = waiting.iter().take_while(|message| same(message)).count();
                waiting.truncate(joining);
                Newcomers::Join(waiting)
            }
        })
    }

    /// Adds a message to the running turn by `call`. It belongs to the turn on disk before codex
    /// hears of it, so that recovery asks the thread about it.
    async fn steer<T>(
        &self,
        open: &OpenTurn,
        message: &MessageRecord,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Joined, StepError> {
        let ledger = &self.context.ledger;
        match ledger.join_turn(&self.id, open.key, message.id).await {
            Ok(_) => {}
            Err(LedgerError::TooManyMessages { .. }) => return Ok(Joined::Full),
            // It was withdrawn in this moment.
            Err(LedgerError::Misplaced { .. }) => return Ok(Joined::Done),
            Err(failure) => return Err(failure.into()),
        }
        // From here on it cannot be edited; until now it could.
        let joined = ledger.message(message.id).await?;
        if joined.is_none_or(|joined| joined.message != message.message) {
            ledger
                .leave_turn(&self.id, open.key, vec![message.id])
                .await?;
            return Ok(Joined::LookAgain);
        }
        match call.await {
            Ok(_) => {}
            Err(failure) if failure.is_without_effect() => {
                // The turn has just ended, or takes no input: the message waits for the next one.
                ledger
                    .leave_turn(&self.id, open.key, vec![message.id])
                    .await?;
            }
            Err(failure) => {
                warn!(
                    error = &failure as &dyn Error,
                    "unclear whether a message joined the turn"
                );
            }
        }
        Ok(Joined::Done)
    }
}
