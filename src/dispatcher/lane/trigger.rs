//! Completions: put into the thread's history once, and brought to the model's attention by a turn.
//!
//! 1. A turn is opened in the ledger with the completions that it is for.
//! 2. They are injected, while the thread is idle: then they are durable when codex has answered.
//! 3. That they are is recorded; only then
//! 4. the turn is begun.
//!
//! After whatever broke in between, the rollout tells which of them the history has. A turn that
//! fails gives them back: they stay in the history, and wait for another turn.

use super::settle::Told;
use super::work::Work;
use super::*;
use crate::codex::protocol::InjectedItem;
use crate::codex::{Failure, FailureKind, rollout};
use crate::dispatcher::envelope::CompletionBody;
use crate::dispatcher::spill;
use crate::id::{CompletionId, ThreadId};
use crate::ledger::{CompletionRecord, Hold, Return};

/// How many characters of completions are injected together; the first always goes.
const MAX_TRIGGER_CHARS: usize = 200_000;

/// How many turns for completions may fail in a row before they are given up.
const MAX_FAILURES: u32 = 10;

/// How often in a row completions are injected again because the history was shortened before the
/// model saw them. Where that happens each time, its summary must do.
pub(super) const MAX_BLINDS: u32 = 2;

/// How often in a row the rollout may be unreadable before nobody can say what the history has.
const MAX_UNREADABLE: u32 = 5;

/// How long after a turn for completions failed the next one is begun, at most.
const LONGEST_HOLD: Duration = Duration::from_secs(5 * 60);

impl Lane {
    /// Returns whether completions wait that a turn may be begun for.
    pub(super) fn has_arrivals(record: &LaneRecord) -> bool {
        held_for(record).is_some_and(|held| held.is_zero())
    }

    /// Takes completions that wait into a new turn.
    pub(super) async fn take_completions(
        &mut self,
        record: &LaneRecord,
        arrivals: Vec<CompletionRecord>,
    ) -> Result<Next, StepError> {
        let failures = record.hold.map_or(0, |hold| hold.failures);
        let batch = self.batch_of(arrivals, failures);
        let open = self
            .context
            .ledger
            .open_trigger(&self.id, TurnKey::new(), batch)
            .await?;
        self.tell_opened(&open);
        let work = self.work(&open).await?;
        // Of what was given back, the history may have some.
        self.bring_up(open, work, IsNew(failures == 0)).await
    }

    /// Returns those at the head that go together: of one origin, and not too much.
    fn batch_of(&self, arrivals: Vec<CompletionRecord>, failures: u32) -> Vec<CompletionId> {
        let mut chars = 0;
        let shown = self.context.settings.config.completion_chars;
        // What has failed together may do one by one.
        let most = MAX_TRIGGER_CHARS.checked_shr(failures).unwrap_or_default();
        let origin = arrivals.first().and_then(|first| first.origin.clone());
        arrivals
            .into_iter()
            .take_while(|completion| {
                let is_first = chars == 0;
                chars += completion.chars.min(shown) + 1;
                is_first || (completion.origin == origin && chars <= most)
            })
            .map(|completion| completion.id)
            .collect()
    }

    /// Sees to it that the thread has what an open turn is to bring up, each once, and begins the
    /// turn.
    pub(super) async fn bring_up(
        &mut self,
        open: OpenTurn,
        work: Work,
        is_new: IsNew,
    ) -> Result<Next, StepError> {
        let Some(attached) = &mut self.attached else {
            return Ok(Next::Again);
        };
        let thread = attached.thread.id().clone();
        let child = attached.child;
        let missing = missing(&work, &thread);
        if !missing.is_empty() {
            let same_child = self.submitted_to.replace(child) == Some(child);
            let missing = if is_new.0 || attached.is_new {
                missing
            } else {
                if same_child {
                    tokio::time::sleep(SETTLE_DOWN).await;
                }
                match self.absent(missing).await {
                    Ok(absent) => {
                        self.unreadable = 0;
                        absent
                    }
                    Err(failure) => {
                        let reason = format!("the rollout cannot be read: {failure}");
                        self.unreadable += 1;
                        if self.unreadable < MAX_UNREADABLE {
                            return Err(StepError::NotNow(reason));
                        }
                        self.unreadable = 0;
                        self.settle_unclear(&open, reason).await?;
                        return Ok(Next::Again);
                    }
                }
            };
            match self.inject(missing).await? {
                Ok(()) => {}
                Err(NotInjected::Refused(failure)) => {
                    self.settle_failed(&open, &failure).await?;
                    return Ok(Next::Again);
                }
                Err(NotInjected::NoFile(reason)) => {
                    error!(reason, "results wait for the disk");
                    let outcome = Outcome::Failed {
                        kind: FailureKind::Disk,
                        message: reason,
                    };
                    let told = Told::Notice(words::INTERRUPTED);
                    self.hold_back(&open, outcome, told).await?;
                    return Ok(Next::Again);
                }
            }
            self.context
                .ledger
                .completions_injected(&self.id, open.key, &thread)
                .await?;
        }
        let prompts = &self.context.settings.config.prompts;
        let prompt = match &self.teammate {
            Some(_) => &prompts.teammate_trigger,
            None => &prompts.trigger,
        };
        let trigger = envelope::render_trigger(open.key, prompt);
        let input = vec![UserInput::text(trigger)];
        let client_id = Some(open.key.to_string());
        self.drive(open, work, Begin::Start { input, client_id })
            .await
    }

    /// Returns those of `completions` that the thread's history does not have.
    async fn absent(
        &self,
        mut completions: Vec<CompletionRecord>,
    ) -> std::io::Result<Vec<CompletionRecord>> {
        if let Some(attached) = &self.attached
            && let Some(path) = self.rollout(attached).await?
        {
            rollout::injected(&path, |text| {
                completions.retain(|completion| !envelope::is_completion(text, completion.id));
            })
            .await?;
        }
        Ok(completions)
    }

    /// Injects completions, all at once.
    async fn inject(
        &mut self,
        completions: Vec<CompletionRecord>,
    ) -> Result<Result<(), NotInjected>, StepError> {
        let mut items = Vec::with_capacity(completions.len() + 1);
        for completion in &completions {
            match self.block(completion).await? {
                Ok(block) => items.push(InjectedItem::message(Role::Developer, block)),
                Err(reason) => return Ok(Err(NotInjected::NoFile(reason))),
            }
        }
        let lost_notice = self.lost_notice();
        let Some(attached) = &mut self.attached else {
            return Err(StepError::NotNow("the thread is gone".to_owned()));
        };
        if items.is_empty() {
            return Ok(Ok(()));
        }
        if attached.is_new
            && let Some(record) = self.context.ledger.lane(&self.id).await?
            && record.has_forgotten()
        {
            items.insert(0, InjectedItem::message(Role::Developer, lost_notice));
        }
        match attached.thread.inject(items).await {
            Ok(()) => {
                attached.is_new = false;
                info!(count = completions.len(), "completions are in the history");
                Ok(Ok(()))
            }
            Err(failure) if failure.refusal() == Some(Refusal::UnknownMethod) => {
                let failure = Failure::new(
                    FailureKind::BackendResponseInvalid,
                    "this codex does not know thread/inject_items, without which results cannot be \
                     delivered: install codex 0.137 or newer",
                );
                error!(
                    reason = failure.message,
                    "completions wait for another codex"
                );
                Ok(Err(NotInjected::Refused(failure)))
            }
            Err(failure) if is_about_items(&failure) => {
                Ok(Err(NotInjected::Refused(failure.to_failure())))
            }
            Err(failure) => {
                // Whether the history has them, the rollout tells once the thread is loaded again.
                self.attached = None;
                Err(StepError::Call(failure))
            }
        }
    }

    /// Returns how a completion reads for the model, or why its file cannot be written.
    async fn block(
        &self,
        completion: &CompletionRecord,
    ) -> Result<Result<String, String>, StepError> {
        let text = match self.context.ledger.completion_body(completion.id).await {
            Ok(text) => text,
            Err(failure @ LedgerError::Damaged { .. }) => {
                error!(completion = %completion.id, error = %failure, "a result is lost");
                let block = envelope::render_completion(completion, CompletionBody::Missing);
                return Ok(Ok(block));
            }
            Err(failure) => return Err(failure.into()),
        };
        let limit = self.context.settings.config.completion_chars;
        if completion.chars <= limit {
            let body = CompletionBody::Whole(&text);
            return Ok(Ok(envelope::render_completion(completion, body)));
        }
        let spills = &self.context.settings.spills;
        match spill::write(spills, completion.id, &text).await {
            Ok(path) => {
                let body = CompletionBody::Beginning {
                    text: beginning(&text, limit),
                    path: &path,
                    chars: completion.chars,
                };
                Ok(Ok(envelope::render_completion(completion, body)))
            }
            Err(failure) => Ok(Err(format!(
                "a result cannot be written to {} ({failure}): free space there",
                spills.display()
            ))),
        }
    }

    /// Gives the completions of a turn back, for another one.
    pub(super) async fn give_back(
        &self,
        open: &OpenTurn,
        outcome: Outcome,
        told: Told<'_>,
        back: Return,
    ) -> Result<(), StepError> {
        self.close(open, outcome, told, Some(back)).await
    }

    /// Gives the completions of a turn back for as long as somebody has to act first.
    pub(super) async fn hold_back(
        &self,
        open: &OpenTurn,
        outcome: Outcome,
        told: Told<'_>,
    ) -> Result<(), StepError> {
        let back = Return {
            hold: self.hold(false).await?,
            ..Return::default()
        };
        self.give_back(open, outcome, told, back).await
    }

    /// Returns when completions whose turn has failed go on; `None` when that was tried often enough.
    /// Only failures that count come to that.
    pub(super) async fn hold(&self, counts: bool) -> Result<Option<Hold>, StepError> {
        let record = self.context.ledger.lane(&self.id).await?;
        let before = record
            .and_then(|record| record.hold)
            .map_or(0, |hold| hold.failures);
        Ok(failures_after(before, counts).map(|failures| Hold {
            failures,
            until: SystemTime::now() + hold_for(failures),
        }))
    }

    /// Begins a turn again whose completions the thread has lost.
    pub(super) async fn begin_again(&mut self, open: &OpenTurn) -> Result<Next, StepError> {
        self.blinds += 1;
        info!("the history was shortened before the model saw its completions: once more");
        // Messages that joined are not in the history either.
        let now = self.current(open).await?;
        self.return_lost(&now, self.work(&now).await?).await?;
        match self.hold(true).await? {
            Some(hold) => {
                let back = Return {
                    forgotten: true,
                    hold: Some(hold),
                };
                let told = Told::Notice(words::INTERRUPTED);
                self.give_back(open, Outcome::Cancelled, told, back).await?;
            }
            None => {
                let failure = Failure::new(
                    FailureKind::ProviderHttpError,
                    "completions did not fit beside the rest of the conversation",
                );
                self.give_up(open, &failure).await?;
            }
        }
        Ok(Next::Again)
    }

    /// Settles a turn for completions as failed, for good.
    pub(super) async fn give_up(
        &self,
        open: &OpenTurn,
        failure: &Failure,
    ) -> Result<(), StepError> {
        let outcome = Outcome::Failed {
            kind: failure.kind,
            message: failure.message.clone(),
        };
        self.conclude(open, outcome, Told::Notice(words::COMPLETION_FAILED))
            .await
    }
}

/// Why completions were not injected, although codex can be reached.
enum NotInjected {
    /// Codex takes none, or not these.
    Refused(Failure),
    /// One of them is too long, and cannot be written to a file.
    NoFile(String),
}

/// Whether a turn has just been opened, with what no turn had before: then nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsNew(pub(super) bool);

/// Returns the completions of a turn that its thread is not known to have.
pub(super) fn missing(work: &Work, thread: &ThreadId) -> Vec<CompletionRecord> {
    let is_missing = |it: &&CompletionRecord| it.injected_into.as_ref() != Some(thread);
    work.completions
        .iter()
        .filter(is_missing)
        .cloned()
        .collect()
}

/// Returns how long it takes until a turn may be begun for the completions that wait; `None` when none
/// do. What is longer than any hold comes of a clock that went back, and counts as over.
pub(super) fn held_for(record: &LaneRecord) -> Option<Duration> {
    let until = |hold: Hold| hold.until.duration_since(SystemTime::now()).ok();
    let held = record.hold.and_then(until);
    let held = held.filter(|held| *held <= LONGEST_HOLD);
    (record.arrived > 0).then(|| held.unwrap_or_default())
}

/// Returns whether failures of this kind come to an end some time: the others are those of somebody who
/// is away, and wait until they are back.
pub(super) fn counts(kind: FailureKind) -> bool {
    let away = [
        FailureKind::ProviderAuthFailed,
        FailureKind::SecretUnavailable,
        FailureKind::ProviderRateLimited,
        FailureKind::ProviderUnavailable,
        FailureKind::ProviderStreamDisconnected,
    ];
    !away.contains(&kind)
}

/// Returns whether codex refused what was injected, whenever it is.
fn is_about_items(failure: &CallError) -> bool {
    matches!(
        failure.refusal(),
        Some(Refusal::InputTooLarge | Refusal::Other)
    )
}

/// Returns how many turns have failed after one more; `None` when that is enough. Those that do not
/// count only make the next one wait longer.
fn failures_after(before: u32, counts: bool) -> Option<u32> {
    if counts {
        Some(before + 1).filter(|failures| *failures < MAX_FAILURES)
    } else {
        Some(before.max((before + 1).min(MAX_FAILURES / 2)))
    }
}

fn hold_for(failures: u32) -> Duration {
    let doubled = 1_u64.checked_shl(failures).unwrap_or(u64::MAX);
    Duration::from_secs(doubled).min(LONGEST_HOLD)
}

/// Returns the first `limit` characters.
fn beginning(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn completions_wait_longer_after_each_failure_but_never_for_long() {
        let holds: Vec<u64> = (1..MAX_FAILURES + 60)
            .map(|failures| hold_for(failures).as_secs())
            .collect();
        assert_eq!(holds[..10], [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(holds.iter().all(|hold| *hold <= LONGEST_HOLD.as_secs()));
    }

    #[test]
    fn an_outage_brings_nothing_near_to_being_given_up() {
        let after = |count: u32, counts: bool, before: u32| {
            (0..count).try_fold(before, |before, _| failures_after(before, counts))
        };
        assert_eq!(after(9, true, 0), Some(9));
        assert_eq!(after(10, true, 0), None);
        assert_eq!(after(1_000, false, 0), Some(5));
        assert_eq!(after(1_000, false, 7), Some(7));
    }

    #[test]
    fn whoever_is_away_is_waited_for() {
        for kind in FailureKind::ALL {
            let is_away = matches!(
                kind,
                FailureKind::ProviderAuthFailed
                    | FailureKind::SecretUnavailable
                    | FailureKind::ProviderRateLimited
                    | FailureKind::ProviderUnavailable
                    | FailureKind::ProviderStreamDisconnected
            );
            assert_eq!(counts(*kind), !is_away, "{kind:?}");
        }
    }

    #[test]
    fn a_clock_that_went_back_holds_nothing_up() {
        let record = |arrived, hold: Option<u64>| LaneRecord {
            id: LaneId::new("flow"),
            dispatcher: crate::id::DispatcherId::new("flow"),
            thread: None,
            had_turn: false,
            lost: Vec::new(),
            open: None,
            last: None,
            waiting: 0,
            arrived,
            assigned: 0,
            orders: 0,
            model: None,
            renewed: false,
            owner: Owner::Chat,
            hold: hold.map(|seconds| Hold {
                failures: 1,
                until: SystemTime::now() + Duration::from_secs(seconds),
            }),
            trouble: None,
            last_from: None,
            used_at: SystemTime::now(),
            reach: Default::default(),
        };
        assert_eq!(held_for(&record(0, Some(60))), None);
        assert_eq!(held_for(&record(1, None)), Some(Duration::ZERO));
        assert_eq!(held_for(&record(1, Some(3_600))), Some(Duration::ZERO));
        let held = held_for(&record(1, Some(60))).unwrap();
        assert!(held > Duration::from_secs(50) && held <= Duration::from_secs(60));
        assert!(!Lane::has_arrivals(&record(1, Some(60))));
        assert!(Lane::has_arrivals(&record(1, Some(3_600))));
    }

    #[test]
    fn a_beginning_is_cut_between_characters() {
        assert_eq!(beginning("界界界", 2), "界界");
        assert_eq!(beginning("ab", 2), "ab");
        assert_eq!(beginning("", 2), "");
    }
}
