//! Rich text, and the simplified cards that look like it, to Markdown.

use serde_json::Value;

use super::body::Body;
use super::content::Files;
use super::fields::Fields as _;
use super::mention::Mentions;
use crate::fence::fenced;

/// Adds rich text to a body: `{"title":"…","content":[[element…]…]}`.
///
/// What is written into it stays as it is, also where Markdown would read something into it.
pub(super) fn read_into(body: &mut Body, files: &mut Files, post: &Value, mentions: &Mentions) {
    let post = localised(post);
    if let Some(title) = post.text("/title") {
        body.text("**");
        body.text(title.trim());
        body.text("**\n");
    }
    for paragraph in post.list("/content") {
        paragraph_into(body, files, paragraph, mentions);
    }
}

/// Adds the lines of a card as events tell them: `{"title":"…","elements":[[element…]…]}`.
pub(super) fn card_into(body: &mut Body, files: &mut Files, card: &Value, mentions: &Mentions) {
    if let Some(title) = card.text("/title") {
        body.text("**");
        body.text(title.trim());
        body.text("**\n");
    }
    for paragraph in card.list("/elements") {
        paragraph_into(body, files, paragraph, mentions);
    }
}

/// Rich text has no level of languages when it is received; where it has one, the first is taken.
fn localised(post: &Value) -> &Value {
    if post.get("content").is_some() {
        return post;
    }
    post.as_object()
        .and_then(|languages| {
            languages
                .values()
                .find(|language| language.get("content").is_some())
        })
        .unwrap_or(post)
}

fn paragraph_into(body: &mut Body, files: &mut Files, paragraph: &Value, mentions: &Mentions) {
    match paragraph {
        Value::Array(elements) => {
            for element in elements {
                element_into(body, files, element, mentions);
            }
        }
        element => element_into(body, files, element, mentions),
    }
    body.text("\n");
}

fn element_into(body: &mut Body, files: &mut Files, element: &Value, mentions: &Mentions) {
    let text = element.text("/text").unwrap_or_default();
    match element.text("/tag").unwrap_or_default() {
        "text" | "plain_text" | "lark_md" | "markdown" | "md" | "" => {
            let text = match text {
                "" => element.text("/content").unwrap_or_default(),
                text => text,
            };
            body.text(&styled(text, element.list("/style")));
        }
        "a" => body.text(&link(text, element.text("/href").unwrap_or_default())),
        "at" => match element.text("/user_id") {
            Some(who) => mentions.name_into(body, who, element.text("/user_name")),
            None => body.text(element.text("/user_name").unwrap_or_default()),
        },
        "img" => match element.text("/image_key") {
            Some(key) => {
                let name = files.image(key);
                body.text(&format!("[{name}]"));
            }
            None => body.text("[image]"),
        },
        "media" => match element.text("/file_key") {
            Some(key) => {
                let name = files.file(key, element.text("/file_name").unwrap_or("video.mp4"));
                body.text(&format!("[{name}]"));
            }
            None => body.text("[video]"),
        },
        "emotion" => {
            let name = element.text("/emoji_type").unwrap_or("emoji");
            body.text(&format!(":{name}:"));
        }
        "hr" => {
            body.line();
            body.text("\n---\n");
        }
        "code_block" => {
            body.line();
            let language = element.text("/language").unwrap_or_default();
            body.text(&fenced(&language.to_lowercase(), text));
        }
        "button" => body.text(&format!("[button: {text}]")),
        "note" => {
            for element in element.list("/elements") {
                element_into(body, files, element, mentions);
            }
        }
        other if text.is_empty() => body.text(&format!("[{other}]")),
        _ => body.text(text),
    }
}

/// Puts the marks of a style around a text, inside of its blank ends.
fn styled(text: &str, styles: &[Value]) -> String {
    let inner = text.trim();
    if inner.is_empty() {
        return text.to_owned();
    }
    let has = |style: &str| styles.iter().any(|other| other == style);
    let mut marked = inner.to_owned();
    for (style, mark) in [("lineThrough", "~~"), ("italic", "*"), ("bold", "**")] {
        if has(style) {
            marked = format!("{mark}{marked}{mark}");
        }
    }
    text.replacen(inner, &marked, 1)
}

fn link(text: &str, url: &str) -> String {
    match (text, url) {
        (text, "") => text.to_owned(),
        ("", url) => url.to_owned(),
        (text, url) if text == url => url.to_owned(),
        (text, url) => format!("[{text}]({url})"),
    }
}
