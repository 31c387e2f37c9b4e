//! Keys by which an order can be repeated safely: what was done under one is not done again.

use serde::Serialize;

use crate::id::DispatcherId;
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;

/// How long a key may be, in characters of visible ASCII.
pub const MAX_IDEMPOTENCY_KEY: usize = 200;

/// One order, by the name that whoever gives it has for it. It is written in the commit that carries
/// the order out, so that there is either both or neither, and kept for
/// [`KEY_RETENTION`](super::KEY_RETENTION).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who is to carry it out: each dispatcher has keys of its own.
    pub dispatcher: DispatcherId,
    /// What kind of order it is, in a word: each kind has keys of its own.
    pub operation: &'static str,
    /// The key.
    pub key: String,
    /// What tells the order from another one that is given the same key.
    pub digest: RequestDigest,
}

/// The digest of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestDigest(String);

impl RequestDigest {
    /// Takes the digest of what an order says. Two that say the same have the same, however they were
    /// written.
    pub fn of(request: &impl Serialize) -> Self {
        // Requests are plain data, of which JSON can be made; what cannot is like nothing else.
        let json = serde_json::to_vec(request).unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, &json);
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Self(hex.collect())
    }

    /// Returns it in hexadecimal digits.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What came of an order that may have been given before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once<T> {
    /// It was carried out now.
    New(T),
    /// It was carried out before, and nothing has changed.
    Repeated {
        /// The name of what it made then.
        made: String,
    },
}

impl Ledger {
    /// Returns the name of what an order has made that was given before; `None` if it is new.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or another order was given the same key.
    pub async fn made_under(&self, key: &IdempotencyKey) -> Result<Option<String>, LedgerError> {
        let key = key.clone();
        self.call(move |transaction| transaction.made_under(&key))
            .await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digests_are_equal_for_equal_requests_only() {
        let digest = RequestDigest::of(&json!({ "a": 1, "b": [2] }));
        assert_eq!(digest, RequestDigest::of(&json!({ "b": [2], "a": 1 })));
        assert_ne!(digest, RequestDigest::of(&json!({ "a": 1, "b": [3] })));
        assert_eq!(digest.as_str().len(), 64);
    }
}
