//! Values as they lie in the database: a version byte and JSON, small by construction.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::error::LedgerError;

/// How large a value may be, in bytes.
///
/// A tree node holds up to twenty values; one that passes 128 KiB would be put into a file of its
/// own that is never synced. Twenty of these, with their keys, stay below that.
pub(super) const MAX_VALUE: usize = 5 * 1024;

/// The version of the encoding, the first byte of every value.
const VERSION: u8 = 1;

/// A value, never larger than [`MAX_VALUE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value(Vec<u8>);

impl Value {
    /// Encodes `record`.
    ///
    /// # Errors
    ///
    /// When it is too large. What can be large must go to the spool.
    pub(super) fn encode<T: Serialize>(
        what: &'static str,
        record: &T,
    ) -> Result<Self, LedgerError> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, record).map_err(|error| LedgerError::Damaged {
            what,
            reason: error.to_string(),
        })?;
        if bytes.len() > MAX_VALUE {
            return Err(LedgerError::TooLarge {
                what,
                bytes: bytes.len(),
                limit: MAX_VALUE,
            });
        }
        Ok(Self(bytes))
    }

    /// Takes a value back from the database.
    pub(super) fn from_stored(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Decodes what [`encode`](Self::encode) made.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn decode<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, LedgerError> {
        let damaged = |reason: String| LedgerError::Damaged { what, reason };
        match self.0.split_first() {
            Some((&VERSION, json)) => {
                serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))
            }
            Some((version, _)) => Err(damaged(format!("its encoding has version {version}"))),
            None => Err(damaged("it is empty".to_owned())),
        }
    }

    /// Returns the bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How long a reason is kept, in bytes of JSON, but for the sign that it was cut.
pub(super) const MAX_REASON: usize = 512;

/// Cuts text that explains something to what a value has room for, on one line.
pub(super) fn cut_reason(text: &str) -> String {
    let mut cut = String::new();
    let mut room = MAX_REASON;
    for c in text.chars() {
        let (c, bytes) = match c {
            '"' | '\\' => (c, 2),
            c if c.is_control() => (' ', 1),
            c => (c, c.len_utf8()),
        };
        if bytes > room {
            cut.push('…');
            break;
        }
        cut.push(c);
        room -= bytes;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::cut_reason;

    #[test]
    fn reasons_are_cut_to_one_short_line() {
        assert_eq!(cut_reason("no\nspace"), "no space");
        assert_eq!(cut_reason(&"a".repeat(512)), "a".repeat(512));
        assert_eq!(cut_reason(&"a".repeat(513)), "a".repeat(512) + "…");
        assert_eq!(cut_reason(&"\"".repeat(512)), "\"".repeat(256) + "…");
        assert_eq!(cut_reason(&"界".repeat(512)), "界".repeat(170) + "…");
    }
}
