//! From what Slack delivers to what happened.
//!
//! - `event`, `interaction`: the kinds of envelopes
//! - `message`: a message, the same whether it comes live or is read back
//! - `mrkdwn`, `blocks`: its text
//! - `directory`, `names`: the names of people and chats
//!
//! Reading is pure and lenient: every field may be missing or of another type, and what cannot be
//! read is nothing of ours rather than an error, since a second delivery would read no better.

mod blocks;
mod body;
pub(crate) mod directory;
mod event;
pub(crate) mod fields;
mod interaction;
mod message;
mod mrkdwn;
mod names;
#[cfg(test)]
mod tests;
mod ts;

use std::time::SystemTime;

use serde_json::Value;
use tieline_channel::{ChatKind, Conversation, Event, Happening, Segment, Sender, SenderKind};
use tieline_net::uplink::Meaning;

pub(crate) use self::event::chat_kind;
pub(crate) use self::message::{Meaningless, Place, Reader, is_written};
pub(crate) use self::names::Names;
pub(crate) use self::ts::Ts;
use crate::account::{Account, Identity};
use crate::socket::Envelope;

/// Reads an envelope. Names are looked up as far as that is quick.
pub(crate) async fn read(account: &Account, us: &Identity, envelope: &Envelope) -> Meaning {
    let now = SystemTime::now();
    let reader = Reader {
        us,
        thread_direct: account.settings.thread_direct,
        directory: &account.names,
    };
    let read = match reader.envelope(&envelope.kind, &envelope.payload, now) {
        // Again only if there was something to find out.
        Ok(event) if learn(&account.names, &event).await => {
            reader.envelope(&envelope.kind, &envelope.payload, now)
        }
        read => read,
    };
    match read {
        Ok(event) => Meaning::Event(event),
        Err(meaningless) => Meaning::Nothing(meaningless),
    }
}

impl Reader<'_> {
    /// Reads the payload of an envelope.
    fn envelope(&self, kind: &str, payload: &Value, now: SystemTime) -> Result<Event, Meaningless> {
        match kind {
            "events_api" => self.callback(payload),
            "interactive" => self.interaction(payload),
            "slash_commands" => self.command(payload, now),
            _ => Err(format!("an envelope of type {kind}")),
        }
    }
}

/// Finds out who is who in an event, and tells whether that brought anything new. Waits for the
/// sender and the chat; who is mentioned is known the next time.
pub(crate) async fn learn(names: &Names, event: &Event) -> bool {
    let (sender, conversation, body): (_, _, &[Segment]) = match &event.happening {
        Happening::Message(message) | Happening::Edited { message, .. } => {
            let place = (message.chat_kind == ChatKind::Group).then_some(&message.conversation);
            (Some(&message.sender), place, &message.body)
        }
        Happening::Pressed(press) => (Some(&press.sender), None, &[]),
        Happening::Deleted { .. } => (None, None, &[]),
    };
    for segment in body {
        match segment {
            Segment::Mention { user, name: None } => names.want_user(user.as_str()),
            Segment::Mention { .. } | Segment::Text(_) => {}
        }
    }
    let (person, chat) = tokio::join!(learn_person(names, sender), learn_chat(names, conversation));
    person || chat
}

async fn learn_person(names: &Names, sender: Option<&Sender>) -> bool {
    match sender {
        // A program says its name itself, and may be no user.
        Some(sender) if sender.kind != SenderKind::Bot => {
            names.learn_user(sender.id.as_str()).await
        }
        Some(_) | None => false,
    }
}

async fn learn_chat(names: &Names, conversation: Option<&Conversation>) -> bool {
    match conversation {
        Some(conversation) => names.learn_chat(conversation.chat.as_str()).await,
        None => false,
    }
}
