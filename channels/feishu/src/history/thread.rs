//! What a topic or a chain of replies said before a message.

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tieline_channel::{Ends, Message, Said, SendError, SenderKind, ThreadKey, WireId, cut};
use tieline_net::pace::Urgency;

use super::Container;
use crate::account::Account;
use crate::api::{Cure, Failure};
use crate::get::{self, not_read};
use crate::inbound::fields::Fields as _;
use crate::inbound::{Identity, is_topic, said, sender_of};

/// The longest text of one message, in characters.
const MAX_TEXT: usize = 2_000;

/// How far a topic is read: 1,000 messages. Of a longer one, what comes after them is not told.
const MAX_PAGES: usize = 20;

/// How many cards are read at once.
const MAX_READS: usize = 4;

/// Returns what a message's topic, or the chain of replies that it ends, said before it.
pub(crate) async fn earlier(
    account: &Account,
    message: &Message,
    limit: usize,
) -> Result<Vec<Said>, SendError> {
    let Some(thread) = &message.conversation.thread else {
        return Ok(Vec::new());
    };
    let us = account.identity().await.map_err(not_read)?;
    let items = if is_topic(thread) {
        in_topic(account, thread, message, limit).await
    } else {
        in_chain(account, thread, message, limit).await
    };
    let told = items
        .map_err(not_read)?
        .into_iter()
        .map(|item| tell(account, us, item));
    let told: Vec<_> = stream::iter(told).buffered(MAX_READS).collect().await;
    Ok(told.into_iter().flatten().collect())
}

async fn in_topic(
    account: &Account,
    topic: &ThreadKey,
    message: &Message,
    limit: usize,
) -> Result<Vec<Value>, Failure> {
    let container = Container::Topic(topic.as_str());
    let mut kept = Ends::new(limit);
    let mut token = None;
    for _ in 0..MAX_PAGES {
        let query = vec![("sort_type", "ByCreateTimeAsc".to_owned())];
        let page = container
            .page(&account.api, Urgency::Answer, query, token.as_deref())
            .await?;
        for item in page.items {
            let (Some(id), Some(sent_at)) = (item.text("/message_id"), item.time("/create_time"))
            else {
                continue;
            };
            let is_before = id != message.id.as_str() && sent_at <= message.sent_at;
            if is_before && !said(&item).is_empty() {
                kept.push((sent_at, id.to_owned()), item);
            }
        }
        token = page.token;
        if token.is_none() {
            break;
        }
    }
    let whole = kept.into_values().map(|item| whole(account, item));
    Ok(stream::iter(whole).buffered(MAX_READS).collect().await)
}

/// Reads a card again: a list has only its simplified form.
async fn whole(account: &Account, item: Value) -> Value {
    let id = match item.text("/message_id") {
        Some(id) if item.text("/msg_type") == Some("interactive") => id,
        _ => return item,
    };
    let read = get::message(&account.api, Urgency::Answer, id).await;
    let read = read.ok().and_then(|items| items.into_iter().next());
    read.unwrap_or(item)
}

/// Goes from a message to the one that it answers to, and so on; the first of all is known by name.
async fn in_chain(
    account: &Account,
    first: &ThreadKey,
    message: &Message,
    limit: usize,
) -> Result<Vec<Value>, Failure> {
    let first = first.as_str();
    let mut next = match &message.quote {
        Some(quote) => Some(quote.message.as_str().to_owned()),
        None => Some(first.to_owned()),
    };
    let mut chain = Vec::new();
    while let Some(id) = next.take() {
        let room = limit - chain.len().min(limit);
        // The last place is for the first message.
        let id = match room {
            0 => break,
            1 => first.to_owned(),
            _ => id,
        };
        let item = match get::message(&account.api, Urgency::Answer, &id).await {
            Ok(items) => items.into_iter().next(),
            Err(Failure::Never {
                cure: Cure::NewMessage,
                ..
            }) => None,
            Err(failure) => return Err(failure),
        };
        if id != first {
            let parent = item.as_ref().and_then(|item| item.text("/parent_id"));
            next = Some(parent.unwrap_or(first).to_owned());
        }
        chain.extend(item.filter(|item| !said(item).is_empty()));
    }
    chain.reverse();
    Ok(chain)
}

async fn tell(account: &Account, us: &Identity, item: Value) -> Option<Said> {
    let mut sender = sender_of(&item)?;
    let id = item.text("/message_id")?;
    let mut text = said(&item);
    if sender.id.as_str() == us.app_id {
        // Of ours, it goes without saying.
        text = text.strip_prefix("[a card]\n").unwrap_or(&text).to_owned();
    }
    sender.name = match sender.kind {
        SenderKind::Person | SenderKind::Outsider => account.names.user(sender.id.as_str()).await,
        SenderKind::Bot => None,
    };
    Some(Said {
        message: WireId::new(id),
        sender,
        sent_at: item.time("/create_time")?,
        text: cut(&text, MAX_TEXT),
    })
}
