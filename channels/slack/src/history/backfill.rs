//! What was written while nothing arrived.
//!
//! Slack tells where we are, what was written there, and which of the latest roots have new
//! replies; it does not tell of new replies below older roots, so those threads are asked for that
//! the daemon knows. All of it is handed in as if it had just come, under the same keys.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;
use tieline_channel::{CaughtUp, Conversation, Event, Intake, SendError};
use tracing::debug;

use super::chats::{Chat, chats, needs_scope};
use super::{PAGE, Page, patiently, ts};
use crate::account::Account;
use crate::inbound::fields::text;
use crate::inbound::{Meaningless, Place, Reader, Ts, learn};
use crate::web::{CallError, Form, Method};

/// How far one chat is read: 10,000 messages, which are in memory together.
const MAX_PAGES: usize = 50;

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
    for chat in chats(account, threads, &mut backfill.caught_up.unreadable).await? {
        backfill.chat(chat).await?;
    }
    Ok(backfill.caught_up)
}

impl Backfill<'_> {
    /// Hands in what is new in a chat and its threads, oldest first.
    async fn chat(&mut self, mut chat: Chat) -> Result<(), SendError> {
        let mut found = BTreeMap::new();
        let outcome = self.find(&mut chat, &mut found).await;
        self.judge(&chat, outcome)?;
        for raw in found.into_values() {
            self.hand_in(&chat, &raw).await?;
        }
        Ok(())
    }

    async fn find(
        &mut self,
        chat: &mut Chat,
        found: &mut BTreeMap<Ts, Value>,
    ) -> Result<(), CallError> {
        self.history(chat, found).await?;
        for thread in &chat.threads {
            match self.replies(chat, thread, found).await {
                // It is gone since the daemon saw it.
                Err(error) if matches!(error.refusal(), Some("thread_not_found")) => {
                    debug!(chat = chat.id, thread, "nothing to read back");
                }
                outcome => outcome?,
            }
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
            let answer = patiently(&self.account.web, Method::ConversationsHistory, &form).await?;
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
        self.caught_up.cannot_read(format!(
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
            None if root["reply_count"].is_number() && ts(&root["ts"]) > Some(self.since) => true,
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
            let answer = patiently(&self.account.web, Method::ConversationsReplies, &form).await?;
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
        self.caught_up.cannot_read(format!(
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
        self.caught_up.hand_in(event, self.intake).await
    }

    fn read(&self, chat: &Chat, raw: &Value) -> Result<Event, Meaningless> {
        let place = Place {
            chat: &chat.id,
            kind: chat.kind,
            shared: chat.shared,
        };
        self.reader.written(place, raw, false)
    }

    /// Tells failures of one chat, with which the others go on, from those of everything.
    fn judge(&mut self, chat: &Chat, outcome: Result<(), CallError>) -> Result<(), SendError> {
        let Err(error) = outcome else {
            return Ok(());
        };
        match error.refusal() {
            Some("missing_scope") => {
                let sentence = match chat.read_scope() {
                    Some((all, scope)) => needs_scope(all, scope),
                    None => needs_scope(&self.shown(chat), "that reads its history"),
                };
                self.caught_up.cannot_read(sentence);
            }
            Some("not_in_channel") => self.caught_up.cannot_read(format!(
                "{} cannot be read back: write /invite and the bot's @name there",
                self.shown(chat)
            )),
            // It is gone since it was listed, or since the daemon saw it.
            Some("channel_not_found" | "is_archived") => {
                debug!(chat = chat.id, %error, "nothing to read back");
            }
            _ => return Err(error.into_send_error(Method::ConversationsHistory)),
        }
        Ok(())
    }

    fn shown(&self, chat: &Chat) -> String {
        match self.reader.directory.chat_name(&chat.id) {
            Some(name) => format!("#{name}"),
            None => format!("the chat {}", chat.id),
        }
    }
}
