//! What a message of the bot may say, and what people see of it.

use serde_json::Value;

use super::api::Refusal;
use super::{BOT, State, card};

/// How many bytes the request of a text may have.
const MAX_TEXT: usize = 150_000;
/// How many bytes the request of a card or of rich text may have.
const MAX_RICH: usize = 30_000;

/// The languages of rich text.
const LOCALES: &[&str] = &["zh_cn", "en_us", "ja_jp"];
/// The tags of rich text that can be sent.
const TAGS: &[&str] = &[
    "text",
    "a",
    "at",
    "img",
    "media",
    "emotion",
    "hr",
    "code_block",
    "md",
];

impl State {
    /// Refuses content that is not what its type needs. `request` is the length of the whole body.
    pub(super) fn check_content(
        &self,
        kind: &str,
        content: &str,
        request: usize,
    ) -> Result<(), Refusal> {
        let Ok(value) = serde_json::from_str::<Value>(content) else {
            return Err(bad("content is not a string in json format"));
        };
        if !value.is_object() {
            return Err(bad("content is no object"));
        }
        let max = if kind == "text" { MAX_TEXT } else { MAX_RICH };
        if request > max {
            return Err(Refusal::new(230_025, format!("{request} bytes")));
        }
        match kind {
            "text" => self.check_text(&value),
            "post" => self.check_post(&value),
            "interactive" => card::check(self, &value),
            "image" => self.check_own(&value["image_key"], &["image"]),
            "file" => self.check_own(
                &value["file_key"],
                &["pdf", "doc", "xls", "ppt", "stream", "opus", "mp4"],
            ),
            "audio" => self.check_own(&value["file_key"], &["opus"]),
            "media" => self.check_own(&value["file_key"], &["mp4"]),
            _ => Err(bad("invalid msg_type")),
        }
    }

    fn check_text(&self, value: &Value) -> Result<(), Refusal> {
        let text = value["text"].as_str().unwrap_or_default();
        if text.trim().is_empty() || value.as_object().is_some_and(|it| it.len() != 1) {
            return Err(bad("a text is {\"text\": …}, and not empty"));
        }
        Ok(())
    }

    fn check_post(&self, value: &Value) -> Result<(), Refusal> {
        let locales = value.as_object().into_iter().flatten();
        let mut n_locales = 0;
        for (locale, post) in locales {
            n_locales += 1;
            let paragraphs = post["content"].as_array();
            let Some(paragraphs) = paragraphs.filter(|_| LOCALES.contains(&locale.as_str())) else {
                return Err(bad("rich text has languages, and paragraphs in them"));
            };
            for paragraph in paragraphs {
                let elements = paragraph.as_array().map_or(&[][..], Vec::as_slice);
                if elements.is_empty() {
                    return Err(bad("a paragraph without elements"));
                }
                for element in elements {
                    let tag = element["tag"].as_str().unwrap_or_default();
                    if !TAGS.contains(&tag) || (tag == "md" && elements.len() > 1) {
                        return Err(bad("a tag that is unknown, or md that is not alone"));
                    }
                    if tag == "img" {
                        self.check_own(&element["image_key"], &["image"])?;
                    }
                }
            }
            if paragraphs.is_empty() {
                return Err(bad("rich text without paragraphs"));
            }
        }
        match n_locales {
            0 => Err(bad("rich text without a language")),
            _ => Ok(()),
        }
    }

    /// Refuses a key that is not of an upload of the bot, of one of these types.
    pub(super) fn check_own(&self, key: &Value, kinds: &[&str]) -> Result<(), Refusal> {
        let key = key.as_str().unwrap_or_default();
        match self.files.get(key) {
            Some(file) if file.by != BOT => Err(Refusal::new(230_017, "not the bot's own")),
            Some(file) if kinds.contains(&file.kind.as_str()) => Ok(()),
            Some(_) => Err(Refusal::new(230_055, "the type of the file")),
            None => Err(bad("invalid image_key or file_key")),
        }
    }

    /// Returns whom a message of the bot pings: ids, or `all`.
    pub(super) fn pings(&self, kind: &str, content: &Value) -> Vec<String> {
        match kind {
            "text" => ids(content["text"].as_str().unwrap_or_default()),
            _ => {
                let mut texts = Vec::new();
                gather(content, &mut texts);
                texts.iter().flat_map(|text| ids(text)).collect()
            }
        }
    }
}

/// Returns whom the tags in a text name.
pub(super) fn ids(text: &str) -> Vec<String> {
    let tags = text.split("<at").skip(1);
    let tags = tags.filter_map(|it| it.split_once('>')).map(|(tag, _)| tag);
    let ids = tags.filter_map(|tag| {
        let (name, id) = tag.trim().split_once('=')?;
        let id = id.trim_matches(['"', '\'', ' ', '/']).to_owned();
        matches!(name.trim(), "id" | "user_id" | "email" | "ids").then_some(id)
    });
    ids.collect()
}

/// Returns what people read.
pub(super) fn visible(kind: &str, content: &Value) -> String {
    match kind {
        "text" => content["text"].as_str().unwrap_or_default().to_owned(),
        "interactive" => card::visible(content),
        "post" => {
            let mut texts = Vec::new();
            gather(content, &mut texts);
            texts.join("")
        }
        _ => String::new(),
    }
}

/// Finds what is text, in order.
pub(super) fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == "text" || name == "content" => {
                        texts.push(text.clone());
                    }
                    other => gather(other, texts),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        _ => {}
    }
}

fn bad(why: &str) -> Refusal {
    Refusal::new(
        230_001,
        format!("Your request contains an invalid request parameter, ext={why}"),
    )
}
