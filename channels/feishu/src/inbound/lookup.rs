//! Looking up what an event does not tell.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tieline_channel::{
    ChatKind, Happening, Message, Segment, Sender, SenderKind, ThreadKey, UserId, WireId,
};
use tieline_net::pace::Urgency;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::content::Partial;
use super::fields::Fields as _;
use super::forward::forwarded;
use super::glimpse::Glimpse;
use super::readback::said;
use super::{Delivered, Lack};
use crate::account::Account;
use crate::api::Failure;
use crate::get;

/// How long is waited for what decides where a message belongs. An event is to be acknowledged
/// within 3 s.
const LONGEST: Duration = Duration::from_secs(2);

/// How long is waited for what it is good to know.
const PATIENCE: Duration = Duration::from_secs(1);

/// A message of this age has come for the first time: what is not acknowledged comes again after 15 s.
const FRESH: Duration = Duration::from_secs(10);

/// How much later than now a fresh message may have been written: clocks differ. Together with
/// [`FRESH`] it is no more than the 15 s, so that no message is fresh twice.
const AHEAD: Duration = Duration::from_secs(5);

/// What becomes of a message while what decides about it is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// It must come again.
    Refused,
    /// It is taken as it came: a reply counts to the chain of its root, another bot goes by the name
    /// that the event has for it.
    Taken,
}

/// Reads a payload and looks up what it does not tell, as far as that is quick; only what decides
/// where the message belongs, or who wrote it, is waited for.
///
/// # Errors
///
/// When that cannot be looked up now: the event must come again. It is insisted on only when it
/// comes for the first time: the next delivery is 15 s away, the one after it 5 min, and the last
/// one must not be refused.
pub(crate) async fn read(account: &Account, payload: &[u8]) -> Result<Delivered, Failure> {
    let Ok(payload) = serde_json::from_slice::<Value>(payload) else {
        return Ok(Delivered::nothing("a payload that is not JSON"));
    };
    account.tenant.heard(payload.text("/header/tenant_key"));
    let us = in_time("who we are", account.identity()).await?;
    let now = SystemTime::now();
    let delivered = super::read(&payload, us, now);
    let untold = if is_fresh(&delivered, now) {
        Untold::Refused
    } else {
        Untold::Taken
    };
    complete(account, delivered, untold).await
}

/// Looks up what an event does not tell, like [`read`].
///
/// # Errors
///
/// As [`read`].
pub(crate) async fn complete(
    account: &Account,
    delivered: Delivered,
    untold: Untold,
) -> Result<Delivered, Failure> {
    let (mut event, lacks, first) = match delivered {
        Delivered::Event {
            event,
            lacks,
            first,
        } => (event, lacks, first),
        nothing @ Delivered::Nothing(_) => return Ok(nothing),
    };
    match &mut event.happening {
        Happening::Message(message) | Happening::Edited { message, .. } => {
            fill(account, message, lacks, untold).await?;
            if let (Some(thread), Some(first)) = (&message.conversation.thread, &first) {
                account.topics.learn(thread, first);
            }
        }
        Happening::Pressed(press) => press.sender.name = name(account, &press.sender).await,
        Happening::Deleted { conversation, .. } => {
            for lack in lacks {
                if let Lack::Author(message) = lack
                    && let Some(glimpse) = recalled(account, &message).await
                {
                    let us = in_time("who we are", account.identity()).await?;
                    let author = glimpse.sender.as_ref().map(UserId::as_str);
                    if author == Some(&us.app_id) || author == Some(&us.open_id) {
                        return Ok(Delivered::nothing("a message of our own was taken back"));
                    }
                    conversation.thread = glimpse.topic.or(glimpse.root);
                }
            }
        }
    }
    Ok(Delivered::event(event))
}

/// Looks at a message that was taken back: that is still told of it. What withdraws it is its name,
/// so nothing depends on an answer.
async fn recalled(account: &Account, message: &WireId) -> Option<Glimpse> {
    account.topics.forget(message);
    briefly(Some(account.glimpses.of(message))).await
}

/// Tells whether a message has certainly not come before.
fn is_fresh(delivered: &Delivered, now: SystemTime) -> bool {
    let Delivered::Event { event, .. } = delivered else {
        return false;
    };
    let Happening::Message(message) = &event.happening else {
        return false;
    };
    match now.duration_since(message.sent_at) {
        Ok(age) => age < FRESH,
        Err(ahead) => ahead.duration() <= AHEAD,
    }
}

async fn fill(
    account: &Account,
    message: &mut Message,
    lacks: Vec<Lack>,
    untold: Untold,
) -> Result<(), Failure> {
    let (mut root, mut quoted, mut partial) = (None, None, None);
    for lack in lacks {
        match lack {
            Lack::Topic(id) => root = Some(id),
            Lack::QuotedText(id) => quoted = Some(id),
            Lack::Content(of) => partial = Some(of),
            // That is of messages that were taken back.
            Lack::Author(_) => {}
        }
    }
    let (topic, bot, quoted, content, sender_name, chat_name) = tokio::join!(
        topic(account, root.as_ref(), untold),
        bot(account, message, untold),
        briefly(quoted.map(|id| async move { account.glimpses.of(&id).await })),
        briefly(partial.map(|of| whole(account, &message.id, of))),
        name(account, &message.sender),
        chat_name(account, message),
    );
    if let Some(topic) = topic? {
        message.conversation.thread = Some(topic);
    }
    if let Some(bot) = bot? {
        message.sender.id = bot;
    }
    if let (Some(quote), Some(glimpse)) = (&mut message.quote, quoted) {
        quote.sender = glimpse.sender;
        quote.text = glimpse.text;
    }
    if let Some(text) = content.filter(|text| !text.is_empty()) {
        message.body = vec![Segment::Text(text)];
    }
    message.sender.name = sender_name;
    message.chat_name = chat_name;
    for segment in &mut message.body {
        if let Segment::Mention {
            user,
            name: name @ None,
        } = segment
        {
            *name = account.names.user_if_known(user.as_str());
        }
    }
    Ok(())
}

/// Returns the topic that a first message began, if it did.
///
/// Where that is not known, the replies stay together under the first message's own name.
async fn topic(
    account: &Account,
    root: Option<&WireId>,
    untold: Untold,
) -> Result<Option<ThreadKey>, Failure> {
    let Some(root) = root else {
        return Ok(None);
    };
    let glimpse = decisive(account, "a topic", root, untold).await?;
    Ok(glimpse.and_then(|glimpse| glimpse.topic))
}

/// Returns the name under which another bot counts, if that is to be known: the message itself tells
/// it when it is read back.
async fn bot(
    account: &Account,
    message: &Message,
    untold: Untold,
) -> Result<Option<UserId>, Failure> {
    let bot = &message.sender.id;
    match message.sender.kind {
        SenderKind::Person | SenderKind::Outsider => return Ok(None),
        SenderKind::Bot => {}
    }
    if let Some(app) = account.bots.known(bot) {
        return Ok(Some(app));
    }
    let glimpse = decisive(account, "which bot it is", &message.id, untold).await?;
    let app = glimpse.and_then(|glimpse| glimpse.sender);
    if let Some(app) = &app {
        account.bots.learn(bot, app);
    }
    Ok(app)
}

/// Looks at a message for what decides about another one.
async fn decisive(
    account: &Account,
    what: &str,
    at: &WireId,
    untold: Untold,
) -> Result<Option<Glimpse>, Failure> {
    let failure = match in_time(what, account.glimpses.of(at)).await {
        Ok(glimpse) => return Ok(Some(glimpse)),
        Err(failure) => failure,
    };
    match (&failure, untold) {
        (Failure::Never { .. }, _) => debug!(message = %at, error = %failure, "{what} is not told"),
        (Failure::Operator { .. }, _) => {
            warn!(message = %at, error = %failure, "{what} cannot be asked");
        }
        (_, Untold::Refused) => return Err(failure),
        (_, Untold::Taken) => {
            warn!(message = %at, error = %failure, "{what} is not waited for any longer");
        }
    }
    Ok(None)
}

/// Returns the whole of what a message says; nothing if no more is to be known.
async fn whole(account: &Account, id: &WireId, partial: Partial) -> Result<String, Failure> {
    let items = get::message(&account.api, Urgency::Answer, id.as_str()).await?;
    Ok(match partial {
        Partial::Forwarded if items.len() > 1 => {
            forwarded(&items, |id| account.names.user_if_known(id))
        }
        Partial::Forwarded => String::new(),
        Partial::Card => items.first().map(said).unwrap_or_default(),
    })
}

async fn name(account: &Account, sender: &Sender) -> Option<String> {
    match sender.kind {
        SenderKind::Person | SenderKind::Outsider => account.names.user(sender.id.as_str()).await,
        // It is nobody whom the directory knows.
        SenderKind::Bot => None,
    }
}

async fn chat_name(account: &Account, message: &Message) -> Option<String> {
    match message.chat_kind {
        ChatKind::Group => {
            let chat = message.conversation.chat.as_str();
            account.names.chat(chat).await
        }
        ChatKind::Direct => None,
    }
}

/// Waits for what must be known.
async fn in_time<T>(
    what: &str,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(LONGEST, answer).await.unwrap_or_else(|_elapsed| {
        Err(Failure::Unclear {
            reason: format!("{what} was not told within {} s", LONGEST.as_secs()),
        })
    })
}

/// Waits a little for what it is good to know.
async fn briefly<T>(answer: Option<impl Future<Output = Result<T, Failure>>>) -> Option<T> {
    match timeout(PATIENCE, answer?).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(failure)) => {
            debug!(error = %failure, "a message is taken without what it does not tell");
            None
        }
        Err(_elapsed) => {
            debug!("a message is taken without what was not told in time");
            None
        }
    }
}
