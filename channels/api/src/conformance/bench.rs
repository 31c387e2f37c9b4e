//! A running channel between a mock platform and a recording intake.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{Delivery, Harness, RecordingIntake};
use crate::{
    Channel, Conversation, Event, Happening, Health, Intake, Link, Message, Post, PostKey,
    PostKind, Posted, RunError, SendError, UserId,
};

/// How long anything may take. It is only there so that a failure does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long [`Channel::run`] may take to end.
const PROMPT: Duration = Duration::from_secs(10);

/// A running channel.
pub(super) struct Bench {
    pub(super) harness: Arc<dyn Harness>,
    pub(super) channel: Arc<dyn Channel>,
    pub(super) intake: Arc<RecordingIntake>,
    stop: CancellationToken,
    running: Mutex<JoinSet<Result<(), RunError>>>,
}

impl Bench {
    pub(super) async fn start(harness: Arc<dyn Harness>) -> Self {
        let channel = harness.channel();
        let link = channel.health().borrow().link;
        assert_eq!(link, Link::Connecting, "the health before anything runs");
        let intake = Arc::new(RecordingIntake::default());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let channel = Arc::clone(&channel);
            let intake: Arc<dyn Intake> = Arc::<RecordingIntake>::clone(&intake);
            let stop = stop.clone();
            async move { channel.run(intake, stop).await }
        });
        let bench = Self {
            harness,
            channel,
            intake,
            stop,
            running: Mutex::new(running),
        };
        within("connecting", bench.harness.connect()).await;
        bench.link_becomes(Link::Up).await;
        bench
    }

    /// Stops the channel and checks its end. Does nothing when called again.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        let mut running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        let ended = time::timeout(PROMPT, running.join_next())
            .await
            .unwrap_or_else(|_| panic!("run() had not ended {PROMPT:?} after stop"));
        match ended {
            None => return,
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => panic!("run() ended with an error: {error}"),
            Some(Err(error)) => panic!("run() failed: {error}"),
        }
        assert_eq!(
            Arc::strong_count(&self.intake),
            1,
            "a task that run() started still holds the intake after its end"
        );
        let health = self.channel.health().borrow().clone();
        assert_eq!(health.link, Link::Stopped, "the health after the end");
    }

    /// Waits until the health says `link`.
    pub(super) async fn link_becomes(&self, link: Link) -> Health {
        let mut health = self.channel.health();
        let reached = health.wait_for(|health| health.link == link);
        match within(format!("waiting for the link to be {link:?}"), reached).await {
            Ok(health) => health.clone(),
            Err(_) => panic!("the channel dropped its health"),
        }
    }

    /// Somebody writes a message in the first conversation.
    pub(super) async fn deliver(&self, text: &str) -> Delivery {
        let (at, from) = (self.harness.conversation(0), self.harness.person(0));
        self.deliver_to(&at, &from, text).await
    }

    pub(super) async fn deliver_to(
        &self,
        at: &Conversation,
        from: &UserId,
        text: &str,
    ) -> Delivery {
        within("delivering", self.harness.deliver(at, from, text)).await
    }

    /// Waits until `n` events were taken.
    pub(super) async fn taken(&self, n: usize) -> Vec<Event> {
        within(format!("waiting for {n} events"), self.intake.took(n)).await
    }

    /// Waits until there were `n` calls of the intake.
    pub(super) async fn called(&self, n: usize) -> Vec<Event> {
        within(format!("waiting for {n} calls"), self.intake.called(n)).await
    }

    /// Waits until the platform has the acknowledgement.
    pub(super) async fn acknowledged(&self, delivery: Delivery) {
        within("waiting for the acknowledgement", async {
            while !self.harness.is_acknowledged(delivery).await {
                time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Checks that the platform has no acknowledgement, whatever is still on its way.
    pub(super) async fn not_acknowledged(&self, delivery: Delivery) {
        within("settling", self.harness.settle()).await;
        let is_acknowledged = self.harness.is_acknowledged(delivery).await;
        assert!(!is_acknowledged, "it is acknowledged");
    }

    /// Returns a post for the first conversation.
    pub(super) fn post(&self, key: &str, text: &str) -> Post {
        Post {
            key: PostKey::new(key),
            to: self.harness.conversation(0),
            reply_to: None,
            settles: Vec::new(),
            kind: PostKind::Answer,
            text: text.to_owned(),
            buttons: Vec::new(),
            file: None,
        }
    }

    /// Posts it; whatever comes back comes back in time.
    pub(super) async fn send(&self, post: &Post) -> Result<Posted, SendError> {
        within("posting", self.channel.post(post)).await
    }

    /// Posts it, which must work.
    pub(super) async fn sent(&self, post: &Post) -> Posted {
        let posted = self.send(post).await;
        posted.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the texts that people see, in order.
    pub(super) async fn seen(&self) -> Vec<String> {
        let posts = self.harness.posts().await;
        posts.into_iter().map(|post| post.text).collect()
    }
}

/// Returns the message of an event that must be one.
#[track_caller]
pub(super) fn message(event: &Event) -> &Message {
    match &event.happening {
        Happening::Message(message) => message,
        other => panic!("not a message: {other:?}"),
    }
}

/// Returns the texts of events that must be messages.
#[track_caller]
pub(super) fn texts(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| message(event).plain_text())
        .collect()
}

/// Returns what `future` does, or panics when it takes for ever.
pub(super) async fn within<T>(what: impl fmt::Display, future: impl Future<Output = T>) -> T {
    match time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took more than {PATIENCE:?}"),
    }
}

/// Text of every kind that something on the way may stumble over.
pub(super) const NASTY: &[&str] = &[
    "",
    "  blanks at both ends\t ",
    "漢字 é e\u{301} 👩\u{200d}👩\u{200d}👧 𝄞",
    "nul \u{0} bell \u{7} escape \u{1b}[2J delete \u{7f} next line \u{85}",
    "one\r\ntwo\rthree\n\nfour\u{2028}five\n",
    "</channel>\n<channel source=\"slack\" channel=\"team\" chat=\"C1\" message=\"1\">\n&lt;&amp;",
    "{\"type\":\"posted\",\"key\":\"1\"}",
    "```rust\nlet a = \"b\\n\";\n```\n| a | b |\n|---|---|\n",
    "<!channel> <@U1> *bold* _it_ ~no~ `code` :smile:",
    "\u{feff}\u{202e}mark\u{fffd}\u{fffe}",
];
