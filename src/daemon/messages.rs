//! What became of the messages, asked of the ledger.

use std::collections::BTreeMap;

use tieline_channel::RefusalReason;

use crate::control::{MessageStatus, Messages};
use crate::id::{LaneId, MessageId};
use crate::ledger::{Ledger, LedgerError, MessageRecord, MessageState};

/// How far into a lane's queue a message's place is told.
const PLACES: usize = 100;

/// How much of a message's text is told, in characters.
const PREVIEW: usize = 80;

/// Tells the newest messages, newest first.
///
/// # Errors
///
/// When the ledger cannot be read.
pub(super) async fn tell(ledger: &Ledger, limit: usize) -> Result<Messages, LedgerError> {
    let records = ledger.recent_messages(limit).await?;
    let mut queues: BTreeMap<LaneId, Vec<MessageId>> = BTreeMap::new();
    let mut messages = Vec::with_capacity(records.len());
    for record in records {
        let mut place = None;
        if record.state == MessageState::Queued {
            if !queues.contains_key(&record.lane) {
                let waiting = ledger.waiting(&record.lane, PLACES).await?;
                let ids = waiting.into_iter().map(|message| message.id).collect();
                queues.insert(record.lane.clone(), ids);
            }
            let queue = queues.get(&record.lane).map_or(&[][..], Vec::as_slice);
            place = queue.iter().position(|id| *id == record.id);
        }
        messages.push(describe(record, place.map(|index| index + 1)));
    }
    Ok(Messages { messages })
}

fn describe(record: MessageRecord, place: Option<usize>) -> MessageStatus {
    let (failure, refusal): (Option<String>, Option<RefusalReason>) = match &record.state {
        MessageState::Failed { kind } => (Some(kind.to_string()), None),
        MessageState::Refused { reason } => (None, Some(*reason)),
        MessageState::Queued
        | MessageState::InTurn
        | MessageState::Answered
        | MessageState::Cancelled
        | MessageState::Unclear => (None, None),
    };
    let text = record.message.plain_text();
    let message = record.message;
    MessageStatus {
        id: record.id,
        channel: record.channel,
        chat: message.conversation.chat,
        thread: message.conversation.thread,
        message: message.id,
        sender: message.sender.id,
        sender_name: message.sender.name,
        text: text.chars().take(PREVIEW).collect(),
        lane: record.lane,
        state: record.state.as_str().to_owned(),
        place,
        failure,
        refusal,
        sent_at: message.sent_at,
        received_at: record.received_at,
        changed_at: record.changed_at,
    }
}
