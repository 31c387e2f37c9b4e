//! Results that are reported to a dispatcher, by whoever did the work.

use thiserror::Error;

use super::Handle;
use crate::config::Sessions;
use crate::id::LaneId;
use crate::ledger::{CompletionStatus, LedgerError, NewCompletion, Reported};

/// A result, as it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its producer's name of it, unique for the dispatcher.
    pub name: String,
    /// Who did the work.
    pub from: String,
    /// How the work ended.
    pub status: CompletionStatus,
    /// What came of it.
    pub body: String,
    /// The lane that is told, if it is not the one that was used last.
    pub lane: Option<LaneId>,
}

/// Why a result was not taken.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The dispatcher has no such lane.
    #[error("the dispatcher has no lane {lane}")]
    UnknownLane {
        /// The lane that was named.
        lane: LaneId,
    },
    /// It is not on disk.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Handle {
    /// Takes a result: it is on disk when this returns, and reaches the model whatever happens then.
    /// One that was reported before is left as it is. Goes on when it is dropped, for whoever reports
    /// may break off between the disk and the lane.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or its lane is unknown.
    pub async fn report(&self, report: Report) -> Result<Reported, ReportError> {
        let handle = self.clone();
        let taken = self.reports.spawn(async move { handle.take(report).await });
        taken.await.unwrap_or(Err(LedgerError::Closed.into()))
    }

    async fn take(&self, report: Report) -> Result<Reported, ReportError> {
        let lane = self.lane_for(report.lane).await?;
        let reported = self
            .ledger
            .report(NewCompletion {
                dispatcher: self.id().clone(),
                lane,
                name: report.name,
                from: report.from,
                status: report.status,
                body: report.body,
                origin: None,
            })
            .await?;
        if !reported.state.is_settled() {
            self.wake(reported.lane.clone());
        }
        Ok(reported)
    }

    async fn lane_for(&self, wanted: Option<LaneId>) -> Result<LaneId, ReportError> {
        let shared = LaneId::new(self.id().as_str());
        if wanted.is_none() && self.sessions() == Sessions::Shared {
            return Ok(shared);
        }
        let lanes = self.ledger.lanes(self.id()).await?;
        match wanted {
            Some(lane) if lane == shared || lanes.iter().any(|it| it.id == lane) => Ok(lane),
            Some(lane) => Err(ReportError::UnknownLane { lane }),
            None => Ok(lanes
                .into_iter()
                .filter(|lane| lane.last_from.is_some())
                .max_by_key(|lane| lane.used_at)
                .map_or(shared, |lane| lane.id)),
        }
    }
}
