//! Where the messages of a conversation are, for whoever asks in the chat.

use std::time::SystemTime;

use tieline_channel::{ChannelId, Conversation};

use crate::id::LaneId;
use crate::ledger::{Ledger, LedgerError, MessageRecord, MessageState};

/// How many waiting messages are told.
const WAITING: usize = 10;

/// How many settled messages are told.
const SETTLED: usize = 3;

/// Among how many of the newest messages they are looked for.
const NEWEST: usize = 200;

/// How much of a text is quoted, in characters.
const QUOTED: usize = 60;

/// Where the messages of a conversation are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Whereabouts {
    /// Those that are worked on.
    pub(super) in_turn: Vec<Entry>,
    /// How many wait in the lane, over all its conversations.
    pub(super) waiting: usize,
    /// The first of those that wait, with their places; those of other conversations are left out.
    pub(super) queued: Vec<(usize, Entry)>,
    /// The last that were settled, oldest first.
    pub(super) settled: Vec<Entry>,
}

/// A message, as it is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The beginning of its text.
    pub(super) text: String,
    /// How far it is.
    pub(super) state: MessageState,
    /// Since when.
    pub(super) since: SystemTime,
    /// Its turn waits for decisions of people.
    pub(super) waits_for_people: bool,
}

/// Finds out where the messages of a conversation are.
///
/// # Errors
///
/// When the ledger cannot be read.
pub(super) async fn find(
    ledger: &Ledger,
    lane: &LaneId,
    channel: &ChannelId,
    conversation: &Conversation,
) -> Result<Whereabouts, LedgerError> {
    // What others say elsewhere is not for this chat.
    let is_here = |record: &MessageRecord| {
        record.channel == *channel && record.message.conversation == *conversation
    };
    let record = ledger.lane(lane).await?;
    let waiting = record.as_ref().map_or(0, |lane| lane.waiting);
    let open = record.and_then(|lane| lane.open);
    let mut found = Whereabouts {
        waiting,
        ..Whereabouts::default()
    };
    let queue = ledger.waiting(lane, WAITING).await?;
    for (index, record) in queue.iter().enumerate().filter(|(_, it)| is_here(it)) {
        found.queued.push((index + 1, Entry::of(record)));
    }
    for record in ledger.recent_messages(NEWEST).await? {
        if !is_here(&record) {
            continue;
        }
        match record.state {
            MessageState::InTurn => {
                let mut entry = Entry::of(&record);
                entry.waits_for_people = open
                    .as_ref()
                    .is_some_and(|open| Some(open.key) == record.turn && open.approvals > 0);
                found.in_turn.insert(0, entry);
            }
            MessageState::Queued | MessageState::Refused { .. } => {}
            // Without a turn it was a command, this one perhaps.
            MessageState::Answered if record.turn.is_none() => {}
            MessageState::Answered
            | MessageState::Failed { .. }
            | MessageState::Cancelled
            | MessageState::Unclear => {
                if found.settled.len() < SETTLED {
                    found.settled.insert(0, Entry::of(&record));
                }
            }
        }
    }
    Ok(found)
}

impl Entry {
    fn of(record: &MessageRecord) -> Self {
        let text = record.message.plain_text();
        let text: Vec<_> = text.split_whitespace().collect();
        let text = text.join(" ");
        let mut quoted: String = text.chars().take(QUOTED).collect();
        if quoted.len() < text.len() {
            quoted.push('…');
        }
        Self {
            text: quoted,
            state: record.state.clone(),
            since: record.changed_at,
            waits_for_people: false,
        }
    }
}
