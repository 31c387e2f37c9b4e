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
//! - `inbound`, `outbound`, `lifecycle`: the checks

mod bench;
mod inbound;
mod intake;
mod lifecycle;
mod outbound;

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use self::bench::Bench;
pub use self::intake::RecordingIntake;
use crate::{Capabilities, Channel, Conversation, PostKey, Repeat, UserId, WireId};

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

    /// Makes the platform fail at the next post.
    async fn fail_next_post(&self, failure: PostFailure);
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

/// What a mock can do beyond the ordinary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// It can deliver a message once more.
    pub redeliver: bool,
    /// It can cut the connection.
    pub disconnect: bool,
    /// The ways in which it can fail at a post.
    pub failures: Vec<PostFailure>,
}

/// What the suite found. A check that fails panics, so that all of these are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks that passed.
    pub passed: Vec<&'static str>,
    /// The checks that do not apply, and the missing ability.
    pub skipped: Vec<(&'static str, &'static str)>,
}

/// Runs every check on a harness of its own.
///
/// # Panics
///
/// When a check fails; the message begins with its name.
pub async fn run_all<H: Harness>(factory: impl AsyncFn() -> H) -> Report {
    let mut report = Report::default();
    let checks = inbound::CHECKS
        .iter()
        .chain(outbound::CHECKS)
        .chain(lifecycle::CHECKS);
    for check in checks {
        let harness: Arc<dyn Harness> = Arc::new(factory().await);
        let needs = Needs {
            abilities: &harness.abilities(),
            capabilities: &harness.channel().capabilities().clone(),
        };
        if let Some(missing) = check.needs.iter().find_map(|need| need.missing(&needs)) {
            report.skipped.push((check.name, missing));
            continue;
        }
        check.run_on(harness).await;
        report.passed.push(check.name);
    }
    report
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
    async fn run_on(&self, harness: Arc<dyn Harness>) {
        let run = self.run;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let bench = Bench::start(harness).await;
            run(&bench).await;
            bench.stop().await;
        });
        if let Some(Err(error)) = task.join_next().await {
            let why = match error.try_into_panic() {
                Ok(panic) => panic_message(&*panic),
                Err(error) => error.to_string(),
            };
            panic!("{}: {why}", self.name);
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

/// Something that a check needs of the platform or its mock.
enum Need {
    Redelivery,
    Disconnection,
    Failure(PostFailure),
    Repeat(Repeat),
    Edit,
    Delete,
    Status,
}

/// What there is.
struct Needs<'a> {
    abilities: &'a Abilities,
    capabilities: &'a Capabilities,
}

impl Need {
    /// Returns the name of what is missing.
    fn missing(&self, there_is: &Needs<'_>) -> Option<&'static str> {
        let abilities = there_is.abilities;
        let capabilities = there_is.capabilities;
        let (is_there, name) = match self {
            Self::Redelivery => (abilities.redeliver, "redelivery"),
            Self::Disconnection => (abilities.disconnect, "disconnection"),
            Self::Failure(failure) => (
                abilities.failures.contains(failure),
                match failure {
                    PostFailure::Again => "refusal for now",
                    PostFailure::Never => "refusal for good",
                    PostFailure::Operator => "refusal until the operator acts",
                    PostFailure::AnswerLost => "lost answer",
                },
            ),
            Self::Repeat(repeat) => (
                capabilities.repeat == *repeat,
                match repeat {
                    Repeat::Idempotent => "idempotent repeat",
                    Repeat::Findable => "findable repeat",
                    Repeat::Blind => "blind repeat",
                },
            ),
            Self::Edit => (capabilities.edit, "edit"),
            Self::Delete => (capabilities.delete, "delete"),
            Self::Status => (capabilities.status, "status"),
        };
        (!is_there).then_some(name)
    }
}
