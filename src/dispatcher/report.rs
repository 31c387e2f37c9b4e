//! Results that are reported to a dispatcher, by whoever did the work.

use thiserror::Error;

use super::Handle;
use crate::config::Sessions;
use crate::events::Event;
use crate::id::LaneId;
use crate::ledger::{
    CompletionStatus, LedgerError, NewCompletion, Reported, RosterError, SessionError,
};

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
    /// The lane is that of a teammate who has left.
    #[error("nobody works on lane {lane} any more: its teammate is closed")]
    Closed {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The lane is that of a session.
    #[error("lane {lane} is that of a session, which is told of nothing: give it a turn")]
    Session {
        /// The lane that was named.
        lane: LaneId,
    },
    /// It is not on disk.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A lane, as one is found that is to be told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Which it is.
    pub(super) lane: LaneId,
    /// It is that of a teammate.
    pub(super) is_teammate: bool,
    /// It is that of a session.
    pub(super) is_session: bool,
}

/// Why there is nobody to be told.
#[derive(Debug)]
pub(super) enum NoListener {
    /// The dispatcher has no such lane.
    Unknown(LaneId),
    /// The lanes cannot be read.
    Ledger(LedgerError),
}

impl From<NoListener> for ReportError {
    fn from(none: NoListener) -> Self {
        match none {
            NoListener::Unknown(lane) => Self::UnknownLane { lane },
            NoListener::Ledger(error) => Self::Ledger(error),
        }
    }
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
        let lane = self.listener(report.lane).await?.lane;
        let told = Event::CompletionReported {
            name: report.name.clone(),
            from: report.from.clone(),
            status: report.status.as_str().to_owned(),
        };
        let new = NewCompletion {
            dispatcher: self.id().clone(),
            lane: lane.clone(),
            name: report.name,
            from: report.from,
            status: report.status,
            body: report.body,
            origin: None,
        };
        let reported = self.ledger.report(new).await.map_err(|error| match error {
            LedgerError::Roster(RosterError::Closed { .. }) => ReportError::Closed { lane },
            LedgerError::Session(SessionError::NotTold { .. }) => ReportError::Session { lane },
            error => ReportError::Ledger(error),
        })?;
        if reported.is_new {
            let events = self.events.lane(&reported.lane);
            events.completion(reported.id).emit(told);
        }
        if !reported.state.is_settled() {
            self.wake(reported.lane.clone());
        }
        Ok(reported)
    }

    /// Returns whether the dispatcher has a lane, one that can be told something.
    ///
    /// # Errors
    ///
    /// When the lanes cannot be read.
    pub async fn has_lane(&self, lane: &LaneId) -> Result<bool, LedgerError> {
        match self.listener(Some(lane.clone())).await {
            Ok(_) => Ok(true),
            Err(NoListener::Unknown(_)) => Ok(false),
            Err(NoListener::Ledger(error)) => Err(error),
        }
    }

    /// Returns the lane that is to be told something: the one that is wanted, or else the one that
    /// people have used last.
    pub(super) async fn listener(&self, wanted: Option<LaneId>) -> Result<Listener, NoListener> {
        let shared = Listener {
            lane: LaneId::new(self.id().as_str()),
            is_teammate: false,
            is_session: false,
        };
        if wanted.is_none() && self.sessions() == Sessions::Shared {
            return Ok(shared);
        }
        let lanes = self.ledger.lanes(self.id()).await;
        let mut lanes = lanes.map_err(NoListener::Ledger)?.into_iter();
        let found = match wanted {
            Some(lane) if lane == shared.lane => None,
            Some(lane) => match lanes.find(|it| it.id == lane) {
                Some(found) => Some(found),
                None => return Err(NoListener::Unknown(lane)),
            },
            None => lanes
                .filter(|lane| lane.last_from.is_some())
                .max_by_key(|lane| lane.used_at),
        };
        Ok(found.map_or(shared, |lane| Listener {
            lane: lane.id,
            is_teammate: lane.owner.teammate().is_some(),
            is_session: lane.owner.session().is_some(),
        }))
    }
}
