//! Messages that are forwarded together, as text.

use serde_json::Value;
use tieline_channel::cut;

use super::fields::Fields as _;
use super::readback::said;

/// How many of them are told.
const MAX_MESSAGES: usize = 100;

/// The longest text of all, in characters.
const MAX_TEXT: usize = 20_000;

/// Returns what forwarded messages say: `items` is the message that forwards them, and they.
pub(super) fn forwarded(items: &[Value], name_of: impl Fn(&str) -> Option<String>) -> String {
    // One that forwards others again is followed by these.
    let mut messages = items
        .iter()
        .skip(1)
        .filter(|item| item.text("/msg_type") != Some("merge_forward"));
    let mut text = "[forwarded messages]".to_owned();
    for item in messages.by_ref().take(MAX_MESSAGES) {
        let id = item.text("/sender/id").unwrap_or("somebody");
        let name = name_of(id);
        let said = said(item);
        text.push_str(&format!("\n{}: {said}", name.as_deref().unwrap_or(id)));
    }
    let rest = messages.count();
    let mut text = quoted(&cut(&text, MAX_TEXT));
    if rest > 0 {
        text.push_str(&format!("\n[and {rest} more]"));
    }
    text
}

/// Returns a text whose lines after the first stand in a quote.
fn quoted(text: &str) -> String {
    text.replace('\n', "\n> ")
}
