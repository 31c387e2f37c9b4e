//! Cards, of JSON 2.0 only: what the older ones ignored, these refuse.

use std::collections::BTreeSet;

use serde_json::Value;

use super::State;
use super::api::Refusal;
use super::content::ids;

const MAX_ELEMENTS: usize = 200;
/// The documentation says 4 per element; cards with fewer were refused.
const MAX_TABLES: usize = 3;

/// What the parts of a card may have.
const CARD: &[&str] = &["schema", "config", "card_link", "header", "body"];
const CONFIG: &[&str] = &[
    "streaming_mode",
    "streaming_config",
    "summary",
    "update_multi",
    "width_mode",
    "enable_forward",
    "style",
];
const BODY: &[&str] = &[
    "elements",
    "direction",
    "padding",
    "horizontal_spacing",
    "vertical_spacing",
];
/// What every element may have.
const COMMON: &[&str] = &["tag", "element_id", "margin"];

/// Refuses what makes Feishu refuse a card.
pub(super) fn check(state: &State, card: &Value) -> Result<(), Refusal> {
    if card["schema"] != "2.0" {
        return refused(200_621, "only cards of schema 2.0 are known here");
    }
    only(card, CARD)?;
    if let Some(config) = card.get("config") {
        only(config, CONFIG)?;
        if config["update_multi"] == false {
            return refused(300_302, "update_multi must not be false");
        }
        if let Some(mode) = config.get("width_mode")
            && !["fill", "compact", "default"].iter().any(|it| mode == it)
        {
            return refused(200_621, "width_mode");
        }
    }
    only(&card["body"], BODY)?;
    let mut checked = Checked {
        state,
        n_elements: 0,
        n_tables: 0,
        names: BTreeSet::new(),
    };
    checked.elements(&card["body"]["elements"])?;
    if checked.n_elements > MAX_ELEMENTS {
        return refused(11_310, "too many elements");
    }
    if checked.n_tables > MAX_TABLES {
        return refused(11_310, "card table number over limit");
    }
    Ok(())
}

struct Checked<'a> {
    state: &'a State,
    n_elements: usize,
    n_tables: usize,
    names: BTreeSet<String>,
}

impl Checked<'_> {
    fn elements(&mut self, elements: &Value) -> Result<(), Refusal> {
        let elements = elements.as_array().map_or(&[][..], Vec::as_slice);
        if elements.is_empty() {
            return refused(200_621, "no elements");
        }
        elements.iter().try_for_each(|it| self.element(it))
    }

    fn element(&mut self, element: &Value) -> Result<(), Refusal> {
        self.n_elements += 1;
        if let Some(name) = element.get("element_id") {
            let name = name.as_str().unwrap_or_default();
            let is_good = name.len() <= 20
                && name.starts_with(|it: char| it.is_ascii_alphabetic())
                && name
                    .chars()
                    .all(|it| it.is_ascii_alphanumeric() || it == '_');
            if !is_good || !self.names.insert(name.to_owned()) {
                return refused(300_301, "element_id");
            }
        }
        match element["tag"].as_str().unwrap_or_default() {
            "markdown" => {
                only_of(element, &["content", "text_align", "text_size", "icon"])?;
                self.markdown(element["content"].as_str().unwrap_or_default())
            }
            "div" => {
                only_of(element, &["text", "icon", "width"])?;
                text(&element["text"])
            }
            "hr" => only_of(element, &[]),
            "column_set" => {
                let known = [
                    "columns",
                    "flex_mode",
                    "background_style",
                    "horizontal_spacing",
                ];
                only_of(element, &known)?;
                let columns = element["columns"].as_array().map_or(&[][..], Vec::as_slice);
                for column in columns {
                    self.n_elements += 1;
                    let known = ["width", "weight", "vertical_align", "elements"];
                    only_of(column, &known)?;
                    if column["tag"] != "column" {
                        return refused(200_621, "only columns in a column_set");
                    }
                    self.elements(&column["elements"])?;
                }
                Ok(())
            }
            "button" => self.button(element),
            "img" => {
                let key = &element["img_key"];
                let own = self.state.check_own(key, &["image"]);
                own.or_else(|_| refused(200_570, "image key"))
            }
            "note" | "action" => refused(200_861, "a tag of schema 1.0"),
            other => refused(200_621, &format!("unknown tag {other}")),
        }
    }

    fn button(&self, button: &Value) -> Result<(), Refusal> {
        let known = [
            "text",
            "type",
            "size",
            "width",
            "name",
            "disabled",
            "confirm",
            "behaviors",
        ];
        only_of(button, &known)?;
        text(&button["text"])?;
        let kinds = ["default", "primary", "danger", "text", "laser"];
        let is_known = |it: &Value| kinds.iter().any(|kind| it == kind);
        if button.get("type").is_some_and(|it| !is_known(it)) {
            return refused(200_621, "type of a button");
        }
        let behaviors = button["behaviors"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let is_good = |it: &Value| match it["type"].as_str() {
            Some("callback") => it["value"].is_object() || it["value"].is_string(),
            Some("open_url") => it["default_url"].is_string(),
            _ => false,
        };
        if behaviors.is_empty() || !behaviors.iter().all(is_good) {
            return refused(200_621, "behaviors of a button");
        }
        Ok(())
    }

    fn markdown(&mut self, content: &str) -> Result<(), Refusal> {
        if content.is_empty() {
            return refused(200_621, "markdown without content");
        }
        let plain = without_code(content);
        for (_, rest) in plain.match_indices("![").map(|(at, _)| plain.split_at(at)) {
            let Some((_, target)) = rest.split_once("](") else {
                continue;
            };
            let key = target.split(')').next().unwrap_or_default();
            let own = self.state.check_own(&key.into(), &["image"]);
            own.or_else(|_| refused(200_570, "image key"))?;
        }
        let is_known = |id: &String| id == "all" || self.state.people.contains_key(id);
        if !ids(&plain).iter().all(is_known) {
            return refused(100_290, "invalid user in at");
        }
        self.n_tables += tables(&plain);
        Ok(())
    }
}

/// Returns what people read of a card: no buttons, for these are pressed.
pub(super) fn visible(card: &Value) -> String {
    let elements = card["body"]["elements"].as_array().into_iter().flatten();
    let texts = elements.filter_map(|element| match element["tag"].as_str()? {
        "markdown" => Some(unescaped(element["content"].as_str()?)),
        "div" => Some(element["text"]["content"].as_str()?.to_owned()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// Resolves what entities stand for.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#") {
        out.push_str(before);
        let entity = after.split_once(';').and_then(|(number, after)| {
            let number = number.parse().ok()?;
            Some((char::from_u32(number)?, after))
        });
        match entity {
            Some((it, after)) => {
                out.push(it);
                rest = after;
            }
            None => {
                out.push_str("&#");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Returns Markdown without its code, in which nothing is interpreted.
fn without_code(markdown: &str) -> String {
    let mut out = String::new();
    let mut fence = None;
    for line in markdown.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|it| start.starts_with(it));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => {
                let spans = line.split('`').step_by(2);
                out.push_str(&spans.collect::<Vec<_>>().join(" "));
                out.push('\n');
            }
        }
    }
    out
}

fn tables(markdown: &str) -> usize {
    let lines: Vec<&str> = markdown.lines().collect();
    let pairs = lines.windows(2);
    let heads = pairs.filter(|pair| pair[0].contains('|') && is_delimiter(pair[1]));
    heads.count()
}

fn is_delimiter(line: &str) -> bool {
    let line = line.trim();
    line.contains('-')
        && line.contains('|')
        && line.chars().all(|it| matches!(it, '-' | '|' | ':' | ' '))
}

fn text(text: &Value) -> Result<(), Refusal> {
    let is_kind = matches!(text["tag"].as_str(), Some("plain_text" | "lark_md"));
    if !is_kind || text["content"].as_str().is_none_or(str::is_empty) {
        return refused(200_621, "a text without a tag or content");
    }
    Ok(())
}

fn only_of(element: &Value, known: &[&str]) -> Result<(), Refusal> {
    only(element, &[known, COMMON].concat())
}

/// Refuses properties that are not known.
fn only(value: &Value, known: &[&str]) -> Result<(), Refusal> {
    let fields = value.as_object().into_iter().flatten();
    let unknown = fields
        .map(|(name, _)| name)
        .find(|it| !known.contains(&it.as_str()));
    match unknown {
        Some(name) => refused(200_621, &format!("unknown property {name}")),
        None => Ok(()),
    }
}

fn refused(code: i64, why: &str) -> Result<(), Refusal> {
    let message =
        format!("Failed to create card content, ext=ErrCode: {code}; ErrMsg: {why}; ErrorValue: ;");
    Err(Refusal::new(230_099, message))
}
