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
    body.text(unescaped(text).trim_end());
    body.text("\n");
}

/// Returns a text with its `&#60;` as what they stand for, as our own cards have them.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#") {
        plain.push_str(before);
        let character = after.split_once(';').and_then(|(code, after)| {
            let character = char::from_u32(code.parse().ok()?)?;
            Some((character, after))
        });
        rest = match character {
            Some((character, after)) => {
                plain.push(character);
                after
            }
            None => {
                plain.push_str("&#");
                after
            }
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;
    use tieline_channel::plain_text;

    use super::*;

    fn read(card: &Value) -> Option<String> {
        let mut body = Body::new();
        read_into(&mut body, card).then(|| plain_text(&body.finish()))
    }

    #[test]
    fn what_a_card_says_is_read_wherever_it_stands() {
        let new = json!({
            "schema": "2.0",
            "header": {"title": {"tag": "plain_text", "content": "Job 7"}},
            "body": {"elements": [
                {"tag": "markdown", "content": "It **works** if a &#60; b &#x; &"},
                {"tag": "hr"},
                {"tag": "img", "img_key": "img_1"},
                {"tag": "table", "columns": [], "rows": []},
                {"tag": "column_set", "columns": [
                    {"tag": "column", "elements": [
                        {"tag": "button", "text": {"tag": "plain_text", "content": "Allow"}},
                    ]},
                ]},
            ]},
        });
        let packed = json!({"user_dsl": new.to_string()});
        let said = "**Job 7**\nIt **works** if a < b &#x; &\n\n---\n[image]\n[a table]\n\
                    [button: Allow]";
        assert_eq!(read(&new).as_deref(), Some(said));
        assert_eq!(read(&packed).as_deref(), Some(said));
        let old = json!({
            "config": {"wide_screen_mode": true},
            "elements": [
                {"tag": "div", "text": {"tag": "lark_md", "content": "old"}, "fields": [
                    {"is_short": true, "text": {"tag": "plain_text", "content": "field"}},
                ]},
                {"tag": "note", "elements": [{"tag": "plain_text", "content": "note"}]},
                7, null,
            ],
        });
        assert_eq!(read(&old).as_deref(), Some("old\nfield\nnote"));
    }

    #[test]
    fn the_simplified_form_is_left_to_others() {
        let simplified = json!({"title": "t", "elements": [[{"tag": "text", "text": "x"}]]});
        for card in [
            simplified,
            json!({}),
            json!([]),
            json!({"user_dsl": "not JSON"}),
        ] {
            assert_eq!(read(&card), None);
        }
    }
}
