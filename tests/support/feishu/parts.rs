//! Cutting a payload into the parts of a push.

use super::options::Cut;

/// Returns the parts in the order in which they are sent: number, bytes. A cut may fall inside a
/// character.
pub(super) fn cut(payload: &[u8], how: Cut) -> Vec<(usize, Vec<u8>)> {
    let size = match how {
        Cut::Whole => payload.len(),
        Cut::InOrder(size) | Cut::Shuffled(size) => size,
    };
    let chunks = payload.chunks(size.max(1)).map(<[u8]>::to_vec);
    let mut parts: Vec<_> = chunks.enumerate().collect();
    if matches!(how, Cut::Shuffled(_)) && parts.len() > 1 {
        parts.reverse();
        // Never the one that completes them: what comes after is of another set.
        let twice = parts[0].clone();
        parts.insert(1, twice);
    }
    parts
}
