//! What chats are told while there is no child: once each, when it takes long, and when it is over.

use std::collections::HashSet;

use tieline_channel::Text;
use tokio::time::Instant;
use tracing::{info, warn};

use super::lane::{LaneContext, tell_of_trouble};
use super::supervisor::Link;
use super::waiting::{self, has_work};
use super::{TELL_AFTER, words};
use crate::codex::FailureKind;
use crate::id::LaneId;
use crate::ledger::{LaneRecord, LedgerError, Origin};

/// An outage of the child, and whom it has been told to.
#[derive(Debug)]
pub(super) enum Outage {
    /// There is none.
    None,
    /// Since then; nobody is told before [`TELL_AFTER`].
    Silent {
        /// When it began.
        since: Instant,
    },
    /// These have been told. Bounded by the conversations that wait.
    Told(HashSet<Origin>),
}

impl Outage {
    /// Begins one: there is no child yet, or no longer.
    pub(super) fn since(since: Instant) -> Self {
        Self::Silent { since }
    }

    /// Returns when it is to be [told](Self::tell).
    pub(super) fn tell_at(&self) -> Option<Instant> {
        match self {
            Self::Silent { since } => Some(*since + TELL_AFTER),
            Self::None | Self::Told(_) => None,
        }
    }

    /// Tells every chat that waits.
    pub(super) async fn tell(&mut self, context: &LaneContext) {
        info!("the chats that wait are told of the outage");
        let mut told = HashSet::new();
        tell_waiting(context, &mut told, None).await;
        *self = Self::Told(told);
    }

    /// Tells the chats that wait for these lanes, if the others have been told.
    pub(super) async fn tell_woken(&mut self, context: &LaneContext, lanes: &HashSet<LaneId>) {
        if let Self::Told(told) = self {
            tell_waiting(context, told, Some(lanes)).await;
        }
    }

    /// Begins or ends with the connection; those who were told of it are told when it is over.
    pub(super) async fn link_changed(&mut self, context: &LaneContext, link: &Link) {
        *self = match (link, std::mem::replace(self, Self::None)) {
            (Link::Up(_), Self::Told(told)) => {
                tell_over(context, &told).await;
                Self::None
            }
            (Link::Up(_) | Link::Stopped, _) => Self::None,
            (Link::Down { since, .. }, Self::None) => Self::since(*since),
            (Link::Down { .. }, outage) => outage,
        };
    }
}

/// Tells the chats that wait for these lanes of a dispatcher that is switched off, each once.
pub(super) async fn tell_switched_off(
    context: &LaneContext,
    told: &mut HashSet<Origin>,
    lanes: &HashSet<LaneId>,
) {
    tell_new(context, told, Some(lanes), words::SWITCHED_OFF).await;
}

async fn tell_over(context: &LaneContext, told: &HashSet<Origin>) {
    let posts = told
        .iter()
        .map(|origin| context.notice(&origin.channel, &origin.conversation, words::BACK))
        .collect();
    if let Err(failure) = context.ledger.enqueue(posts).await {
        warn!(error = %failure, "the chats were not told that codex is back");
    }
}

/// Tells every chat that waits for these lanes, or for any, and has not been told yet.
async fn tell_waiting(
    context: &LaneContext,
    told: &mut HashSet<Origin>,
    lanes: Option<&HashSet<LaneId>>,
) {
    let kind = match &*context.supervised.link.borrow() {
        Link::Down { failure, .. } => *failure,
        Link::Up(_) | Link::Stopped => None,
    };
    let text = match kind {
        // That is told over restarts, too, and it is over only when the model has answered.
        Some(kind) if context.login.problem().is_some() => {
            if let Err(failure) = tell_of_login(context, lanes, kind).await {
                warn!(error = %failure, "the chats that wait were not told");
            }
            return;
        }
        Some(kind) => words::not_starting(kind),
        None => words::RESTARTING,
    };
    tell_new(context, told, lanes, text).await;
}

/// Tells every chat that waits for these lanes, or for any, and has not been told yet, this.
async fn tell_new(
    context: &LaneContext,
    told: &mut HashSet<Origin>,
    lanes: Option<&HashSet<LaneId>>,
    text: Text,
) {
    let new = match waiting_origins(context, lanes).await {
        Ok(origins) => origins.difference(told).cloned().collect::<Vec<_>>(),
        Err(failure) => {
            warn!(error = %failure, "the chats that wait cannot be told");
            return;
        }
    };
    if new.is_empty() {
        return;
    }
    let posts = new
        .iter()
        .map(|origin| context.notice(&origin.channel, &origin.conversation, text))
        .collect();
    match context.ledger.enqueue(posts).await {
        Ok(_) => told.extend(new),
        Err(failure) => warn!(error = %failure, "the chats that wait were not told"),
    }
}

async fn tell_of_login(
    context: &LaneContext,
    lanes: Option<&HashSet<LaneId>>,
    kind: FailureKind,
) -> Result<(), LedgerError> {
    for lane in waiting_lanes(context, lanes).await? {
        tell_of_trouble(context, &lane, kind).await?;
    }
    Ok(())
}

async fn waiting_origins(
    context: &LaneContext,
    lanes: Option<&HashSet<LaneId>>,
) -> Result<HashSet<Origin>, LedgerError> {
    let mut origins = HashSet::new();
    for lane in waiting_lanes(context, lanes).await? {
        origins.extend(waiting::origins(&context.ledger, &lane).await?);
    }
    Ok(origins)
}

/// Returns those of these lanes, or of all, that have something to do.
async fn waiting_lanes(
    context: &LaneContext,
    lanes: Option<&HashSet<LaneId>>,
) -> Result<Vec<LaneRecord>, LedgerError> {
    let ledger = &context.ledger;
    let mut records = match lanes {
        None => ledger.lanes(&context.settings.id).await?,
        Some(lanes) => {
            let mut records = Vec::with_capacity(lanes.len());
            for lane in lanes {
                records.extend(ledger.lane(lane).await?);
            }
            records
        }
    };
    records.retain(has_work);
    Ok(records)
}
