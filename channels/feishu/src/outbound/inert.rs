//! Making text inert: Feishu interprets what a model writes, and `<at user_id="all">` calls everybody.

/// What breaks a tag without being seen.
pub(super) const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Breaks whatever may be read as a tag, together with what follows the text or not, for where
/// entities are not known.
pub(super) fn break_tags(text: &str) -> String {
    break_where(text, |rest| {
        rest.chars()
            .next()
            .is_none_or(|c| c.is_alphabetic() || matches!(c, '/' | '!' | '?'))
    })
}

/// Breaks what may be read as a mention, and only that: for code, which people copy.
pub(super) fn break_mentions(code: &str) -> String {
    break_where(code, |rest| {
        let name = rest.strip_prefix('/').unwrap_or(rest).as_bytes();
        name.len() >= 2 && name[..2].eq_ignore_ascii_case(b"at") && {
            !name.get(2).is_some_and(u8::is_ascii_alphanumeric)
        }
    })
}

/// Writes a character as an entity, which Feishu shows and does not interpret.
pub(super) fn entity(into: &mut String, c: char) {
    into.push_str(&format!("&#{};", u32::from(c)));
}

fn break_where(text: &str, is_tag: impl Fn(&str) -> bool) -> String {
    let mut broken = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at + 1);
        broken.push_str(before);
        if is_tag(after) {
            broken.push(ZERO_WIDTH_SPACE);
        }
        rest = after;
    }
    broken.push_str(rest);
    broken
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn only_what_may_be_a_tag_is_broken() {
        let table = [
            ("<at user_id=\"all\"></at>", "<|at user_id=\"all\"><|/at>"),
            ("a < b <= c <3 <-", "a < b <= c <3 <-"),
            ("<<at>", "<<|at>"),
            ("Vec<T>", "Vec<|T>"),
            ("<!-- -->", "<|!-- -->"),
            ("", ""),
            ("<", "<|"),
        ];
        for (text, expected) in table {
            let broken = break_tags(text).replace(ZERO_WIDTH_SPACE, "|");
            assert_eq!(broken, expected);
        }
    }

    #[test]
    fn code_is_left_alone_but_for_mentions() {
        let table = [
            ("<at id=all></at>", "<|at id=all><|/at>"),
            ("<AT\tid=all>", "<|AT\tid=all>"),
            ("<at>", "<|at>"),
            ("<at", "<|at"),
            ("<attr> <atom/> <a> Vec<T>", "<attr> <atom/> <a> Vec<T>"),
            ("<a", "<a"),
        ];
        for (code, expected) in table {
            let broken = break_mentions(code).replace(ZERO_WIDTH_SPACE, "|");
            assert_eq!(broken, expected);
        }
    }
}
