//! Messages that come while a turn runs: they wait, join it, or end it.

use super::*;
use crate::codex::Turn;
use crate::config::OnBusy;
use crate::id::{MessageId, TurnId};

/// What is to be done about messages that came while the turn runs.
enum Newcomers {
    Wait,
    Interrupt,
    Join(Vec<MessageRecord>),
}

impl Lane {
    /// Does what `on_busy` says with what came while the turn runs. `true` when the turn was told
    /// to end.
    pub(super) async fn mind_queue(
        &self,
        open: &OpenTurn,
        messages: &[MessageRecord],
        turn: &mut Turn<'_>,
    ) -> Result<bool, StepError> {
        match self.look_at_queue(messages).await? {
            Newcomers::Wait => Ok(false),
            Newcomers::Interrupt => {
                info!("the turn is interrupted for a newer message");
                turn.interrupter().interrupt();
                Ok(true)
            }
            Newcomers::Join(joining) => {
                // Before its id is known there is nothing to join; `Started` comes back here.
                if turn.id().is_some() {
                    for message in joining {
                        let input = vec![UserInput::text(self.render(&message))];
                        let call = turn.steer(input, Some(message.id.to_string()));
                        if !self.steer(open, message.id, call).await? {
                            break;
                        }
                    }
                }
                Ok(false)
            }
        }
    }

    /// Says what `on_busy` means for what came while the turn runs.
    async fn look_at_queue(&self, messages: &[MessageRecord]) -> Result<Newcomers, StepError> {
        let mut waiting = self.context.ledger.waiting(&self.id, MAX_BATCH).await?;
        let newest = messages.last().map(|message| message.id);
        let same = |message: &MessageRecord| {
            messages
                .first()
                .is_some_and(|first| same_conversation(first, message))
        };
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
    /// hears of it, so that recovery asks the thread about it. `false` when the turn is full.
    async fn steer(
        &self,
        open: &OpenTurn,
        message: MessageId,
        call: impl Future<Output = Result<TurnId, CallError>>,
    ) -> Result<bool, StepError> {
        let ledger = &self.context.ledger;
        match ledger.join_turn(&self.id, open.key, message).await {
            Ok(_) => {}
            Err(LedgerError::TooManyMessages { .. }) => return Ok(false),
            // It was withdrawn in this moment.
            Err(LedgerError::Misplaced { .. }) => return Ok(true),
            Err(failure) => return Err(failure.into()),
        }
        match call.await {
            Ok(_) => {}
            Err(failure) if failure.is_without_effect() => {
                // The turn has just ended, or takes no input: the message waits for the next one.
                ledger.leave_turn(&self.id, open.key, vec![message]).await?;
            }
            Err(failure) => {
                warn!(
                    error = &failure as &dyn Error,
                    "unclear whether a message joined the turn"
                );
            }
        }
        Ok(true)
    }
}
