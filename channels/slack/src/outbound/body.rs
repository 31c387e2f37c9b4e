//! What a message says, in the forms that Slack may take, from the best to the plainest.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use tieline_channel::Button;

use super::{markdown, measure, mrkdwn};

/// How much text all blocks of a message may have together: Slack is known to refuse them from
/// 11,300 on.
const MAX_BLOCK_TEXT: usize = 11_200;

/// How much text one section may have; 3,000 is Slack's limit.
const MAX_SECTION_TEXT: usize = 2_900;

/// How long a button's label may be.
const MAX_LABEL: usize = 75;

/// How many buttons one row may have.
const MAX_BUTTONS: usize = 25;

/// How long `text` may be where it is all that people see; Slack cuts it at 40,000.
pub(super) const MAX_POSTED_TEXT: usize = 38_000;

/// The same when a message is changed; Slack refuses it from 4,000 on.
pub(super) const MAX_UPDATED_TEXT: usize = 3_800;

/// One form of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// As mrkdwn: what notifications show, and people when there are no blocks.
    pub(super) text: String,
    /// None: people see the text.
    pub(super) blocks: Vec<Value>,
}

impl Body {
    pub(super) fn empty() -> Self {
        Self {
            text: String::new(),
            blocks: Vec::new(),
        }
    }
}

/// Returns the forms of a message, never none: Markdown; mrkdwn in sections where text alone could
/// not have the buttons or is limited to less than the text has; mrkdwn alone, without the buttons.
pub(super) fn forms(source: &str, buttons: &[Button], max_text: usize) -> Vec<Body> {
    let mut forms = Vec::with_capacity(3);
    let plain = plain(source);
    let fallback = cut(&plain, max_text);
    let labels: usize = buttons.iter().map(|button| measure(&button.label)).sum();
    let rendered = markdown::for_block(source);
    if rendered.trim().is_empty() {
        if !buttons.is_empty() {
            forms.push(Body {
                text: fallback.clone(),
                blocks: actions(buttons),
            });
        }
    } else if measure(&rendered) + labels <= MAX_BLOCK_TEXT {
        let mut blocks = vec![json!({"type": "markdown", "text": rendered})];
        blocks.extend(actions(buttons));
        forms.push(Body {
            text: fallback.clone(),
            blocks,
        });
    }
    let is_too_long = measure(&plain) > max_text;
    let fits_sections = measure(&plain) + labels <= MAX_BLOCK_TEXT && !plain.trim().is_empty();
    if (is_too_long || !buttons.is_empty()) && fits_sections {
        let mut blocks: Vec<_> = sections(&plain).iter().map(|text| section(text)).collect();
        blocks.extend(actions(buttons));
        forms.push(Body {
            text: fallback.clone(),
            blocks,
        });
    }
    if !is_too_long || forms.is_empty() {
        forms.push(Body {
            text: plain,
            blocks: Vec::new(),
        });
    }
    forms
}

/// Returns text as mrkdwn. Text of little else than what must be escaped, which would take several
/// times its length, is left as it is but for Slack's sequences.
pub(super) fn plain(source: &str) -> String {
    let plain = mrkdwn::from_markdown(source);
    if plain.is_empty() {
        mrkdwn::escape(source) // only definitions of links, say
    } else if measure(&plain) <= MAX_POSTED_TEXT {
        plain
    } else {
        markdown::without_controls(source)
    }
}

/// Returns the beginning of mrkdwn text that is too long, which does not end within an escape.
pub(super) fn cut(text: &str, max: usize) -> String {
    if measure(text) <= max {
        return text.to_owned();
    }
    let mut kept = reach(text, max.saturating_sub(1));
    let begun = text[..kept].rfind(['&', '<']);
    if let Some(begun) = begun
        && !text[begun..kept].contains([';', '>'])
        && text[begun..].contains([';', '>'])
    {
        kept = begun;
    }
    format!("{}…", text[..kept].trim_end())
}

/// Returns how many bytes of `text` measure no more than `max`.
fn reach(text: &str, max: usize) -> usize {
    let mut measured = 0;
    for (at, char) in text.char_indices() {
        measured += char.len_utf16();
        if measured > max {
            return at;
        }
    }
    text.len()
}

/// Cuts mrkdwn text between its lines, and long lines between words. A code block that is cut is
/// closed and opened again.
fn sections(text: &str) -> Vec<String> {
    const FENCE: &str = "```";
    let room = MAX_SECTION_TEXT - 2 * (FENCE.len() + 1);
    let mut sections = Vec::new();
    let mut current = String::new();
    let mut in_code = false;
    for line in text.split('\n').flat_map(|line| pieces(line, room)) {
        if !current.is_empty() && measure(&current) + 1 + measure(line) > room {
            if in_code {
                current.push('\n');
                current.push_str(FENCE);
            }
            sections.push(std::mem::take(&mut current));
            if in_code {
                current.push_str(FENCE);
            }
        }
        if !current.is_empty() {
            current.push('\n');
        }
        current.push_str(line);
        if line.trim_start_matches(['>', ' ', '•']).starts_with(FENCE) {
            in_code = !in_code;
        }
    }
    sections.push(current);
    sections.retain(|section| !section.trim().is_empty());
    sections
}

/// Cuts a line into pieces of at most `max`.
fn pieces(line: &str, max: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while measure(rest) > max {
        let at = reach(rest, max);
        let at = rest[..at].rfind(' ').filter(|at| *at > 0).unwrap_or(at);
        let (piece, behind) = rest.split_at(at);
        pieces.push(piece);
        rest = behind.strip_prefix(' ').unwrap_or(behind);
    }
    pieces.push(rest);
    pieces
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// Returns the rows of buttons.
fn actions(buttons: &[Button]) -> Vec<Value> {
    let element = |(index, button): (usize, &Button)| {
        json!({
            "type": "button",
            "action_id": format!("tieline_{index}"),
            "text": {"type": "plain_text", "text": cut(&button.label, MAX_LABEL), "emoji": true},
            "value": button.value,
        })
    };
    let elements: Vec<_> = buttons.iter().enumerate().map(element).collect();
    elements
        .chunks(MAX_BUTTONS)
        .map(|elements| json!({"type": "actions", "elements": elements}))
        .collect()
}
