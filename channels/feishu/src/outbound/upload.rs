//! Files out: the bytes go to Feishu first, and then a message shows them.
//!
//! Until there is that message nobody sees anything, so that a failure before is one for now.

use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tieline_channel::{File, FileContent, SendError, WithCauses};

use super::post::{Content, repeatable};
use crate::account::Account;
use crate::api::Failure;

const NAME: &str = "im/v1/files/create";
const PATH: &str = "/open-apis/im/v1/files";

/// How large a file may be, in bytes.
const MAX_FILE: u64 = 30_000_000;

/// Sends a file's bytes and returns the message that shows it.
pub(super) async fn upload(account: &Account, file: &File) -> Result<Content, SendError> {
    let sent = match send(account, file).await? {
        Err(Failure::TokenInvalid { .. }) => send(account, file).await?,
        sent => sent,
    };
    let value = sent.map_err(repeatable)?;
    let key = value.pointer("/data/file_key").and_then(|key| key.as_str());
    let key = key.ok_or_else(|| SendError::Again {
        after: None,
        reason: format!("{NAME}: an answer without a key"),
    })?;
    Ok(Content {
        msg_type: "file",
        content: json!({"file_key": key}).to_string(),
    })
}

async fn send(account: &Account, file: &File) -> Result<Result<Value, Failure>, SendError> {
    let form = Form::new()
        .text("file_type", file_type(&file.name))
        .text("file_name", file.name.clone())
        .part("file", part(file).await?);
    Ok(account.api.upload(NAME, PATH, form).await)
}

async fn part(file: &File) -> Result<Part, SendError> {
    let never = |reason: String| SendError::Never {
        reason: format!("{}: {reason}", file.name),
    };
    let (body, length) = match &file.content {
        FileContent::Text(text) => (Body::from(text.clone()), text.len() as u64),
        FileContent::Path(path) => {
            let open = async {
                let file = tokio::fs::File::open(path).await?;
                let length = file.metadata().await?.len();
                std::io::Result::Ok((Body::from(file), length))
            };
            open.await
                .map_err(|error| never(format!("it cannot be read: {}", WithCauses(&error))))?
        }
    };
    if length > MAX_FILE {
        return Err(never(format!(
            "it has {length} bytes, and Feishu takes {MAX_FILE}"
        )));
    }
    // Feishu takes no file with nothing in it.
    let (body, length) = if length == 0 {
        (Body::from("\n"), 1)
    } else {
        (body, length)
    };
    // The name that people see is a field of its own, which takes every script.
    Ok(Part::stream_with_length(body, length).file_name("file"))
}

/// Returns what Feishu calls a type of file, which decides how it previews it. Audio and video would
/// need messages of other types.
fn file_type(name: &str) -> &'static str {
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "pdf" => "pdf",
        "doc" | "docx" => "doc",
        "xls" | "xlsx" => "xls",
        "ppt" | "pptx" => "ppt",
        _ => "stream",
    }
}
