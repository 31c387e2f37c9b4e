//! Reading JSON of which nothing is sure: a field that is missing and one of another type are the
//! same.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Fields of a JSON value.
pub(crate) trait Fields {
    /// Returns the text at a JSON pointer, unless it is empty.
    fn text(&self, pointer: &str) -> Option<&str>;

    /// Returns the objects of the list at a JSON pointer.
    fn list(&self, pointer: &str) -> &[Value];

    /// Returns the whole number at a JSON pointer, which may stand in a text.
    fn number(&self, pointer: &str) -> Option<u64>;

    /// Returns the time at a JSON pointer: milliseconds since 1970.
    fn time(&self, pointer: &str) -> Option<SystemTime>;
}

impl Fields for Value {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.pointer(pointer)?
            .as_str()
            .filter(|text| !text.is_empty())
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.pointer(pointer)
            .and_then(Self::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> Option<u64> {
        match self.pointer(pointer)? {
            Self::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        }
    }

    fn time(&self, pointer: &str) -> Option<SystemTime> {
        let since_1970 = Duration::from_millis(self.number(pointer)?);
        SystemTime::UNIX_EPOCH.checked_add(since_1970)
    }
}
