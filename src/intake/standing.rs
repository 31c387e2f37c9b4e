//! How the dispatcher is and what it does for a conversation, for whoever asks in the chat. Nothing of
//! what others say elsewhere.

use std::time::SystemTime;

use tieline_channel::{ChannelId, Conversation};

use super::whereabouts;
use crate::codex::FailureKind;
use crate::config::Sandbox;
use crate::dispatcher::Handle;
use crate::id::LaneId;
use crate::ledger::{KeptThread, Ledger, LedgerError, Lifecycle, Origin};

/// How the dispatcher is, as a conversation sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// Where it is in its life.
    pub(super) state: Lifecycle,
    /// Since when.
    pub(super) since: SystemTime,
    /// The version of Codex.
    pub(super) version: Option<String>,
    /// The turn that runs.
    pub(super) turn: Option<Running>,
    /// How many messages of the conversation wait, as far as they were looked at.
    pub(super) waiting_here: usize,
    /// How many wait, over all the conversations of the lane.
    pub(super) waiting: usize,
    /// How many orders about the thread wait.
    pub(super) orders: usize,
    /// The thread, once it had a turn.
    pub(super) thread: Option<u32>,
    /// What runs the turns.
    pub(super) model: Model,
    /// What its commands may do.
    pub(super) sandbox: Sandbox,
    /// Codex cannot sign in to its model.
    pub(super) login: Option<FailureKind>,
}

/// The turn that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// Since when.
    pub(super) since: SystemTime,
    /// It answers this conversation.
    pub(super) is_here: bool,
    /// Somebody has stopped it.
    pub(super) is_stopped: bool,
}

/// The model that runs the turns of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// Its name, if it is known before Codex is asked.
    pub(super) name: Option<String>,
    /// Somebody named it here.
    pub(super) is_chosen: bool,
}

/// The threads of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Threads {
    /// Those that had a turn, used last first.
    pub(super) kept: Vec<KeptThread>,
    /// The number of the one that goes on.
    pub(super) present: Option<u32>,
}

/// Finds out how the dispatcher is.
///
/// # Errors
///
/// When the ledger cannot be read.
pub(super) async fn find(
    ledger: &Ledger,
    dispatcher: &Handle,
    lane: &LaneId,
    channel: &ChannelId,
    conversation: &Conversation,
) -> Result<Standing, LedgerError> {
    let found = whereabouts::find(ledger, lane, channel, conversation).await?;
    let threads = threads(ledger, lane).await?;
    let record = ledger.lane(lane).await?;
    let condition = dispatcher.condition();
    let here = Origin {
        channel: channel.clone(),
        conversation: conversation.clone(),
    };
    let turn = record.as_ref().and_then(|record| {
        let open = record.open.as_ref()?;
        // One for results that came in answers those who wrote last.
        let for_here = open.messages.is_empty() && record.last_from.as_ref() == Some(&here);
        Some(Running {
            since: open.opened_at,
            is_here: !found.in_turn.is_empty() || for_here,
            is_stopped: open.stop.is_some(),
        })
    });
    Ok(Standing {
        state: condition.record.state,
        since: condition.record.changed_at,
        version: condition.facts.and_then(|facts| facts.version),
        turn,
        waiting_here: found.queued.len(),
        waiting: found.waiting,
        orders: record.as_ref().map_or(0, |record| record.orders),
        thread: threads.present,
        model: model(ledger, dispatcher, lane).await?,
        sandbox: dispatcher.sandbox(),
        login: dispatcher.login_problem().map(|problem| problem.kind),
    })
}

/// Finds out which model runs the turns of a lane.
///
/// # Errors
///
/// When the ledger cannot be read.
pub(super) async fn model(
    ledger: &Ledger,
    dispatcher: &Handle,
    lane: &LaneId,
) -> Result<Model, LedgerError> {
    let named = ledger.lane(lane).await?.and_then(|record| record.model);
    let (chosen, before) = named.map_or((None, None), |it| (it.chosen, it.before));
    Ok(Model {
        is_chosen: chosen.is_some(),
        name: chosen
            .or_else(|| dispatcher.model().map(str::to_owned))
            .or(before),
    })
}

/// Finds the threads of a lane.
///
/// # Errors
///
/// When the ledger cannot be read.
pub(super) async fn threads(ledger: &Ledger, lane: &LaneId) -> Result<Threads, LedgerError> {
    let kept = ledger.kept_threads(lane).await?;
    let thread = ledger.lane(lane).await?.and_then(|record| record.thread);
    let present = kept
        .iter()
        .find(|kept| Some(&kept.thread) == thread.as_ref());
    Ok(Threads {
        present: present.map(|kept| kept.number),
        kept,
    })
}
