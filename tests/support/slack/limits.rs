//! How much fits into a message.

use serde_json::Value;

/// Slack refuses from here on; how it counts is not documented, so UTF-16 is counted, the most.
const MAX_BLOCKS_TEXT: usize = 11_300;
const MAX_BLOCKS: usize = 50;
const MAX_MARKDOWN: usize = 12_000;
const MAX_TABLE_ROWS: usize = 100;
const MAX_TABLE_COLUMNS: usize = 20;
const MAX_TABLE_TEXT: usize = 10_000;

/// Returns a text's length as the strictest reader counts it.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Returns the error for blocks that do not fit, with an explanation.
pub(super) fn check_blocks(blocks: &[Value]) -> Result<(), (&'static str, String)> {
    let invalid = |why: String| Err(("invalid_blocks", why));
    if blocks.len() > MAX_BLOCKS {
        return invalid(format!("no more than {MAX_BLOCKS} items allowed"));
    }
    let mut tables = 0;
    let mut markdown = 0;
    let mut ids = std::collections::BTreeSet::new();
    for block in blocks {
        if let Some(id) = block["block_id"].as_str()
            && (length(id) > 255 || !ids.insert(id))
        {
            return invalid(format!("block_id {id}"));
        }
        match block["type"].as_str() {
            Some("markdown") => {
                let Some(text) = block["text"].as_str().filter(|text| !text.is_empty()) else {
                    return invalid("a markdown block without text".into());
                };
                markdown += length(text);
                tables += markdown_tables(text)?;
            }
            Some("section") => check_section(block)?,
            Some("header") => {
                text_object(&block["text"], &["plain_text"], 150)?;
            }
            Some("context") => check_context(block)?,
            Some("actions") => check_actions(block)?,
            Some("table") => {
                tables += 1;
                check_table(block)?;
            }
            Some("divider" | "rich_text" | "image" | "file" | "video") => {}
            other => return invalid(format!("unsupported type: {other:?}")),
        }
    }
    if markdown > MAX_MARKDOWN || blocks.iter().map(all_text).sum::<usize>() >= MAX_BLOCKS_TEXT {
        return Err(("msg_blocks_too_long", "too much text in blocks".into()));
    }
    if tables > 1 {
        return Err(("invalid_attachments", "only_one_table_allowed".into()));
    }
    Ok(())
}

fn check_section(block: &Value) -> Result<(), (&'static str, String)> {
    let fields = block["fields"].as_array();
    if fields.is_none() || !block["text"].is_null() {
        text_object(&block["text"], &["mrkdwn", "plain_text"], 3_000)?;
    }
    for field in fields.into_iter().flatten() {
        text_object(field, &["mrkdwn", "plain_text"], 2_000)?;
    }
    match fields.map(Vec::len) {
        Some(11..) => Err(("invalid_blocks", "more than 10 fields".into())),
        _ => Ok(()),
    }
}

fn check_context(block: &Value) -> Result<(), (&'static str, String)> {
    let elements = block["elements"].as_array().map_or(&[][..], Vec::as_slice);
    if !(1..=10).contains(&elements.len()) {
        return Err(("invalid_blocks", "1 to 10 elements in a context".into()));
    }
    for element in elements {
        if element["type"] != "image" {
            text_object(element, &["mrkdwn", "plain_text"], 3_000)?;
        }
    }
    Ok(())
}

fn check_actions(block: &Value) -> Result<(), (&'static str, String)> {
    let invalid = |why: &str| Err(("invalid_blocks", why.to_owned()));
    let elements = block["elements"].as_array().map_or(&[][..], Vec::as_slice);
    if !(1..=25).contains(&elements.len()) {
        return invalid("1 to 25 elements in actions");
    }
    let mut ids = std::collections::BTreeSet::new();
    for element in elements
        .iter()
        .filter(|element| element["type"] == "button")
    {
        text_object(&element["text"], &["plain_text"], 75)?;
        if element["value"]
            .as_str()
            .is_some_and(|it| length(it) > 2_000)
        {
            return invalid("a button's value above 2,000");
        }
        if let Some(id) = element["action_id"].as_str()
            && (length(id) > 255 || !ids.insert(id))
        {
            return invalid("an action_id that is too long or there already");
        }
        if !matches!(element["style"].as_str(), None | Some("primary" | "danger")) {
            return invalid("a button's style");
        }
    }
    Ok(())
}

fn check_table(block: &Value) -> Result<(), (&'static str, String)> {
    let rows = block["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let columns = rows.iter().filter_map(Value::as_array).map(Vec::len).max();
    table_fits(rows.len(), columns.unwrap_or(0), all_text(block))
}

fn table_fits(rows: usize, columns: usize, text: usize) -> Result<(), (&'static str, String)> {
    if rows == 0 || rows > MAX_TABLE_ROWS || columns > MAX_TABLE_COLUMNS || text > MAX_TABLE_TEXT {
        let why = format!("a table of {rows} rows, {columns} columns, {text} characters");
        return Err(("invalid_blocks", why));
    }
    Ok(())
}

fn text_object(text: &Value, kinds: &[&str], max: usize) -> Result<(), (&'static str, String)> {
    let kind = text["type"].as_str().unwrap_or_default();
    let content = text["text"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) || content.is_empty() || length(content) > max {
        return Err((
            "invalid_blocks",
            format!("a text that is no {kinds:?} of 1 to {max}: {text}"),
        ));
    }
    Ok(())
}

/// Returns how many tables a Markdown text has; Slack makes table blocks of them.
fn markdown_tables(text: &str) -> Result<usize, (&'static str, String)> {
    let mut tables = 0;
    let mut is_fenced = false;
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            is_fenced = !is_fenced;
        }
        let is_head = index > 0 && is_delimiter(line) && lines[index - 1].contains('|');
        if is_fenced || !is_head {
            continue;
        }
        tables += 1;
        let body = lines[index + 1..]
            .iter()
            .take_while(|line| line.contains('|'));
        let rows: Vec<&&str> = body.collect();
        let columns = lines[index - 1].trim().trim_matches('|').split('|').count();
        let length = rows.iter().map(|row| length(row)).sum::<usize>() + length(lines[index - 1]);
        table_fits(rows.len() + 1, columns, length)?;
    }
    Ok(tables)
}

fn is_delimiter(line: &str) -> bool {
    let line = line.trim();
    line.contains('-')
        && line.contains('|')
        && line.chars().all(|it| matches!(it, '-' | '|' | ':' | ' '))
}

/// Returns how much text a block has, wherever in it.
fn all_text(value: &Value) -> usize {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => length(text),
                other => all_text(other),
            })
            .sum(),
        Value::Array(values) => values.iter().map(all_text).sum(),
        _ => 0,
    }
}

/// Returns what people read in blocks.
pub(super) fn visible(blocks: &[Value]) -> String {
    let texts: Vec<String> = blocks.iter().filter_map(visible_in).collect();
    texts.join("\n\n")
}

fn visible_in(block: &Value) -> Option<String> {
    match block["type"].as_str()? {
        "markdown" => Some(block["text"].as_str()?.to_owned()),
        // People press buttons, they do not read them.
        "actions" | "divider" => None,
        _ => {
            let mut texts = Vec::new();
            gather(block, &mut texts);
            Some(texts.join(" "))
        }
    }
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == "text" => texts.push(text.clone()),
                    other => gather(other, texts),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        _ => {}
    }
}
