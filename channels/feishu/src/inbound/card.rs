//! Cards as they were made, to Markdown.
//!
//! There are many kinds of elements, and there will be more: whatever says something says it in a
//! few fields.

use serde_json::Value;

use super::body::Body;
use super::fields::Fields as _;

/// Where an element has what it says, and others.
const PARTS: [&str; 12] = [
    "header", "title", "subtitle", "text", "content", "fields", "columns", "elements", "actions",
    "body", "extra", "options",
];

/// Adds what a card says, unless it is in the simplified form; tells whether it did.
pub(super) fn read_into(body: &mut Body, content: &Value) -> bool {
    let unpacked = content
        .text("/user_dsl")
        .and_then(|card| serde_json::from_str(card).ok());
    let card: &Value = unpacked.as_ref().unwrap_or(content);
    if !is_original(card) {
        return false;
    }
    if let Some(title) = card.text("/header/title/content") {
        body.text(&format!("**{}**\n", title.trim()));
    }
    for part in PARTS.iter().filter(|part| **part != "header") {
        part_into(body, card, part);
    }
    true
}

/// The simplified form has lists of lists.
fn is_original(card: &Value) -> bool {
    card.get("schema").is_some()
        || card.get("header").is_some()
        || card.list("/elements").iter().any(Value::is_object)
}

fn element_into(body: &mut Body, element: &Value) {
    match element.text("/tag").unwrap_or_default() {
        "hr" => line(body, "\n---"),
        "img" => line(body, "[image]"),
        "table" => line(body, "[a table]"),
        "chart" => line(body, "[a chart]"),
        "button" => {
            let label = element.text("/text/content").unwrap_or_default();
            line(body, &format!("[button: {label}]"));
        }
        _ => {
            for part in PARTS {
                part_into(body, element, part);
            }
        }
    }
}

fn part_into(body: &mut Body, whole: &Value, part: &str) {
    match whole.get(part) {
        Some(Value::String(text)) => line(body, text),
        Some(Value::Array(elements)) => {
            for element in elements {
                element_into(body, element);
            }
        }
        Some(element @ Value::Object(_)) => element_into(body, element),
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => {}
    }
}

fn line(body: &mut Body, text: &str) {
    body.line();
    body.text(text.trim_end());
    body.text("\n");
}
