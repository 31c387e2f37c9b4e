//! The names that users give to channels and dispatchers.

use crate::config::document::Value;
use crate::config::problem::Problem;

/// The greatest length: names become part of file names, and of socket paths, which are short.
const MAX_LENGTH: usize = 40;

/// Returns why this cannot be a name.
pub(crate) fn objection(name: &str) -> Option<String> {
    let is_name = !name.is_empty() && name.len() <= MAX_LENGTH && name.bytes().all(is_safe);
    (!is_name).then(|| format!("a name has 1 to {MAX_LENGTH} of a-z, 0-9, `_` and `-`"))
}

/// Notes an error unless `name`, the key of `value`, is safe as part of a file name anywhere.
pub(crate) fn check(name: &str, value: &Value<'_>) {
    let Some(objection) = objection(name) else {
        return;
    };
    let mut problem = Problem::error(value.name_span(), objection);
    let proposal: String = name
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii() && is_safe(c as u8) {
                c
            } else {
                '-'
            }
        })
        .take(MAX_LENGTH)
        .collect();
    let proposal = proposal.trim_matches('-');
    if proposal.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        problem = problem.hint(format!("try `{proposal}`"));
    }
    value.reading().note(problem);
}

fn is_safe(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')
}
