//! Blanks secrets by their value, wherever text leaves the daemon.

use std::fmt;

use url::form_urlencoded;

use crate::config::Secret;

/// What is shorter is no secret worth hiding, and would blank innocent words.
const MIN_SECRET: usize = 8;

/// Replaces secrets by `[secret]`: as they are, as in a URL, and in Base64.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longer ones first: one may be part of another.
    needles: Vec<String>,
}

impl Redactor {
    /// Knows these secrets from now on.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles: Vec<_> = secrets
            .into_iter()
            .map(Secret::expose)
            .filter(|secret| secret.len() >= MIN_SECRET)
            .flat_map(|secret| {
                let in_url = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                [secret.to_owned(), in_url, base64(secret.as_bytes())]
            })
            .collect();
        needles.sort_by_key(|needle| (std::cmp::Reverse(needle.len()), needle.clone()));
        needles.dedup();
        Self { needles }
    }

    /// Returns whether it knows no secret.
    pub fn is_idle(&self) -> bool {
        self.needles.is_empty()
    }

    /// Returns the text without secrets; `None` when there is none in it.
    pub fn redact(&self, text: &str) -> Option<String> {
        let mut redacted = None::<String>;
        for needle in &self.needles {
            let current = redacted.as_deref().unwrap_or(text);
            if current.contains(needle) {
                redacted = Some(current.replace(needle, "[secret]"));
            }
        }
        redacted
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

/// Returns the Base64 form, without what padding would hide the end behind.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let byte = |index| u32::from(chunk.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            (0..=chunk.len()).map(move |place| {
                let sextet = bits >> (18 - 6 * place) & 0x3f;
                char::from(ALPHABET[sextet as usize])
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked_in_every_form() {
        let token = Secret::new("xoxb-12+34/hunter2");
        let redactor = Redactor::new([&token]);
        let redacted = redactor.redact(
            "plain xoxb-12+34/hunter2, again xoxb-12+34/hunter2, URL ?token=xoxb-12%2B34%2Fhunter2, \
             Base64 eG94Yi0xMiszNC9odW50ZXIy.",
        );
        assert_eq!(
            redacted.as_deref(),
            Some("plain [secret], again [secret], URL ?token=[secret], Base64 [secret].")
        );
        assert_eq!(redactor.redact("nothing of it"), None);
    }

    #[test]
    fn secret_that_holds_another_goes_first_and_short_ones_are_no_secrets() {
        let (outer, inner) = (Secret::new("prefix-hunter2"), Secret::new("-hunter2"));
        let redactor = Redactor::new([&inner, &outer, &Secret::new("info"), &Secret::new("")]);
        assert_eq!(
            redactor
                .redact("info: prefix-hunter2 or -hunter2")
                .as_deref(),
            Some("info: [secret] or [secret]")
        );
    }

    #[test]
    fn base64_is_that_of_the_standard_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
