use pretty_assertions::assert_eq;

use super::*;

fn button(label: &str, value: &str) -> Button {
    Button {
        label: label.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn a_text_is_a_markdown_block_with_itself_as_the_fallback() {
    let forms = forms("**Hello** <!channel>", &[], MAX_POSTED_TEXT);
    assert_eq!(
        forms,
        [
            Body {
                text: "*Hello* &lt;!channel&gt;".to_owned(),
                blocks: vec![json!({"type": "markdown", "text": "**Hello** &lt;!channel>"})],
            },
            Body {
                text: "*Hello* &lt;!channel&gt;".to_owned(),
                blocks: Vec::new(),
            },
        ]
    );
}

#[test]
fn buttons_stay_as_long_as_there_are_blocks() {
    let label = "x".repeat(80);
    let buttons = [button("Allow", "a1"), button(&label, "a2")];
    let forms = forms("May I?", &buttons, MAX_POSTED_TEXT);
    let blocks: Vec<_> = forms.iter().map(|form| json!(form.blocks)).collect();
    let row = json!({"type": "actions", "elements": [
        {"type": "button", "action_id": "tieline_0", "value": "a1",
         "text": {"type": "plain_text", "text": "Allow", "emoji": true}},
        {"type": "button", "action_id": "tieline_1", "value": "a2",
         "text": {"type": "plain_text", "text": format!("{}…", "x".repeat(74)), "emoji": true}},
    ]});
    assert_eq!(
        blocks,
        [
            json!([{"type": "markdown", "text": "May I?"}, row]),
            json!([{"type": "section", "text": {"type": "mrkdwn", "text": "May I?", "verbatim": true}}, row]),
            json!([]),
        ]
    );
}

#[test]
fn what_grows_too_long_for_blocks_is_text() {
    let text = "<!channel> ".repeat(950);
    let forms = forms(&text, &[], MAX_POSTED_TEXT);
    assert_eq!(forms.len(), 1);
    assert!(forms[0].blocks.is_empty());
    assert_eq!(forms[0].text.matches("channel").count(), 950);
}

#[test]
fn every_form_of_every_text_is_within_the_limits() {
    for text in [
        "&".repeat(10_500),
        "<".repeat(10_500),
        "<!".repeat(5_250),
        "`<!` ".repeat(2_100),
        "x".repeat(10_500),
        "𝄞".repeat(10_500),
        "word ".repeat(2_100),
        format!("```\n{}```", "let a = b;\n".repeat(900)),
        "| a |\n|---|\n| b |\n\n".repeat(500),
        "*".repeat(10_500),
    ] {
        for max in [MAX_POSTED_TEXT, MAX_UPDATED_TEXT] {
            let forms = forms(&text, &[button("Yes", "1")], max);
            assert!(!forms.is_empty());
            for form in &forms {
                if max == MAX_POSTED_TEXT || !form.blocks.is_empty() {
                    assert!(measure(&form.text) <= max);
                }
                assert!(!form.text.is_empty());
                let in_blocks: usize = form
                    .blocks
                    .iter()
                    .map(|block| match block["type"].as_str() {
                        Some("markdown") => measure(block["text"].as_str().unwrap()),
                        Some("section") => {
                            let text = measure(block["text"]["text"].as_str().unwrap());
                            assert!((1..=3_000).contains(&text));
                            text
                        }
                        _ => 3,
                    })
                    .sum();
                assert!(in_blocks < 11_300, "{in_blocks}");
                assert!(form.blocks.len() <= 50);
            }
        }
    }
}

#[test]
fn an_ordinary_text_of_the_greatest_length_is_a_block() {
    let text = "It's a word & `a < b`. ".repeat(456);
    assert!(!forms(&text, &[], MAX_POSTED_TEXT)[0].blocks.is_empty());
}

#[test]
fn a_long_edit_that_cannot_be_markdown_goes_in_sections() {
    let line = "some words of a line that is rather long & has a sign\n";
    let code = format!("{line}```\n{}```\nend", line.repeat(120));
    let forms = forms(&code, &[], MAX_UPDATED_TEXT);
    let kinds: Vec<_> = forms
        .iter()
        .map(|form| {
            form.blocks
                .iter()
                .map(|block| block["type"].clone())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(kinds, [vec![json!("markdown")], vec![json!("section"); 3]]);
    let sections: Vec<_> = forms[1]
        .blocks
        .iter()
        .map(|block| block["text"]["text"].as_str().unwrap())
        .collect();
    for section in &sections {
        assert_eq!(section.matches("```").count() % 2, 0, "{section}");
    }
    assert_eq!(sections.concat().matches("some words").count(), 121);
}

#[test]
fn nothing_is_cut_within_an_escape_or_a_link() {
    assert_eq!(cut("ab &amp; cd", 6), "ab…");
    assert_eq!(cut("ab &amp; cd", 9), "ab &amp;…");
    assert_eq!(cut("ab <https://x.dev|x y> cd", 14), "ab…");
    assert_eq!(cut("𝄞𝄞𝄞", 5), "𝄞𝄞…");
    assert_eq!(cut("short", 5), "short");
}

#[test]
fn a_text_of_nothing_to_render_is_still_text() {
    for text in ["[1]: https://x.dev", "[x]: <!here>"] {
        for form in forms(text, &[], MAX_POSTED_TEXT) {
            assert_eq!(form.text, mrkdwn::escape(text));
        }
    }
}
