//! A lane whose turns fail because codex cannot sign in.
//!
//! The turn stays open: its messages are the thread's already, so that it goes on without saying them
//! again. It is tried again after a while that grows, and at once with another child, which there is
//! as soon as the operator has mended what codex signs in with. Messages that come meanwhile wait in
//! the queue. Each conversation is told once, and once when the model has answered; that is on disk,
//! so that a restart in between repeats neither.

use super::*;
use crate::codex::{Failure, FailureKind};
use crate::dispatcher::login::is_login_trouble;
use crate::ledger::{Trouble as TroubleRecord, TurnEvent as LedgerTurnEvent};

/// How long after the first failure it is tried again; doubled each time.
const FIRST_DELAY: Duration = Duration::from_secs(2);

/// How long it rests at most: each attempt is one refused request.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// When the open turn is tried again.
pub(super) struct Retry {
    failures: u32,
    at: Instant,
    /// The child that it failed with.
    child: Option<u64>,
}

impl Lane {
    /// Returns whether a turn that failed stays open until codex can sign in.
    pub(super) fn is_kept(open: &OpenTurn, failure: &Failure) -> bool {
        is_login_trouble(failure) && (!open.messages.is_empty() || open.task.is_some())
    }

    /// Keeps a turn that failed because codex cannot sign in, and tells those who wait.
    pub(super) async fn keep(
        &mut self,
        open: &OpenTurn,
        failure: &Failure,
    ) -> Result<Next, StepError> {
        if self.current(open).await?.stop.is_some() {
            self.conclude_stopped(open).await?;
            return Ok(Next::Again);
        }
        let failures = self.retry.as_ref().map_or(0, |retry| retry.failures);
        let delay = delay_after(failures);
        info!(
            kind = failure.kind.as_str(),
            reason = %failure.message,
            retry_in_ms = delay.as_millis(),
            "codex cannot sign in; the turn is kept"
        );
        self.retry = Some(Retry {
            failures: failures.saturating_add(1),
            at: Instant::now() + delay,
            child: self.submitted_to,
        });
        self.trouble = Some(failure.kind);
        let login = &self.context.login;
        login.lane_failed(&self.id, SystemTime::now(), failure);
        if let Some(record) = self.context.ledger.lane(&self.id).await? {
            self.tell_of_trouble(&record, failure.kind).await?;
        }
        Ok(Next::Again)
    }

    /// Takes up what an earlier run has left of it.
    pub(super) fn remember_trouble(&mut self, record: &LaneRecord) {
        let Some(trouble) = &record.trouble else {
            return;
        };
        if self.trouble.is_some() {
            return;
        }
        let kind = trouble.kind;
        self.trouble = Some(kind);
        let cause = record.last.as_ref().and_then(|last| last.cause.clone());
        let message = cause.unwrap_or_else(|| kind.as_str().to_owned());
        let failure = Failure::new(kind, message);
        let login = &self.context.login;
        login.lane_failed(&self.id, trouble.since, &failure);
    }

    /// Waits until the open turn is tried again, if it is being kept; `None` when it is to be taken
    /// up now.
    pub(super) async fn wait_to_sign_in(
        &mut self,
        record: &LaneRecord,
    ) -> Result<Option<Next>, StepError> {
        let (Some(open), Some(retry), Some(kind)) = (&record.open, &self.retry, self.trouble)
        else {
            return Ok(None);
        };
        let at = retry.at;
        let mut link = self.context.supervised.link.clone();
        let has_other_child = match &*link.borrow_and_update() {
            Link::Up(session) => Some(session.child) != retry.child,
            Link::Down { .. } | Link::Stopped => false,
        };
        if open.stop.is_some() || has_other_child || Instant::now() >= at {
            return Ok(None);
        }
        // Those who have written since.
        self.tell_of_trouble(record, kind).await?;
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = self.wake.notified() => {}
            _ = link.changed() => {}
            () = self.drain.cancelled() => return Ok(Some(Next::End)),
        }
        Ok(Some(Next::Again))
    }

    /// Tries a turn again that failed because codex could not sign in.
    pub(super) async fn try_again(
        &mut self,
        open: OpenTurn,
        work: Work,
    ) -> Result<Next, StepError> {
        let open = self.advance(&open, LedgerTurnEvent::Retried).await?;
        // No input: the history has the message, once.
        let begin = Begin::Start {
            input: Vec::new(),
            client_id: None,
        };
        self.drive(open, work, begin).await
    }

    /// The model has answered: tells those who were told that it could not.
    pub(super) async fn signed_in(&self) -> Result<(), StepError> {
        self.context.login.lane_works(&self.id);
        let context = Arc::clone(&self.context);
        let notice = move |origin: &crate::ledger::Origin| {
            context.notice(&origin.channel, &origin.conversation, words::SIGNED_IN)
        };
        self.context.ledger.end_trouble(&self.id, notice).await?;
        Ok(())
    }

    async fn tell_of_trouble(
        &self,
        record: &LaneRecord,
        kind: FailureKind,
    ) -> Result<(), StepError> {
        tell_of_trouble(&self.context, record, kind).await?;
        Ok(())
    }
}

/// Notes that codex cannot sign in for a lane, and tells the conversations that wait for it, each
/// once. Of a teammate's work the dispatcher's own conversations are told when it is their turn.
pub(in crate::dispatcher) async fn tell_of_trouble(
    context: &LaneContext,
    record: &LaneRecord,
    kind: FailureKind,
) -> Result<(), LedgerError> {
    let notices = match record.owner {
        Owner::Teammate(_) | Owner::Session(_) => Vec::new(),
        Owner::Chat => waiting::origins(&context.ledger, record)
            .await?
            .into_iter()
            .map(|origin| {
                let (channel, to) = (&origin.channel, &origin.conversation);
                let post = context.notice(channel, to, words::cannot_sign_in(kind));
                (origin, post)
            })
            .collect(),
    };
    if let Some(told) = &record.trouble
        && notices.iter().all(|(origin, _)| told.told.contains(origin))
    {
        return Ok(());
    }
    let trouble = TroubleRecord {
        kind,
        since: SystemTime::now(),
        told: Vec::new(),
    };
    context
        .ledger
        .tell_of_trouble(&record.id, trouble, notices)
        .await
}

fn delay_after(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_less_and_less_often_and_never_given_up() {
        let delays: Vec<u64> = (0..40).map(|it| delay_after(it).as_secs()).collect();
        assert_eq!(delays[..7], [2, 4, 8, 16, 32, 60, 60]);
        assert!(delays.iter().all(|delay| *delay <= 60));
    }

    #[test]
    fn only_what_an_operator_can_mend_keeps_a_turn() {
        let failed = |kind, http_status| Failure {
            http_status,
            ..Failure::new(kind, "")
        };
        let empty = OpenTurn::new(TurnKey::new(), None, SystemTime::UNIX_EPOCH);
        let asked = OpenTurn {
            messages: vec![crate::id::MessageId::new()],
            ..empty.clone()
        };
        let table = [
            (FailureKind::ProviderAuthFailed, Some(401), true),
            (FailureKind::ProviderAuthFailed, None, true),
            // The model does not want this one; the next may do.
            (FailureKind::ProviderAuthFailed, Some(403), false),
            (FailureKind::SecretUnavailable, None, true),
            (FailureKind::ProviderRateLimited, Some(429), false),
        ];
        for (kind, status, expected) in table {
            let failure = failed(kind, status);
            assert_eq!(Lane::is_kept(&asked, &failure), expected, "{failure:?}");
            // Completions wait in their own way.
            assert!(!Lane::is_kept(&empty, &failure));
        }
    }
}
