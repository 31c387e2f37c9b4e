//! Blocks of code in Markdown.

/// Puts code into a block that nothing in it can end.
pub(crate) fn fenced(language: &str, code: &str) -> String {
    let code = code.trim_end_matches('\n');
    let fence = "`".repeat(longest_run_of_ticks(code).max(2) + 1);
    format!("{fence}{language}\n{code}\n{fence}")
}

/// Returns how many ticks follow each other at most.
pub(crate) fn longest_run_of_ticks(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn a_fence_is_longer_than_what_is_within() {
        let table = [("", 0), ("a", 0), ("`", 1), ("`a``", 2), ("```` `", 4)];
        for (text, run) in table {
            assert_eq!(longest_run_of_ticks(text), run, "{text}");
        }
        assert_eq!(fenced("sh", "ls\n\n"), "```sh\nls\n```");
        assert_eq!(fenced("", "```"), "````\n```\n````");
    }
}
