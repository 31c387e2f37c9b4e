//! Files out: the bytes go to Feishu first, and then a message shows them.
//!
//! Until there is that message nobody sees anything, so that a failure before is one for now.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tieline_channel::{File, FileContent, PostKey, SendError, WithCauses};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tracing::info;

use super::post::{Content, repeatable};
use crate::account::Account;
use crate::api::Failure;

/// How large a file may be, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 30_000_000;

/// How large an image may be that is shown as one, in bytes.
const MAX_IMAGE: u64 = 10_000_000;

/// How many of the first bytes tell whether it is an image.
const HEAD: usize = 12;

/// How many files are remembered that Feishu has.
const MAX_UPLOADS: usize = 100;

/// The files that Feishu has already, by the posts they belong to: a post that is repeated is the
/// same to the letter, and its bytes do not go twice.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<VecDeque<(PostKey, Content)>>);

/// What Feishu takes bytes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Shown in the chat.
    Image,
    /// To be opened.
    File,
}

/// The bytes, ready to be sent.
struct Bytes {
    body: Body,
    length: u64,
    is_image: bool,
}

/// Sends the bytes of a post's file, unless Feishu has them, and returns the message that shows it.
pub(super) async fn upload(
    account: &Account,
    key: &PostKey,
    file: &File,
) -> Result<Content, SendError> {
    if let Some(content) = account.uploads.of(key) {
        return Ok(content);
    }
    let content = send(account, file).await?;
    account.uploads.keep(key, content.clone());
    Ok(content)
}

/// Sends a file: as an image if it is one and Feishu takes it for one.
async fn send(account: &Account, file: &File) -> Result<Content, SendError> {
    if open(file).await?.kind() == Kind::Image {
        match send_as(account, file, Kind::Image).await? {
            Err(Failure::Never { reason, .. }) => {
                info!(reason, "an image goes as a file");
            }
            sent => return sent.map_err(repeatable),
        }
    }
    let sent = send_as(account, file, Kind::File).await?;
    sent.map_err(repeatable)
}

/// Sends the bytes, and once more if it was only the token that was not taken.
async fn send_as(
    account: &Account,
    file: &File,
    kind: Kind,
) -> Result<Result<Content, Failure>, SendError> {
    let attempt = async || {
        let form = kind.form(file, open(file).await?);
        Ok::<_, SendError>(account.api.upload(kind.call(), kind.path(), form).await)
    };
    let sent = match attempt().await? {
        Err(Failure::TokenInvalid { .. }) => attempt().await?,
        sent => sent,
    };
    Ok(sent.and_then(|answer| kind.content(&answer)))
}

async fn open(file: &File) -> Result<Bytes, SendError> {
    let never = |reason: String| SendError::Never {
        reason: format!("{}: {reason}", file.name),
    };
    let bytes = match &file.content {
        FileContent::Text(text) => Bytes {
            body: Body::from(text.clone()),
            length: text.len() as u64,
            is_image: false,
        },
        FileContent::Path(path) => {
            let opened = tokio::fs::File::open(path).await;
            let read = async { Bytes::read(opened?).await };
            read.await
                .map_err(|error| never(format!("it cannot be read: {}", WithCauses(&error))))?
        }
    };
    if bytes.length > MAX_FILE_BYTES {
        let length = bytes.length;
        return Err(never(format!(
            "it has {length} bytes, and Feishu takes {MAX_FILE_BYTES}"
        )));
    }
    Ok(bytes)
}

impl Uploads {
    fn of(&self, key: &PostKey) -> Option<Content> {
        let uploads = self.uploads();
        let (_, content) = uploads.iter().find(|(other, _)| other == key)?;
        Some(content.clone())
    }

    fn keep(&self, key: &PostKey, content: Content) {
        let mut uploads = self.uploads();
        if uploads.len() >= MAX_UPLOADS {
            uploads.pop_front();
        }
        uploads.push_back((key.clone(), content));
    }

    fn uploads(&self) -> MutexGuard<'_, VecDeque<(PostKey, Content)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bytes {
    async fn read(mut file: tokio::fs::File) -> io::Result<Self> {
        let length = file.metadata().await?.len();
        let mut head = Vec::with_capacity(HEAD);
        (&mut file).take(HEAD as u64).read_to_end(&mut head).await?;
        file.rewind().await?;
        Ok(Self {
            body: Body::from(file),
            length,
            is_image: is_image(&head),
        })
    }

    fn kind(&self) -> Kind {
        if self.is_image && self.length <= MAX_IMAGE {
            Kind::Image
        } else {
            Kind::File
        }
    }

    fn into_part(self) -> Part {
        // Feishu takes no file with nothing in it.
        let (body, length) = match self.length {
            0 => (Body::from("\n"), 1),
            length => (self.body, length),
        };
        // The name that people see is a field of its own, which takes every script.
        Part::stream_with_length(body, length).file_name("file")
    }
}

impl Kind {
    /// Returns what the call is called in errors.
    fn call(self) -> &'static str {
        match self {
            Self::Image => "im/v1/images/create",
            Self::File => "im/v1/files/create",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Image => "/open-apis/im/v1/images",
            Self::File => "/open-apis/im/v1/files",
        }
    }

    fn form(self, file: &File, bytes: Bytes) -> Form {
        match self {
            Self::Image => Form::new()
                .text("image_type", "message")
                .part("image", bytes.into_part()),
            Self::File => Form::new()
                .text("file_type", file_type(&file.name))
                .text("file_name", file.name.clone())
                .part("file", bytes.into_part()),
        }
    }

    /// Returns the message that shows what was sent. Without its key it was sent for nothing.
    fn content(self, answer: &Value) -> Result<Content, Failure> {
        let (msg_type, name) = match self {
            Self::Image => ("image", "image_key"),
            Self::File => ("file", "file_key"),
        };
        let key = answer["data"][name].as_str();
        let key = key.ok_or_else(|| Failure::Unclear {
            reason: format!("{}: an answer without a key", self.call()),
        })?;
        Ok(Content {
            msg_type,
            content: json!({name: key}).to_string(),
        })
    }
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

/// Returns whether bytes begin as those of an image do that every client shows.
fn is_image(head: &[u8]) -> bool {
    let is_webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    is_webp
        || [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF8"]
            .iter()
            .any(|magic| head.starts_with(magic))
}
