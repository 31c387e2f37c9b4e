//! Whether a file that we wrote is as we wrote it: a line of it has the sum of all others.

/// What stands in that line before the sum.
const MARK: &str = "sum of the other lines: ";

/// What is in the line before it is sealed.
const OPEN: &str = "0000000000000000";

/// What stands where a unit is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// The very same.
    Same,
    /// One that we wrote, of another version or configuration.
    Ours,
    /// One that somebody else wrote, or changed.
    Changed,
}

/// Returns the line, open, to be part of a text.
pub(super) fn line() -> String {
    format!("{MARK}{OPEN}")
}

/// Closes the line of a text.
pub(super) fn seal(text: &str) -> String {
    text.replacen(&line(), &format!("{MARK}{:016x}", sum(text)), 1)
}

/// Returns whether a text is as it was sealed.
pub(super) fn is_whole(text: &str) -> bool {
    let sealed = text.lines().find_map(|line| line.split_once(MARK));
    sealed.is_some_and(|(_, rest)| rest.starts_with(&format!("{:016x}", sum(text))))
}

/// Compares what is there with what is wanted.
pub(super) fn compare(there: Option<&str>, wanted: &str) -> Found {
    match there {
        None => Found::Nothing,
        Some(text) if text == wanted => Found::Same,
        Some(text) if is_whole(text) => Found::Ours,
        Some(_) => Found::Changed,
    }
}

/// Returns the sum of all lines but the sealed one: FNV-1a. It tells a change, not a forger.
fn sum(text: &str) -> u64 {
    let lines = text.lines().filter(|line| !line.contains(MARK));
    let bytes = lines.flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_of_a_sealed_text_is_seen() {
        let text = seal(&format!("# {}\n[Service]\nRestart=always\n", line()));
        assert!(is_whole(&text), "{text}");
        assert!(!is_whole(&text.replace("always", "never")));
        assert!(!is_whole("[Service]\n"));
        let other = seal(&format!("# {}\n[Service]\nRestart=no\n", line()));
        assert_eq!(compare(None, &text), Found::Nothing);
        assert_eq!(compare(Some(&text), &text), Found::Same);
        assert_eq!(compare(Some(&other), &text), Found::Ours);
        let changed = text.replace("always", "never");
        assert_eq!(compare(Some(&changed), &text), Found::Changed);
    }
}
