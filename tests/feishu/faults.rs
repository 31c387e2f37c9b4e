//! Breaking things between Feishu, the daemon and Codex, and counting what became of each message:
//! answered once, in its own topic, in order.

mod calls;
mod connections;
mod events;
mod kills;
mod load;

use std::time::Duration;

use crate::support::daemon::{Choices, World};
use crate::support::feishu::{APP_SECRET, Asked, EventId, MockFeishu, Options};
use crate::support::model::{Echo, told};

/// How long an acknowledgement may take before Feishu delivers again.
const ACK_DEADLINE: Duration = Duration::from_secs(3);

/// An office that asks, and the daemon that answers.
struct Office {
    feishu: MockFeishu,
    echo: Echo,
    world: World,
    mei: String,
    asked: Vec<Asked>,
}

/// Where questions are asked.
#[derive(Clone, Debug)]
enum Place {
    /// In the topic that begins with a message.
    Topic { chat: String, root: String },
    /// In direct messages with somebody.
    Direct(String),
}

impl Office {
    /// Starts a daemon with a session for each topic.
    async fn start(options: Options) -> Self {
        Self::start_with(options, "thread").await
    }

    async fn start_with(options: Options, sessions: &str) -> Self {
        let feishu = MockFeishu::start(options).await;
        let mei = feishu.person("Mei");
        let choices = Choices {
            dispatcher: format!(
                "sessions = {sessions:?}\nrestart = {{ base = \"20ms\", max = \"100ms\" }}\n"
            ),
            ..Choices::standard()
        };
        let choices = choices.with_feishu(&feishu, "");
        let echo = Echo::new();
        let mut world = World::new(echo.start().await, &choices);
        world.start();
        world.ready(0).await;
        feishu.wait_for_connections(1).await;
        Self {
            feishu,
            echo,
            world,
            mei,
            asked: Vec::new(),
        }
    }

    /// Asks the first question of a topic, in a group of its own.
    fn open(&mut self) -> Place {
        let chat = self.feishu.topic_group("topics");
        self.open_in(&chat)
    }

    /// Asks the first question of a topic.
    fn open_in(&mut self, chat: &str) -> Place {
        let marker = self.next_marker();
        let asked = self.feishu.ask(&self.mei, chat, &marker);
        let root = asked.message.clone();
        self.asked.push(asked);
        let chat = chat.to_owned();
        Place::Topic { chat, root }
    }

    /// Asks the first question in the direct messages of somebody new.
    fn open_direct(&mut self) -> Place {
        let place = Place::Direct(self.feishu.person("Somebody"));
        self.ask(&place);
        place
    }

    /// Asks first questions in so many topics and direct messages.
    fn open_all(&mut self, topics: usize, direct: usize) -> Vec<Place> {
        let mut places: Vec<_> = (0..topics).map(|_| self.open()).collect();
        places.extend((0..direct).map(|_| self.open_direct()));
        places
    }

    /// Asks in a place.
    fn ask(&mut self, place: &Place) {
        let marker = self.next_marker();
        let asked = match place {
            Place::Topic { chat, root } => self.feishu.ask_below(&self.mei, chat, root, &marker),
            Place::Direct(person) => self.feishu.ask_directly(person, &marker),
        };
        self.asked.push(asked);
    }

    /// Returns what only the next question says.
    fn next_marker(&self) -> String {
        marker(self.asked.len())
    }

    /// Returns what Feishu delivers of all questions.
    fn events(&self) -> Vec<EventId> {
        let events = self.asked.iter();
        events
            .flat_map(|it| self.feishu.events_of(&it.message))
            .collect()
    }

    /// Waits until everything that was asked is answered.
    async fn answered(&self) {
        // In parts: the patience is for each.
        for asked in self.asked.chunks(250) {
            self.feishu.all_answered(asked).await;
        }
    }

    /// Fails unless all acknowledgements came in time.
    fn assert_prompt(&self) {
        let acks = self.feishu.acks();
        let slow: Vec<_> = acks.iter().filter(|it| it.after > ACK_DEADLINE).collect();
        assert!(slow.is_empty(), "{slow:#?}");
    }

    /// Fails unless the model was told each question once.
    fn assert_told_once(&self) {
        let texts: Vec<String> = told(&self.world.model).into_values().flatten().collect();
        for asked in &self.asked {
            let times: usize = texts
                .iter()
                .map(|it| it.matches(&asked.marker).count())
                .sum();
            assert_eq!(times, 1, "{asked:?}\n{}", self.world.log());
        }
    }

    /// Fails unless everything was answered once and honestly, and everybody behaved.
    async fn finish(self) {
        // What would be said twice has been said by then.
        self.world.at_rest().await;
        self.feishu.tally(&self.asked).assert_exactly_once();
        self.assert_told_once();
        self.world.assert_keeps(&[APP_SECRET]);
        self.world.finish().await;
        self.feishu.finish();
    }
}

/// Returns what only this question says, and no other contains.
fn marker(number: usize) -> String {
    format!("question {number} over")
}
