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
        let approvals = match record.state {
            MessageState::InTurn => waits_for(ledger, &record).await?,
            _ => 0,
        };
        let place = place.map(|index| index + 1);
        messages.push(MessageStatus {
            approvals,
            ..describe(record, place)
        });
    }
    Ok(Messages { messages })
}

/// Returns how many decisions of people a message's turn waits for.
async fn waits_for(ledger: &Ledger, record: &MessageRecord) -> Result<u32, LedgerError> {
    let lane = ledger.lane(&record.lane).await?;
    let open = lane.and_then(|lane| lane.open);
    let its = open.filter(|open| Some(open.key) == record.turn);
    Ok(its.map_or(0, |open| open.approvals))
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
        approvals: 0,
        failure,
        refusal,
        sent_at: message.sent_at,
        received_at: record.received_at,
        changed_at: record.changed_at,
    }
}
