//! Attachments in.

use std::path::Path;

use tieline_channel::{Attachment, SendError};

use crate::account::Account;

/// Fetches an attachment into the file `to`.
pub(crate) async fn fetch(
    _account: &Account,
    _attachment: &Attachment,
    _to: &Path,
    _max_bytes: u64,
) -> Result<(), SendError> {
    Ok(())
}
