//! Idempotency keys: `Idempotency-Key: …` on whatever makes something.
//!
//! Whoever does not know whether an order arrived repeats it under the same key. It is carried out once;
//! a repeat is answered as things are now, with the header `idempotent-replayed: true`.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::control::error::{ApiError, Code};
use crate::id::DispatcherId;
use crate::ledger::{IdempotencyKey, KEY_RETENTION, MAX_IDEMPOTENCY_KEY, RequestDigest};

/// The header that has the key.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that says that the order was carried out before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The key of a request, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Option<String>);

impl Key {
    /// Returns the key of an order for a dispatcher. `operation` is a word for what is ordered, and
    /// `request` all that the order says, what its path says included.
    pub(super) fn of(
        self,
        dispatcher: &DispatcherId,
        operation: &'static str,
        request: &impl Serialize,
    ) -> Option<IdempotencyKey> {
        self.0.map(|key| IdempotencyKey {
            dispatcher: dispatcher.clone(),
            operation,
            key,
            digest: RequestDigest::of(request),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut given = parts.headers.get_all(KEY).iter();
        let (Some(key), None) = (given.next(), given.next()) else {
            return match parts.headers.contains_key(KEY) {
                true => Err(refused("there is more than one")),
                false => Ok(Self(None)),
            };
        };
        let bytes = key.as_bytes();
        if bytes.is_empty() || bytes.len() > MAX_IDEMPOTENCY_KEY {
            return Err(refused(&format!("it has {} characters", bytes.len())));
        }
        match str::from_utf8(bytes) {
            Ok(key) if bytes.iter().all(u8::is_ascii_graphic) => Ok(Self(Some(key.to_owned()))),
            _ => Err(refused("not all of its characters are visible ASCII")),
        }
    }
}

fn refused(problem: &str) -> ApiError {
    ApiError::new(
        Code::BadRequest,
        format!("the header `idempotency-key` is none: {problem}"),
        format!(
            "send one of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters, for example a UUID"
        ),
    )
}

/// Says that another order was given the same key.
pub(super) fn reused(key: &str) -> ApiError {
    ApiError::new(
        Code::KeyReused,
        format!("another order was given the idempotency key {key:?}; this one is not carried out"),
        format!(
            "repeat an order exactly as it was, or give a new one a key of its own; a key is known for \
             {} days",
            KEY_RETENTION.as_secs() / (24 * 60 * 60)
        ),
    )
}

/// The answer to an order that was carried out, now or before.
#[derive(Debug)]
pub(super) struct Done<T> {
    /// The status.
    pub(super) status: StatusCode,
    /// How things are now.
    pub(super) body: T,
    /// It was carried out before.
    pub(super) is_replayed: bool,
}

impl<T: Serialize> IntoResponse for Done<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.is_replayed {
            let yes = HeaderValue::from_static("true");
            response.headers_mut().insert(REPLAYED, yes);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(keys: &[&[u8]]) -> Result<Key, ApiError> {
        let mut request = Request::builder();
        for key in keys {
            request = request.header(KEY, *key);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Key::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_key_is_1_to_200_visible_ascii_characters() {
        assert_eq!(read(&[]).await, Ok(Key(None)));
        for good in ["1", "~!key", &"k".repeat(200)] {
            let read = read(&[good.as_bytes()]).await;
            assert_eq!(read, Ok(Key(Some(good.to_owned()))));
        }
        let long = "k".repeat(201);
        let bad: [&[&[u8]]; 6] = [
            &[b""],
            &[long.as_bytes()],
            &[b"a b"],
            &["schlüssel".as_bytes()],
            &[b"\xff"],
            &[b"one", b"two"],
        ];
        for bad in bad {
            assert!(read(bad).await.is_err(), "{bad:?}");
        }
    }
}
