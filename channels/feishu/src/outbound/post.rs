//! Posting.

use tieline_channel::{Conversation, Post, Posted, SendError, WireId};

use crate::account::Account;

/// Posts a message, in the best form that Feishu takes.
pub(crate) async fn post(_account: &Account, _post: &Post) -> Result<Posted, SendError> {
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

/// Recalls a post.
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
