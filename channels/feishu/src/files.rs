//! Attachments in.

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Deserialize;
use tieline_channel::{Attachment, SendError};
use tieline_net::download::{Download, check_size, unless_silent, whole_or_nothing};

use crate::account::Account;
use crate::get::not_read;

/// What an attachment's reference says.
#[derive(Debug, Deserialize)]
struct Reference {
    message_id: String,
    key: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Fetches an attachment into the file `to`.
pub(crate) async fn fetch(
    account: &Account,
    attachment: &Attachment,
    to: &Path,
    max_bytes: u64,
) -> Result<(), SendError> {
    check_size(attachment.bytes, max_bytes)?;
    let download = download(account, attachment, to, max_bytes);
    whole_or_nothing(to, download).await
}

async fn download(
    account: &Account,
    attachment: &Attachment,
    to: &Path,
    max_bytes: u64,
) -> Result<(), SendError> {
    let Reference {
        message_id,
        key,
        kind,
    } = serde_json::from_str(&attachment.reference).map_err(|error| SendError::Never {
        reason: format!("not an attachment of Feishu: {error}"),
    })?;
    if ![&message_id, &key].into_iter().all(|id| is_id(id)) {
        return Err(SendError::Never {
            reason: "an attachment with a strange name".to_owned(),
        });
    }
    let path = format!("/open-apis/im/v1/messages/{message_id}/resources/{key}");
    let mut response = account
        .api
        .download(path, vec![("type", kind)])
        .await
        .map_err(not_read)?;
    let mut file = Download::begin(&response, to, max_bytes).await?;
    while let Some(chunk) = unless_silent(response.chunk()).await? {
        file.write(&chunk).await?;
    }
    file.finish().await?;
    Ok(())
}

/// Tells whether something can be an id: it comes from a message, and becomes part of a path.
fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}
