//! What became of everything that was asked: for tests that ask much.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::mock::{Answer, Place};
use super::{Asked, MockFeishu, State, Tally, content, observe};

impl MockFeishu {
    /// Asks something at the top of a group, with a mention. In a group of topics the answer
    /// belongs into the topic that begins.
    pub(crate) fn ask(&self, person: &str, chat: &str, marker: &str) -> Asked {
        let message = self.say(person, chat, &self.mention(marker));
        self.asked(message, marker)
    }

    /// Asks something in direct messages.
    pub(crate) fn ask_directly(&self, person: &str, marker: &str) -> Asked {
        let message = self.say(person, &self.p2p(person), marker);
        self.asked(message, marker)
    }

    /// Asks something in the topic that begins with a message, without a mention.
    pub(crate) fn ask_below(&self, person: &str, chat: &str, root: &str, marker: &str) -> Asked {
        let message = self.reply(person, chat, root, marker);
        self.asked(message, marker)
    }

    fn asked(&self, message: String, marker: &str) -> Asked {
        let kept = self.shared.look(|state| state.messages[&message].clone());
        Asked {
            chat: kept.chat,
            message,
            thread: kept.thread_id,
            marker: marker.to_owned(),
        }
    }

    /// Waits until everything has an answer, or an honest word that nobody can know.
    pub(crate) async fn all_answered(&self, asked: &[Asked]) {
        let mut seen = 0;
        self.until(&format!("{} answers", asked.len()), |feishu| {
            // There is much to compare, and most changes are no answers.
            let posts = feishu.count_posts();
            let is_news = posts != seen;
            seen = posts;
            // One answer may be to several questions.
            (is_news && feishu.tally(asked).lost.is_empty()).then_some(())
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
                let at = |message: &str| state.messages[message].at_ms;
                let waited = at(answer.message).saturating_sub(at(&it.message));
                Some(Duration::from_millis(waited))
            });
            waits.collect()
        })
    }

    /// Returns what became of everything that was asked. Markers must not contain each other.
    pub(crate) fn tally(&self, asked: &[Asked]) -> Tally {
        self.shared.look(|state| {
            let delayed = state.delayed();
            let is_delayed = |it: &Asked| delayed.contains(&*it.message);
            Tally::of(asked, &answers(state), is_delayed)
        })
    }
}

fn answers(state: &State) -> BTreeMap<Place<'_>, Vec<Answer<'_>>> {
    let mut places: BTreeMap<Place<'_>, Vec<Answer<'_>>> = BTreeMap::new();
    for message in observe::own(state) {
        let content = serde_json::from_str(&message.content).unwrap_or_default();
        let answer = Answer {
            message: &message.id,
            text: content::visible(&message.kind, &content),
        };
        let place = (message.chat.as_str(), message.thread_id.as_deref());
        places.entry(place).or_default().push(answer);
    }
    places
}
