//! Posts that carry a file: a place for it is asked for, the bytes go there, and then it is shared.
//!
//! Until it is shared nobody sees anything, so that a failure before is one for now.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tieline_channel::{File, FileContent, Post, Posted, SendError, ThreadKey, WireId, WithCauses};
use tracing::warn;

use super::body;
use super::{is_about_form, is_about_thread};
use crate::account::Account;
use crate::web::{CallError, Form, Method};

/// How long the bytes may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How large a file may be, in bytes. Slack takes more, but not within the deadline.
pub(crate) const MAX_FILE_BYTES: u64 = 50_000_000;

/// How long the text beside a file may be when Slack refuses the whole.
const SHORT_COMMENT: usize = 2_900;

#[derive(Deserialize)]
struct Place {
    upload_url: String,
    file_id: String,
}

/// Posts a file with the post's text. The id is the file's: Slack does not tell the message's.
pub(super) async fn post(account: &Account, post: &Post, file: &File) -> Result<Posted, SendError> {
    if !post.buttons.is_empty() {
        warn!("a message with a file cannot have buttons: they are left out");
    }
    let content = Content::open(file).await?;
    let method = Method::FilesGetUploadUrlExternal;
    let form = vec![
        ("filename", file.name.clone()),
        ("length", content.length.to_string()),
    ];
    let place: Place = account
        .web
        .call(method, form)
        .await
        .map_err(|error| error.into_send_error(method))?;
    send(account, &place, content).await?;
    share(account, post, file, &place.file_id).await?;
    Ok(Posted {
        id: WireId::new(place.file_id),
    })
}

struct Content {
    body: Body,
    length: u64,
}

impl Content {
    async fn open(file: &File) -> Result<Self, SendError> {
        let content = match &file.content {
            FileContent::Text(text) => Self {
                body: Body::from(text.clone()),
                length: text.len() as u64,
            },
            FileContent::Path(path) => {
                Self::read(path).await.map_err(|error| SendError::Never {
                    reason: format!("{} cannot be read: {}", file.name, WithCauses(&error)),
                })?
            }
        };
        // Slack takes no file with nothing in it.
        Ok(if content.length == 0 {
            Self {
                body: Body::from("\n"),
                length: 1,
            }
        } else {
            content
        })
    }

    async fn read(path: &Path) -> std::io::Result<Self> {
        let file = tokio::fs::File::open(path).await?;
        let length = file.metadata().await?.len();
        Ok(Self {
            body: Body::from(file),
            length,
        })
    }
}

/// Sends the bytes. The URL is a ticket: it needs no token and is not shown.
async fn send(account: &Account, place: &Place, content: Content) -> Result<(), SendError> {
    let again = |reason: String| SendError::Again {
        after: None,
        reason: format!("the file was not taken: {reason}"),
    };
    let url = Url::parse(&place.upload_url)
        .ok()
        .filter(|url| is_safe(url, &account.settings.api_url))
        .ok_or_else(|| again("Slack told no safe place for it".to_owned()))?;
    let response = account
        .net
        .http()
        .post(url)
        .timeout(DEADLINE)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, content.length)
        .body(content.body)
        .send()
        .await
        .map_err(|error| again(WithCauses(&error.without_url()).to_string()))?;
    let status = response.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(again(format!("HTTP {status}")))
    }
}

/// Returns whether bytes may go to `url`: without TLS only on this machine, and only where Slack's
/// API is there too.
fn is_safe(url: &Url, api_url: &Url) -> bool {
    let is_here = |url: &Url| match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(domain)) => domain == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => true,
        "http" => api_url.scheme() == "http" && is_here(api_url) && is_here(url),
        _ => false,
    }
}

/// Shares the file where the post goes.
async fn share(
    account: &Account,
    post: &Post,
    file: &File,
    file_id: &str,
) -> Result<(), SendError> {
    let method = Method::FilesCompleteUploadExternal;
    let mut thread = post.to.thread.as_ref();
    let mut comment = body::plain(&post.text);
    loop {
        let form = share_form(post, file, file_id, thread, &comment);
        let Err(error) = account.web.call::<IgnoredAny>(method, form).await else {
            return Ok(());
        };
        let short = body::cut(&comment, SHORT_COMMENT);
        if thread.is_some() && is_about_thread(&error) {
            warn!(%error, "the thread is gone: a file goes to the channel itself");
            thread = None;
        } else if is_about_form(&error) && short != comment {
            comment = short;
        } else if error.refusal() == Some("file_not_found") {
            return Err(SendError::Again {
                after: None,
                reason: CallError::to_string(&error),
            });
        } else {
            return Err(error.into_send_error(method));
        }
    }
}

fn share_form(
    post: &Post,
    file: &File,
    file_id: &str,
    thread: Option<&ThreadKey>,
    comment: &str,
) -> Form {
    let files = json!([{"id": file_id, "title": file.name}]);
    let mut form = vec![
        ("files", files.to_string()),
        ("channel_id", post.to.chat.to_string()),
    ];
    if let Some(thread) = thread {
        form.push(("thread_ts", thread.to_string()));
    }
    if !comment.trim().is_empty() {
        form.push(("initial_comment", comment.to_owned()));
    }
    form
}
