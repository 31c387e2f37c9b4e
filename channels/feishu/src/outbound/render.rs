//! A post in the forms that Feishu has for it, the best one first.

use serde_json::{Value, json};
use tieline_channel::{Button, Language, ThreadKey, with_choices};

use super::inert::break_tags;
use super::markdown::{Flavour, rewrite, summary};
use crate::button;

/// The longest text of a post, in bytes. Whatever it is made of, its plain form is then small enough
/// for Feishu; and nobody likes to read longer messages.
pub(crate) const MAX_TEXT: usize = 12_000;

/// How many bytes the request of a card or of rich text may have.
const MAX_RICH_REQUEST: usize = 30_000;

/// How many bytes the request of a plain text may have.
const MAX_TEXT_REQUEST: usize = 150_000;

/// What a request has beside its content: to whom, of what type, under which `uuid`.
const REST_OF_REQUEST: usize = 500;

/// How many elements a card may have, those within others included.
const MAX_ELEMENTS: usize = 200;

/// How a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A card: all of Markdown, and buttons.
    Card,
    /// Rich text: some of Markdown.
    RichText,
    /// Markdown as it was written.
    PlainText,
}

/// A message, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// How it is shown.
    pub(crate) form: Form,
    /// The `content` of the request: JSON in a text.
    pub(crate) content: String,
}

/// Returns a post in every form that is small enough, the best one first. Only cards have buttons; the
/// other forms say in `language` what there is to choose from.
///
/// A text of at most [`MAX_TEXT`] bytes has at least a plain form, unless there is nothing in it.
pub(crate) fn forms(
    text: &str,
    buttons: &[Button],
    thread: Option<&ThreadKey>,
    language: Language,
) -> Vec<Rendered> {
    let mut forms = Vec::new();
    forms.extend(card(text, buttons, thread));
    let text = with_choices(text, buttons, language);
    if !text.trim().is_empty() {
        forms.extend(rich_text(&text));
        forms.extend(plain_text(&text));
    }
    forms
}

impl Form {
    /// Returns its `msg_type`.
    pub(crate) fn msg_type(self) -> &'static str {
        match self {
            Self::Card => "interactive",
            Self::RichText => "post",
            Self::PlainText => "text",
        }
    }

    fn max_request(self) -> usize {
        match self {
            Self::Card | Self::RichText => MAX_RICH_REQUEST,
            Self::PlainText => MAX_TEXT_REQUEST,
        }
    }
}

fn card(text: &str, buttons: &[Button], thread: Option<&ThreadKey>) -> Option<Rendered> {
    let markdown = rewrite(text, Flavour::Card);
    let mut elements = Vec::new();
    let mut n_elements = 0;
    if !markdown.is_empty() {
        n_elements += 1;
        elements.push(json!({"tag": "markdown", "element_id": "md", "content": markdown}));
    }
    if !buttons.is_empty() {
        n_elements += 1 + 2 * buttons.len();
        elements.push(row(buttons, thread));
    }
    if n_elements == 0 || n_elements > MAX_ELEMENTS {
        return None;
    }
    let card = json!({
        "schema": "2.0",
        "config": {
            "update_multi": true,
            "width_mode": "fill",
            "summary": {"content": summary(text)},
        },
        "body": {"elements": elements},
    });
    fitting(Form::Card, &card)
}

fn row(buttons: &[Button], thread: Option<&ThreadKey>) -> Value {
    let columns: Vec<_> = buttons
        .iter()
        .map(|Button { label, value }| {
            json!({"tag": "column", "width": "auto", "elements": [{
                "tag": "button",
                "text": {"tag": "plain_text", "content": label},
                "type": "default",
                "behaviors": [{"type": "callback", "value": button::carry(value, thread)}],
            }]})
        })
        .collect();
    json!({"tag": "column_set", "flex_mode": "flow", "columns": columns})
}

fn rich_text(text: &str) -> Option<Rendered> {
    let markdown = rewrite(text, Flavour::RichText);
    if markdown.is_empty() {
        return None;
    }
    let content = json!([[{"tag": "md", "text": markdown}]]);
    fitting(
        Form::RichText,
        &json!({"zh_cn": {"title": "", "content": content}}),
    )
}

fn plain_text(text: &str) -> Option<Rendered> {
    fitting(Form::PlainText, &json!({"text": break_tags(text)}))
}

fn fitting(form: Form, content: &Value) -> Option<Rendered> {
    let content = content.to_string();
    (request_bytes(&content) <= form.max_request()).then_some(Rendered { form, content })
}

/// Returns how many bytes a request has with this content, which is a JSON text within JSON.
fn request_bytes(content: &str) -> usize {
    Value::from(content).to_string().len() + REST_OF_REQUEST
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    use super::*;

    fn forms(text: &str, buttons: &[Button], thread: Option<&ThreadKey>) -> Vec<Rendered> {
        super::forms(text, buttons, thread, Language::English)
    }

    fn buttons(n: usize) -> Vec<Button> {
        (0..n)
            .map(|n| Button {
                label: format!("Button {n}"),
                value: format!("v{n}"),
            })
            .collect()
    }

    fn kinds(forms: &[Rendered]) -> Vec<Form> {
        forms.iter().map(|rendered| rendered.form).collect()
    }

    fn content(rendered: &Rendered) -> Value {
        serde_json::from_str(&rendered.content).unwrap()
    }

    const ALL: [Form; 3] = [Form::Card, Form::RichText, Form::PlainText];

    #[test]
    fn every_form_of_an_answer() {
        let text =
            "# Done\n\nAll <at user_id=\"all\"></at> **tests** pass, see ![log](https://x.test/l).";
        let forms = forms(text, &[], None);
        assert_eq!(kinds(&forms), ALL);
        let mut all = String::new();
        for rendered in &forms {
            all.push_str(&format!(
                "{}\n{:#}\n",
                rendered.form.msg_type(),
                content(rendered)
            ));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn buttons_are_in_a_row_and_carry_their_topic() {
        let topic = ThreadKey::new("omt_1");
        let forms = forms("Run `rm`?", &buttons(2), Some(&topic));
        insta::assert_snapshot!(format!("{:#}", content(&forms[0])["body"]));
    }

    #[test]
    fn what_a_button_was_given_comes_back_by_a_press() {
        let topic = ThreadKey::new("omt_1");
        let forms = forms("?", &buttons(1), Some(&topic));
        let card = content(&forms[0]);
        let value = card
            .pointer("/body/elements/1/columns/0/elements/0/behaviors/0/value")
            .unwrap();
        assert_eq!(button::read(value), Some(("v0".to_owned(), Some(topic))));
    }

    #[test]
    fn where_the_card_is_refused_the_choices_are_told_in_words() {
        let forms = forms("Run `rm`?", &buttons(2), None);
        let [_card, rich, plain] = &forms[..] else {
            panic!("{forms:?}");
        };
        let said =
            "Run `rm`?\n\nAnswer with the number of your choice:\n\n1. Button 0\n2. Button 1";
        assert_eq!(content(plain), json!({"text": said}));
        let rich = content(rich);
        let rich = rich.pointer("/zh_cn/content/0/0/text").unwrap();
        assert!(rich.as_str().unwrap().ends_with("1. Button 0\n2. Button 1"));
    }

    #[test]
    fn buttons_need_no_text_and_nothing_has_no_form() {
        assert_eq!(kinds(&forms("", &buttons(1), None)), ALL);
        assert_eq!(kinds(&forms(" \n", &buttons(1), None)), ALL);
        assert_eq!(kinds(&forms("", &[], None)), []);
        assert_eq!(kinds(&forms("\n\t ", &[], None)), []);
    }

    #[test]
    fn a_card_with_too_many_elements_is_no_form() {
        assert_eq!(kinds(&forms("a", &buttons(99), None)), ALL);
        assert_eq!(kinds(&forms("a", &buttons(100), None)), ALL[1..]);
    }

    #[test]
    fn a_form_that_is_too_large_is_left_out() {
        // `"` is 4 bytes in JSON within JSON.
        let fitting = "\"".repeat(7_000);
        assert_eq!(kinds(&forms(&fitting, &[], None)), ALL);
        let large = "\"".repeat(7_500);
        assert_eq!(kinds(&forms(&large, &[], None)), [Form::PlainText]);
    }

    #[test]
    fn the_request_is_measured_with_everything_escaped() {
        let content = json!({"text": "\"\n\u{1}好"}).to_string();
        let request = json!({
            "receive_id": "r".repeat(64), "msg_type": "interactive", "content": content,
            "reply_in_thread": true, "uuid": "u".repeat(50),
        });
        let bytes = request.to_string().len();
        assert!(bytes <= request_bytes(&content), "{bytes}");
    }

    fn nasty() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "<at user_id=\"all\"></at>",
                "&lt;at id=all>",
                "<",
                "at ",
                "![a](https://x.test/i.png)",
                "| a | b |\n|---|---|\n| c | d |\n\n",
                "```\n",
                "`",
                "\n",
                "\n\n",
                "- ",
                "  - ",
                "1. ",
                "> ",
                "# ",
                "*",
                "**",
                "_",
                "~~",
                "\\",
                "[",
                "](",
                ")",
                "!",
                "|",
                "\"",
                "\u{1}",
                "好",
                "<br>",
                "<div>\n",
                "---",
                "    ",
                "&amp;",
                "http://a.test/<b>",
            ])
            .prop_map(str::to_owned),
            ".{0,6}",
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_text_has_a_form_and_every_form_its_limits(text in nasty(), repeat in 1..400usize) {
            let mut text = text.repeat(repeat);
            while text.len() > MAX_TEXT {
                text.pop();
            }
            let forms = forms(&text, &[], None);
            prop_assert_eq!(forms.is_empty(), text.trim().is_empty());
            for rendered in &forms {
                prop_assert!(request_bytes(&rendered.content) <= rendered.form.max_request());
            }
            if let Some(last) = forms.last() {
                prop_assert_eq!(last.form, Form::PlainText);
            }
        }

        #[test]
        fn nobody_is_mentioned_by_any_form(text in nasty()) {
            for rendered in forms(&text, &buttons(1), None) {
                let value = content(&rendered);
                let shown = value.to_string();
                prop_assert_eq!(
                    super::super::inert::break_mentions(&shown), shown, "{:?}", rendered.form
                );
            }
        }
    }
}
