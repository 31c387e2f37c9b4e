//! What became of everything that was asked: for tests that ask much.

use std::collections::BTreeMap;

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
            let is_done = is_news && posts >= asked.len() && slack.tally(asked).lost.is_empty();
            is_done.then_some(())
        })
        .await;
    }

    /// Returns what became of everything that was asked. Markers must not contain each other.
    pub(crate) fn tally(&self, asked: &[Asked]) -> Tally {
        self.shared.look(|state| Tally::of(asked, &answers(state)))
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
