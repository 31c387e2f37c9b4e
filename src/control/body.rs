//! What a request says, in its path, its query and its body: read with words that say where it is wrong.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use crate::control::error::{ApiError, Code};

/// How long a body may take to arrive.
pub(super) const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// How large a body may be of which the route says nothing else, in bytes.
pub(super) const MAX_JSON: usize = 2 * 1024 * 1024;

/// What a route reads from a query or a body. Unknown fields are to be refused, by
/// `#[serde(deny_unknown_fields)]`: whoever mistypes one is told.
pub(super) trait Wanted: DeserializeOwned {
    /// What one looks like, and what it may say: it is shown to whoever sends another one.
    const HINT: &'static str;
    /// What to do when it is too large.
    const WHEN_TOO_LARGE: &'static str = "send less at a time";
}

/// The body of a request, as JSON.
#[derive(Clone, Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: Wanted, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body is not said to be JSON",
                format!(
                    "add the header `content-type: application/json`. {}",
                    T::HINT
                ),
            ));
        }
        let bytes = timeout(BODY_DEADLINE, Bytes::from_request(request, state)).await;
        let bytes = bytes.map_err(|_elapsed| too_slow())?;
        let bytes = bytes.map_err(|rejection| not_received::<T>(&rejection))?;
        read_json(&bytes).map(Self)
    }
}

/// Returns whether a body is said to be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn read_json<T: Wanted>(bytes: &[u8]) -> Result<T, ApiError> {
    // A list would be taken for the fields in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::new(
            Code::BadRequest,
            "the body is not understood: it is a list, and is to be an object",
            format!("send {}", T::HINT),
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let place = match path.as_str() {
            "." | "?" => String::new(),
            path => format!("`{path}`: "),
        };
        not_understood::<T>(&place, error.inner())
    })?;
    json.end()
        .map_err(|error| not_understood::<T>("something follows it: ", &error))?;
    Ok(read)
}

fn not_understood<T: Wanted>(place: &str, error: &serde_json::Error) -> ApiError {
    let what = match error.classify() {
        Category::Syntax | Category::Eof => "the body is not JSON",
        Category::Io | Category::Data => "the body is not understood",
    };
    // It ends with line and column.
    ApiError::new(
        Code::BadRequest,
        format!("{what}: {place}{error}"),
        format!("send {}", T::HINT),
    )
}

fn too_slow() -> ApiError {
    let seconds = BODY_DEADLINE.as_secs();
    ApiError::new(
        Code::TooSlow,
        format!("the body was not there within {seconds} s"),
        "send the whole body at once",
    )
}

fn not_received<T: Wanted>(rejection: &BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            Code::TooLarge,
            "the body is larger than this route takes",
            T::WHEN_TOO_LARGE,
        ),
        _ => ApiError::new(
            Code::BadRequest,
            "the body did not arrive whole",
            "send it again",
        ),
    }
}

/// What the query of a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: Wanted, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        check_encoding(query).map_err(|problem| {
            ApiError::new(
                Code::BadRequest,
                format!("the query is not understood: {problem}"),
                T::HINT,
            )
        })?;
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                let text = rejection.body_text();
                let problem = text.rsplit_once("query string: ");
                let problem = problem.map_or(text.as_str(), |(_, problem)| problem);
                Err(ApiError::new(
                    Code::BadRequest,
                    format!("the query is not understood: {problem}"),
                    T::HINT,
                ))
            }
        }
    }
}

/// The parts of a request's path that have names.
#[derive(Clone, Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let refused = |problem: &str| {
            ApiError::new(
                Code::BadRequest,
                format!("the path is not understood: {problem}"),
                "names in a path are UTF-8; write what is not a letter, a digit, `-`, `_`, `.` or `~` as %XX",
            )
        };
        check_encoding(parts.uri.path()).map_err(refused)?;
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(refused(&rejection.body_text())),
        }
    }
}

/// Checks that each `%` begins a byte, and that all bytes together are text.
fn check_encoding(text: &str) -> Result<(), &'static str> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("after % there are not two hexadecimal digits");
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    match String::from_utf8(decoded) {
        Ok(text) if text.contains('\0') => Err("it has a zero byte"),
        Ok(_) => Ok(()),
        Err(_) => Err("it is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body as Sent;
    use pretty_assertions::assert_eq;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how it is read matters")]
    struct Order {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how it is read matters")]
    struct Part {
        size: u8,
    }

    impl Wanted for Order {
        const HINT: &'static str = "{\"name\": \"…\"}";
    }

    /// Returns the code and the message of a refusal.
    async fn refusal(kind: Option<&str>, body: impl Into<Sent>) -> String {
        let mut request = Request::builder().uri("/");
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(body.into()).unwrap();
        match Body::<Order>::from_request(request, &()).await {
            Ok(Body(order)) => format!("taken: {order:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_said_with_its_place() {
        let mut told = String::new();
        for body in [
            "",
            "{",
            "[]",
            " [\"a\", []]",
            "7",
            "{\"name\": \"a\"} x",
            "{\"name\": \"a\",\n \"nmae\": 1}",
            "{\"name\": 7}",
            "{}",
            "{\"name\": \"a\", \"name\": \"b\"}",
            "{\"name\": \"a\", \"parts\": [{\"size\": 1}, {\"size\": 300}]}",
            "nonsense",
        ] {
            told.push_str(&refusal(Some("application/json"), body).await);
            told.push('\n');
        }
        let not_text = Sent::from(&b"{\"name\": \"\xff\"}"[..]);
        told.push_str(&refusal(Some("application/json"), not_text).await);
        insta::assert_snapshot!(told);
    }

    #[tokio::test]
    async fn only_what_is_said_to_be_json_is_read_as_it() {
        let good = "{\"name\": \"a\"}";
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.tieline+json",
        ] {
            let read = refusal(Some(kind), good).await;
            assert!(read.starts_with("taken"), "{kind}: {read}");
        }
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("json"),
        ] {
            let read = refusal(kind, good).await;
            assert!(read.contains("not said to be JSON"), "{kind:?}: {read}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let endless = Sent::from_stream(futures_util::stream::pending::<Result<Bytes, String>>());
        let read = refusal(Some("application/json"), endless).await;
        assert!(read.contains("within 30 s"), "{read}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = futures_util::stream::iter([
            Ok(Bytes::from_static(b"{\"name\": \"a\"}")),
            Err("broken"),
        ]);
        let read = refusal(Some("application/json"), Sent::from_stream(broken)).await;
        assert!(read.contains("did not arrive whole"), "{read}");
    }

    #[test]
    fn percent_signs_are_checked() {
        for good in ["", "/a", "/a%2Fb", "%E5%90%8D", "/%25"] {
            assert_eq!(check_encoding(good), Ok(()), "{good}");
        }
        for bad in ["%", "%2", "%zz", "%+1", "%ff", "/a%00b", "%C3%28"] {
            assert!(check_encoding(bad).is_err(), "{bad}");
        }
    }
}
