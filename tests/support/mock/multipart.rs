//! Bodies of `multipart/form-data`.

/// A part of a body.
pub(crate) struct Part {
    pub(crate) name: Option<String>,
    pub(crate) file_name: Option<String>,
    pub(crate) content: Vec<u8>,
}

/// Returns the parts of a body; `None` when it is something else, or broken.
pub(crate) fn parts(content_type: Option<&str>, body: &[u8]) -> Option<Vec<Part>> {
    let content_type = content_type?;
    if !content_type.starts_with("multipart/form-data") {
        return None;
    }
    let boundary = content_type.split("boundary=").nth(1)?;
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let find = |from: usize, what: &[u8]| {
        let at = body[from..].windows(what.len()).position(|at| at == what)?;
        Some(from + at)
    };
    let mut parts = Vec::new();
    let mut at = find(0, boundary.as_bytes())? + boundary.len();
    while !body[at..].starts_with(b"--") {
        let start = find(at, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&body[at..start]).into_owned();
        let end = find(start + 4, format!("\r\n{boundary}").as_bytes())?;
        parts.push(Part {
            name: parameter(&head, "name"),
            file_name: parameter(&head, "filename"),
            content: body[start + 4..end].to_vec(),
        });
        at = end + 2 + boundary.len();
    }
    Some(parts)
}

fn parameter(head: &str, name: &str) -> Option<String> {
    let (_, rest) = head.split_once(&format!("; {name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}
