//! Breaking things between Slack, the daemon and Codex, and counting what became of each message:
//! answered once, in its own thread, in order.

mod calls;
mod disk;
mod envelopes;
mod kills;
mod load;
mod refresh;
mod silence;

use std::time::Duration;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, told};
use crate::support::slack::{APP_TOKEN, Asked, BOT_TOKEN, EventId, MockSlack, Options};

/// How long an acknowledgement may take before Slack delivers again.
const ACK_DEADLINE: Duration = Duration::from_secs(3);

/// A team that asks, and the daemon that answers.
struct Team {
    slack: MockSlack,
    echo: Echo,
    world: World,
    mei: String,
    asked: Vec<Asked>,
}

/// Where questions are asked.
#[derive(Clone, Debug)]
enum Place {
    /// In a thread.
    Thread { chat: String, root: String },
    /// In direct messages, outside of threads.
    Direct,
}

impl Team {
    /// Starts a daemon with a session for each thread.
    async fn start(options: Options) -> Self {
        Self::start_with(options, "thread").await
    }

    async fn start_with(options: Options, sessions: &str) -> Self {
        let slack = MockSlack::start(options).await;
        let mei = slack.person("Mei");
        let choices = Choices {
            dispatcher: format!(
                "sessions = {sessions:?}\nrestart = {{ base = \"20ms\", max = \"100ms\" }}\n"
            ),
            ..Choices::standard()
        };
        let choices = choices.with_slack(&slack, "");
        let echo = Echo::new();
        let mut world = World::new(echo.start().await, &choices);
        world.start();
        world.ready(0).await;
        slack.wait_for_connections(1).await;
        Self {
            slack,
            echo,
            world,
            mei,
            asked: Vec::new(),
        }
    }

    /// Asks the first question of a thread in a channel.
    fn open(&mut self, channel: &str) -> Place {
        let marker = self.next_marker();
        let asked = self.slack.ask(&self.mei, channel, &marker);
        let place = Place::Thread {
            chat: channel.to_owned(),
            root: asked.message.clone(),
        };
        self.asked.push(asked);
        place
    }

    /// Asks the first question of a thread in the direct messages of somebody new; for sessions by
    /// thread.
    fn open_direct(&mut self, number: usize) -> Place {
        let person = self.slack.person(&format!("Person {number}"));
        let marker = self.next_marker();
        let mut asked = self.slack.ask_directly(&person, &marker);
        asked.thread = Some(asked.message.clone());
        let place = Place::Thread {
            chat: asked.chat.clone(),
            root: asked.message.clone(),
        };
        self.asked.push(asked);
        place
    }

    /// Asks in a place.
    fn ask(&mut self, place: &Place) {
        let marker = self.next_marker();
        let asked = match place {
            Place::Thread { chat, root } => self.slack.ask_below(&self.mei, chat, root, &marker),
            Place::Direct => self.slack.ask_directly(&self.mei, &marker),
        };
        self.asked.push(asked);
    }

    /// Returns what only the next question says.
    fn next_marker(&self) -> String {
        marker(self.asked.len())
    }

    /// Returns what Slack delivers of a question.
    fn events_of(&self, asked: &Asked) -> Vec<EventId> {
        self.slack.events_of(&asked.chat, &asked.message)
    }

    /// Waits until everything that was asked is answered.
    async fn answered(&self) {
        // In parts: the patience is for each.
        for asked in self.asked.chunks(250) {
            self.slack.all_answered(asked).await;
        }
    }

    /// Fails unless all acknowledgements came in time.
    fn assert_prompt(&self) {
        let acks = self.slack.acks();
        let slow: Vec<_> = acks.iter().filter(|ack| ack.after > ACK_DEADLINE).collect();
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
        self.slack.tally(&self.asked).assert_exactly_once();
        self.assert_told_once();
        self.slack
            .until("every status to be cleared", |slack| {
                slack.statuses().is_empty().then_some(())
            })
            .await;
        self.world.assert_keeps(&[APP_TOKEN, BOT_TOKEN]);
        self.world.finish().await;
        self.slack.finish();
    }
}

/// Returns what only this question says, and no other contains.
fn marker(number: usize) -> String {
    format!("question {number} over")
}
