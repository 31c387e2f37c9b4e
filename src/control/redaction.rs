//! No answer of the control API shows a secret.
//!
//! Answers in JSON are looked through as a whole: few are long, and what is cut in two would not be
//! found. Streams are not held up here; what goes into them was blanked before.

use axum::body::{Body, to_bytes};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::control::error::{ApiError, Code};
use crate::redact::{Redactor, redactor};

/// The longest answer that is looked through, in bytes; a longer one is not given.
const MAX_ANSWER: usize = 64 << 20;

/// Blanks the secrets of an answer.
pub(super) async fn redact(answer: Response) -> Response {
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    let is_whole =
        |kind: &[u8]| kind.starts_with(b"application/json") || kind.starts_with(b"text/plain");
    if !kind.is_some_and(is_whole) {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_ANSWER).await else {
        return ApiError::new(
            Code::Busy,
            "the answer is too long",
            "ask for less at a time",
        )
        .into_response();
    };
    match blank(redactor(), &bytes) {
        None => Response::from_parts(head, Body::from(bytes)),
        Some(redacted) => {
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, Body::from(redacted))
        }
    }
}

/// Returns an answer without the secrets that it has; `None` when it has none. JSON stays JSON.
fn blank(redactor: &Redactor, bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let std::borrow::Cow::Owned(redacted) = redactor.redact(&text) else {
        return None;
    };
    Some(match serde_json::from_str::<Value>(&text) {
        Ok(mut value) => {
            redactor.redact_json(&mut value);
            value.to_string()
        }
        Err(_not_json) => redacted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_an_answer_is_blanked_and_json_stays_json() {
        let redactor = Redactor::default();
        redactor.learn("xoxb-\"1\"-hunter2");
        redactor.learn("12345678");
        let answer = br#"{"error":"token xoxb-\"1\"-hunter2 was refused","at":12345678}"#;
        assert_eq!(
            blank(&redactor, answer).unwrap(),
            r#"{"at":12345678,"error":"token [secret] was refused"}"#
        );
        assert_eq!(blank(&redactor, br#"{"error":"none"}"#), None);
    }
}
