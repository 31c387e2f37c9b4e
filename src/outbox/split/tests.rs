use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use tieline_channel::{TextLimit, TextUnit};

use super::split;

fn chars(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: TextUnit::Chars,
    }
}

fn bytes(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: TextUnit::Bytes,
    }
}

#[test]
fn a_text_within_the_limit_is_not_touched() {
    for text in ["", "  \n", "``` open", "héllo", "a\r\n\r\nb"] {
        assert_eq!(split(text, chars(10)), [text]);
    }
    assert_eq!(split("é", bytes(2)), ["é"]);
}

#[test]
fn only_white_space_is_one_empty_part() {
    assert_eq!(split(&" \n".repeat(100), chars(10)), [""]);
}

#[test]
fn paragraphs_stay_whole() {
    let text = "First one here.\n\nSecond one here.\n\nThird.";
    assert_eq!(
        split(text, chars(35)),
        ["First one here.\n\nSecond one here.", "Third."]
    );
    assert_eq!(
        split(text, chars(20)),
        ["First one here.", "Second one here.", "Third."]
    );
}

#[test]
fn a_heading_stays_with_what_it_heads() {
    let text = "Some words to begin with.\n\n# Heading\n\nIts text.";
    assert_eq!(
        split(text, chars(40)),
        ["Some words to begin with.", "# Heading\n\nIts text."]
    );
}

#[test]
fn a_fence_that_fits_is_not_cut() {
    let text = "Look at this code:\n\n```rust\nfn main() {\n}\n```\n\nDone.";
    assert_eq!(
        split(text, chars(40)),
        [
            "Look at this code:",
            "```rust\nfn main() {\n}\n```\n\nDone."
        ]
    );
}

#[test]
fn a_long_fence_is_closed_and_opened_again() {
    let mut text = "Code:\n\n~~~~py title=x\n".to_owned();
    for line in 0..8 {
        writeln!(text, "    line {line}\n").unwrap();
    }
    text.push_str("~~~~\n\nEnd.");
    insta::assert_snapshot!(split(&text, chars(60)).join("\n=====\n"), @r"
    Code:

    ~~~~py title=x
        line 0

        line 1
    ~~~~
    =====
    ~~~~py title=x
        line 2

        line 3

        line 4
    ~~~~
    =====
    ~~~~py title=x
        line 5

        line 6

        line 7

    ~~~~
    =====
    End.
    ");
}

#[test]
fn a_fence_that_nobody_closed_is_closed_in_every_part() {
    let text = "```\none\ntwo\nthree\nfour";
    assert_eq!(
        split(text, chars(20)),
        ["```\none\ntwo\n```", "```\nthree\nfour\n```"]
    );
}

#[test]
fn a_long_table_repeats_its_header() {
    let text = "| a | b |\n|---|---|\n| 1 | one |\n| 2 | two |\n| 3 | three |\n| 4 | four |\n";
    assert_eq!(
        split(text, chars(48)),
        [
            "| a | b |\n|---|---|\n| 1 | one |\n| 2 | two |",
            "| a | b |\n|---|---|\n| 3 | three |\n| 4 | four |"
        ]
    );
}

#[test]
fn a_list_is_cut_between_items() {
    let text = "- one is the first\n- two is\n  the second\n- three is the third\n";
    assert_eq!(
        split(text, chars(45)),
        [
            "- one is the first\n- two is\n  the second",
            "- three is the third"
        ]
    );
}

#[test]
fn what_leaves_its_list_does_not_become_code() {
    let text = "1. outer\n\n    - inner item\n\n      ```sh\n      ls\n        -l\n      ```\n\n      text below it\n\n    - last\n";
    insta::assert_snapshot!(split(text, chars(44)).join("\n=====\n"), @r"
    1. outer

        - inner item
    =====
    ```sh
    ls
      -l
    ```
    =====
    text below it

     - last
    ");
}

#[test]
fn a_fence_in_a_quote_is_whole_on_both_sides_of_the_cut() {
    let text = "> - say\n>   ```sh\n>   echo one\n>   echo two\n>   echo three\n>   ```\n> end";
    insta::assert_snapshot!(split(text, chars(52)).join("\n=====\n"), @r"
    > - say
    >   ```sh
    >   echo one
    >   echo two
    >   ```
    =====
    ```sh
    echo three
    ```
    > end
    ");
}

#[test]
fn long_paragraphs_are_cut_at_sentences_then_words_then_characters() {
    assert_eq!(
        split("One two three. Four five six. Seven.", chars(20)),
        ["One two three.", "Four five six.", "Seven."]
    );
    assert_eq!(
        split("一二三。四五六七。八九", chars(6)),
        ["一二三。", "四五六七。", "八九"]
    );
    assert_eq!(
        split("alpha beta gamma delta", chars(12)),
        ["alpha beta", "gamma delta"]
    );
    assert_eq!(split("abcdefghij", chars(4)), ["abcd", "efgh", "ij"]);
    assert_eq!(split("ééé", bytes(5)), ["éé", "é"]);
}

#[test]
fn a_character_is_not_torn_from_what_is_drawn_onto_it() {
    let family = "👩\u{200d}👩\u{200d}👧";
    assert_eq!(split(&format!("abc{family}"), chars(6)), ["abc", family]);
    assert_eq!(split("xxe\u{301}", chars(3)), ["xx", "e\u{301}"]);
}

#[test]
fn a_limit_too_small_for_one_character_makes_progress() {
    assert_eq!(split("é👧", bytes(1)), ["é", "👧"]);
    assert_eq!(split("ab", chars(0)), ["a", "b"]);
}

#[test]
fn hostile_texts_take_no_more_than_their_time() {
    let deep_list = (0..400).fold(String::new(), |text, depth| {
        text + &" ".repeat(2 * depth) + "- item\n"
    });
    let texts = [
        "`".repeat(10_000),
        "word `".repeat(33_000),
        "a".repeat(200_000),
        "> ".repeat(100_000),
        "- ".repeat(100_000),
        format!("{}text", "> - ".repeat(5_000)),
        "```\n".repeat(50_000),
        "|a|\n|-|\n".repeat(25_000),
        format!("|a|\n|-|\n{}", "|x|\n".repeat(50_000)),
        format!("```\n{}", "x\n".repeat(100_000)),
        format!("> ```\n{}", "> x\n".repeat(50_000)),
        "# h\n".repeat(50_000),
        "[".repeat(100_000),
        "*a ".repeat(60_000),
        "\n".repeat(200_000),
        "e\u{301}".repeat(60_000),
        "\u{301}".repeat(60_000),
        "<div>\n".repeat(30_000),
        "1. x\n\n   ```\n   y\n   ```\n".repeat(8_000),
        "A sentence. ".repeat(16_000),
        deep_list,
    ];
    for text in &texts {
        for limit in [chars(20), chars(3_900), bytes(100_000)] {
            let begun = Instant::now();
            let parts = split(text, limit);
            let took = begun.elapsed();
            check(text, limit, &parts).unwrap();
            let head: String = text.chars().take(12).collect();
            assert!(
                took < Duration::from_secs(10),
                "{head:?} within {limit:?} took {took:?}"
            );
        }
    }
}

/// What holds for any text: parts are within the limit, and nothing is lost or reordered. (Parts
/// may add fences and headers, and code may leave its quote.)
fn check(text: &str, limit: TextLimit, parts: &[String]) -> Result<(), TestCaseError> {
    for part in parts {
        prop_assert!(
            limit.allows(part) || part.chars().count() == 1,
            "{} in {part:?}",
            limit.measure(part)
        );
    }
    let visible = |c: &char| !c.is_whitespace() && *c != '>';
    let mut found = parts.iter().flat_map(|part| part.chars()).filter(visible);
    for (index, c) in text.chars().filter(visible).enumerate() {
        prop_assert!(
            found.any(|other| other == c),
            "lost {c:?}, number {index}, of {text:?} in {parts:?}"
        );
    }
    Ok(())
}

/// Returns whether every fence of a part is closed in it.
fn is_balanced(part: &str) -> bool {
    let mut open: Option<&str> = None;
    for line in part.lines() {
        let line = line.trim_start_matches([' ', '>', '-', '1', '0', '.']);
        let mark = &line[..line.len() - line.trim_start_matches('`').len()];
        match open {
            Some(opened) if mark.len() >= opened.len() && line.trim() == mark => open = None,
            None if mark.len() >= 3 && !line[mark.len()..].contains('`') => open = Some(mark),
            _ => {}
        }
    }
    open.is_none()
}

/// Returns `text` without what parts may add: fences, table headers, and white space.
fn content(text: &str) -> String {
    text.lines()
        .map(|line| line.trim_start_matches([' ', '>']))
        .filter(|line| *line != "````" && *line != "|---|")
        .filter(|line| !line.ends_with("````rust") && !line.ends_with("|head|"))
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect()
}

fn block() -> BoxedStrategy<String> {
    let sentence = "[a-z][a-z ]{1,30}[.!?]?( ```| ~~~)?";
    let paragraph = prop::collection::vec(sentence, 1..8)
        .prop_map(|sentences| sentences.join(" x").trim().to_owned());
    let code = prop::collection::vec("( {0,6})[a-z(){}\"`|>-]{0,40}", 0..30).prop_map(|lines| {
        let lines: Vec<_> = lines.iter().map(|line| line.replace("```", "")).collect();
        format!("````rust\n{}\n````", lines.join("\n"))
    });
    let table = prop::collection::vec("[a-z]{0,20}", 1..20)
        .prop_map(|rows| format!("|head|\n|---|\n|{}|", rows.join("|\n|")));
    let heading = "#{1,3} [a-z]{1,20}".boxed();
    let leaf = prop_oneof![paragraph.boxed(), code.boxed(), table.boxed(), heading];
    leaf.boxed()
        .prop_recursive(3, 24, 4, |inner| {
            let blocks = prop::collection::vec(inner, 1..4);
            prop_oneof![
                blocks
                    .clone()
                    .prop_map(|blocks| indent("> ", "> ", &blocks.join("\n\n"))),
                blocks
                    .clone()
                    .prop_map(|blocks| indent("- ", "  ", &blocks.join("\n\n"))),
                blocks.prop_map(|blocks| indent("10. ", "    ", &blocks.join("\n\n"))),
            ]
        })
        .boxed()
}

fn indent(first: &str, others: &str, text: &str) -> String {
    let mut lines = text.lines();
    let mut indented = format!("{first}{}", lines.next().unwrap_or_default());
    for line in lines {
        indented.push('\n');
        indented.push_str(others);
        indented.push_str(line);
    }
    indented
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn markdown_is_all_there_and_balanced(
        blocks in prop::collection::vec(block(), 1..8),
        max in 90..800_usize,
        in_bytes: bool,
    ) {
        let text = blocks.join("\n\n");
        let limit = if in_bytes { bytes(max) } else { chars(max) };
        let parts = split(&text, limit);
        check(&text, limit, &parts)?;
        prop_assert_eq!(content(&parts.join("\n")), content(&text), "{:#?}", parts);
        for part in &parts {
            prop_assert!(is_balanced(part), "{part}\n\nof\n\n{text}");
        }
    }

    #[test]
    fn any_text_is_all_there(
        pieces in prop::collection::vec(
            prop_oneof![
                "[ \n`~|>#*+.)0-9-]{1,12}",
                "\\PC{0,12}",
                Just("\n```rust\n".to_owned()),
                Just("\n|a|b|\n|-|-|\n|c|d|\n".to_owned()),
                Just("\n\n".to_owned()),
                Just("\r\n\t".to_owned()),
                Just("<pre>\n".to_owned()),
                Just("\n> - ".to_owned()),
            ],
            0..60,
        ),
        max in 1..120_usize,
        in_bytes: bool,
    ) {
        let text = pieces.concat();
        let limit = if in_bytes { bytes(max) } else { chars(max) };
        check(&text, limit, &split(&text, limit))?;
    }
}
