//! A turn of a lane, followed from its beginning to its end.

use tieline_channel::Status;

use super::newcomers::{Joined, Joining};
use super::settle::Told;
use super::tell::Teller;
use super::trigger::MAX_BLINDS;
use super::*;
use crate::codex::protocol::{AgentPhase, TurnOverrides};
use crate::codex::{Failure, Lost, LostReason, Turn, TurnEnd, TurnEvent, TurnOptions};
use crate::config::OnBusy;
use crate::id::TurnId;
use crate::ledger::{TurnEvent as LedgerTurnEvent, TurnPhase};

/// How a turn begins.
pub(super) enum Begin {
    /// It is submitted; without input the model goes on with the history as it is.
    Start {
        input: Vec<UserInput>,
        client_id: Option<String>,
    },
    /// It runs already.
    Follow(TurnId),
}

/// How following a turn ended.
enum Followed {
    Ended(TurnEnd),
    /// It was told to end.
    Told(Ending),
    /// The history has lost what the turn was to bring up, before the model saw it.
    Blind,
}

/// Returns whether codex would not hear what it is told now.
fn is_out_of_touch(followed: &Followed) -> bool {
    matches!(
        followed,
        Followed::Ended(
            TurnEnd::Lost(_)
                | TurnEnd::TimedOut {
                    child_deaf: true,
                    ..
                }
        )
    )
}

/// Why a turn is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A newer message is to be taken instead.
    Superseded,
    /// Somebody has stopped it.
    Stopped,
}

impl Lane {
    /// Follows a turn to its end and settles it.
    pub(super) async fn drive(
        &mut self,
        open: OpenTurn,
        work: Work,
        begin: Begin,
    ) -> Result<Next, StepError> {
        // Whatever goes wrong in between, the thread is loaded anew before anything else is done.
        let Some(mut attached) = self.attached.take() else {
            return Ok(Next::Again);
        };
        self.show(&work.messages, &Status::Working { progress: None });
        self.submitted_to = Some(attached.child);
        self.first_turn = false;
        attached.is_new = false;
        let events = self.events_of(&open).thread(attached.thread.id());
        events.emit(Event::TurnSubmitted {
            again: matches!(begin, Begin::Follow(_)) || open.continuations + open.resubmissions > 0,
        });
        let mut turn = match begin {
            Begin::Start { input, client_id } => {
                let options = TurnOptions {
                    overrides: self.overrides(&work),
                    ..self.turn_options(client_id)
                };
                attached.thread.start_turn(input, &options)
            }
            Begin::Follow(id) => attached
                .thread
                .attach(id, &self.turn_options(Some(open.key.to_string()))),
        };
        let mut teller = Teller::new(events);
        let followed = self.follow(&open, &work, &mut turn, &mut teller).await;
        self.count_noise(turn.noise());
        self.context.doing.forget(&self.id);
        let followed = followed?;
        let is_accepted = turn.id().is_some();
        drop(turn);
        if !is_out_of_touch(&followed) && self.current(&open).await?.stop.is_some() {
            self.end_background(&attached).await;
        }
        match followed {
            Followed::Told(Ending::Stopped) => {
                self.attached = Some(attached);
                self.conclude_stopped(&open).await?;
                Ok(Next::Again)
            }
            Followed::Told(Ending::Superseded) => {
                self.attached = Some(attached);
                self.settle(&open, Outcome::Cancelled, Told::Notice(words::SUPERSEDED))
                    .await?;
                Ok(Next::Again)
            }
            Followed::Blind => {
                self.attached = Some(attached);
                self.begin_again(&open).await
            }
            Followed::Ended(TurnEnd::Lost(lost)) => self.lost(&open, &attached, lost).await,
            Followed::Ended(TurnEnd::TimedOut {
                failure,
                child_deaf: true,
            }) => {
                // Whatever it still does with the turn, it must not do it beside the next one.
                self.context.supervised.replace_child(attached.child);
                if is_accepted {
                    self.settle_failed(&open, &failure).await?;
                } else if self.is_doubted_again(&open) {
                    self.settle_unclear(&open, failure.message).await?;
                } else {
                    info!(reason = %failure.message, "whether codex has the turn, the next child tells");
                }
                self.connection_lost(attached.connection).await;
                Ok(Next::Again)
            }
            Followed::Ended(end) => {
                self.attached = Some(attached);
                self.end(open, end).await
            }
        }
    }

    pub(super) fn turn_options(&self, client_message_id: Option<String>) -> TurnOptions {
        TurnOptions {
            client_message_id,
            idle_limit: self.context.settings.config.turn_idle_timeout,
            overrides: TurnOverrides::default(),
        }
    }

    /// Leaves a turn whose end was not seen to recovery, once there is somebody to ask.
    async fn lost(
        &mut self,
        open: &OpenTurn,
        attached: &Attached,
        lost: Lost,
    ) -> Result<Next, StepError> {
        match lost.reason {
            LostReason::Closed(_) => {
                info!(reason = %lost, "the turn goes on when the connection is back");
                self.connection_lost(attached.connection).await;
                return Ok(Next::Again);
            }
            LostReason::Missed => {
                if self.is_doubted_again(open) {
                    self.context.supervised.replace_child(attached.child);
                }
            }
            LostReason::Unloaded | LostReason::Unsubscribed => {}
        }
        // The connection lives: the thread is loaded again over it.
        Err(StepError::NotNow(lost.to_string()))
    }

    /// Returns whether codex has failed to account for this turn before.
    fn is_doubted_again(&mut self, open: &OpenTurn) -> bool {
        self.doubted.replace(open.key) == Some(open.key)
    }

    async fn follow(
        &self,
        open: &OpenTurn,
        work: &Work,
        turn: &mut Turn<'_>,
        teller: &mut Teller,
    ) -> Result<Followed, StepError> {
        let messages = &work.messages;
        let client_id = open.key.to_string();
        // Whether the model has done anything yet, and the history was shortened before it did.
        let (mut is_at_work, mut is_blind) = (false, self.blind == Some(open.key));
        let mut has_forgotten = false;
        let mut in_trouble = self.trouble.is_some();
        let mut joining = Joining::default();
        let mut ending = match turn.id() {
            // It runs already, and nothing else will say so.
            Some(_) => self.mind(open, work, turn, &mut joining).await?,
            None => None,
        };
        loop {
            let event = tokio::select! {
                event = turn.next() => event,
                () = self.wake.notified(), if ending != Some(Ending::Stopped) => {
                    ending = self.mind(open, work, turn, &mut joining).await?.or(ending);
                    continue;
                }
                ready = joining.ready(), if ending.is_none() => {
                    if self.join(open, ready, turn).await? == Joined::LookAgain || joining.is_late() {
                        ending = self.mind(open, work, turn, &mut joining).await?;
                    }
                    continue;
                }
            };
            let Some(event) = event else {
                return Err(StepError::NotNow("the turn has no end".to_owned()));
            };
            let is_sign_of_the_model = matches!(
                event,
                TurnEvent::Message { .. } | TurnEvent::MessageDelta { .. } | TurnEvent::Tool(_)
            );
            if is_sign_of_the_model && std::mem::take(&mut in_trouble) {
                self.signed_in().await?;
            }
            match event {
                TurnEvent::Started { turn_id } => {
                    teller.tell(Event::TurnStarted {
                        codex_turn: turn_id.to_string(),
                    });
                    if open.phase == TurnPhase::Delivered {
                        // A continuation: nothing will be recorded that names it.
                        self.advance(open, LedgerTurnEvent::Submitted { turn: turn_id })
                            .await?;
                    }
                    if ending.is_none() {
                        ending = self.mind(open, work, turn, &mut joining).await?;
                    }
                }
                TurnEvent::Recorded {
                    client_id: recorded,
                } => {
                    if recorded == client_id {
                        let event = LedgerTurnEvent::Delivered {
                            turn: turn.id().cloned(),
                        };
                        self.advance(open, event).await?;
                    }
                }
                TurnEvent::Message { text, phase, .. } => {
                    is_at_work = true;
                    self.note(&text);
                    teller.message(&text, phase);
                    if phase == Some(AgentPhase::Commentary) {
                        self.show(
                            messages,
                            &Status::Working {
                                progress: Some(text),
                            },
                        );
                    }
                }
                TurnEvent::Retrying { message, details } => {
                    info!(message, details, "codex tries the model again");
                    let reason = match details {
                        Some(details) => format!("{message}: {details}"),
                        None => message,
                    };
                    teller.tell(Event::TurnRetrying { reason });
                }
                TurnEvent::Declined { what } => {
                    info!(what, "codex asked and was told no");
                    teller.tell(Event::TurnDeclined { what });
                }
                TurnEvent::FoldedInto { turn_id } => {
                    warn!(turn = %turn_id, "somebody else's turn ran on this thread");
                }
                TurnEvent::Compacted if is_at_work => {
                    teller.tell(Event::ThreadCompacted);
                    has_forgotten = true;
                }
                TurnEvent::Compacted => {
                    teller.tell(Event::ThreadCompacted);
                    self.context.ledger.forget_injections(&self.id).await?;
                    if work.is_trigger && open.continuations == 0 && self.blinds < MAX_BLINDS {
                        is_blind = true;
                        turn.interrupter().interrupt();
                    }
                }
                TurnEvent::Settled(end) => {
                    if has_forgotten && !matches!(end, TurnEnd::Completed { .. }) {
                        // What the model had in view is in its history no longer.
                        self.context.ledger.forget_injections(&self.id).await?;
                    }
                    return Ok(match end {
                        TurnEnd::Lost(_)
                        | TurnEnd::TimedOut {
                            child_deaf: true, ..
                        } => Followed::Ended(end),
                        _ if is_blind => Followed::Blind,
                        TurnEnd::Interrupted => match ending {
                            Some(ending) => Followed::Told(ending),
                            None => Followed::Ended(TurnEnd::Interrupted),
                        },
                        end => Followed::Ended(end),
                    });
                }
                TurnEvent::Tool(tool) => {
                    is_at_work = true;
                    self.note(&tool.in_words());
                    teller.tool(&tool);
                }
                TurnEvent::MessageDelta { .. } => is_at_work = true,
                TurnEvent::OutputDelta { item_id, delta } => teller.output(&item_id, &delta),
                TurnEvent::Plan(_) | TurnEvent::Compacting => {}
            }
        }
    }

    /// Sees what has come meanwhile, and tells the turn to end if need be.
    async fn mind<'a>(
        &'a self,
        open: &OpenTurn,
        work: &Work,
        turn: &mut Turn<'_>,
        joining: &mut Joining<'a>,
    ) -> Result<Option<Ending>, StepError> {
        if self.current(open).await?.stop.is_some() {
            info!("the turn is stopped");
            turn.interrupter().interrupt();
            return Ok(Some(Ending::Stopped));
        }
        let is_superseded = self.mind_queue(work, turn, joining).await?;
        Ok(is_superseded.then_some(Ending::Superseded))
    }

    /// Notes what a teammate is doing, for those who ask.
    fn note(&self, text: &str) {
        if self.teammate.is_some() {
            self.context.doing.note(&self.id, text);
        }
    }

    /// Ends a turn that somebody has stopped: what it was to bring up is over as well.
    pub(super) async fn conclude_stopped(&self, open: &OpenTurn) -> Result<(), StepError> {
        let open = self.current(open).await?;
        let work = self.work(&open).await?;
        let (Some(stop), Some(origin)) = (&open.stop, &work.origin) else {
            let told = Told::Notice(words::STOPPED);
            return self.conclude(&open, Outcome::Cancelled, told).await;
        };
        let is_own = stop
            .origin
            .as_ref()
            .is_some_and(|from| from.channel == origin.channel)
            && work
                .messages
                .iter()
                .all(|message| Some(&message.message.sender.id) == stop.user.as_ref());
        let language = self.context.language(&origin.channel);
        let text = match is_own {
            true => words::STOPPED.within(language).to_owned(),
            false => words::stopped_by(stop.name.as_deref(), language),
        };
        let told = Told::Words(&text);
        self.conclude(&open, Outcome::Cancelled, told).await
    }

    pub(super) async fn end(&mut self, open: OpenTurn, end: TurnEnd) -> Result<Next, StepError> {
        match end {
            TurnEnd::Completed { answer } => {
                self.blinds = 0;
                self.retry = None;
                if self.trouble.take().is_some() {
                    self.signed_in().await?;
                }
                if self.context.settings.config.on_busy == OnBusy::Steer {
                    let open = self.current(&open).await?;
                    self.return_lost(&open, self.work(&open).await?).await?;
                }
                self.settle_completed(&open, answer.as_deref()).await?;
            }
            TurnEnd::Failed(failure)
                if failure.context_exceeded && self.compacted != Some(open.key) =>
            {
                self.compacted = Some(open.key);
                return self.make_room(open, failure).await;
            }
            // A program is told, and decides by itself.
            TurnEnd::Failed(failure)
                if self.session.is_none() && Self::is_kept(&open, &failure) =>
            {
                return self.keep(&open, &failure).await;
            }
            TurnEnd::Failed(failure) => {
                self.retry = None;
                self.settle_failed(&open, &failure).await?;
            }
            TurnEnd::TimedOut { failure, .. } => self.settle_failed(&open, &failure).await?,
            TurnEnd::Refused { refusal, failure } => match refusal {
                Refusal::Draining
                | Refusal::Overloaded
                | Refusal::ThreadNotFound
                | Refusal::ActiveWriter
                | Refusal::NotSteerable => {
                    self.attached = None;
                    return Err(StepError::NotNow(failure.message));
                }
                Refusal::UnknownMethod
                | Refusal::NoRollout
                | Refusal::NoTurnYet
                | Refusal::NotSupportedYet
                | Refusal::Archived
                | Refusal::NoActiveTurn
                | Refusal::OtherTurn
                | Refusal::InputTooLarge
                | Refusal::BadConfiguration
                | Refusal::McpServerFailed
                | Refusal::Other => self.settle_failed(&open, &failure).await?,
            },
            // Not by us: somebody else works on this thread, or codex is going down. The thread
            // says what is left to do.
            TurnEnd::Interrupted | TurnEnd::Lost(_) => {}
        }
        Ok(Next::Again)
    }

    /// Shortens a history that has become too long for the model, and goes on.
    async fn make_room(&mut self, open: OpenTurn, exceeded: Failure) -> Result<Next, StepError> {
        if self.current(&open).await?.stop.is_some() {
            self.conclude_stopped(&open).await?;
            return Ok(Next::Again);
        }
        info!("the conversation is too long for the model; shortening it");
        let Some(mut attached) = self.attached.take() else {
            return Ok(Next::Again);
        };
        let mut compaction = attached.thread.compact(&self.turn_options(None));
        let mut end = None;
        while let Some(event) = compaction.next().await {
            if let TurnEvent::Settled(settled) = event {
                end = Some(settled);
            }
        }
        drop(compaction);
        match end {
            Some(TurnEnd::Lost(lost)) => return self.lost(&open, &attached, lost).await,
            Some(TurnEnd::TimedOut {
                child_deaf: true, ..
            }) => {
                self.context.supervised.replace_child(attached.child);
                self.settle_failed(&open, &exceeded).await?;
                self.connection_lost(attached.connection).await;
                return Ok(Next::Again);
            }
            _ => self.attached = Some(attached),
        }
        match end {
            Some(TurnEnd::Completed { .. }) => {
                self.context.ledger.forget_injections(&self.id).await?;
                if !open.completions.is_empty() {
                    return self.begin_again(&open).await;
                }
                let open = self.advance(&open, LedgerTurnEvent::Continued).await?;
                let work = self.work(&open).await?;
                // No input: the summary has the message.
                let begin = Begin::Start {
                    input: Vec::new(),
                    client_id: None,
                };
                Box::pin(self.drive(open, work, begin)).await
            }
            Some(TurnEnd::Failed(failure)) => {
                self.settle_failed(&open, &failure).await?;
                Ok(Next::Again)
            }
            _ => {
                self.settle_failed(&open, &exceeded).await?;
                Ok(Next::Again)
            }
        }
    }

    pub(super) async fn advance(
        &self,
        open: &OpenTurn,
        event: LedgerTurnEvent,
    ) -> Result<OpenTurn, StepError> {
        let ledger = &self.context.ledger;
        let advanced = ledger.advance_turn(&self.id, open.key, event).await?;
        self.context.changes.tell();
        Ok(advanced)
    }

    /// Waits until the supervisor has noticed that this lane's connection is gone.
    pub(super) async fn connection_lost(&self, connection: u64) {
        let mut link = self.context.supervised.link.clone();
        let gone = link.wait_for(
            |link| !matches!(link, Link::Up(session) if session.connection == connection),
        );
        tokio::select! {
            _ = gone => {}
            () = self.drain.cancelled() => {}
        }
    }
}
