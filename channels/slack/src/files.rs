//! Attachments in.
//!
//! The bot token goes only to hosts of Slack, or to the server that stands in for it. So redirects
//! are followed here, by hand, and each hop decides anew. A token without permission is answered
//! with status 200 and a login page, which must not become a file.

#[cfg(test)]
mod tests;

use std::path::Path;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tieline_channel::{Attachment, SendError};
use tieline_net::download::{Download, check_size, unless_silent, whole_or_nothing};
use url::{Host, Url};

use crate::Settings;
use crate::account::Account;
use crate::web::{Method, retry_after};

const MAX_REDIRECTS: usize = 5;

/// Slack's hosts, with all below them.
const SLACK_HOSTS: [&str; 3] = ["slack.com", "slack-edge.com", "slack-files.com"];

/// What an attachment's reference says.
#[derive(Debug, Deserialize)]
struct Reference {
    id: String,
    /// Missing when the file must be asked for: one of another organisation.
    #[serde(default)]
    url: Option<String>,
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
    let reference: Reference = serde_json::from_str(&attachment.reference)
        .map_err(|error| never(format!("not an attachment of Slack: {error}")))?;
    let url = match &reference.url {
        Some(url) => url.clone(),
        None => ask_for_url(account, &reference.id).await?,
    };
    let url = Url::parse(&url).map_err(|error| never(format!("a bad address: {error}")))?;
    let mut response = open(account, url).await?;
    let expects_page = is_page(attachment.mime.as_deref());
    let content_type = response.headers().get(CONTENT_TYPE);
    if !expects_page && is_page(content_type.and_then(|value| value.to_str().ok())) {
        return Err(login_page());
    }
    let mut file = Download::begin(&response, to, max_bytes).await?;
    let mut is_begun = false;
    while let Some(chunk) = in_time(response.chunk()).await? {
        if !is_begun && !expects_page && looks_like_page(&chunk) {
            return Err(login_page());
        }
        is_begun = true;
        file.write(&chunk).await?;
    }
    let written = file.finish().await?;
    // A login page in place of a page is known only by its size.
    if expects_page && attachment.bytes.is_some_and(|bytes| bytes != written) {
        return Err(login_page());
    }
    Ok(())
}

/// Asks Slack where a file is.
async fn ask_for_url(account: &Account, id: &str) -> Result<String, SendError> {
    #[derive(Deserialize)]
    struct Answer {
        file: Info,
    }

    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        url_private_download: Option<String>,
        #[serde(default)]
        url_private: Option<String>,
    }

    let answer: Answer = account
        .web
        .call(Method::FilesInfo, vec![("file", id.to_owned())])
        .await
        .map_err(|error| error.into_send_error(Method::FilesInfo))?;
    let Info {
        url_private_download,
        url_private,
    } = answer.file;
    url_private_download
        .or(url_private)
        .filter(|url| !url.is_empty())
        .ok_or_else(|| never("Slack does not tell where the file is".to_owned()))
}

/// Follows redirects to the answer that has the file.
async fn open(account: &Account, mut url: Url) -> Result<Response, SendError> {
    for _ in 0..=MAX_REDIRECTS {
        let response = request(account, &url).await?;
        if !response.status().is_redirection() {
            return succeeded(response);
        }
        let target = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .ok_or_else(|| never("a redirect to nowhere".to_owned()))?;
        url = url
            .join(target)
            .map_err(|error| never(format!("a redirect to a bad address: {error}")))?;
    }
    Err(never(format!("more than {MAX_REDIRECTS} redirects")))
}

async fn request(account: &Account, url: &Url) -> Result<Response, SendError> {
    let settings = &account.settings;
    let mut request = account.net.http().get(url.clone());
    match trust(settings, url) {
        Trust::Token => request = request.bearer_auth(settings.bot_token.expose_secret()),
        Trust::NoToken => {}
        Trust::Nothing => return Err(never("an address that is not https".to_owned())),
    }
    in_time(request.send()).await
}

/// Waits for the server, but not for ever.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, SendError> {
    Ok(unless_silent(answer).await?)
}

fn succeeded(response: Response) -> Result<Response, SendError> {
    let status = response.status();
    match status {
        _ if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(no_permission(format!(
            "Slack answered with HTTP status {status}"
        ))),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(never("the file is gone".to_owned())),
        StatusCode::TOO_MANY_REQUESTS => Err(SendError::Again {
            after: retry_after(response.headers()),
            reason: "rate limited".to_owned(),
        }),
        _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Err(again(format!("HTTP status {status}")))
        }
        _ => Err(never(format!("HTTP status {status}"))),
    }
}

// === whom to trust ===

/// What a server may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// A request with our token.
    Token,
    /// A request.
    NoToken,
    /// Nothing at all.
    Nothing,
}

fn trust(settings: &Settings, url: &Url) -> Trust {
    let api_url = &settings.api_url;
    let is_encrypted = url.scheme() == "https";
    let is_local = is_loopback(api_url) && is_loopback(url) && url.scheme() == "http";
    if !is_encrypted && !is_local {
        return Trust::Nothing;
    }
    let is_slack = is_encrypted
        && url.host_str().is_some_and(|host| {
            SLACK_HOSTS.iter().any(|slack| {
                host.strip_suffix(slack)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        });
    if is_slack || url.origin() == api_url.origin() {
        Trust::Token
    } else {
        Trust::NoToken
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}

// === login pages ===

fn is_page(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        ["text/html", "application/xhtml+xml"]
            .iter()
            .any(|page| essence.eq_ignore_ascii_case(page))
    })
}

fn looks_like_page(chunk: &[u8]) -> bool {
    let start = chunk.trim_ascii_start();
    ["<!doctype html", "<html"].iter().any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    })
}

// === failures ===

fn never(reason: String) -> SendError {
    SendError::Never { reason }
}

fn again(reason: String) -> SendError {
    SendError::Again {
        after: None,
        reason,
    }
}

fn login_page() -> SendError {
    no_permission("Slack answered with a login page instead of the file".to_owned())
}

fn no_permission(reason: String) -> SendError {
    SendError::Operator {
        remedy: "add the bot scope files:read to the Slack app (OAuth & Permissions) and install \
                 the app again"
            .to_owned(),
        reason,
    }
}
