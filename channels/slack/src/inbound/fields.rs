//! Fields of what Slack sends: any of them may be missing, and none is what it should be for sure.

use serde_json::Value;

/// Returns a text that is there and not empty.
pub(crate) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Returns the elements of a list, or none.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
