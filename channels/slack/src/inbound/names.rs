//! The names of people and chats.
//!
//! Whoever reads a message waits for a name only briefly, and not at all while Slack is slow: the
//! message matters more. What is asked for goes into a bounded queue, is looked up once by
//! [`Names::run`], and is there the next time.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::directory::{Directory, Person};
use crate::web::{CallError, Method, Web};

/// How long somebody waits for a name.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long nobody waits for any name after one took longer than that.
const IMPATIENCE: Duration = Duration::from_secs(10);

/// How long a name is taken for true. After that it is looked up again, and used until then.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);

/// When to ask again for a name that Slack does not tell, and for one that it could not tell.
const ABSENT_FOR: Duration = Duration::from_secs(10 * 60);
const FAILED_FOR: Duration = Duration::from_secs(30);

const MAX_KNOWN: usize = 10_000;
const MAX_WANTED: usize = 256;
const MAX_LOOKUPS: usize = 4;

/// The names of people and chats, remembered for a while.
#[derive(Debug)]
pub(crate) struct Names {
    web: Web,
    state: Mutex<State>,
    /// Something was added to the queue.
    wanted: Notify,
    /// A lookup came to its end.
    settled: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    known: HashMap<Key, Entry>,
    /// What waits to be looked up.
    queue: VecDeque<Key>,
    /// What waits or is being looked up.
    pending: HashSet<Key>,
    /// Until then nobody waits.
    impatient_until: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Chat(String),
}

/// `found` is `None` when there is nothing to be known for now.
#[derive(Clone, Debug)]
struct Entry {
    found: Option<Person>,
    until: Instant,
}

/// What is to be done about a name that somebody asked for.
#[derive(Debug, PartialEq, Eq)]
enum Ask {
    /// It is known, or known not to be.
    Known,
    /// It is being looked up, and may be waited for.
    Wait,
    /// It is being looked up, or cannot be for now.
    Later,
}

impl Names {
    pub(crate) fn new(web: Web) -> Self {
        Self {
            web,
            state: Mutex::new(State {
                known: HashMap::new(),
                queue: VecDeque::new(),
                pending: HashSet::new(),
                impatient_until: Instant::now(),
            }),
            wanted: Notify::new(),
            settled: watch::Sender::new(()),
        }
    }

    /// Returns the name of somebody, if it is known or quickly told.
    pub(crate) async fn user(&self, id: &str) -> Option<String> {
        self.learn(Key::User(id.to_owned())).await;
        self.person(id)?.name
    }

    /// Finds out who somebody is, if that is quick, and tells whether it brought anything new.
    pub(super) async fn learn_user(&self, id: &str) -> bool {
        self.learn(Key::User(id.to_owned())).await
    }

    /// Finds out the name of a chat, if that is quick, and tells whether it brought anything new.
    pub(super) async fn learn_chat(&self, id: &str) -> bool {
        self.learn(Key::Chat(id.to_owned())).await
    }

    /// Has somebody's name looked up for the next time.
    pub(super) fn want_user(&self, id: &str) {
        self.ask(&Key::User(id.to_owned()));
    }

    /// Takes a chat's name that came by the way.
    pub(crate) fn heard_of_chat(&self, id: &str, name: &str) {
        self.heard_of(Key::Chat(id.to_owned()), name, None);
    }

    /// Takes somebody's name and workspace that came by the way.
    pub(crate) fn heard_of_user(&self, id: &str, name: &str, team: &str) {
        self.heard_of(Key::User(id.to_owned()), name, Some(team.to_owned()));
    }

    fn heard_of(&self, key: Key, name: &str, team: Option<String>) {
        let found = Person {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            team,
        };
        let now = Instant::now();
        self.state().settle(key, Some(found), FRESH_FOR, now);
    }

    /// Looks up what is asked for, until `stop` is cancelled.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut lookups = FuturesUnordered::new();
        loop {
            while lookups.len() < MAX_LOOKUPS {
                let Some(key) = self.state().queue.pop_front() else {
                    break;
                };
                lookups.push(self.look_up(key));
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wanted.notified() => {}
                Some(()) = lookups.next(), if !lookups.is_empty() => {}
            }
        }
        let mut state = self.state();
        state.queue.clear();
        state.pending.clear();
    }

    async fn learn(&self, key: Key) -> bool {
        // Before asking, so that no answer is missed.
        let mut settled = self.settled.subscribe();
        if self.ask(&key) != Ask::Wait {
            return false;
        }
        let answered = async {
            while self.state().pending.contains(&key) {
                if settled.changed().await.is_err() {
                    break;
                }
            }
        };
        if timeout(PATIENCE, answered).await.is_err() {
            self.state().impatient_until = Instant::now() + IMPATIENCE;
            return false;
        }
        true
    }

    fn ask(&self, key: &Key) -> Ask {
        let (ask, queued) = self.state().ask(key, Instant::now());
        if queued {
            self.wanted.notify_one();
        }
        ask
    }

    async fn look_up(&self, key: Key) {
        let answer = match &key {
            Key::User(id) => self.ask_for_user(id).await,
            Key::Chat(id) => self.ask_for_chat(id).await,
        };
        let (found, fresh_for) = match answer {
            Ok(found) => (Some(found), FRESH_FOR),
            Err(error) => {
                debug!(?key, %error, "no name");
                let absent_for = match error {
                    CallError::Refused { .. } => ABSENT_FOR,
                    CallError::Limited { after } => after,
                    CallError::NotSent { .. } | CallError::Lost { .. } => FAILED_FOR,
                };
                (None, absent_for)
            }
        };
        self.state().settle(key, found, fresh_for, Instant::now());
        self.settled.send_replace(());
    }

    async fn ask_for_user(&self, id: &str) -> Result<Person, CallError> {
        let answer: UserAnswer = self
            .web
            .call(Method::UsersInfo, vec![("user", id.to_owned())])
            .await?;
        let UserAnswer { user } = answer;
        let names = [
            user.profile.display_name,
            user.profile.real_name,
            user.real_name,
            user.name,
        ];
        Ok(Person {
            name: names.into_iter().flatten().find(|name| !name.is_empty()),
            team: user.team_id,
        })
    }

    async fn ask_for_chat(&self, id: &str) -> Result<Person, CallError> {
        let answer: ChatAnswer = self
            .web
            .call(Method::ConversationsInfo, vec![("channel", id.to_owned())])
            .await?;
        Ok(Person {
            name: answer.channel.name.filter(|name| !name.is_empty()),
            team: None,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &Key) -> Option<Person> {
        self.state().known.get(key)?.found.clone()
    }
}

impl Directory for Names {
    fn person(&self, id: &str) -> Option<Person> {
        self.known(&Key::User(id.to_owned()))
    }

    fn chat_name(&self, id: &str) -> Option<String> {
        self.known(&Key::Chat(id.to_owned()))?.name
    }
}

impl State {
    /// Returns what to do about a name, and whether it has just been queued.
    fn ask(&mut self, key: &Key, now: Instant) -> (Ask, bool) {
        let usable = match self.known.get(key) {
            Some(entry) if now < entry.until => return (Ask::Known, false),
            Some(entry) => entry.found.is_some(),
            None => false,
        };
        let mut queued = false;
        if !self.pending.contains(key) {
            if self.queue.len() >= MAX_WANTED {
                return (Ask::Later, false);
            }
            self.pending.insert(key.clone());
            self.queue.push_back(key.clone());
            queued = true;
        }
        let ask = if usable {
            Ask::Known
        } else if now < self.impatient_until {
            Ask::Later
        } else {
            Ask::Wait
        };
        (ask, queued)
    }

    fn settle(&mut self, key: Key, found: Option<Person>, fresh_for: Duration, now: Instant) {
        self.pending.remove(&key);
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|_, entry| now < entry.until);
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        // What was found once is better than nothing.
        let found = found.or_else(|| self.known.get(&key)?.found.clone());
        let until = now + fresh_for;
        self.known.insert(key, Entry { found, until });
    }
}

#[derive(Deserialize)]
struct UserAnswer {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    real_name: Option<String>,
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    profile: Profile,
}

#[derive(Default, Deserialize)]
struct Profile {
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    real_name: Option<String>,
}

#[derive(Deserialize)]
struct ChatAnswer {
    channel: Chat,
}

#[derive(Deserialize)]
struct Chat {
    #[serde(default)]
    name: Option<String>,
}
