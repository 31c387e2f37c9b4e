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
