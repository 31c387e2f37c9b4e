//! What became of everything that was asked: for tests that ask much.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BOT, MockSlack, State, limits};

/// A message that is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) channel: String,
    pub(crate) ts: String,
    /// Where the answer belongs: the root of the thread, or none in direct messages.
    pub(crate) thread_ts: Option<String>,
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
}

impl MockSlack {
    /// Asks something at the top of a channel, with a mention; the answer belongs below it.
    pub(crate) fn ask(&self, user: &str, channel: &str, marker: &str) -> Asked {
        let ts = self.say(user, channel, &self.mention(marker));
        self.asked(channel, Some(ts.clone()), ts, marker)
    }

    /// Asks something in direct messages.
    pub(crate) fn ask_directly(&self, user: &str, marker: &str) -> Asked {
        let channel = self.direct(user);
        let ts = self.say(user, &channel, marker);
        self.asked(&channel, None, ts, marker)
    }

    /// Asks something in a thread, without a mention.
    pub(crate) fn ask_below(&self, user: &str, channel: &str, root: &str, marker: &str) -> Asked {
        let ts = self.reply(user, channel, root, marker);
        self.asked(channel, Some(root.to_owned()), ts, marker)
    }

    fn asked(&self, channel: &str, thread_ts: Option<String>, ts: String, marker: &str) -> Asked {
        Asked {
            channel: channel.to_owned(),
            ts,
            thread_ts,
            marker: marker.to_owned(),
        }
    }

    /// Waits until everything has an answer, or an honest word that nobody can know.
    pub(crate) async fn all_answered(&self, asked: &[Asked]) {
        let mut seen = 0;
        self.until(&format!("{} answers", asked.len()), |slack| {
            // There is much to compare, and most changes are no answers.
            let posts = slack.count_posts();
            let is_news = posts != seen;
            seen = posts;
            let is_done = is_news && slack.tally(asked).lost.is_empty();
            is_done.then_some(())
        })
        .await;
    }

    /// Returns how long each question waited for the post that answers it; those that are answered.
    pub(crate) fn waits(&self, asked: &[Asked]) -> Vec<Duration> {
        self.shared.look(|state| {
            let places = answers(state);
            let waits = asked.iter().filter_map(|it| {
                let here = places.get(&(it.channel.as_str(), it.thread_ts.as_deref()))?;
                let answer = here.iter().find(|answer| answer.says(it))?;
                Some(between(&it.ts, answer.ts))
            });
            waits.collect()
        })
    }

    /// Returns what became of everything that was asked. Markers must not contain each other.
    pub(crate) fn tally(&self, asked: &[Asked]) -> Tally {
        self.shared.look(|state| {
            let places = answers(state);
            let delayed = state.delayed();
            let mut tally = Tally {
                asked: asked.len(),
                ..Tally::default()
            };
            // By place: which question had its answer where.
            let mut pairs: BTreeMap<Place<'_>, Vec<(&str, &str)>> = BTreeMap::new();
            let mut unanswered: Vec<&Asked> = Vec::new();
            for it in asked {
                let place = (it.channel.as_str(), it.thread_ts.as_deref());
                let here = places.get(&place).map_or(&[][..], Vec::as_slice);
                let mut answers = here.iter().filter(|answer| answer.says(it));
                match (answers.next(), answers.next()) {
                    (None, _) => unanswered.push(it),
                    (Some(answer), None) => {
                        tally.answered += 1;
                        if !delayed.contains(&(&*it.channel, &*it.ts)) {
                            pairs.entry(place).or_default().push((&it.ts, answer.ts));
                        }
                    }
                    (Some(_), Some(_)) => tally.twice.push(it.clone()),
                }
            }
            let mut notices: BTreeMap<Place<'_>, usize> = BTreeMap::new();
            for it in unanswered {
                let place = (it.channel.as_str(), it.thread_ts.as_deref());
                let left = notices.entry(place).or_insert_with(|| {
                    let here = places.get(&place).into_iter().flatten();
                    here.filter(|answer| answer.text.contains('❓')).count()
                });
                if *left > 0 {
                    *left -= 1;
                    tally.unclear += 1;
                } else if places.values().flatten().any(|answer| answer.says(it)) {
                    tally.misplaced.push(it.clone());
                } else {
                    tally.lost.push(it.clone());
                }
            }
            for ((channel, thread), mut pairs) in pairs {
                pairs.sort_unstable();
                if !pairs.is_sorted_by_key(|(_, answer)| *answer) {
                    let place = (channel.to_owned(), thread.map(str::to_owned));
                    tally.out_of_order.push(place);
                }
            }
            tally
        })
    }
}

/// Returns how much later one `ts` is than another.
fn between(earlier: &str, later: &str) -> Duration {
    let micros = |ts: &str| -> u64 { ts.replace('.', "").parse().expect("a ts") };
    Duration::from_micros(micros(later).saturating_sub(micros(earlier)))
}

/// A channel, and a thread in it.
type Place<'a> = (&'a str, Option<&'a str>);

struct Answer<'a> {
    ts: &'a str,
    text: String,
}

impl Answer<'_> {
    fn says(&self, asked: &Asked) -> bool {
        self.text.contains(&asked.marker)
    }
}

fn answers(state: &State) -> BTreeMap<Place<'_>, Vec<Answer<'_>>> {
    let mut places: BTreeMap<Place<'_>, Vec<Answer<'_>>> = BTreeMap::new();
    for channel in state.channels.values() {
        for message in channel.messages.values() {
            if message.bot_id.as_deref() != Some(BOT) || message.tombstone {
                continue;
            }
            let text = match limits::visible(&message.blocks) {
                visible if visible.is_empty() => message.text.clone(),
                visible => visible,
            };
            let answer = Answer {
                ts: &message.ts,
                text,
            };
            let place = (channel.id.as_str(), message.thread_ts.as_deref());
            places.entry(place).or_default().push(answer);
        }
    }
    places
}
