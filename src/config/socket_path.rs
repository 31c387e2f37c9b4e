//! Paths of Unix sockets, which are short.

use std::path::Path;

use tieline_channel::socket::MAX_PATH;

use crate::config::document::Value;

/// Notes an error when a Unix socket cannot have this path.
pub(crate) fn check(value: &Value<'_>, path: &Path) {
    if let Some(message) = objection(path) {
        value.reading().note(
            value
                .objection(&message)
                .hint("choose a shorter path, such as one below /run or /tmp"),
        );
    }
}

/// Returns why a Unix socket cannot have this path.
pub(crate) fn objection(path: &Path) -> Option<String> {
    let length = path.as_os_str().len();
    (length > MAX_PATH).then(|| {
        format!(
            "the path of a socket has at most {MAX_PATH} bytes, but {} has {length}",
            path.display()
        )
    })
}
