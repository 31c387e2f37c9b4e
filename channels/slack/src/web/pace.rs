//! How often each method may be called: a budget for each, and for posts one more for each channel.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tieline_net::pace::{self, Budget, Limited};

use super::error::CallError;
use super::method::{Method, Urgency};

/// What Slack promises to take of each tier; it tolerates more for a moment.
const TIER_2: Budget = Budget::per_minute(20, 10);
const TIER_3: Budget = Budget::per_minute(50, 15);
const TIER_4: Budget = Budget::per_minute(100, 30);
/// Which is not documented: this only keeps a great burst from being refused as a whole.
const WORKSPACE_POSTS: Budget = Budget::per_minute(1_200, 100);
/// One a second, and a little less for what the way there takes now more and now less. No bursts:
/// how short a "short burst" is, is not documented, and a refusal stops posts to all channels.
const CHANNEL_POSTS: Budget = Budget::per_minute(57, 1);
const STATUSES: Budget = Budget::per_minute(600, 40);

/// Returns a method's budget; `None` for what is only left alone when Slack asks for it.
fn budget(method: Method) -> Option<Budget> {
    match method {
        // Its callers keep their own distance, and an open connection matters more than a 429.
        Method::AppsConnectionsOpen => None,
        Method::ChatPostMessage => Some(WORKSPACE_POSTS),
        Method::SetStatus => Some(STATUSES),
        Method::ReactionsRemove | Method::ConversationsList => Some(TIER_2),
        Method::ChatUpdate
        | Method::ChatDelete
        | Method::ReactionsAdd
        | Method::ConversationsInfo
        | Method::ConversationsHistory
        | Method::ConversationsReplies => Some(TIER_3),
        Method::AuthTest
        | Method::UsersInfo
        | Method::FilesInfo
        | Method::FilesGetUploadUrlExternal
        | Method::FilesCompleteUploadExternal => Some(TIER_4),
    }
}

/// The budgets of all methods.
#[derive(Debug)]
pub(super) struct Pace(pace::Pace<Method>);

impl Pace {
    pub(super) fn new() -> Self {
        Self(pace::Pace::new(budget, CHANNEL_POSTS))
    }

    /// Waits until a call may be made: see [`pace::Pace::admit`].
    ///
    /// # Errors
    ///
    /// [`CallError::Limited`] at once when it would wait for more than a few seconds, and for
    /// [`Urgency::Low`] when it would wait at all.
    pub(super) async fn admit(
        &self,
        method: Method,
        urgency: Urgency,
        conversation: Option<&str>,
    ) -> Result<(), CallError> {
        let channel = posted_to(method, conversation);
        let admitted = self.0.admit(method, urgency, channel).await;
        admitted.map_err(|Limited { after }| CallError::Limited { after })
    }

    /// Takes note that Slack asked to be left alone: by this method, everywhere.
    pub(super) fn limited(&self, method: Method, conversation: Option<&str>, after: Duration) {
        let channel = posted_to(method, conversation);
        self.0.limited(method, channel, after);
    }
}

/// Returns the channel whose budget a call takes from.
fn posted_to(method: Method, conversation: Option<&str>) -> Option<&str> {
    conversation.filter(|_| method == Method::ChatPostMessage)
}
