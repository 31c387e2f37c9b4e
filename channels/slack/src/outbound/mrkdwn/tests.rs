use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::*;

#[test]
fn spans_have_slacks_signs() {
    for (markdown, mrkdwn) in [
        ("plain", "plain"),
        ("**b** and __b__", "*b* and *b*"),
        ("*i* and _i_", "_i_ and _i_"),
        ("~~s~~", "~s~"),
        ("***bi***", "_*bi*_"),
        ("**a **b** c**", "*a b c*"),
        ("**one\ntwo**", "*one*\n*two*"),
        ("# A **b** c", "*A b c*"),
        ("Title\n===\ntext", "*Title*\n\ntext"),
        ("`a < b`", "`a &lt; b`"),
        ("`` a`b ``", "a`b"),
        ("a & b < c > d &amp;", "a &amp; b &lt; c &gt; d &amp;"),
        (
            "<!channel> <@U1> <b>x</b>",
            "&lt;!channel&gt; &lt;@U1&gt; &lt;b&gt;x&lt;/b&gt;",
        ),
        ("one  \ntwo\nthree", "one\ntwo\nthree"),
        ("---", "──────────"),
    ] {
        assert_eq!(from_markdown(markdown), mrkdwn, "{markdown:?}");
    }
}

#[test]
fn only_links_that_lead_somewhere_are_links() {
    for (markdown, mrkdwn) in [
        (
            "[x & y](https://x.dev/?a=1&b=2)",
            "<https://x.dev/?a=1&amp;b=2|x &amp; y>",
        ),
        ("<https://x.dev>", "<https://x.dev>"),
        ("[me](mailto:me@x.dev)", "<mailto:me@x.dev|me>"),
        ("<me@x.dev>", "me@x.dev"),
        ("[](https://x.dev)", "<https://x.dev>"),
        ("[https://x.dev](https://x.dev)", "<https://x.dev>"),
        ("![cat](https://x.dev/c.png)", "<https://x.dev/c.png|cat>"),
        ("![](https://x.dev/c.png)", "<https://x.dev/c.png>"),
        ("[a|b](https://x.dev/a|b)", "<https://x.dev/a%7Cb|a|b>"),
        ("[main.rs](/src/main.rs:1)", "main.rs (/src/main.rs:1)"),
        ("[here](!here)", "here (!here)"),
        ("[here](@U1)", "here (@U1)"),
        (
            "[![b](https://x.dev/b.svg)](https://x.dev)",
            "<https://x.dev/b.svg|b> (<https://x.dev>)",
        ),
    ] {
        assert_eq!(from_markdown(markdown), mrkdwn, "{markdown:?}");
    }
}

#[test]
fn blocks_keep_their_shape() {
    let markdown = "\
# Plan

First:

1. one
   - nested `x`
   - [x] done
2. two

   more of two
   ```rust
   let a = 1 < 2;
   ```

> quoted
> lines
>
> > twice

| Name | n |
|------|--:|
| a    | 1 |
| bcd  | 22 |

end
";
    insta::assert_snapshot!(from_markdown(markdown), @r"
    *Plan*

    First:

    1. one
        • nested `x`
        • ☑ done
    2. two

        more of two

        ```
        let a = 1 &lt; 2;
        ```

    > quoted
    > lines
    >
    > > twice

    ```
    Name |  n
    -----|---
    a    |  1
    bcd  | 22
    ```

    end
    ");
}

#[test]
fn a_fence_within_code_does_not_end_it() {
    for markdown in ["````\n```\nx\n```\n````", "``````\n`````\n``````"] {
        let mrkdwn = from_markdown(markdown);
        assert_eq!(mrkdwn.matches("```").count(), 2, "{mrkdwn}");
    }
}

#[test]
fn deep_nesting_is_quick_and_loses_nothing() {
    for sign in [">", "- ", "> - ", "**", "[", "*a "] {
        let markdown = format!("{}x end", sign.repeat(10_000 / sign.len()));
        assert!(from_markdown(&markdown).ends_with("end"), "{sign:?}");
    }
}

proptest! {
    #[test]
    fn nothing_but_our_links_is_a_sequence(
        text in "([a-z]{1,3}|<!channel>|<@U1>|[<>&!@#|`*_~()\\[\\]\\\\]|\\]\\(|\n|    |https://x\\.dev|```\n| ){0,30}",
    ) {
        let mrkdwn = from_markdown(&text);
        for (at, _) in mrkdwn.match_indices('<') {
            let sequence = &mrkdwn[at + 1..];
            prop_assert!(is_url(sequence), "{:?}", mrkdwn);
            let end = sequence.find('>');
            prop_assert!(end.is_some(), "{:?}", mrkdwn);
        }
    }

    #[test]
    fn no_text_is_lost(text in "([a-z]{1,3}|[<>&!@#|`*_~()\\[\\]\\\\-]|\\]\\(|\n|    |\n\n|```\n|> |- |1\\. | ){0,30}") {
        let mut read = String::new();
        for event in Parser::new_ext(&text, OPTIONS) {
            if let Event::Text(part) | Event::Code(part) | Event::Html(part) | Event::InlineHtml(part) = event {
                read.extend(part.chars().filter(|char| char.is_ascii_lowercase()));
            }
        }
        let mrkdwn = from_markdown(&text).replace("&lt;", "").replace("&gt;", "").replace("&amp;", "");
        let mut written = mrkdwn.chars();
        prop_assert!(read.chars().all(|wanted| written.any(|char| char == wanted)), "{:?}", mrkdwn);
    }
}
