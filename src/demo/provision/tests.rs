use pretty_assertions::assert_eq;

use super::*;

#[test]
fn versions_are_compared_by_number() {
    let version = |text: &str| text.parse::<Version>();
    assert_eq!(version("0.169.0"), Ok(PINNED));
    assert_eq!(version("0.169.0-alpha.3"), Ok(PINNED));
    assert!(version("0.9.0").unwrap() < MINIMUM);
    assert!(version("1.0.0").unwrap() > PINNED);
    for text in ["", "codex", "1.2", "1.2.3.4", "1.2.x"] {
        assert_eq!(version(text), Err(NoVersion), "{text}");
    }
}

#[test]
fn npm_words_lead_to_what_to_do() {
    let table = [
        ("npm error code EAI_AGAIN", "go online"),
        ("npm error code ENOSPC", "make room"),
        (
            "/usr/bin/env: 'node': No such file or directory",
            "install Node.js",
        ),
        ("npm error code EACCES", "TIELINE_CACHE_DIR"),
        ("npm error E404", "see what it says"),
    ];
    for (output, expected) in table {
        assert!(npm::remedy(output).contains(expected), "{output}");
    }
}
