//! The suite that every channel passes.
//!
//! A channel's tests implement [`Harness`] over a mock of its platform and call [`run_all`].
//! Every check gets a channel and a mock of its own, and its name is the claim that it checks.
//! What a platform or its mock cannot do is declared, by [`Capabilities`] and [`Abilities`]; the
//! checks that need it are then listed as skipped in the [`Report`], which a test should compare
//! with what it expects.
//!
//! - [`RecordingIntake`]: an intake that can be slow and can fail
//! - `bench`: a running channel between the two
//! - `inbound`, `changes`, `outbound`, `files`, `history`, `lifecycle`: the checks
//! - `need`: what a check needs of the platform or its mock

mod bench;
mod changes;
mod files;
mod history;
mod inbound;
mod intake;
mod lifecycle;
mod need;
mod outbound;

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use self::bench::Bench;
pub use self::intake::RecordingIntake;
use self::need::{Need, Needs};
use crate::{Channel, Conversation, PostKey, UserId, WireId};

/// A mock of the platform, and the channel that is connected to it.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// Returns the channel, which nobody has run yet.
    fn channel(&self) -> Arc<dyn Channel>;

    /// Returns what the mock can do.
    fn abilities(&self) -> Abilities;

    /// Returns one of the conversations of the mock; each number has a chat of its own.
    fn conversation(&self, number: usize) -> Conversation;

    /// Returns one of the people of the mock.
    fn person(&self, number: usize) -> UserId;

    /// Returns what becomes of a text on its way over the platform; `None` when it cannot carry
    /// it at all.
    fn carried(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// Returns what people read of a post with this text; `None` when it cannot be told.
    fn shown(&self, text: &str) -> Option<String> {
        self.carried(text)
    }

    /// Lets the channel be connected: called when it runs, and after
    /// [`disconnect`](Harness::disconnect).
    async fn connect(&self);

    /// Cuts the connection, and lets none be made until [`connect`](Harness::connect).
    async fn disconnect(&self);

    /// Somebody writes a message.
    async fn deliver(&self, at: &Conversation, from: &UserId, text: &str) -> Delivery;

    /// The platform delivers a message once more.
    async fn redeliver(&self, delivery: Delivery);

    /// Returns whether the platform has got an acknowledgement of the message.
    async fn is_acknowledged(&self, delivery: Delivery) -> bool;

    /// Returns when whatever the channel has sent until now has reached the mock: after a ping
    /// and its pong on the same connection, say.
    async fn settle(&self);

    /// Returns what people see now of the channel's posts, in order.
    async fn posts(&self) -> Vec<Seen>;

    /// Returns what people see of the channel's reactions on a message, in the platform's own words;
    /// asked only of channels with [`Capabilities::reactions`](crate::Capabilities::reactions).
    async fn reactions(&self, _delivery: Delivery) -> Vec<String> {
        unreachable!("the channel has no reactions")
    }

    /// Makes the platform fail at the next post.
    async fn fail_next_post(&self, failure: PostFailure);

    /// Fails when the channel did what the platform would object to; called at the end.
    async fn finish(&self) {}

    /// Returns how many connections the channel has ever made; asked only of mocks that
    /// [count them](Abilities::connections).
    async fn connections(&self) -> usize {
        unreachable!("abilities() has no connections")
    }

    /// The sender changes a message; asked only of mocks with [`Abilities::edits`].
    async fn change(&self, _delivery: Delivery, _text: &str) {
        unreachable!("abilities() has no edits")
    }

    /// The sender takes a message back; asked only of mocks with [`Abilities::deletions`].
    async fn take_back(&self, _delivery: Delivery) {
        unreachable!("abilities() has no deletions")
    }

    /// Somebody presses the button with this label; asked only of mocks with
    /// [`Abilities::presses`].
    async fn press(&self, _at: &Conversation, _message: &WireId, _from: &UserId, _label: &str) {
        unreachable!("abilities() has no presses")
    }

    /// Somebody writes a message with a file; asked only of mocks with [`Abilities::attachments`].
    async fn deliver_file(
        &self,
        _at: &Conversation,
        _from: &UserId,
        _name: &str,
        _content: &[u8],
    ) -> Delivery {
        unreachable!("abilities() has no attachments")
    }

    /// The file of a message is no longer there; asked only of mocks with
    /// [`Abilities::attachments`].
    async fn lose_file(&self, _delivery: Delivery) {
        unreachable!("abilities() has no attachments")
    }

    /// Somebody writes a message that the connection never brings; asked only of mocks with
    /// [`Abilities::misses`].
    async fn write_unheard(&self, _at: &Conversation, _from: &UserId, _text: &str) -> Delivery {
        unreachable!("abilities() does not miss anything")
    }
}

/// A message that the mock has delivered, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delivery(pub u64);

/// A post as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it is.
    pub at: Conversation,
    /// What it says.
    pub text: String,
    /// The platform's name of it, if the mock knows.
    pub id: Option<WireId>,
    /// Our name of it, if the platform carries it.
    pub key: Option<PostKey>,
    /// The names and contents of its files.
    pub files: Vec<(String, Vec<u8>)>,
}

/// How a platform fails at a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostFailure {
    /// It refuses for now: a rate limit, an outage.
    Again,
    /// It refuses for good: the chat is gone, the text too long.
    Never,
    /// It refuses until somebody has changed something: a permission, a token.
    Operator,
    /// It takes the post, and its answer is lost.
    AnswerLost,
}

/// What a mock can do beyond the ordinary; by default, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It can deliver a message once more.
    pub redeliver: bool,
    /// It can cut the connection.
    pub disconnect: bool,
    /// The ways in which it can fail at a post.
    pub failures: Vec<PostFailure>,
    /// It counts connections.
    pub connections: bool,
    /// Its people can change what they wrote.
    pub edits: bool,
    /// Its people can take back what they wrote.
    pub deletions: bool,
    /// Its people can press buttons.
    pub presses: bool,
    /// Its people can send files.
    pub attachments: bool,
    /// It can fail to deliver a message that its history has.
    pub misses: bool,
}

/// What the suite found. It panics when checks fail, so that all of these are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks that passed.
    pub passed: Vec<&'static str>,
    /// The checks that do not apply, and the missing ability.
    pub skipped: Vec<(&'static str, &'static str)>,
}

/// Runs every check on a harness of its own, all of them at once: most of their time is waiting.
///
/// # Panics
///
/// When checks fail, once all have run; the message names each and says why.
pub async fn run_all<H: Harness>(factory: impl AsyncFn() -> H) -> Report {
    let mut report = Report::default();
    let mut running = JoinSet::new();
    for (number, check) in checks().enumerate() {
        let harness: Arc<dyn Harness> = Arc::new(factory().await);
        let needs = Needs {
            abilities: &harness.abilities(),
            capabilities: &harness.channel().capabilities().clone(),
        };
        match check.needs.iter().find_map(|need| need.missing(&needs)) {
            Some(missing) => report.skipped.push((check.name, missing)),
            None => {
                running.spawn(async move { (number, check.name, check.run_on(harness).await) });
            }
        }
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(number, ..)| *number);
    let mut failures = Vec::new();
    for (_, name, outcome) in outcomes {
        match outcome {
            Ok(()) => report.passed.push(name),
            Err(why) => failures.push(format!("{name}: {why}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    report
}

fn checks() -> impl Iterator<Item = &'static Check> {
    inbound::CHECKS
        .iter()
        .chain(changes::CHECKS)
        .chain(outbound::CHECKS)
        .chain(files::CHECKS)
        .chain(history::CHECKS)
        .chain(lifecycle::CHECKS)
}

/// A claim and how it is checked.
struct Check {
    name: &'static str,
    needs: &'static [Need],
    run: for<'b> fn(&'b Bench) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>,
}

/// Makes a [`Check`] of a function and what it needs.
macro_rules! check {
    ($name:ident $(, $need:expr)*) => {
        $crate::conformance::Check {
            name: stringify!($name),
            needs: &[$($need),*],
            run: |bench| Box::pin($name(bench)),
        }
    };
}
use check;

impl Check {
    /// Returns why it failed, if it did.
    async fn run_on(&self, harness: Arc<dyn Harness>) -> Result<(), String> {
        let run = self.run;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let bench = Bench::start(harness).await;
            run(&bench).await;
            bench.stop().await;
            bench.harness.finish().await;
        });
        match task.join_next().await {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(match error.try_into_panic() {
                Ok(panic) => panic_message(&*panic),
                Err(error) => error.to_string(),
            }),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked".into())
}
