//! What a model wrote, so that none of it is hidden from those who are to decide about it.

use std::fmt::Write as _;

use crate::ledger::MAX_WANTED;

/// How many lines are shown beside a question; people do not scroll.
const MAX_LINES: usize = 24;

/// How much of a longer text is shown, of its beginning and of its end: in lines, and in bytes.
const HEAD: (usize, usize) = (10, 640);
const TAIL: (usize, usize) = (8, 400);

/// Returns a text in which whatever does not show is written out: control characters, what turns the
/// direction of writing around, what has no width.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if is_hidden(c) {
            // A string takes everything.
            let _infallible = write!(visible, "\\u{{{:x}}}", u32::from(c));
        } else {
            visible.push(c);
        }
    }
    visible
}

fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

/// Returns whether a text can be shown whole beside a question.
pub fn is_short(text: &str) -> bool {
    text.len() <= MAX_WANTED && text.lines().count() <= MAX_LINES
}

/// Returns the beginning and the end of a text that is not [short](is_short), with a mark where it is
/// cut.
pub fn excerpt(text: &str) -> String {
    if is_short(text) {
        return text.to_owned();
    }
    let head_lines: usize = text.split_inclusive('\n').take(HEAD.0).map(str::len).sum();
    let head = floor(text, head_lines.min(HEAD.1));
    let tail_lines: usize = text
        .split_inclusive('\n')
        .rev()
        .take(TAIL.0)
        .map(str::len)
        .sum();
    let tail = ceil(text, text.len() - tail_lines.min(TAIL.1)).max(head);
    let cut = tail - head;
    let gap = if text[..head].ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{}{gap}⋯ (+{cut} B) ⋯\n{}", &text[..head], &text[tail..])
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_show_is_written_out() {
        for (text, expected) in [
            ("echo 你好 ✅\n\tb", "echo 你好 ✅\n\tb"),
            ("a\r\nb\rc", "a\nb\\u{d}c"),
            ("rm \u{202e}txt.x", "rm \\u{202e}txt.x"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{1b}[2Ka\u{8}", "\\u{1b}[2Ka\\u{8}"),
            ("a\u{e0061}", "a\\u{e0061}"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn of_a_long_text_the_beginning_and_the_end_are_shown() {
        let many: String = (0..200).map(|n| format!("line {n}\n")).collect();
        let shown = excerpt(&many);
        assert!(shown.starts_with("line 0\n") && shown.ends_with("line 199\n"));
        assert!(shown.contains("⋯ (+") && is_short(&shown), "{shown}");
        let blank = format!("echo ok{}rm -rf /", "\n".repeat(500));
        assert!(excerpt(&blank).ends_with("rm -rf /"));
        let wide = format!("echo ok{}; rm -rf /", " ".repeat(5000));
        assert!(excerpt(&wide).ends_with("; rm -rf /"));
    }

    proptest! {
        #[test]
        fn an_excerpt_is_always_short(text in "[a-z你✅\n ]{0,4000}") {
            prop_assert!(is_short(&excerpt(&text)));
        }
    }
}
