//! Requests and answers, whatever they mean.

use std::time::Duration;

use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use tieline_channel::WithCauses;
use url::Url;

use super::failure::Failure;

/// What every body of ours is.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// How large an answer may be that is not a file.
const MAX_ANSWER: usize = 8 << 20;

/// Returns the URL of a path that begins with `/`.
pub(super) fn below(base_url: &Url, path: &str) -> Url {
    let mut url = base_url.clone();
    url.set_path(&format!("{}{path}", base_url.path().trim_end_matches('/')));
    url
}

/// Sends a request and returns the answer, whose body is still to be read.
pub(super) async fn send(call: &str, request: RequestBuilder) -> Result<Response, Failure> {
    request.send().await.map_err(|error| failed(call, error))
}

/// Reads the body of an answer that is not a file.
pub(super) async fn body(call: &str, mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let next = async |response: &mut Response| {
        let chunk = response.chunk().await;
        chunk.map_err(|error| failed(call, error))
    };
    while let Some(chunk) = next(&mut response).await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(unclear(call, "an answer that is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns whether an answer is the file that was asked for: whoever refuses it says so in JSON.
pub(super) fn is_file(response: &Response) -> bool {
    let headers = response.headers();
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim_start().starts_with("application/json"));
    response.status().is_success() && (!is_json || headers.contains_key(CONTENT_DISPOSITION))
}

pub(super) fn unclear(call: &str, what: &str) -> Failure {
    Failure::Unclear {
        reason: format!("{call}: {what}"),
    }
}

/// Tells whether Feishu may have got the request. The error is shown without its URL.
fn failed(call: &str, error: reqwest::Error) -> Failure {
    let not_sent = error.is_connect() || error.is_builder();
    let reason = format!("{call}: {}", WithCauses(&error.without_url()));
    if not_sent {
        Failure::Again {
            after: Duration::ZERO,
            reason,
        }
    } else {
        Failure::Unclear { reason }
    }
}
