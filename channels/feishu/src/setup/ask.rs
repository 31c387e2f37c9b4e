//! One call for a check: no pacing, no second try, no token that is kept.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use tieline_channel::WithCauses;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// What came back, whatever it means.
pub(super) struct Answer {
    pub(super) http_status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Makes a call once.
///
/// # Errors
///
/// When nothing came back: why, without the URL.
pub(super) async fn ask(request: RequestBuilder) -> Result<Answer, String> {
    let failed = |error: reqwest::Error| WithCauses(&error.without_url()).to_string();
    let mut response = request.timeout(DEADLINE).send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err("the answer is too long to be Feishu's".to_owned());
        }
    }
    Ok(Answer {
        http_status: response.status().as_u16(),
        headers: response.headers().clone(),
        body,
    })
}
