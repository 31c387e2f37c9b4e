//! Who waits for a lane.

use crate::ledger::{LaneRecord, Ledger, LedgerError, Origin};

/// How many waiting messages are looked at: their chats are told, and more will not be.
const LOOKED_AT: usize = 64;

/// Returns whether a lane has anything to do.
pub(super) fn has_work(lane: &LaneRecord) -> bool {
    lane.open.is_some() || lane.inputs() > 0 || lane.orders > 0
}

/// Returns the conversations that a lane owes an answer, each once.
pub(super) async fn origins(
    ledger: &Ledger,
    lane: &LaneRecord,
) -> Result<Vec<Origin>, LedgerError> {
    let mut messages = Vec::new();
    // Those of a turn are of one conversation.
    if let Some(first) = lane.open.as_ref().and_then(|open| open.messages.first()) {
        messages.extend(ledger.message(*first).await?);
    }
    if lane.waiting > 0 {
        messages.extend(ledger.waiting(&lane.id, LOOKED_AT).await?);
    }
    let asked = messages.into_iter().map(|message| Origin {
        channel: message.channel,
        conversation: message.message.conversation,
    });
    let ordered = match lane.orders {
        0 => Vec::new(),
        _ => ledger.orders(&lane.id).await?,
    };
    let ordered = ordered.into_iter().filter_map(|order| order.by.origin);
    let mut origins: Vec<Origin> = Vec::new();
    for origin in asked.chain(ordered) {
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    Ok(origins)
}
