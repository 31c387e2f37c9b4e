//! What must not be seen, blanked on every way out: by value, in each form it is likely to take.
//!
//! Every [`Secret`](crate::config::Secret) that this process has fetched is known to the one
//! [`redactor`]: none can be fetched without that. Whatever is written for others goes through it, be
//! it a line of the log, a panic, an error at the terminal, an answer of the control API, an event, a
//! post, or a line that codex printed.
//!
//! It goes by value because nobody can tell beforehand where one turns up: a model that was asked to
//! print its environment will, and a proxy quotes the header that it refused.
//!
//! **Invariant**: knows nothing of where text comes from or goes to, and does no IO.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use serde_json::Value;
use url::form_urlencoded;

/// What is shown in place of a secret.
pub const MARK: &str = "[secret]";

/// How many characters a text must have to be blanked: shorter ones would blank innocent words.
pub const MIN_CHARS: usize = 8;

/// What has only letters and is shorter than this may well be a word that is written for other
/// reasons.
const LONGEST_WORD: usize = 20;

/// How long a line of a secret that has several must be to be blanked by itself: the lines of a key
/// are, and what it begins with is not.
const MIN_LINE: usize = 16;

/// Returns the redactor of this process.
pub fn redactor() -> &'static Redactor {
    static REDACTOR: OnceLock<Redactor> = OnceLock::new();
    REDACTOR.get_or_init(Redactor::default)
}

/// Knows texts that must not be seen, and blanks them.
///
/// What it has learnt it never forgets: a token that was replaced may be written an hour later.
#[derive(Debug, Default)]
pub struct Redactor(RwLock<Known>);

/// How well a text can be kept from being seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// It is blanked wherever it turns up.
    Fit,
    /// It has fewer than [`MIN_CHARS`] characters and is not blanked.
    TooShort,
    /// It is blanked, and may be a word that is written for other reasons.
    Common,
}

/// What is known, with what finds it; `None` as long as that is nothing.
#[derive(Default)]
struct Known {
    forms: BTreeSet<String>,
    finder: Option<Arc<AhoCorasick>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("forms", &self.forms.len())
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// Learns a text that must not be seen from now on. To learn one again costs nothing.
    pub fn learn(&self, secret: &str) -> Fitness {
        let fitness = fitness(secret);
        if fitness == Fitness::TooShort || self.read(|known| known.forms.contains(secret)) {
            return fitness;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.forms.extend(forms(secret));
        // What cannot be built (there are limits far beyond any number of secrets) leaves what was.
        if let Ok(finder) = AhoCorasick::new(&known.forms) {
            known.finder = Some(Arc::new(finder));
        }
        fitness
    }

    /// Returns a text with [`MARK`] for everything in it that must not be seen. Where there is
    /// nothing of that kind, it is the same text, and nothing was copied.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(finder) = self.read(|known| known.finder.clone()) else {
            return Cow::Borrowed(text);
        };
        let mut found: Vec<Range<usize>> = finder
            .find_overlapping_iter(text)
            .map(|it| it.range())
            .collect();
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        found.sort_by_key(|range| range.start);
        let mut redacted = String::with_capacity(text.len());
        let mut copied = 0;
        let mut found = found.into_iter().peekable();
        while let Some(first) = found.next() {
            let mut end = first.end;
            // One may be part of another, or begin where another has not ended.
            while let Some(next) = found.next_if(|next| next.start < end) {
                end = end.max(next.end);
            }
            redacted.push_str(&text[copied..first.start]);
            redacted.push_str(MARK);
            copied = end;
        }
        redacted.push_str(&text[copied..]);
        Cow::Owned(redacted)
    }

    /// Returns whether there is anything in bytes that must not be seen.
    pub fn finds_in(&self, bytes: &[u8]) -> bool {
        self.read(|known| known.finder.clone())
            .is_some_and(|finder| finder.is_match(bytes))
    }

    /// Returns how long the longest text is that must not be seen, in bytes; `None` when there is
    /// none. What is read piece by piece keeps so much of the piece before.
    pub fn longest(&self) -> Option<usize> {
        self.read(|known| known.finder.as_ref().map(|it| it.max_pattern_len()))
    }

    /// As [`redact`](Self::redact), for text that is handed over.
    pub fn redact_owned(&self, text: String) -> String {
        match self.redact(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(redacted) => redacted,
        }
    }

    /// Blanks the texts of a JSON value, and the keys of its objects, at any depth.
    pub fn redact_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(entries) => {
                let mut shown = serde_json::Map::with_capacity(entries.len());
                for (key, mut entry) in std::mem::take(entries) {
                    self.redact_json(&mut entry);
                    shown.insert(self.redact_owned(key), entry);
                }
                *entries = shown;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says how well a text can be kept from being seen.
pub fn fitness(secret: &str) -> Fitness {
    let chars = secret.chars().count();
    let is_word = chars < LONGEST_WORD && secret.chars().all(char::is_alphabetic);
    let mut different = secret.chars().collect::<Vec<_>>();
    different.sort_unstable();
    different.dedup();
    if chars < MIN_CHARS {
        Fitness::TooShort
    } else if is_word || different.len() < 3 {
        Fitness::Common
    } else {
        Fitness::Fit
    }
}

/// Returns the forms in which a secret is likely to turn up: as it is, in a URL, in JSON and in
/// JSON within JSON, in XML, in hexadecimal, and in Base64, also as a part of something longer. Of
/// one with several lines also the lines, which is how a log would have it.
pub fn forms(secret: &str) -> BTreeSet<String> {
    let lines = secret
        .lines()
        .map(str::trim)
        .filter(|line| line.len() >= MIN_LINE && *line != secret && !line.starts_with("-----"));
    let mut forms = BTreeSet::new();
    for text in std::iter::once(secret).chain(lines) {
        forms.insert(text.to_owned());
        forms.extend(in_url(text));
        let json = in_json(text);
        forms.extend([in_json(&json), json.replace('/', "\\/"), json]);
        forms.insert(in_xml(text));
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        forms.extend([hex.to_uppercase(), hex]);
        forms.extend(in_base64(text.as_bytes()));
    }
    forms
}

/// Returns a text as it stands in a query and in a path, in capitals and in small letters.
fn in_url(text: &str) -> [String; 4] {
    let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let path = query.replace('+', "%20");
    [lower_escapes(&query), lower_escapes(&path), query, path]
}

/// Returns `%2B` as `%2b`.
fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |lower, part| {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        format!("{lower}%{}{rest}", code.to_lowercase())
    })
}

/// Returns a text as it stands between the quotes of a JSON string.
fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns a text as our envelopes have it.
fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Returns what Base64, in both alphabets, makes of bytes wherever they begin in something longer:
/// those characters that depend on nothing else.
fn in_base64(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::with_capacity(8);
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        // By itself, to its last character.
        forms.push(engine.encode(bytes));
        for before in 0..3 {
            let longer = [&[0_u8; 2][..before], bytes].concat();
            let encoded = engine.encode(&longer);
            // Six bits a character.
            let (start, end) = ((before * 8).div_ceil(6), longer.len() * 8 / 6);
            forms.push(encoded[start..end].to_owned());
        }
    }
    forms
}
