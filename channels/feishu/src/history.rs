//! Reading back.

use std::time::SystemTime;

use tieline_channel::{CaughtUp, Conversation, Intake, Message, Said, SendError};

use crate::account::Account;

/// Returns what a message's topic said before it.
pub(crate) async fn earlier(
    _account: &Account,
    _message: &Message,
    _limit: usize,
) -> Result<Vec<Said>, SendError> {
    Ok(Vec::new())
}

/// Hands in what was written after `since`.
pub(crate) async fn catch_up(
    _account: &Account,
    _since: SystemTime,
    _threads: &[Conversation],
    _intake: &dyn Intake,
) -> Result<CaughtUp, SendError> {
    Ok(CaughtUp::default())
}
