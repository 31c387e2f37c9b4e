//! What was written while nothing arrived.
//!
//! Feishu tells what was written in a chat, but for what was answered in topics of ordinary groups:
//! these are asked for one by one. All of it is handed in as if it had just come, under the same
//! keys. Groups can be read only with a permission that few apps have; where it is missing, that
//! is said once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tieline_channel::retry::RetryPolicy;
use tieline_channel::{CaughtUp, ChatKind, Conversation, Intake, SendError};
use tieline_net::pace::Urgency;
use tokio::time::sleep;
use tracing::debug;

use super::{Container, Page};
use crate::account::Account;
use crate::api::{Cure, Failure, lacks_scope};
use crate::get::{Query, not_read};
use crate::inbound::fields::Fields as _;
use crate::inbound::lookup::{Untold, complete};
use crate::inbound::{Delivered, Identity, is_topic, written};
use crate::names;

/// How far one chat or topic is read: 5,000 messages.
const MAX_PAGES: usize = 100;

/// What it takes to read groups.
const GROUP_SCOPE: &str = "im:message.group_msg";

/// How often a call is repeated whose answer did not come.
const MAX_FAILURES: usize = 3;

/// The shortest pause before a call that Feishu does not want yet.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// What is new in a chat, in the order in which it was written.
type Found = BTreeMap<(SystemTime, String), Value>;

/// A chat that is read back.
struct Chat {
    id: String,
    about: names::Chat,
    /// The topics in it that may have something new.
    topics: BTreeSet<String>,
}

struct Backfill<'a> {
    account: &'a Account,
    us: &'a Identity,
    since: SystemTime,
    intake: &'a dyn Intake,
    caught_up: CaughtUp,
    /// The kinds of chats that cannot be read, so that nobody needs to ask again.
    closed: Vec<ChatKind>,
}

/// Hands in what was written after `since`.
pub(crate) async fn catch_up(
    account: &Account,
    since: SystemTime,
    threads: &[Conversation],
    intake: &dyn Intake,
) -> Result<CaughtUp, SendError> {
    let mut backfill = Backfill {
        account,
        us: account.identity().await.map_err(not_read)?,
        since,
        intake,
        caught_up: CaughtUp::default(),
        closed: Vec::new(),
    };
    for (id, topics) in chats(threads) {
        backfill.chat(id, topics).await?;
    }
    Ok(backfill.caught_up)
}

/// Returns the chats of conversations with the topics in them, in the order of the conversations.
fn chats(threads: &[Conversation]) -> Vec<(String, BTreeSet<String>)> {
    let mut chats: Vec<(String, BTreeSet<String>)> = Vec::new();
    for Conversation { chat, thread } in threads {
        let topic = thread.as_ref().filter(|thread| is_topic(thread));
        let topic = topic.map(|topic| topic.as_str().to_owned());
        match chats.iter_mut().find(|(id, _)| id == chat.as_str()) {
            Some((_, topics)) => topics.extend(topic),
            None => chats.push((chat.as_str().to_owned(), topic.into_iter().collect())),
        }
    }
    chats
}

impl Backfill<'_> {
    /// Hands in what is new in a chat and its topics, oldest first.
    async fn chat(&mut self, id: String, topics: BTreeSet<String>) -> Result<(), SendError> {
        // Whether a message speaks to us depends on it, so it is not to be guessed.
        let about =
            match patiently(|| self.account.names.ask_for_chat(Urgency::Ordinary, &id)).await {
                Ok(about) => about,
                Err(Failure::Never { reason, .. }) => {
                    debug!(
                        chat = id,
                        reason, "nothing to read back: it is gone, or we are"
                    );
                    return Ok(());
                }
                Err(ref failure @ Failure::Operator { ref remedy, .. }) if lacks_scope(failure) => {
                    let sentence = format!("what was missed cannot be read back: {remedy}");
                    self.caught_up.cannot_read(sentence);
                    return Ok(());
                }
                Err(failure) => return Err(not_read(failure)),
            };
        if self.closed.contains(&about.kind) {
            return Ok(());
        }
        let mut chat = Chat { id, about, topics };
        let mut found = Found::new();
        let outcome = self.find(&mut chat, &mut found).await;
        // What was found before something failed is not found again if that is for good.
        self.judge(&chat, outcome)?;
        if chat.about.is_external && !found.is_empty() {
            self.meet_ourselves(&chat).await;
        }
        for item in found.into_values() {
            self.hand_in(&chat, &item).await?;
        }
        Ok(())
    }

    /// Looks for a post of ours in a chat of several organisations, if nothing else has told which one
    /// is ours.
    async fn meet_ourselves(&self, chat: &Chat) {
        if self.account.tenant.known().is_some() {
            return;
        }
        let query = vec![("sort_type", "ByCreateTimeDesc".to_owned())];
        let container = Container::Chat(&chat.id);
        match patiently(|| self.page(&container, &query, None)).await {
            Ok(page) => page.items.iter().for_each(|item| self.recognise(item)),
            Err(failure) => debug!(chat = chat.id, %failure, "no post of ours is found"),
        }
    }

    /// Takes note of our organisation if a message is of ours.
    fn recognise(&self, item: &Value) {
        if item.text("/sender/id") == Some(&self.us.app_id) {
            self.account.tenant.heard(item.text("/sender/tenant_key"));
        }
    }

    async fn find(&mut self, chat: &mut Chat, found: &mut Found) -> Result<(), Failure> {
        self.top(chat, found).await?;
        for topic in &chat.topics {
            match self.topic(chat, topic, found).await {
                Err(Failure::Never { reason, .. }) => {
                    debug!(chat = chat.id, topic, reason, "nothing to read back");
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Finds what is new in a chat, and which topics it belongs to.
    async fn top(&mut self, chat: &mut Chat, found: &mut Found) -> Result<(), Failure> {
        let start = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let query = vec![
            ("sort_type", "ByCreateTimeAsc".to_owned()),
            ("start_time", start.as_secs().to_string()),
        ];
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let container = Container::Chat(&chat.id);
            let asked = || self.page(&container, &query, token.as_deref());
            let page = patiently(asked).await?;
            for item in page.items {
                let topic = item.text("/thread_id").map(str::to_owned);
                chat.topics.extend(topic);
                self.keep(item, found);
            }
            token = page.token;
            if token.is_none() {
                return Ok(());
            }
        }
        self.too_many(chat, "the latest");
        Ok(())
    }

    /// Finds what is new in a topic. It cannot be asked for by time, so the latest come first.
    async fn topic(&mut self, chat: &Chat, topic: &str, found: &mut Found) -> Result<(), Failure> {
        let query = vec![("sort_type", "ByCreateTimeDesc".to_owned())];
        let container = Container::Topic(topic);
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let asked = || self.page(&container, &query, token.as_deref());
            let page = patiently(asked).await?;
            let mut reached = false;
            for item in page.items {
                reached |= item.time("/create_time") < Some(self.since);
                self.keep(item, found);
            }
            token = page.token;
            if reached || token.is_none() {
                return Ok(());
            }
        }
        self.too_many(chat, "the oldest");
        Ok(())
    }

    async fn page(
        &self,
        container: &Container<'_>,
        query: &Query,
        token: Option<&str>,
    ) -> Result<Page, Failure> {
        let api = &self.account.api;
        container
            .page(api, Urgency::Ordinary, query.clone(), token)
            .await
    }

    /// Keeps a message that is new.
    fn keep(&self, item: Value, found: &mut Found) {
        let (Some(id), Some(sent_at)) = (item.text("/message_id"), item.time("/create_time"))
        else {
            return;
        };
        self.recognise(&item);
        if sent_at >= self.since {
            found.insert((sent_at, id.to_owned()), item);
        }
    }

    async fn hand_in(&mut self, chat: &Chat, item: &Value) -> Result<(), SendError> {
        let tenant = self.account.tenant.known();
        let read = |untold| {
            let now = SystemTime::now();
            let delivered = written(item, &chat.about, self.us, tenant.as_deref(), now);
            complete(self.account, delivered, untold)
        };
        let delivered = match patiently(|| read(Untold::Refused)).await {
            // What is never told of one message must not keep all others from being read back.
            Err(Failure::Unclear { .. }) => read(Untold::Taken).await,
            delivered => delivered,
        };
        match delivered.map_err(not_read)? {
            Delivered::Event { event, .. } => self.caught_up.hand_in(event, self.intake).await,
            Delivered::Nothing(reason) => {
                debug!(chat = chat.id, reason, "not handed in");
                Ok(())
            }
        }
    }

    /// Tells failures of one chat, with which the others go on, from those of everything, after which
    /// all of it is to be read again: that the month's quota is used up, say.
    fn judge(&mut self, chat: &Chat, outcome: Result<(), Failure>) -> Result<(), SendError> {
        match outcome {
            Ok(()) => {}
            Err(ref failure @ Failure::Operator { ref remedy, .. }) if lacks_scope(failure) => {
                self.close(chat.about.kind, remedy);
            }
            // The code is that of any chat where something is not permitted.
            Err(Failure::Never { reason, .. }) if reason.contains(GROUP_SCOPE) => {
                let remedy = format!(
                    "grant the app {GROUP_SCOPE} under Permissions & Scopes in the developer \
                     console and publish a version"
                );
                self.close(chat.about.kind, &remedy);
            }
            Err(Failure::Never {
                cure: Cure::NewMessage,
                reason,
            }) => debug!(chat = chat.id, reason, "nothing to read back"),
            Err(Failure::Never { reason, .. }) => {
                let sentence = format!("{} cannot be read back: {reason}", self.shown(chat));
                self.caught_up.cannot_read(sentence);
            }
            Err(failure) => return Err(not_read(failure)),
        }
        Ok(())
    }

    /// Reads no more chats of a kind: they lack the same.
    fn close(&mut self, kind: ChatKind, remedy: &str) {
        let what = match kind {
            ChatKind::Direct => "direct messages",
            ChatKind::Group => "messages in groups",
        };
        self.caught_up
            .cannot_read(format!("{what} cannot be read back: {remedy}"));
        self.closed.push(kind);
    }

    fn too_many(&mut self, chat: &Chat, which: &str) {
        let sentence = format!(
            "{} has so many new messages that {which} of them were not read back: ask their \
             authors to write again",
            self.shown(chat)
        );
        self.caught_up.cannot_read(sentence);
    }

    fn shown(&self, chat: &Chat) -> String {
        match self.account.names.chat_if_known(&chat.id) {
            Some(name) => format!("the chat \"{name}\""),
            None => format!("the chat {}", chat.id),
        }
    }
}

/// Asks, and waits as long as Feishu wants: nobody waits for this.
async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut retries = RetryPolicy::new();
    let mut failures = 0;
    loop {
        let failure = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        match failure {
            Failure::Again { after, reason: _ } => sleep(after.max(SHORTEST_PAUSE)).await,
            Failure::TokenInvalid { .. } | Failure::Unclear { .. } if failures < MAX_FAILURES => {
                failures += 1;
                sleep(retries.next_delay()).await;
            }
            failure => return Err(failure),
        }
    }
}
