//! The text of blocks and attachments, for messages that have it only there.

use serde_json::Value;

use super::body::Body;
use super::directory::Directory;
use super::fields::{items, text};
use super::mrkdwn;

/// Reads what people see of `blocks`; formatting as Markdown.
pub(super) fn read(blocks: &Value, directory: &dyn Directory, body: &mut Body) {
    for block in items(blocks) {
        body.new_line();
        match text(&block["type"]) {
            Some("rich_text") => rich_text(block, directory, body),
            Some("section") => {
                object(&block["text"], directory, body);
                for field in items(&block["fields"]) {
                    body.new_line();
                    object(field, directory, body);
                }
            }
            Some("header") => object(&block["text"], directory, body),
            Some("context") => {
                for (number, element) in items(&block["elements"]).iter().enumerate() {
                    if number > 0 {
                        body.push(' ');
                    }
                    object(element, directory, body);
                }
            }
            Some("markdown") => body.push_str(text(&block["text"]).unwrap_or_default()),
            Some("image") => body.push_str(text(&block["alt_text"]).unwrap_or_default()),
            _ => {}
        }
    }
}

/// Reads a secondary attachment, as integrations still send them.
pub(super) fn attachment(attachment: &Value, directory: &dyn Directory) -> Body {
    let mut body = Body::default();
    let part = |value: &Value, body: &mut Body| {
        if let Some(part) = text(value) {
            body.new_line();
            mrkdwn::read(part, directory, body);
        }
    };
    part(&attachment["pretext"], &mut body);
    if let (Some(title), Some(link)) = (text(&attachment["title"]), text(&attachment["title_link"]))
    {
        body.new_line();
        body.push_str(&mrkdwn::link(link, Some(title)));
    } else {
        part(&attachment["title"], &mut body);
    }
    part(&attachment["text"], &mut body);
    for field in items(&attachment["fields"]) {
        part(&field["title"], &mut body);
        part(&field["value"], &mut body);
    }
    read(&attachment["blocks"], directory, &mut body);
    if body.is_blank() {
        part(&attachment["fallback"], &mut body);
    }
    body
}

/// Reads a text object.
fn object(object: &Value, directory: &dyn Directory, body: &mut Body) {
    let content = text(&object["text"]).unwrap_or_default();
    if object["type"] == "mrkdwn" {
        mrkdwn::read(content, directory, body);
    } else {
        body.push_str(&mrkdwn::decode(content));
    }
}

fn rich_text(block: &Value, directory: &dyn Directory, body: &mut Body) {
    for element in items(&block["elements"]) {
        body.new_line();
        match text(&element["type"]) {
            Some("rich_text_list") => list(element, directory, body),
            Some("rich_text_preformatted") => {
                body.push_str("```\n");
                for inline in items(&element["elements"]) {
                    let typed = text(&inline["text"]).or_else(|| text(&inline["url"]));
                    body.push_str(typed.unwrap_or_default());
                }
                body.new_line();
                body.push_str("```");
            }
            Some("rich_text_quote") => {
                body.push_str("> ");
                inlines(element, "\n> ", directory, body);
            }
            _ => inlines(element, "\n", directory, body),
        }
    }
}

fn list(list: &Value, directory: &dyn Directory, body: &mut Body) {
    let indent = list["indent"].as_u64().unwrap_or(0).min(8);
    let offset = list["offset"]
        .as_u64()
        .and_then(|it| u32::try_from(it).ok());
    let first = u64::from(offset.unwrap_or(0)) + 1;
    for (item, number) in items(&list["elements"]).iter().zip(first..) {
        body.new_line();
        for _ in 0..indent {
            body.push_str("    ");
        }
        if list["style"] == "ordered" {
            body.push_str(&format!("{number}. "));
        } else {
            body.push_str("- ");
        }
        inlines(item, "\n", directory, body);
    }
}

fn inlines(element: &Value, new_line: &str, directory: &dyn Directory, body: &mut Body) {
    for inline in items(&element["elements"]) {
        match text(&inline["type"]) {
            Some("user") => {
                if let Some(user) = text(&inline["user_id"]) {
                    let name = directory.person(user).and_then(|person| person.name);
                    body.mention(user, name);
                }
            }
            Some("channel") => {
                let chat = text(&inline["channel_id"]).unwrap_or_default();
                let name = directory.chat_name(chat);
                body.push('#');
                body.push_str(name.as_deref().unwrap_or(chat));
            }
            Some("usergroup") => {
                body.push('@');
                body.push_str(text(&inline["usergroup_id"]).unwrap_or_default());
            }
            Some("broadcast") => {
                body.push('@');
                body.push_str(text(&inline["range"]).unwrap_or_default());
            }
            Some("emoji") => {
                body.push(':');
                body.push_str(text(&inline["name"]).unwrap_or_default());
                body.push(':');
            }
            Some("link") => match (text(&inline["text"]), text(&inline["url"])) {
                (Some(label), Some(url)) => body.push_str(&format!("[{label}]({url})")),
                (label, url) => body.push_str(url.or(label).unwrap_or_default()),
            },
            Some("date") => body.push_str(text(&inline["fallback"]).unwrap_or_default()),
            _ => {
                let content = text(&inline["text"]).unwrap_or_default();
                let content = content.replace('\n', new_line);
                body.push_str(&styled(&content, &inline["style"]));
            }
        }
    }
}

/// Puts Markdown's markers around what the style says; blanks at the ends stay outside of them.
fn styled(content: &str, style: &Value) -> String {
    let inner = content.trim();
    if inner.is_empty() {
        return content.to_owned();
    }
    let (before, after) = content.split_once(inner).unwrap_or_default();
    let mut styled = inner.to_owned();
    for (name, marker) in [
        ("code", "`"),
        ("strike", "~~"),
        ("italic", "_"),
        ("bold", "**"),
    ] {
        if style[name] == true {
            styled = format!("{marker}{styled}{marker}");
        }
    }
    format!("{before}{styled}{after}")
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::super::directory::testing::Known;
    use super::*;
    use tieline_channel::plain_text;

    fn plain(blocks: &Value) -> String {
        let mut body = Body::default();
        read(blocks, &Known::few(), &mut body);
        plain_text(&body.finish())
    }

    #[test]
    fn rich_text_reads_as_markdown() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let section = |elements: Value| json!({"type": "rich_text_section", "elements": elements});
        let blocks = json!([{"type": "rich_text", "elements": [
            section(json!([
                {"type": "user", "user_id": "U1"},
                text(" see "),
                {"type": "text", "text": "this ", "style": {"bold": true}},
                {"type": "text", "text": "a*b", "style": {"code": true}},
                text(" in "),
                {"type": "channel", "channel_id": "C1"},
                {"type": "emoji", "name": "tada"},
                {"type": "link", "url": "https://x.dev", "text": "x"},
                text(" "),
                {"type": "link", "url": "https://y.dev"},
                {"type": "broadcast", "range": "here"},
                {"type": "hologram", "text": "?"},
            ])),
            {"type": "rich_text_list", "style": "bullet", "elements": [
                section(json!([text("one")])), section(json!([text("two")])),
            ]},
            {"type": "rich_text_list", "style": "ordered", "indent": 1, "elements": [
                section(json!([text("first")])), section(json!([text("second")])),
            ]},
            {"type": "rich_text_quote", "elements": [text("said\ntwice")]},
            {"type": "rich_text_preformatted", "elements": [text("let a = 1 < 2;\n*b")]},
        ]}]);
        insta::assert_snapshot!(plain(&blocks), @r"
        @Ann see **this** `a*b` in #ops:tada:[x](https://x.dev) https://y.dev@here?
        - one
        - two
            1. first
            2. second
        > said
        > twice
        ```
        let a = 1 < 2;
        *b
        ```
        ");
    }

    #[test]
    fn blocks_of_integrations_read_in_order() {
        let blocks = json!([
            {"type": "header", "text": {"type": "plain_text", "text": "Build &amp; deploy"}},
            {"type": "divider"},
            {"type": "section", "text": {"type": "mrkdwn", "text": "*failed* <https://ci.dev|#7>"},
             "fields": [{"type": "mrkdwn", "text": "*branch*"}, {"type": "plain_text", "text": "*main*"}]},
            {"type": "context", "elements": [
                {"type": "mrkdwn", "text": "by <@U2>"}, {"type": "plain_text", "text": "today"},
            ]},
            {"type": "markdown", "text": "**as it is**"},
        ]);
        insta::assert_snapshot!(plain(&blocks), @r"
        Build & deploy
        **failed** [#7](https://ci.dev)
        **branch**
        *main*
        by @Bob today
        **as it is**
        ");
    }

    #[test]
    fn blocks_of_any_shape_are_harmless() {
        for blocks in [
            json!(null),
            json!("text"),
            json!([1, null, {}, {"type": 1}, {"type": "rich_text", "elements": {}}]),
            json!([{"type": "rich_text", "elements": [{"type": "rich_text_list"}, 3]}]),
        ] {
            assert_eq!(plain(&blocks).trim(), "");
        }
    }

    #[test]
    fn a_list_may_begin_with_any_number() {
        let list = |offset: u64| {
            plain(&json!([{"type": "rich_text", "elements": [
                {"type": "rich_text_list", "style": "ordered", "offset": offset, "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "a"}]},
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "b"}]},
                ]},
            ]}]))
        };
        assert_eq!(list(2).trim(), "3. a\n4. b");
        assert_eq!(list(u64::MAX).trim(), "1. a\n2. b");
    }

    #[test]
    fn an_attachment_tells_its_parts_or_its_fallback() {
        let read = |value: Value| plain_text(&attachment(&value, &Known::few()).finish());
        insta::assert_snapshot!(
            read(json!({"pretext": "new:", "title": "Bug &lt;7&gt;", "title_link": "https://x.dev/7",
                "text": "it *fails*", "fields": [{"title": "who", "value": "<@U1>"}], "fallback": "no"})),
            @r"
        new:
        [Bug <7>](https://x.dev/7)
        it **fails**
        who
        @Ann
        "
        );
        assert_eq!(read(json!({"fallback": "only this"})), "only this");
    }
}
