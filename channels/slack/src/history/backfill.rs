//! What was written while nothing arrived.
//!
//! Slack tells where we are, what was written there, and which of the latest roots have new
//! replies; it does not tell of new replies below older roots, so those threads are asked for that
//! the daemon knows. All of it is handed in as if it had just come, under the same keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tieline_channel::retry::RetryPolicy;
use tieline_channel::{
    CaughtUp, ChatKind, Conversation, Event, Happening, Intake, Receipt, SendError, WithCauses,
};
use tokio::time::sleep;
use tracing::debug;

use super::{PAGE, Page};
use crate::account::Account;
use crate::inbound::fields::text;
use crate::inbound::{Meaningless, Place, Reader, Ts, chat_kind, learn};
use crate::web::{CallError, Form, Method};

/// How far one chat is read: 10,000 messages, which are in memory together.
const MAX_PAGES: usize = 50;

/// How often a call is repeated whose answer did not come.
const MAX_FAILURES: usize = 3;

/// A kind of chats: as Slack names it, as people do, and what it takes to find and to read them.
struct Kind {
    name: &'static str,
    shown: &'static str,
    list_scope: &'static str,
    read_scope: &'static str,
}

const PUBLIC: Kind = Kind {
    name: "public_channel",
    shown: "public channels",
    list_scope: "channels:read",
    read_scope: "channels:history",
};
const PRIVATE: Kind = Kind {
    name: "private_channel",
    shown: "private channels",
    list_scope: "groups:read",
    read_scope: "groups:history",
};
const DIRECT: Kind = Kind {
    name: "im",
    shown: "direct messages",
    list_scope: "im:read",
    read_scope: "im:history",
};
const GROUP_DIRECT: Kind = Kind {
    name: "mpim",
    shown: "group direct messages",
    list_scope: "mpim:read",
    read_scope: "mpim:history",
};
const KINDS: [&Kind; 4] = [&PUBLIC, &PRIVATE, &DIRECT, &GROUP_DIRECT];

/// A chat that is read back.
struct Chat {
    id: String,
    kind: ChatKind,
    shared: bool,
    /// Among [`KINDS`], if known.
    of: Option<&'static Kind>,
    /// The roots of threads that may have something new.
    threads: BTreeSet<String>,
}

struct Backfill<'a> {
    account: &'a Account,
    reader: Reader<'a>,
    since: Ts,
    intake: &'a dyn Intake,
    caught_up: CaughtUp,
}

/// Hands in what was written after `since`.
pub(crate) async fn catch_up(
    account: &Account,
    since: SystemTime,
    threads: &[Conversation],
    intake: &dyn Intake,
) -> Result<CaughtUp, SendError> {
    let us = account
        .identity()
        .await
        .map_err(|error| error.into_send_error(Method::AuthTest))?;
    let mut backfill = Backfill {
        account,
        reader: Reader {
            us,
            thread_direct: account.settings.thread_direct,
            directory: &account.names,
        },
        since: Ts::at(since),
        intake,
        caught_up: CaughtUp::default(),
    };
    for chat in backfill.chats(threads).await? {
        backfill.chat(chat).await?;
    }
    Ok(backfill.caught_up)
}

impl Backfill<'_> {
    // === which chats ===

    /// Returns the chats we are in, with the threads that the daemon asks for.
    async fn chats(&mut self, threads: &[Conversation]) -> Result<Vec<Chat>, SendError> {
        let mut listed = Vec::new();
        let all = KINDS.map(|kind| kind.name).join(",");
        match self.list(&all, &mut listed).await {
            Ok(()) => {}
            // One kind may be forbidden and the others not.
            Err(error) if is_missing_scope(&error) => self.list_each(&mut listed).await?,
            Err(error) => return Err(error.into_send_error(Method::ConversationsList)),
        }
        let mut elsewhere = BTreeSet::new();
        let mut chats = BTreeMap::new();
        for raw in &listed {
            let Some(id) = text(&raw["id"]) else {
                continue;
            };
            if raw["is_member"] == false {
                elsewhere.insert(id.to_owned());
            } else {
                chats.insert(id.to_owned(), listed_chat(id, raw));
            }
            if let Some(name) = text(&raw["name"]) {
                self.account.names.heard_of_chat(id, name);
            }
        }
        for conversation in threads {
            let id = conversation.chat.as_str();
            if !elsewhere.contains(id) {
                let chat = chats
                    .entry(id.to_owned())
                    .or_insert_with(|| unlisted_chat(id));
                let thread = conversation.thread.as_ref();
                chat.threads
                    .extend(thread.map(|thread| thread.as_str().to_owned()));
            }
        }
        Ok(chats.into_values().collect())
    }

    async fn list_each(&mut self, listed: &mut Vec<Value>) -> Result<(), SendError> {
        for kind in KINDS {
            match self.list(kind.name, listed).await {
                Ok(()) => {}
                Err(error) if is_missing_scope(&error) => {
                    self.unreadable(needs_scope(kind.shown, kind.list_scope));
                }
                Err(error) => return Err(error.into_send_error(Method::ConversationsList)),
            }
        }
        Ok(())
    }

    async fn list(&self, types: &str, listed: &mut Vec<Value>) -> Result<(), CallError> {
        let mut cursor = None;
        loop {
            let mut form: Form = vec![
                ("types", types.to_owned()),
                ("exclude_archived", "true".to_owned()),
                ("limit", PAGE.to_owned()),
            ];
            form.extend(cursor.map(|cursor| ("cursor", cursor)));
            let answer = self.call(Method::ConversationsList, &form).await?;
            let page = Page::read(&answer, "channels");
            listed.extend(page.items);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    // === one chat ===

    /// Hands in what is new in a chat and its threads, oldest first.
    async fn chat(&mut self, mut chat: Chat) -> Result<(), SendError> {
        let mut found = BTreeMap::new();
        let outcome = self.history(&mut chat, &mut found).await;
        self.judge(&chat, Method::ConversationsHistory, outcome)?;
        for thread in &chat.threads {
            let outcome = self.replies(&chat, thread, &mut found).await;
            self.judge(&chat, Method::ConversationsReplies, outcome)?;
        }
        for raw in found.into_values() {
            self.hand_in(&chat, &raw).await?;
        }
        Ok(())
    }

    /// Finds what is new at the top of a chat, and the threads that have something new.
    ///
    /// Goes from the latest message backwards instead of asking for what is new: so the first page
    /// also tells which of the older roots have new replies.
    async fn history(
        &mut self,
        chat: &mut Chat,
        found: &mut BTreeMap<Ts, Value>,
    ) -> Result<(), CallError> {
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let mut form: Form = vec![("channel", chat.id.clone()), ("limit", PAGE.to_owned())];
            form.extend(cursor.map(|cursor| ("cursor", cursor)));
            let answer = self.call(Method::ConversationsHistory, &form).await?;
            let page = Page::read(&answer, "messages");
            let mut reached = false;
            for raw in page.items {
                let Some(ts) = ts(&raw["ts"]) else {
                    continue;
                };
                reached |= ts <= self.since;
                self.note_thread(chat, &raw);
                self.keep(chat, ts, raw, found);
            }
            cursor = page.cursor;
            if reached || cursor.is_none() {
                return Ok(());
            }
        }
        self.unreadable(format!(
            "{} has so many new messages that the oldest of them were not read back: ask their \
             authors to write again",
            self.shown(chat)
        ));
        Ok(())
    }

    /// Notes whether a root's thread has something new, if the root tells.
    fn note_thread(&self, chat: &mut Chat, root: &Value) {
        let Some(id) = text(&root["ts"]) else {
            return;
        };
        let is_new = match ts(&root["latest_reply"]) {
            Some(latest) => latest > self.since,
            None if root["reply_count"].as_u64().unwrap_or(0) > 0 => true,
            None => return,
        };
        if is_new {
            chat.threads.insert(id.to_owned());
        } else {
            chat.threads.remove(id);
        }
    }

    async fn replies(
        &mut self,
        chat: &Chat,
        thread: &str,
        found: &mut BTreeMap<Ts, Value>,
    ) -> Result<(), CallError> {
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let mut form: Form = vec![
                ("channel", chat.id.clone()),
                ("ts", thread.to_owned()),
                ("oldest", self.since.to_string()),
                ("limit", PAGE.to_owned()),
            ];
            form.extend(cursor.map(|cursor| ("cursor", cursor)));
            let answer = self.call(Method::ConversationsReplies, &form).await?;
            let page = Page::read(&answer, "messages");
            for raw in page.items {
                if let Some(ts) = ts(&raw["ts"]) {
                    self.keep(chat, ts, raw, found);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
        self.unreadable(format!(
            "a thread of {} has so many new messages that the latest of them were not read back: \
             ask their authors to write again",
            self.shown(chat)
        ));
        Ok(())
    }

    /// Keeps a message that is new and means something to us.
    fn keep(&self, chat: &Chat, ts: Ts, raw: Value, found: &mut BTreeMap<Ts, Value>) {
        if ts > self.since && self.read(chat, &raw).is_ok() {
            found.insert(ts, raw);
        }
    }

    async fn hand_in(&mut self, chat: &Chat, raw: &Value) -> Result<(), SendError> {
        let Ok(mut event) = self.read(chat, raw) else {
            return Ok(());
        };
        if learn(&self.account.names, &event).await {
            event = self.read(chat, raw).unwrap_or(event);
        }
        let sent_at = match &event.happening {
            Happening::Message(message) => Some(message.sent_at),
            _ => None,
        };
        match self.intake.accept(event).await {
            Ok(Receipt::Accepted | Receipt::Refused(_)) => {
                let caught_up = &mut self.caught_up;
                caught_up.missed += 1;
                caught_up.oldest_missed = caught_up.oldest_missed.into_iter().chain(sent_at).min();
                Ok(())
            }
            Ok(Receipt::Duplicate | Receipt::Ignored) => Ok(()),
            Err(error) => Err(SendError::Again {
                after: None,
                reason: WithCauses(&error).to_string(),
            }),
        }
    }

    fn read(&self, chat: &Chat, raw: &Value) -> Result<Event, Meaningless> {
        let place = Place {
            chat: &chat.id,
            kind: chat.kind,
            shared: chat.shared,
        };
        self.reader.written(place, raw, false)
    }

    // === calls and their failures ===

    /// Calls, and waits as long as Slack wants: nobody waits for this.
    async fn call(&self, method: Method, form: &Form) -> Result<Value, CallError> {
        let mut retries = RetryPolicy::new();
        let mut failures = 0;
        loop {
            match self.account.web.call(method, form.clone()).await {
                Err(CallError::Limited { after }) => {
                    sleep(after.max(Duration::from_millis(100))).await;
                }
                Err(error @ (CallError::NotSent { .. } | CallError::Lost { .. })) => {
                    failures += 1;
                    if failures > MAX_FAILURES {
                        return Err(error);
                    }
                    sleep(retries.next_delay()).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Tells failures of one chat, with which the others go on, from those of everything.
    fn judge(
        &mut self,
        chat: &Chat,
        method: Method,
        outcome: Result<(), CallError>,
    ) -> Result<(), SendError> {
        let Err(error) = outcome else {
            return Ok(());
        };
        let CallError::Refused { error: word, .. } = &error else {
            return Err(error.into_send_error(method));
        };
        match word.as_str() {
            "missing_scope" => {
                let sentence = match chat.of {
                    Some(kind) => needs_scope(kind.shown, kind.read_scope),
                    None => needs_scope(&self.shown(chat), "that reads its history"),
                };
                self.unreadable(sentence);
            }
            "not_in_channel" => self.unreadable(format!(
                "{} cannot be read back: write /invite and the bot's @name there",
                self.shown(chat)
            )),
            // It is gone since it was listed, or since the daemon saw it.
            "channel_not_found" | "thread_not_found" | "message_not_found" | "is_archived" => {
                debug!(chat = chat.id, %error, "nothing to read back");
            }
            _ => return Err(error.into_send_error(method)),
        }
        Ok(())
    }

    /// Says once that something cannot be read.
    fn unreadable(&mut self, sentence: String) {
        if !self.caught_up.unreadable.contains(&sentence) {
            self.caught_up.unreadable.push(sentence);
        }
    }

    fn shown(&self, chat: &Chat) -> String {
        match self.reader.directory.chat_name(&chat.id) {
            Some(name) => format!("#{name}"),
            None => format!("the chat {}", chat.id),
        }
    }
}

/// Makes a chat of what `conversations.list` says of it.
fn listed_chat(id: &str, raw: &Value) -> Chat {
    let is = |field: &str| raw[field] == true;
    let of = if is("is_im") {
        &DIRECT
    } else if is("is_mpim") {
        &GROUP_DIRECT
    } else if is("is_private") || is("is_group") {
        &PRIVATE
    } else {
        &PUBLIC
    };
    Chat {
        kind: if is("is_im") {
            ChatKind::Direct
        } else {
            ChatKind::Group
        },
        shared: is("is_ext_shared"),
        of: Some(of),
        ..unlisted_chat(id)
    }
}

/// Makes a chat of its name alone.
fn unlisted_chat(id: &str) -> Chat {
    Chat {
        id: id.to_owned(),
        kind: chat_kind(id, None),
        shared: false,
        of: None,
        threads: BTreeSet::new(),
    }
}

fn needs_scope(what: &str, scope: &str) -> String {
    format!(
        "{what} cannot be read back: add the bot scope {scope} to the Slack app (OAuth & \
         Permissions) and install the app again"
    )
}

fn is_missing_scope(error: &CallError) -> bool {
    matches!(error, CallError::Refused { error, .. } if error == "missing_scope")
}

fn ts(value: &Value) -> Option<Ts> {
    Ts::parse(text(value)?)
}
