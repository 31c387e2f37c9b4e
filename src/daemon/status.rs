//! What the daemon tells about itself, asked of its parts at the moment it is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use tieline_channel::ChannelId;
use tokio::sync::watch;
use tracing::warn;

use crate::backfill;
use crate::codex::ChildState;
use crate::config::{Config, DispatcherConfig};
use crate::control::{
    ChannelStatus, ChildStatus, DispatcherStatus, HistoryStatus, LaneStatus, LedgerStatus,
    LoginProblem, OutboxStatus, ProfileStatus, SandboxStatus, Status, StatusSource, StorageStatus,
    TeammateCounts,
};
use crate::daemon::sandbox::Sandboxed;
use crate::daemon::{self, Directories};
use crate::dispatcher::{self, Handle, Line};
use crate::id::{DispatcherId, SessionId, TeammateId};
use crate::ledger::{Counts, LaneRecord, Ledger, LedgerHealth, Owner};

/// How many lanes of a dispatcher are told; those at work come first.
const MAX_LANES: usize = 200;

/// The parts that are asked.
pub(super) struct Reporter {
    started_at: SystemTime,
    config: PathBuf,
    state_dir: PathBuf,
    ledger: Ledger,
    lines: BTreeMap<ChannelId, Line>,
    handles: BTreeMap<DispatcherId, Handle>,
    histories: BTreeMap<ChannelId, watch::Receiver<backfill::Report>>,
    settled: BTreeMap<DispatcherId, Settled>,
}

/// What does not change while the daemon runs.
#[derive(Clone)]
struct Settled {
    sandbox: Option<SandboxStatus>,
    profile: Option<ProfileStatus>,
}

impl Reporter {
    pub(super) fn new(
        config: &Config,
        sandboxes: &BTreeMap<DispatcherId, Sandboxed>,
        started_at: SystemTime,
        ledger: Ledger,
        lines: BTreeMap<ChannelId, Line>,
        handles: BTreeMap<DispatcherId, Handle>,
        histories: BTreeMap<ChannelId, watch::Receiver<backfill::Report>>,
    ) -> Self {
        Self {
            started_at,
            config: config.path.clone(),
            state_dir: config.daemon.state_dir.clone(),
            ledger,
            lines,
            handles,
            histories,
            settled: config
                .dispatchers
                .iter()
                .map(|(id, dispatcher)| {
                    let settled = Settled {
                        sandbox: sandboxes.get(id).map(|it| sandbox(it, dispatcher)),
                        profile: profile(config, dispatcher),
                    };
                    (id.clone(), settled)
                })
                .collect(),
        }
    }

    async fn dispatcher(&self, id: &DispatcherId, handle: &Handle) -> DispatcherStatus {
        let (condition, login) = (handle.condition(), handle.login_problem());
        let settled = self.settled.get(id).cloned();
        let mut lanes = self.ledger.lanes(id).await.unwrap_or_else(|failure| {
            warn!(error = %failure, "the lanes cannot be told");
            Vec::new()
        });
        let waiting = lanes.iter().map(|lane| lane.inputs() as u64).sum();
        let records = self.ledger.teammates(id).await.unwrap_or_else(|failure| {
            warn!(error = %failure, "the teammates cannot be told");
            Vec::new()
        });
        let closed: HashSet<TeammateId> = records
            .iter()
            .filter(|it| it.closed_at.is_some())
            .map(|it| it.id)
            .collect();
        // One that has left is told of only while its last turn is on its way to its end.
        let sessions = self.ledger.sessions(id).await.unwrap_or_else(|failure| {
            warn!(error = %failure, "the sessions cannot be told");
            Vec::new()
        });
        let over = sessions.iter().filter(|it| !it.state.is_open());
        let over: HashSet<SessionId> = over.map(|it| it.id).collect();
        lanes.retain(|lane| {
            let has_left = match lane.owner {
                Owner::Chat => false,
                Owner::Teammate(id) => closed.contains(&id),
                Owner::Session(id) => over.contains(&id),
            };
            lane.open.is_some() || !has_left
        });
        let names: HashMap<TeammateId, String> =
            records.into_iter().map(|it| (it.id, it.name)).collect();
        let teammates = count_teammates(&lanes);
        lanes.sort_by_key(|lane| (lane.open.is_none(), lane.inputs() == 0, lane.id.clone()));
        lanes.truncate(MAX_LANES);
        let record = condition.record;
        let warnings = condition.facts.iter().flat_map(|facts| &facts.skills);
        let warnings = warnings.map(ToString::to_string).collect();
        DispatcherStatus {
            id: id.clone(),
            state: record.state,
            since: record.changed_at,
            last_started_at: record.last_started_at,
            last_error: record.last_error,
            sandbox: settled.as_ref().and_then(|it| {
                Some(SandboxStatus {
                    observed: handle.observed().and_then(|thread| thread.sandbox),
                    ..it.sandbox.clone()?
                })
            }),
            profile: settled.and_then(|it| it.profile),
            login_problem: login.map(login_problem),
            warnings,
            restarts: record.restarts,
            child: condition.child.map(|child| ChildStatus {
                state: child_state(child.state).to_owned(),
                pid: child.pid,
                started_at: child.started_at,
                version: condition.facts.and_then(|facts| facts.version),
            }),
            lanes: lanes
                .into_iter()
                .map(|it| LaneStatus::of(it, &names))
                .collect(),
            waiting,
            teammates,
        }
    }
}

#[async_trait]
impl StatusSource for Reporter {
    async fn status(&self) -> Status {
        let counts = self.ledger.counts().await.unwrap_or_else(|failure| {
            warn!(error = %failure, "the ledger cannot be counted");
            Counts::default()
        });
        let mut dispatchers = Vec::with_capacity(self.handles.len());
        for (id, handle) in &self.handles {
            dispatchers.push(self.dispatcher(id, handle).await);
        }
        let channels = self.lines.iter().map(|(id, line)| {
            ChannelStatus::new(
                id.clone(),
                line.kind,
                line.channel.health().borrow().clone(),
                self.histories
                    .get(id)
                    .map(|report| history(report.borrow().clone())),
            )
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            config: self.config.clone(),
            state_dir: self.state_dir.clone(),
            dispatchers,
            channels: channels.collect(),
            ledger: ledger(&self.ledger, &counts),
            outbox: OutboxStatus {
                pending: counts.outbox.pending,
                sending: counts.outbox.sending,
                failed: counts.outbox.failed,
                unclear: counts.outbox.unclear,
            },
        }
    }
}

fn sandbox(sandboxed: &Sandboxed, dispatcher: &DispatcherConfig) -> SandboxStatus {
    let is_default = sandboxed.is_as_requested() && !dispatcher.sandbox_is_given;
    SandboxStatus {
        requested: sandboxed.requested.as_str().to_owned(),
        effective: sandboxed.effective.as_str().to_owned(),
        source: if is_default {
            "default"
        } else {
            sandboxed.source()
        }
        .to_owned(),
        observed: None,
    }
}

fn profile(config: &Config, dispatcher: &DispatcherConfig) -> Option<ProfileStatus> {
    let (name, profile) = config.profile_of(dispatcher)?;
    let home = Directories::below(&config.daemon.state_dir)
        .homes
        .join(name);
    Some(ProfileStatus {
        name: name.to_owned(),
        preset: profile.preset.map(|it| it.as_str().to_owned()),
        provider: profile.provider.as_ref().map(|it| it.name.clone()),
        model: daemon::profile::model(dispatcher, Some(profile)),
        context_window: profile.context_window.map(|it| it as u64),
        credentials: profile.credentials.keys().cloned().collect(),
        home: profile.has_private_home().then_some(home),
        storage: profile.storage.as_ref().map(|it| StorageStatus {
            name: it.name.clone(),
            path: it.path.clone(),
            subdir: it.subdir.clone(),
            values_printed: false,
        }),
    })
}

fn login_problem(problem: dispatcher::LoginProblem) -> LoginProblem {
    LoginProblem {
        since: problem.since,
        kind: problem.kind.as_str().to_owned(),
        message: problem.message,
        remedy: problem.remedy,
    }
}

fn history(report: backfill::Report) -> HistoryStatus {
    let backfill::Report {
        last_read_at,
        missed,
        deaf,
        unreadable,
        last_error,
    } = report;
    HistoryStatus {
        last_read_at,
        missed,
        deaf,
        unreadable,
        last_error,
    }
}

fn child_state(state: ChildState) -> &'static str {
    match state {
        ChildState::Idle => "idle",
        ChildState::Starting => "starting",
        ChildState::Running => "running",
        ChildState::External => "external",
        ChildState::Failed => "failed",
        ChildState::Stopped => "stopped",
    }
}

fn count_teammates(lanes: &[LaneRecord]) -> TeammateCounts {
    let mut counts = TeammateCounts::default();
    for lane in lanes.iter().filter(|lane| lane.owner.teammate().is_some()) {
        let count = match (&lane.open, lane.inputs()) {
            (Some(_), _) => &mut counts.working,
            (None, 0) => &mut counts.idle,
            (None, _) => &mut counts.waiting,
        };
        *count += 1;
    }
    counts
}

fn ledger(ledger: &Ledger, counts: &Counts) -> LedgerStatus {
    let state = match &*ledger.health().borrow() {
        LedgerHealth::Ok => "ok".to_owned(),
        LedgerHealth::Failing { reason, .. } => format!("failing: {reason}"),
    };
    let messages = &counts.messages;
    LedgerStatus {
        state,
        size_bytes: counts.size_on_disk,
        messages: BTreeMap::from(
            [
                ("queued", messages.queued),
                ("in_turn", messages.in_turn),
                ("answered", messages.answered),
                ("failed", messages.failed),
                ("cancelled", messages.cancelled),
                ("unclear", messages.unclear),
                ("refused", messages.refused),
            ]
            .map(|(name, count)| (name.to_owned(), count)),
        ),
    }
}
