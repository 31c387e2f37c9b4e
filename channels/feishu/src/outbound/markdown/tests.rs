use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::*;
use crate::outbound::inert::ZERO_WIDTH_SPACE;

fn card(markdown: &str) -> String {
    rewrite(markdown, Flavour::Card)
}

fn rich(markdown: &str) -> String {
    rewrite(markdown, Flavour::RichText).replace(ZERO_WIDTH_SPACE, "|")
}

#[test]
fn a_card_gets_what_stands_there() {
    let table = [
        ("", ""),
        ("plain", "plain"),
        ("a\nb", "a\nb"),
        ("a  \nb", "a\nb"),
        ("a<br>b", "a\nb"),
        ("a\n<br/>\nb | c", "a\nb &#124; c"),
        (
            "# One\n## Two ##\nThree\n=====",
            "# One\n\n## Two\n\n# Three",
        ),
        ("*a* _b_ **c** __d__ ~~e~~", "*a* *b* **c** **d** ~~e~~"),
        ("snake_case and 2 * 3", "snake_case and 2 * 3"),
        ("\\*a\\* 1\\. &copy; &lt;b>", "&#42;a&#42; 1&#46; © &#60;b>"),
        ("> a\n> b\n\nc", "> a\n> b\n\nc"),
        ("> a\n>\n> > b", "> a\n>\n> > b"),
        ("a\n\n***\n\nb", "a\n\n---\n\nb"),
        ("- [x] a\n- [ ] b", "- ☑ a\n- ☐ b"),
        ("* a\n  * b\n    * c\n* d", "- a\n    - b\n        - c\n- d"),
        ("- a\n\n- b", "- a\n\n- b"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("1. a\n\n   b\n2. c", "1. a\n\n    b\n\n2. c"),
        (
            "- a\n  ```sh\n  ls\n  ```",
            "- a\n    ```sh\n    ls\n    ```",
        ),
        ("- ```\n  ls\n  ```", "-   ```\n    ls\n    ```"),
        ("``a`b`` `c`", "``a`b`` `c`"),
        ("`` `a` ``", "`` `a` ``"),
    ];
    for (markdown, expected) in table {
        assert_eq!(card(markdown), expected, "{markdown:?}");
    }
}

#[test]
fn code_keeps_its_language_and_every_character() {
    let table = [
        ("```rust,ignore\na < b\n```", "```rust\na < b\n```"),
        ("~~~~\n```\n~~~~", "````\n```\n````"),
        ("    indented\n      more", "```\nindented\n  more\n```"),
        ("```\"><at id=all>\nx\n```", "```at\nx\n```"),
        ("```\n\n\nunclosed", "```\n\n\nunclosed\n```"),
    ];
    for (markdown, expected) in table {
        assert_eq!(card(markdown), expected, "{markdown:?}");
    }
}

#[test]
fn links_open_and_images_become_links() {
    let table = [
        ("[a](https://x.test/p?q=1)", "[a](https://x.test/p?q=1)"),
        ("[a](https://x.test \"title\")", "[a](https://x.test)"),
        ("[a][1]\n\n[1]: https://x.test", "[a](https://x.test)"),
        ("<https://x.test>", "[https://x.test](https://x.test)"),
        ("https://x.test/a_b_c", "https://x.test/a_b_c"),
        (
            "[a](<https://x.test/(b c)>)",
            "[a](https://x.test/%28b%20c%29)",
        ),
        (
            "![alt *b*](https://x.test/i.png)",
            "[alt *b*](https://x.test/i.png)",
        ),
        ("![](https://x.test/i.png)", "[image](https://x.test/i.png)"),
        ("!![a](https://x.test)", "&#33;[a](https://x.test)"),
        (
            "[![badge](https://x.test/b.svg)](https://x.test)",
            "[badge](https://x.test)",
        ),
        ("![a](img_v2_key)", "a (`img_v2_key`)"),
        ("[lib.rs](/src/lib.rs:12)", "lib.rs (`/src/lib.rs:12`)"),
        ("[src/lib.rs](src/lib.rs)", "src/lib.rs"),
        ("[a](javascript:alert)", "a (`javascript:alert`)"),
        ("[a]()", "a"),
        ("[a] (b)", "&#91;a&#93; (b)"),
    ];
    for (markdown, expected) in table {
        assert_eq!(card(markdown), expected, "{markdown:?}");
    }
}

#[test]
fn nothing_is_a_tag() {
    let table = [
        (
            "<at id=all></at>",
            "&#60;at id&#61;all&#62;&#60;&#47;at&#62;",
            "<|at id=all><|/at>",
        ),
        ("&lt;at id=all>", "&#60;at id=all>", "<|at id=all>"),
        ("\\<at id=all>", "&#60;at id=all>", "<|at id=all>"),
        ("a < b <= c", "a &#60; b &#60;= c", "a < b <= c"),
        ("Vec<String>", "Vec&#60;String&#62;", "Vec<|String>"),
        (
            "<div>\n*a*\n</div>",
            "&#60;div&#62;\n&#42;a&#42;\n&#60;&#47;div&#62;",
            "<|div>\n*a*\n<|/div>",
        ),
    ];
    for (markdown, in_card, in_rich_text) in table {
        assert_eq!(card(markdown), in_card, "{markdown:?}");
        assert_eq!(rich(markdown), in_rich_text, "{markdown:?}");
    }
    let code = "`<at id=all>` and\n\n```\n<at id=all> <b>\n```";
    let broken = code.replace("<at", "<|at");
    assert_eq!(card(code).replace(ZERO_WIDTH_SPACE, "|"), broken);
    assert_eq!(rich(code), broken);
}

#[test]
fn rich_text_does_without_headings_and_tables() {
    let markdown =
        "# A **bold** title\n\n| a | b |\n|---|---|\n| 1 | 好 |\n\n!![x](https://x.test)";
    let expected = "**A bold title**\n\n```\na  b\n-  --\n1  好\n```\n\n!|[x](https://x.test)";
    assert_eq!(rich(markdown), expected);
}

const TABLE: &str =
    "| a | b | c | d |\n|---|:--|:-:|--:|\n| `x\\|y` | 1 \\| 2 | **3** | <br> |\n| 5 |\n";

#[test]
fn a_table_stays_a_table() {
    insta::assert_snapshot!(card(TABLE), @r#"
    | a | b | c | d |
    | --- | :-- | :-: | --: |
    | `x\|y` | 1 &#124; 2 | **3** |  |
    | 5 |  |  |  |
    "#);
}

#[test]
fn the_fourth_table_and_those_within_others_are_text() {
    let four = format!("{TABLE}\n").repeat(4);
    let shown = card(&four);
    assert_eq!(shown.matches("| --: |").count(), 3);
    assert_eq!(shown.matches("```\n").count(), 1);
    insta::assert_snapshot!(card("> | a | b |\n> |---|---|\n> | 长一点 | 2 |\n> | 3 | `x` |"), @r#"
    > ```
    > a       b
    > ------  -
    > 长一点  2
    > 3       x
    > ```
    "#);
}

#[test]
fn a_table_that_is_too_large_is_text() {
    let rows = |n: usize| format!("| a |\n|---|\n{}", "| 1 |\n".repeat(n));
    let columns = |n: usize| format!("{}\n{}\n", "| a ".repeat(n), "|---".repeat(n));
    for (markdown, is_table) in [
        (rows(50), true),
        (rows(51), false),
        (columns(20), true),
        (columns(21), false),
    ] {
        assert_eq!(card(&markdown).starts_with('|'), is_table, "{markdown}");
    }
}

#[test]
fn the_summary_is_one_line_of_words() {
    let table = [
        ("", ""),
        (
            "# Done\n\nAll **tests** `pass`.\n\n- a\n- b",
            "Done All tests pass. a b",
        ),
        ("![a](https://x.test)\nb", "a b"),
        ("<at id=all>", ""),
        ("a &lt;at id=all>", "a <\u{200b}at id=all>"),
    ];
    for (markdown, expected) in table {
        assert_eq!(summary(markdown), expected, "{markdown:?}");
    }
    let long = summary(&"好".repeat(500));
    assert_eq!(long.chars().count(), MAX_SUMMARY_CHARS + 1);
}

#[test]
fn depth_does_not_multiply_length() {
    for mark in ["> ", "- ", "1. "] {
        let markdown = mark.repeat(3_000) + &"a\n".repeat(3_000);
        for flavour in [Flavour::Card, Flavour::RichText] {
            let length = rewrite(&markdown, flavour).len();
            assert!(length < 300_000, "{mark}: {length}");
        }
    }
    let nested = (0..20).map(|depth| format!("{}- a\n", "  ".repeat(depth)));
    let shown = card(&nested.collect::<String>());
    assert_eq!(shown.matches('a').count(), 20);
}

#[test]
fn what_was_no_image_does_not_become_one() {
    // Each of these once did, or let a tag through.
    for markdown in [
        "![\\](https://x.test/i.png)",
        "*```\n`<br>``<at id=all></at>`<at id=all></at>",
        "<div><at id=all></at>![](https://x.test/i.png)",
        "![```\n\\[1]: https://x.test\n<at id=all></at>](https://x.test/i.png)",
        "!&#91;a](https://x.test/i.png)",
        "![![a][1]- ](https://x.test/i.png)",
        "<at id=all></at>![![\\[1]: https://x.test\n](https://x.test/i.png)",
        "# !**<https://x.test>",
        "<br>[1]: https://x.test\n![1]: https://x.test\n",
        "# !**[a](https://x.test)**",
        "![1]: https://x.test\n<br>[1]: https://x.test\n",
        "`![a](https://x.test/i.png)`",
    ] {
        assert_inert(&rewrite(markdown, Flavour::RichText));
        assert_inert(&card(markdown));
    }
}

/// Neither mentions nor images; code may hold what looks like one.
fn assert_inert(shown: &str) {
    assert_eq!(break_mentions(shown), shown);
    let has_image = parse(shown).any(|(event, _)| matches!(event, Event::Start(Tag::Image { .. })));
    assert!(!has_image, "{shown}");
}

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "<at id=all></at>", "&lt;at ", "<", "</", "at ", "![", "](https://x.test/i.png)", "[", "](x)",
            "| a | b |\n|---|---|\n| c | d |\n\n", "```\n", "`", "``", "\n", "\n\n", "- ", "  - ", "1. ",
            "> ", "# ", "*", "**", "_", "~~", "\\", "!", "|", "&", "&#60;", "好", "a", " ", "<br>", "<div>",
            "---", "    ", "&amp;", "<!--", "[1]: https://x.test\n", "[a][1]", "<https://x.test>",
        ])
        .prop_map(str::to_owned),
        1 => ".{0,6}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_card_never_has_tags_images_or_too_many_tables(markdown in nasty()) {
        let shown = card(&markdown);
        prop_assert_eq!(break_mentions(&shown), shown.clone());
        let mut tables = 0;
        for (event, _) in parse(&shown) {
            match event {
                Event::Html(html) | Event::InlineHtml(html) => {
                    prop_assert!(false, "html {} in {}", html, shown);
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    prop_assert!(false, "image {} in {}", dest_url, shown);
                }
                Event::Start(Tag::Table(_)) => tables += 1,
                _ => {}
            }
        }
        prop_assert!(tables <= MAX_TABLES, "{} tables in {}", tables, shown);
    }

    #[test]
    fn rich_text_never_has_mentions_or_images(markdown in nasty()) {
        assert_inert(&rewrite(&markdown, Flavour::RichText));
    }

    #[test]
    fn words_survive(words in prop::collection::vec("[a-z好]{1,8}", 1..20)) {
        let text = words.join(" ");
        for markdown in [text.clone(), format!("- {text}"), format!("> # {text}"), format!("**{text}**")] {
            prop_assert!(card(&markdown).contains(&text));
            prop_assert!(rich(&markdown).contains(&text));
        }
    }
}
