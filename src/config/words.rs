//! Words for people: what was probably meant, and what there is to choose from.

/// Returns the hint for a word that is none of `known`.
pub(crate) fn suggest(word: &str, known: &[&str], what: &str) -> String {
    if let Some(near) = nearest(word, known) {
        return format!("did you mean `{near}`?");
    }
    match known {
        [] => format!("there are no {what} here"),
        known => format!("known {what}: {}", known.join(", ")),
    }
}

/// Returns the word that was probably meant, whatever its case and separators.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let word: String = plain(word).chars().take(64).collect();
    known
        .iter()
        .map(|known| {
            let candidate = plain(known);
            let allowed = (candidate.chars().count().max(word.chars().count()) / 3).max(1);
            let shorter = word.len().min(candidate.len());
            let extends = word.starts_with(&candidate) || candidate.starts_with(&word);
            let distance = if extends && shorter >= 3 {
                1
            } else {
                strsim::damerau_levenshtein(&word, &candidate)
            };
            (*known, distance, allowed)
        })
        .filter(|(_, distance, allowed)| distance <= allowed)
        .min_by_key(|(_, distance, _)| *distance)
        .map(|(known, ..)| known)
}

/// Returns the words as a choice: `"a", "b" or "c"`.
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Returns at most the beginning of a text that may be long.
pub(crate) fn clip(text: &str) -> String {
    const MAX: usize = 60;
    let mut clipped: String = text.chars().take(MAX).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_see_through_typing_mistakes_case_and_separators() {
        let known = ["turn_idle_timeout", "stale_after", "on_busy", "state_dir"];
        for (word, meant) in [
            ("turnIdleTimeout", Some("turn_idle_timeout")),
            ("on-busy", Some("on_busy")),
            ("onbsuy", Some("on_busy")),
            ("state_directory", Some("state_dir")),
            ("stale", Some("stale_after")),
            ("colour", None),
            ("", None),
            ("o", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn words_without_a_likeness_get_all_there_is() {
        assert_eq!(
            suggest("x", &["info", "warn"], "levels"),
            "known levels: info, warn"
        );
        assert_eq!(suggest("x", &[], "channels"), "there are no channels here");
    }
}
