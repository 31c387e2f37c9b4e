//! Asking a platform for something while Codex waits: for a while, and not for ever.

use std::time::Duration;

use tieline_channel::SendError;
use tieline_channel::retry::RetryPolicy;
use tokio::time::{Instant, timeout_at};

/// How long a platform is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long what failed for now is tried again.
    pub(super) retry_for: Duration,
    /// How long it may take in all.
    pub(super) give_up_after: Duration,
}

/// Makes a call until it works, cannot work, or has failed for too long. Repeating it is harmless.
///
/// # Errors
///
/// The last failure.
pub(super) async fn patiently<T, C>(
    patience: Patience,
    mut call: impl FnMut() -> C,
) -> Result<T, SendError>
where
    C: Future<Output = Result<T, SendError>>,
{
    let begun = Instant::now();
    let mut policy = RetryPolicy::new();
    loop {
        let Ok(answer) = timeout_at(begun + patience.give_up_after, call()).await else {
            let reason = format!("no answer within {} s", begun.elapsed().as_secs());
            return Err(SendError::Again {
                after: None,
                reason,
            });
        };
        let failure = match answer {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        let asked = match &failure {
            SendError::Again { after, .. } => after.unwrap_or_default(),
            SendError::Unclear { .. } => Duration::ZERO,
            SendError::Never { .. } | SendError::Operator { .. } => return Err(failure),
        };
        let pause = policy.next_delay().max(asked);
        if begun.elapsed() + pause > patience.retry_for {
            return Err(failure);
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::dispatcher::fake_channel::again;

    const SECOND: Duration = Duration::from_secs(1);

    const PATIENCE: Patience = Patience {
        retry_for: Duration::from_secs(60),
        give_up_after: Duration::from_secs(180),
    };

    /// Makes calls that fail with these, one after the other, and then work. Returns whether it came
    /// to that, after how many calls, and after how long.
    async fn call(failures: Vec<SendError>) -> (bool, usize, Duration) {
        let begun = Instant::now();
        let calls = Cell::new(0);
        let outcome = patiently(PATIENCE, || {
            let failure = failures.get(calls.get()).cloned();
            calls.set(calls.get() + 1);
            async { failure.map_or(Ok(()), Err) }
        });
        (outcome.await.is_ok(), calls.get(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_waited_for_as_long_as_the_platform_asks() {
        let unclear = SendError::Unclear {
            reason: "cut off".to_owned(),
        };
        let (worked, calls, _) = call(vec![again(None), unclear]).await;
        assert!(worked);
        assert_eq!(calls, 3);
        let (worked, _, waited) = call(vec![again(Some(30 * SECOND))]).await;
        assert!(worked && waited >= 30 * SECOND, "{waited:?}");
        let (worked, calls, waited) = call(vec![again(Some(61 * SECOND))]).await;
        assert!(!worked && calls == 1 && waited < SECOND, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_pass_by_itself_is_not_waited_for() {
        let reason = "no".to_owned();
        let remedy = "grant it".to_owned();
        let never = SendError::Never {
            reason: reason.clone(),
        };
        for failure in [never, SendError::Operator { remedy, reason }] {
            let (worked, calls, waited) = call(vec![failure]).await;
            assert!(!worked && calls == 1 && waited < SECOND, "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_for_ever() {
        let (worked, calls, waited) = call(vec![again(None); 1_000]).await;
        assert!(!worked && calls > 3, "{calls}");
        assert!(waited > 20 * SECOND && waited <= 60 * SECOND, "{waited:?}");

        let begun = Instant::now();
        let silent = patiently(PATIENCE, std::future::pending::<Result<(), _>>).await;
        let reason = "no answer within 180 s".to_owned();
        let after = None;
        assert_eq!(silent, Err(SendError::Again { after, reason }));
        assert!(begun.elapsed() <= 181 * SECOND);
    }
}
