//! What became of everything that was asked: for tests that ask much.

use std::collections::BTreeMap;

/// A message that is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) chat: String,
    /// The name of the message; those of later messages sort behind it.
    pub(crate) message: String,
    /// The thread of the chat in which the answer belongs, if it belongs into one.
    pub(crate) thread: Option<String>,
    /// What only its answer says.
    pub(crate) marker: String,
}

/// What became of everything that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) asked: usize,
    pub(crate) answered: usize,
    /// Answered only with an honest word (❓) that nobody can know.
    pub(crate) unclear: usize,
    pub(crate) lost: Vec<Asked>,
    pub(crate) twice: Vec<Asked>,
    /// Answered, but somewhere else.
    pub(crate) misplaced: Vec<Asked>,
    /// Threads whose answers are not in the order of the questions. What had to be delivered again
    /// does not count: those after it may have come before it.
    pub(crate) out_of_order: Vec<(String, Option<String>)>,
}

/// A chat, and a thread in it.
pub(crate) type Place<'a> = (&'a str, Option<&'a str>);

/// A message of the bot.
pub(crate) struct Answer<'a> {
    /// Its name; those of later messages sort behind it.
    pub(crate) message: &'a str,
    pub(crate) text: String,
}

impl Answer<'_> {
    pub(crate) fn says(&self, asked: &Asked) -> bool {
        self.text.contains(&asked.marker)
    }
}

impl Asked {
    pub(crate) fn place(&self) -> Place<'_> {
        (&self.chat, self.thread.as_deref())
    }
}

impl Tally {
    /// Fails unless everything has one answer in its own place, in order.
    pub(crate) fn assert_exactly_once(&self) {
        assert!(
            self.answered + self.unclear == self.asked
                && self.lost.is_empty()
                && self.twice.is_empty()
                && self.misplaced.is_empty()
                && self.out_of_order.is_empty(),
            "{self:#?}"
        );
    }

    /// Compares what was asked with what the bot said, where. Markers must not contain each other.
    /// What was delayed does not count for the order: those after it may have come before it.
    pub(crate) fn of(
        asked: &[Asked],
        places: &BTreeMap<Place<'_>, Vec<Answer<'_>>>,
        is_delayed: impl Fn(&Asked) -> bool,
    ) -> Self {
        let mut tally = Self {
            asked: asked.len(),
            ..Self::default()
        };
        // By place: which question had its answer where.
        let mut pairs: BTreeMap<Place<'_>, Vec<(&str, &str)>> = BTreeMap::new();
        // By place: how many honest words are left, and whether one was just given.
        let mut words: BTreeMap<Place<'_>, (usize, bool)> = BTreeMap::new();
        for it in asked {
            let here = places.get(&it.place()).map_or(&[][..], Vec::as_slice);
            let (left, is_given) = words.entry(it.place()).or_insert_with(|| {
                let all = here.iter().filter(|answer| answer.text.contains('❓'));
                (all.count(), false)
            });
            let mut answers = here.iter().filter(|answer| answer.says(it));
            let first = answers.next();
            if first.is_some() {
                *is_given = false;
            }
            match (first, answers.next()) {
                (Some(answer), None) => {
                    tally.answered += 1;
                    if !is_delayed(it) {
                        let pair = (it.message.as_str(), answer.message);
                        pairs.entry(it.place()).or_default().push(pair);
                    }
                }
                (Some(_), Some(_)) => tally.twice.push(it.clone()),
                // Messages that wait together are worked on together, and have one word together.
                (None, _) if *is_given => tally.unclear += 1,
                (None, _) if *left > 0 => {
                    (*left, *is_given) = (*left - 1, true);
                    tally.unclear += 1;
                }
                (None, _) if places.values().flatten().any(|answer| answer.says(it)) => {
                    tally.misplaced.push(it.clone());
                }
                (None, _) => tally.lost.push(it.clone()),
            }
        }
        for ((chat, thread), mut pairs) in pairs {
            pairs.sort_unstable();
            if !pairs.is_sorted_by_key(|(_, answer)| *answer) {
                let place = (chat.to_owned(), thread.map(str::to_owned));
                tally.out_of_order.push(place);
            }
        }
        tally
    }
}

/// Messages that waited together have one honest word together; one that is answered, or waits
/// elsewhere, has no part in it.
#[test]
fn an_honest_word_is_for_neighbours() {
    let asked = |thread: &str, marker: &str| Asked {
        chat: "c".to_owned(),
        message: marker.to_owned(),
        thread: Some(thread.to_owned()),
        marker: marker.to_owned(),
    };
    let all = [
        asked("t", "m1"),
        asked("t", "m2"),
        asked("u", "m3"),
        asked("t", "m4"),
        asked("t", "m5"),
    ];
    let said = |text: &str| Answer {
        message: "m9",
        text: text.to_owned(),
    };
    let places = BTreeMap::from([(("c", Some("t")), vec![said("❓"), said("m4")])]);
    let tally = Tally::of(&all, &places, |_| false);
    assert_eq!((tally.answered, tally.unclear), (1, 2));
    assert_eq!(tally.lost, [all[2].clone(), all[4].clone()]);
}
