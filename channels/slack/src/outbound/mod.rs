//! From our posts to Slack's messages.

use std::time::SystemTime;

use tieline_channel::{Conversation, Post, Posted, SendError, WireId};

use crate::account::Account;

/// Posts a message.
pub(crate) async fn post(_account: &Account, _post: &Post) -> Result<Posted, SendError> {
    Err(never())
}

/// Looks for a post by its key.
pub(crate) async fn find(
    _account: &Account,
    _post: &Post,
    _since: SystemTime,
) -> Result<Option<Posted>, SendError> {
    Err(never())
}

/// Replaces the text of a post.
pub(crate) async fn edit(
    _account: &Account,
    _at: &Conversation,
    _message: &WireId,
    _text: &str,
) -> Result<(), SendError> {
    Err(never())
}

/// Deletes a post.
pub(crate) async fn delete(
    _account: &Account,
    _at: &Conversation,
    _message: &WireId,
) -> Result<(), SendError> {
    Err(never())
}

fn never() -> SendError {
    SendError::Never {
        reason: "not built".to_owned(),
    }
}
