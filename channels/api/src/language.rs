//! The languages that people are spoken to in.
//!
//! Only what tieline itself says: what Codex answers is in whatever language it likes.

/// A language that people are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

/// One text, in every language side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
}

impl Language {
    /// Every language.
    pub const ALL: &'static [Self] = &[Self::English, Self::Chinese];
}

impl Text {
    /// Returns it in a language.
    pub const fn within(self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::Chinese => self.zh,
        }
    }
}

/// Panics unless a text is there in both languages, says the same commands in both, and mixes none.
///
/// Names, commands and paths stand in backquotes; outside of those a Chinese text may have single
/// words such as `Codex`, and an English one nothing Chinese.
///
/// # Panics
///
/// When something is wrong, with what it is.
#[cfg(feature = "conformance")]
pub fn assert_speaks_both(say: impl Fn(Language) -> String) {
    let (en, zh) = (say(Language::English), say(Language::Chinese));
    let is_chinese = |c: char| matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}');
    assert!(
        !en.contains(is_chinese),
        "English with Chinese in it: {en:?}"
    );
    assert!(zh.contains(is_chinese), "not in Chinese: {zh:?}");
    assert!(!en.trim().is_empty(), "not in English: {zh:?}");

    assert_eq!(
        spans(&en).1.len(),
        spans(&zh).1.len(),
        "{en:?} and {zh:?} name different things"
    );
    let outside = spans(&zh).0;
    let longest = outside
        .split(|c: char| !c.is_ascii_alphabetic() && c != ' ')
        .map(|run| run.split_whitespace().count())
        .max();
    assert!(longest <= Some(2), "Chinese with English in it: {zh:?}");
    let chars: Vec<_> = outside.chars().collect();
    for pair in chars.windows(2) {
        assert!(
            !(is_chinese(pair[0]) && matches!(pair[1], ',' | '.' | ';' | ':' | '?' | '!' | '(')),
            "Chinese with English punctuation: {zh:?}"
        );
    }
}

/// Returns what is outside of backquotes, and what is between each two.
#[cfg(feature = "conformance")]
fn spans(text: &str) -> (String, Vec<&str>) {
    let pieces: Vec<_> = text.split('`').collect();
    assert!(
        pieces.len() % 2 == 1,
        "a backquote without another: {text:?}"
    );
    let outside: Vec<_> = pieces.iter().copied().step_by(2).collect();
    let inside = pieces.iter().copied().skip(1).step_by(2).collect();
    (outside.join("。"), inside)
}
