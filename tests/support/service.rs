//! Chat services, as tests see them that hold for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::{Channel, Conversation};

use super::daemon::Choices;
use super::mock::{Answer, Asked, EventId, Knowledge, Mock, Place, Tally};

/// A chat service, by its mock.
pub(crate) trait Service: Knowledge {
    /// What may differ between mocks.
    type Options;
    /// The channel to this service.
    type Channel: Channel + 'static;

    /// What no output may contain.
    const SECRETS: &'static [&'static str];
    /// The method that a connection begins with.
    const OPENS: &'static str;
    /// The methods without which nothing can be answered.
    const NEEDED: &'static [&'static str];
    /// The method that answers a question in a thread.
    const ANSWERS: &'static str;
    /// Whether what cannot be kept is refused, and not just left without an acknowledgement.
    const REFUSES: bool;
    /// Whether direct messages have threads, where sessions are by thread.
    const THREADS_DIRECT: bool;
    /// The reactions on a message that is answered, and on one that cannot be.
    const ENDS: [&'static str; 2];

    /// The method that makes a reaction.
    const REACTS: &'static str;
    /// What the service calls [`Emoji::Tada`](tieline_channel::Emoji::Tada).
    const TADA: &'static str;
    /// The method that changes a message.
    const EDITS: &'static str;
    /// How a call is refused for which the app has no permission.
    const NOT_PERMITTED: Self::Error;

    /// Of how many questions reactions keep up with what they show: they are limited.
    const MARKED_SOON: usize;

    /// Starts a mock.
    async fn start(options: Self::Options) -> Mock<Self>;

    /// Makes the channel.
    fn channel(mock: &Mock<Self>) -> Arc<Self::Channel>;

    /// Returns the choices with the channel, to which everybody may speak.
    fn join(mock: &Mock<Self>, choices: Choices) -> Choices;

    fn person(mock: &Mock<Self>, name: &str) -> String;

    /// Makes a group in which every question begins a thread.
    fn group(mock: &Mock<Self>, name: &str) -> String;

    /// Makes a thread that nobody has heard of.
    fn thread(mock: &Mock<Self>) -> Conversation;

    /// Asks the first question of a thread.
    fn ask(mock: &Mock<Self>, person: &str, group: &str, marker: &str) -> Asked;

    /// Asks in a thread.
    fn ask_below(mock: &Mock<Self>, person: &str, group: &str, root: &str, marker: &str) -> Asked;

    /// Asks in direct messages.
    fn ask_directly(mock: &Mock<Self>, person: &str, marker: &str) -> Asked;

    /// Returns what [`Push::about`](super::mock::delivery::Push::about) says of a question.
    fn about(asked: &Asked) -> String;

    /// Presses a button of a message.
    fn press(mock: &Mock<Self>, person: &str, chat: &str, message: &str, label: &str) -> EventId;

    /// Delivers an event again in every way that there is.
    fn repeat(mock: &Mock<Self>, event: &EventId);

    /// Returns everything that the bot said, in order, by place.
    fn answers(&self) -> BTreeMap<Place<'_>, Vec<Answer<'_>>>;

    fn count_posts(&self) -> usize;

    /// Returns the time from one message to another.
    fn between(&self, earlier: &str, later: &str) -> Duration;

    /// Returns which emoji a call of [`REACTS`](Self::REACTS) is about.
    fn emoji(args: &Self::Args) -> Option<&str>;

    /// Returns the bot's reactions on a question.
    fn reactions(&self, asked: &Asked) -> Vec<String>;

    /// Returns whether a message has buttons.
    fn has_buttons(&self, chat: &str, message: &str) -> bool;

    /// Returns how many threads show that there is work, other than by reactions.
    fn at_work(&self) -> usize;
}

impl<S: Service> Mock<S> {
    /// Waits until everything has an answer, or an honest word that nobody can know.
    pub(crate) async fn all_answered(&self, asked: &[Asked]) {
        let mut seen = 0;
        self.until(&format!("{} answers", asked.len()), |mock| {
            // There is much to compare, and most changes are no answers.
            let posts = mock.shared.look(S::count_posts);
            let is_news = posts != seen;
            seen = posts;
            // One answer may be to several questions.
            (is_news && mock.tally(asked).lost.is_empty()).then_some(())
        })
        .await;
    }

    /// Returns what became of everything that was asked. Markers must not contain each other.
    pub(crate) fn tally(&self, asked: &[Asked]) -> Tally {
        self.shared.look(|state| {
            let delayed = state.common().delayed();
            let is_delayed = |it: &Asked| delayed.contains(&*S::about(it));
            Tally::of(asked, &state.answers(), is_delayed)
        })
    }

    /// Returns how long each question waited for the post that answers it; those that are answered.
    pub(crate) fn waits(&self, asked: &[Asked]) -> Vec<Duration> {
        self.shared.look(|state| {
            let places = state.answers();
            let waits = asked.iter().filter_map(|it| {
                let here = places.get(&it.place())?;
                let answer = here.iter().find(|answer| answer.says(it))?;
                Some(state.between(&it.message, answer.message))
            });
            waits.collect()
        })
    }

    /// Waits until every question shows how it ended, and nothing else.
    pub(crate) async fn all_marked(&self, asked: &[Asked]) {
        self.wait_for("every message to show its end", |state| {
            let places = state.answers();
            let is_marked = |it: &Asked| {
                let here = places.get(&it.place());
                let is_answered = here.is_some_and(|here| here.iter().any(|post| post.says(it)));
                let [done, failed] = S::ENDS;
                state.reactions(it) == [if is_answered { done } else { failed }]
            };
            (state.at_work() == 0 && asked.iter().all(is_marked)).then_some(())
        })
        .await;
    }

    /// Returns what is delivered of a question.
    pub(crate) fn events(&self, asked: &Asked) -> Vec<EventId> {
        self.events_about(&S::about(asked))
    }
}
