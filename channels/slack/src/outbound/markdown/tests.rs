use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::*;

#[test]
fn what_slack_reads_as_it_is_meant_is_left_alone() {
    for text in [
        "",
        "  blanks at both ends\t ",
        "# Title\n\n**bold** _it_ ~~no~~ `code`\n\n1. one\n2. two\n   - [ ] task\n\n> quote\n",
        "a < b && c > d, 1 & 2, AT&T &amp; &lt;",
        "<https://x.dev/a?b=1&c=2> and [x](https://x.dev) and <me@x.dev>",
        "```rust\nlet a: Vec<T> = b < c;\n```\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "漢字 é e\u{301} 👩\u{200d}👩\u{200d}👧 𝄞 nul \u{0} bell \u{7}",
        "one\r\ntwo\rthree\n\nfour\u{2028}five\n",
    ] {
        assert_eq!(for_block(text), text);
    }
}

#[test]
fn sequences_that_reach_people_are_only_shown() {
    for (text, safe) in [
        ("hey <!channel>!", "hey &lt;!channel>!"),
        (
            "<@U1> <#C1|x> <!subteam^S1>",
            "&lt;@U1> &lt;#C1|x> &lt;!subteam^S1>",
        ),
        (r"\<!here>", "&lt;!here>"),
        (r"\\<!here>", r"\\&lt;!here>"),
        ("`<!here>`", "`<\u{2060}!here>`"),
        ("```\n<@U1>\n```", "```\n<\u{2060}@U1>\n```"),
        ("    <@U1>\n", "    <\u{2060}@U1>\n"),
        ("[x](<@U1>)", "x (`<@U1>`)"),
        (
            "[![<!here>](https://x.dev/b)](https://x.dev)",
            "[&lt;!here>](https://x.dev)",
        ),
        (
            "![<!here>](https://x.dev/b)",
            "[&lt;!here>](https://x.dev/b)",
        ),
        ("<<!here>>", "<&lt;!here>>"),
        (
            "| <!here> |\n|---|\n| `<!here>` |",
            "| &lt;!here> |\n|---|\n| `<\u{2060}!here>` |",
        ),
    ] {
        // The destination of the one link is without its angle brackets.
        let safe = safe.replace("`<@U1>`", "`@U1`");
        assert_eq!(for_block(text), safe, "{text:?}");
    }
}

#[test]
fn html_is_shown() {
    for (text, shown) in [
        ("a <b>bold</b> word", "a &lt;b>bold&lt;/b> word"),
        (
            "<div>\nx <i>y</i>\n</div>\n",
            "&lt;div>\nx &lt;i>y&lt;/i>\n&lt;/div>\n",
        ),
        (
            "Vec<String> is `Vec<String>`",
            "Vec&lt;String> is `Vec<String>`",
        ),
        ("a <!-- hidden --> b", "a &lt;!-- hidden --> b"),
    ] {
        assert_eq!(for_block(text), shown);
    }
}

#[test]
fn images_become_links_and_links_to_files_become_text() {
    for (text, shown) in [
        (
            "![a cat](https://x.dev/c.png)",
            "[a cat](https://x.dev/c.png)",
        ),
        ("![](https://x.dev/c.png)", "[image](https://x.dev/c.png)"),
        (
            "![a *fat* cat][1]\n\n[1]: https://x.dev/c.png",
            "[a *fat* cat][1]\n\n[1]: https://x.dev/c.png",
        ),
        (
            "[![build](https://x.dev/b.svg)](https://x.dev/ci)",
            "[build](https://x.dev/ci)",
        ),
        (
            "[main.rs](/code/src/main.rs:12)",
            "main.rs (`/code/src/main.rs:12`)",
        ),
        (
            "[src/main.rs](src/main.rs), [**b**](./b)",
            "src/main.rs, **b** (`./b`)",
        ),
        ("[`main.rs`](/code/main.rs)", "`main.rs` (`/code/main.rs`)"),
        ("![plot](plot.png)", "plot (`plot.png`)"),
        (
            "[mail](mailto:a@x.dev) [Web](HTTPS://x.dev)",
            "[mail](mailto:a@x.dev) [Web](HTTPS://x.dev)",
        ),
    ] {
        assert_eq!(for_block(text), shown, "{text:?}");
    }
}

#[test]
fn the_first_table_stays_and_others_become_columns_in_a_code_block() {
    let table = "| Name | n |\n|:-----|--:|\n| `a`  | 1 |\n| 漢字 <!here> | 22 |\n";
    let text = format!(
        "{table}\nthen\n\n{table}\nand\n\n> {}",
        table.replace('\n', "\n> ")
    );
    insta::assert_snapshot!(for_block(&text).replace(WORD_JOINER, "WJ"), @r"
    | Name | n |
    |:-----|--:|
    | `a`  | 1 |
    | 漢字 &lt;!here> | 22 |

    then

    ```
    Name         |  n
    -------------|---
    a            |  1
    漢字 <WJ!here> | 22
    ```

    and

    > ```
    > Name         |  n
    > -------------|---
    > a            |  1
    > 漢字 <WJ!here> | 22
    > ```
    > 
    ");
}

#[test]
fn a_table_beyond_the_limits_becomes_a_code_block() {
    let header = "| a | b |\n|---|---|\n";
    let long = format!("{header}{}", "| 1 | 2 |\n".repeat(100));
    let wide = format!("{}\n{}\n", "| a ".repeat(21), "|---".repeat(21));
    let large = format!("{header}| {} | 2 |\n", "x".repeat(9_600));
    for table in [long, wide, large] {
        let shown = for_block(&table);
        assert!(
            shown.starts_with("```\n") && shown.ends_with("\n```\n"),
            "{shown}"
        );
        assert!(shown.len() < table.len() + 2_500);
    }
    let fits = format!("{header}{}", "| 1 | 2 |\n".repeat(99));
    assert_eq!(for_block(&fits), fits);
}

#[test]
fn a_table_of_one_long_cell_is_not_padded_out() {
    let rows = "| x | y |\n".repeat(50);
    let text = format!(
        "| a |\n|---|\n\n| a | b |\n|---|---|\n| {} | y |\n{rows}",
        "x".repeat(5_000)
    );
    assert!(for_block(&text).len() < text.len() + 2_500);
}

#[test]
fn a_fence_is_longer_than_the_backticks_in_a_table() {
    let text = "| a |\n|---|\n\n| b |\n|---|\n| ```` c ```` |\n| \\```` |\n";
    assert!(for_block(text).contains("\n`````\n"), "{}", for_block(text));
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<!channel>",
            "<@U1>",
            "<#C1>",
            "<!subteam^S1>",
            "<",
            "!",
            "@",
            "`",
            "```\n",
            "\n",
            "\n\n",
            "    ",
            "\\",
            "> ",
            "- ",
            "1. ",
            "| a | b |\n",
            "|---|---|\n",
            "[",
            "](",
            "![",
            ")",
            "**",
            "_",
            "~~",
            "<b>",
            "</b>",
            "<!--",
            "-->",
            "<div>\n",
            "&lt;",
            "&",
            "#",
            "# ",
            "http://x",
            "(<",
            ">)",
            "\r\n",
            "<?",
            "?>",
            "\t",
            "漢",
            "𝄞",
            "<![CDATA[",
            "]]>",
        ])
        .prop_map(str::to_owned),
        "[a-z0-9 ]{1,6}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Returns the letters and figures, which no rewriting may take away.
fn letters(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).collect()
}

/// Returns whether all of `part` comes in `whole`, in order.
fn is_within(part: &str, whole: &str) -> bool {
    let mut whole = whole.chars();
    part.chars().all(|wanted| whole.any(|char| char == wanted))
}

/// Returns what people read of Markdown.
fn read(markdown: &str) -> String {
    let mut read = String::new();
    for event in Parser::new_ext(markdown, OPTIONS) {
        match event {
            Event::Text(text) | Event::Code(text) => read.push_str(&text),
            Event::Html(text) | Event::InlineHtml(text) => {
                read.push_str(&text.replace("&lt;", "<"));
            }
            _ => {}
        }
    }
    read
}

proptest! {
    #[test]
    fn no_sequence_of_slack_survives(text in pieces()) {
        let safe = for_block(&text);
        let sequence = safe.match_indices('<').find(|(at, _)| is_control(&safe[at + 1..]));
        prop_assert_eq!(sequence, None, "{:?}", safe);
    }

    #[test]
    fn no_text_is_lost(text in pieces()) {
        let shown = for_block(&text);
        let (before, after) = (letters(&read(&text)), letters(&shown));
        prop_assert!(is_within(&before, &after), "{:?}\n{:?}\n{:?}", shown, before, after);
    }

    #[test]
    fn rendering_twice_changes_no_more_than_once(text in "[a-z<>!@#`&;\\\\ \n]{0,60}") {
        let once = for_block(&text);
        prop_assert_eq!(for_block(&once), once);
    }
}
