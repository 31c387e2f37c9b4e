//! What a thread said before a message.

use serde_json::Value;
use tieline_channel::{Ends, Message, Said, SendError, SenderKind, WireId, cut, plain_text};

use super::{PAGE, Page, ts};
use crate::account::Account;
use crate::inbound::fields::{items, text};
use crate::inbound::{Place, Reader, Ts, is_written};
use crate::web::{Form, Method, Urgency};

/// The longest text of one message, in characters.
const MAX_TEXT: usize = 2_000;

/// How far a thread is read: 4,000 messages. Of a longer one, what comes after them is not told.
const MAX_PAGES: usize = 20;

/// Returns what a message's thread said before it.
pub(crate) async fn earlier(
    account: &Account,
    message: &Message,
    limit: usize,
) -> Result<Vec<Said>, SendError> {
    let before = Ts::parse(message.id.as_str());
    let (Some(thread), Some(before)) = (&message.conversation.thread, before) else {
        return Ok(Vec::new());
    };
    let us = account
        .identity()
        .await
        .map_err(|error| error.into_send_error(Method::AuthTest))?;
    let reader = Reader {
        us,
        thread_direct: account.settings.thread_direct,
        directory: &account.names,
    };
    let place = Place {
        chat: message.conversation.chat.as_str(),
        kind: message.chat_kind,
        shared: false,
    };
    let mut kept = Ends::new(limit);
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let mut form: Form = vec![
            ("channel", place.chat.to_owned()),
            ("ts", thread.as_str().to_owned()),
            ("latest", message.id.as_str().to_owned()),
            ("limit", PAGE.to_owned()),
        ];
        form.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer: Value = account
            .web
            .call_as(Urgency::Answer, Method::ConversationsReplies, form)
            .await
            .map_err(|error| error.into_send_error(Method::ConversationsReplies))?;
        let page = Page::read(&answer, "messages");
        for raw in page.items {
            let Some(ts) = ts(&raw["ts"]).filter(|ts| *ts < before) else {
                continue;
            };
            if is_written(&raw).is_ok() && !reader.said(&raw).is_empty() {
                kept.push(ts, raw);
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut said = Vec::new();
    for raw in kept.into_values() {
        if let Some(user) = text(&raw["user"]).filter(|_| text(&raw["bot_id"]).is_none()) {
            // For the reader below.
            let _name = account.names.user(user).await;
        }
        said.extend(reader.told(place, &raw));
    }
    Ok(said)
}

impl Reader<'_> {
    fn told(&self, place: Place<'_>, raw: &Value) -> Option<Said> {
        let mut sender = self.sender(place, raw)?;
        if self.is_ours(raw) {
            sender.kind = SenderKind::Bot;
        }
        Some(Said {
            message: WireId::new(text(&raw["ts"])?),
            sender,
            sent_at: ts(&raw["ts"])?.time(),
            text: self.said(raw),
        })
    }

    /// Returns what a message says, with what it quotes and the names of its files.
    fn said(&self, raw: &Value) -> String {
        let (body, quote) = self.content(raw);
        let mut parts = Vec::new();
        if let Some(quote) = quote {
            parts.push(format!("> {}", quote.text.replace('\n', "\n> ")));
        }
        parts.push(plain_text(&body));
        for file in items(&raw["files"]) {
            if let Some(name) = text(&file["name"]) {
                parts.push(format!("[file: {name}]"));
            }
        }
        parts.retain(|part| !part.trim().is_empty());
        cut(&parts.join("\n"), MAX_TEXT)
    }
}
