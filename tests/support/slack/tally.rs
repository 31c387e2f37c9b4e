//! What became of everything that was asked: for tests that ask much.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::mock::{Answer, Place};
use super::{Asked, BOT, MockSlack, State, Tally, limits};

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
            chat: channel.to_owned(),
            message: ts,
            thread: thread_ts,
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
                let here = places.get(&it.place())?;
                let answer = here.iter().find(|answer| answer.says(it))?;
                Some(between(&it.message, answer.message))
            });
            waits.collect()
        })
    }

    /// Returns what became of everything that was asked. Markers must not contain each other.
    pub(crate) fn tally(&self, asked: &[Asked]) -> Tally {
        self.shared.look(|state| {
            let delayed = state.delayed();
            let is_delayed = |it: &Asked| delayed.contains(&(&*it.chat, &*it.message));
            Tally::of(asked, &answers(state), is_delayed)
        })
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
                message: &message.ts,
                text,
            };
            let place = (channel.id.as_str(), message.thread_ts.as_deref());
            places.entry(place).or_default().push(answer);
        }
    }
    places
}

/// Returns how much later one `ts` is than another.
fn between(earlier: &str, later: &str) -> Duration {
    let micros = |ts: &str| -> u64 { ts.replace('.', "").parse().expect("a ts") };
    Duration::from_micros(micros(later).saturating_sub(micros(earlier)))
}
