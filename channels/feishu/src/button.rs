//! What a button of ours carries: its value, and the topic that its message is in, which a press
//! does not tell.

use serde_json::{Map, Value};
use tieline_channel::ThreadKey;

const VALUE: &str = "value";
const THREAD: &str = "thread";

/// Returns what a button is given to carry.
pub(crate) fn carry(value: &str, thread: Option<&ThreadKey>) -> Value {
    let mut carried = Map::new();
    carried.insert(VALUE.to_owned(), value.into());
    if let Some(thread) = thread {
        carried.insert(THREAD.to_owned(), thread.as_str().into());
    }
    Value::Object(carried)
}

/// Returns the value and the topic that a pressed button carried, also if it was not made by us;
/// `None` if it carried nothing.
pub(crate) fn read(carried: &Value) -> Option<(String, Option<ThreadKey>)> {
    match carried {
        Value::Null => None,
        Value::String(value) => Some((value.clone(), None)),
        Value::Object(fields) => match fields.get(VALUE) {
            Some(Value::String(value)) => {
                let thread = fields.get(THREAD).and_then(Value::as_str);
                Some((value.clone(), thread.map(ThreadKey::new)))
            }
            _ => Some((carried.to_string(), None)),
        },
        other => Some((other.to_string(), None)),
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn foreign_values_are_read_as_far_as_they_go() {
        let table = [
            (json!(null), None),
            (json!("a"), Some("a")),
            (json!(7), Some("7")),
            (json!({}), Some("{}")),
            (json!({"job": 1}), Some(r#"{"job":1}"#)),
            (json!({"value": 1}), Some(r#"{"value":1}"#)),
            (json!({"value": "a", "thread": 1}), Some("a")),
        ];
        for (carried, expected) in table {
            let expected = expected.map(|value| (value.to_owned(), None));
            assert_eq!(read(&carried), expected, "{carried}");
        }
    }

    proptest! {
        #[test]
        fn what_a_button_carries_comes_back(value in ".*", thread in any::<Option<String>>()) {
            let thread = thread.map(ThreadKey::new);
            let carried = carry(&value, thread.as_ref());
            prop_assert_eq!(read(&carried), Some((value, thread)));
        }
    }
}
