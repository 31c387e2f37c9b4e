use super::*;

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
