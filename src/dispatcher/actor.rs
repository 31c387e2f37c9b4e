//! The dispatcher itself: which lanes are at work.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tieline_channel::{Channel, ChannelId, Status};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, error, info, info_span, warn};

use super::calls::Calls;
use super::calls::approvals::Asking;
use super::handle::Handle;
use super::lane::{Lane, LaneContext};
use super::login::Login;
use super::outage::{self, Outage};
use super::status_board::StatusBoard;
use super::supervisor::Supervisor;
use super::switch::{Switch, Wanted};
use super::waiting::has_work;
use super::wakes::Wakes;
use super::{Line, Settings};
use crate::codex::Launch;
use crate::config::Approvals;
use crate::id::{DispatcherId, LaneId};
use crate::ledger::{
    LaneRecord, Ledger, LedgerError, MessageRecord, MessageState, SessionState, VoidReason, Voided,
    WorktreeFate,
};
use crate::sessions::Changes;
use crate::teammates::{Roster, Rules, WhatTheyDo};
use tieline_channel::retry::RestartPolicy;

/// How long a lane that ended by a defect rests before its work is tried again.
const DEFECT_DELAY: Duration = Duration::from_secs(5);

/// How many threads are loaded at once.
const LOADING: usize = 8;

/// When the ledger is asked again which lanes have work, after it could not tell.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Of how many of the newest messages is shown again how far they are, after a start.
const SHOWN_AGAIN: usize = 50;

/// How long ago they came to that at most: what an earlier run settled in its last moments it may
/// not have shown.
const SHOWN_AGAIN_WITHIN: Duration = Duration::from_secs(2 * 60);

/// How long turns in flight may go on when the daemon stops.
const DRAIN_FOR: Duration = Duration::from_secs(8);

/// One agent at work.
pub struct Dispatcher {
    context: Arc<LaneContext>,
    supervisor: Supervisor,
    wakes: Arc<Wakes>,
    reports: TaskTracker,
    switch: Switch,
    pulses: mpsc::Receiver<oneshot::Sender<()>>,
    serve_board: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The lanes that are at work.
struct Lanes {
    context: Arc<LaneContext>,
    /// Lanes take nothing new and finish the turn in flight.
    drain: CancellationToken,
    /// Lanes are dropped as they are; the next start goes on with what is in flight.
    abort: CancellationToken,
    running: JoinSet<LaneId>,
    wakes: HashMap<LaneId, Arc<Notify>>,
    ids: HashMap<Id, LaneId>,
}

impl Dispatcher {
    /// Makes a dispatcher that serves these channels.
    pub fn new(
        settings: Settings,
        ledger: Ledger,
        lines: BTreeMap<ChannelId, Line>,
        launcher: Arc<dyn Launch>,
    ) -> (Self, Handle) {
        let restart = &settings.config.restart;
        let events = settings.events.dispatcher(&settings.id);
        let wakes = Arc::new(Wakes::default());
        let doing = WhatTheyDo::default();
        let rules = Rules {
            workspace: settings.config.workspace.clone(),
            worktrees: settings.worktrees.clone(),
            sandbox: settings.config.sandbox,
            limit: settings.config.teammates.max,
        };
        let wake = Arc::clone(&wakes);
        let teammates = Roster::new(
            settings.id.clone(),
            rules,
            ledger.clone(),
            doing.clone(),
            move |lane| wake.add(lane),
        );
        let mut launch = settings.launch.clone();
        launch.requests = Arc::new(Calls {
            dispatcher: settings.id.clone(),
            ledger: ledger.clone(),
            lines: lines.clone(),
            workspace: settings.config.workspace.clone(),
            outgoing: settings.outgoing.clone(),
            teammates: teammates.clone(),
            announces: settings.config.teammates.announce,
            asking: match settings.config.approvals {
                Approvals::Deny => None,
                Approvals::Chat => Some(Asking {
                    timeout: settings.config.approval_timeout,
                }),
            },
            wakes: Arc::clone(&wakes),
            events: events.clone(),
        });
        let login = Login::new(&settings.launch);
        let (supervisor, supervised) = Supervisor::new(
            settings.id.clone(),
            launch,
            launcher,
            ledger.clone(),
            RestartPolicy::new(restart.base, restart.max),
            login.clone(),
            events.clone(),
        );
        let channels: BTreeMap<ChannelId, Arc<dyn Channel>> = lines
            .iter()
            .map(|(id, line)| (id.clone(), Arc::clone(&line.channel)))
            .collect();
        let (board, serve_board) = StatusBoard::new(channels);
        let parallel = settings.config.teammates.parallel;
        let changes = Changes::new();
        let settings = Arc::new(settings);
        let reports = TaskTracker::new();
        let switch = Switch::new();
        let (observed, observed_seen) = watch::channel(None);
        let (pulse, pulses) = mpsc::channel(1);
        let handle = Handle {
            settings: Arc::clone(&settings),
            ledger: ledger.clone(),
            languages: lines
                .iter()
                .map(|(id, line)| (id.clone(), line.language))
                .collect(),
            teammates,
            reports: reports.clone(),
            wakes: Arc::clone(&wakes),
            board: board.clone(),
            buttons: Arc::new(
                lines
                    .iter()
                    .filter(|(_, line)| line.capabilities().buttons)
                    .map(|(id, _)| id.clone())
                    .collect(),
            ),
            condition: supervised.condition.clone(),
            switch: switch.clone(),
            observed: observed_seen,
            login: login.clone(),
            link: supervised.link.clone(),
            changes: changes.clone(),
            events: events.clone(),
            pulse,
        };
        let context = Arc::new(LaneContext {
            settings,
            ledger,
            lines,
            supervised,
            board,
            loading: Semaphore::new(LOADING),
            turns: Arc::new(Semaphore::new(parallel)),
            login,
            doing,
            wakes: Arc::clone(&wakes),
            changes,
            observed,
            events,
        });
        (
            Self {
                context,
                supervisor,
                wakes,
                reports,
                switch,
                pulses,
                serve_board: Box::pin(serve_board),
            },
            handle,
        )
    }

    /// Works until `stop` is cancelled: then nothing new is begun, turns in flight get a while to
    /// end, and what is left stays open in the ledger for the next start. Rests while it is switched
    /// off.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            context,
            mut supervisor,
            wakes,
            reports,
            switch,
            mut pulses,
            serve_board,
        } = self;
        let span = info_span!("dispatcher", id = %context.settings.id);
        let stop_helpers = CancellationToken::new();
        let mut helpers = JoinSet::new();
        let tending = (context.login.clone(), context.supervised.clone());
        let tending = tending.0.tend(tending.1, stop_helpers.clone());
        helpers.spawn(tending.instrument(span.clone()));
        let until = stop_helpers.clone();
        helpers.spawn(async move {
            until.run_until_cancelled(serve_board).await;
        });
        let mut wanted = switch.wanted();
        while !stop.is_cancelled() {
            if !wanted.borrow_and_update().is_on {
                rest(&context, &wakes, &mut pulses, &mut wanted, &stop)
                    .instrument(span.clone())
                    .await;
                continue;
            }
            switch.is_now(true);
            let worked = work(
                &context,
                &wakes,
                &mut pulses,
                supervisor,
                &mut wanted,
                &stop,
            )
            .instrument(span.clone())
            .await;
            switch.is_now(false);
            supervisor = match worked {
                Ok(supervisor) => supervisor,
                Err(failure) => {
                    error!(parent: &span, error = %failure, "a part of the dispatcher failed");
                    break;
                }
            };
        }
        reports.close();
        reports.wait().await;
        stop_helpers.cancel();
        while let Some(ended) = helpers.join_next().await {
            if let Err(failure) = ended {
                error!(parent: &span, error = %failure, "a part of the dispatcher failed");
            }
        }
    }
}

/// Works until `stop` is cancelled or something else is wanted.
async fn work(
    context: &Arc<LaneContext>,
    wakes: &Wakes,
    pulses: &mut mpsc::Receiver<oneshot::Sender<()>>,
    supervisor: Supervisor,
    wanted: &mut watch::Receiver<Wanted>,
    stop: &CancellationToken,
) -> Result<Supervisor, JoinError> {
    let stop_child = CancellationToken::new();
    let mut supervising = JoinSet::new();
    supervising.spawn(
        supervisor
            .run(stop_child.clone())
            .instrument(Span::current()),
    );
    let pause = stop.child_token();
    let lanes = async {
        run_lanes(context, wakes, pulses, &pause).await;
        pause.cancel();
    };
    let watch = async {
        tokio::select! {
            () = pause.cancelled() => {}
            // An error would be that nobody can want anything any more.
            _ = wanted.changed() => pause.cancel(),
        }
    };
    tokio::join!(lanes, watch);
    stop_child.cancel();
    match supervising.join_next().await {
        Some(ended) => ended,
        None => unreachable!("it was spawned above"),
    }
}

/// Does nothing until something else is wanted or `stop` is cancelled, but for telling the chats that
/// write.
async fn rest(
    context: &LaneContext,
    wakes: &Wakes,
    pulses: &mut mpsc::Receiver<oneshot::Sender<()>>,
    wanted: &mut watch::Receiver<Wanted>,
    stop: &CancellationToken,
) {
    info!("switched off: what comes in waits");
    let mut told = HashSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = wanted.changed() => return,
            Some(answer) = pulses.recv() => drop(answer.send(())),
            woken = wakes.take() => outage::tell_switched_off(context, &mut told, &woken).await,
        }
    }
}

/// Gives the lanes their work until `stop` is cancelled, then drains them.
async fn run_lanes(
    context: &Arc<LaneContext>,
    wakes: &Wakes,
    pulses: &mut mpsc::Receiver<oneshot::Sender<()>>,
    stop: &CancellationToken,
) {
    let mut lanes = Lanes {
        context: Arc::clone(context),
        drain: CancellationToken::new(),
        abort: CancellationToken::new(),
        running: JoinSet::new(),
        wakes: HashMap::new(),
        ids: HashMap::new(),
    };
    if stop.run_until_cancelled(void_open(context)).await.is_none() {
        return;
    }
    show_again(context).await;
    let mut link = context.supervised.link.clone();
    let mut outage = Outage::since(Instant::now());
    let mut read_at = Some(Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // Whoever asked may have gone.
            Some(answer) = pulses.recv() => drop(answer.send(())),
            () = sleep_until(read_at) => read_at = lanes.wake_unfinished().await,
            woken = wakes.take() => {
                outage.tell_woken(context, &woken).await;
                for lane in woken {
                    lanes.wake(lane);
                }
            }
            Some(ended) = lanes.running.join_next_with_id() => lanes.ended(ended).await,
            changed = link.changed() => {
                if changed.is_err() {
                    break;
                }
                let now = link.borrow_and_update().clone();
                outage.link_changed(context, &now).await;
            }
            () = sleep_until(outage.tell_at()) => outage.tell(context).await,
        }
    }
    lanes.drain.cancel();
    let drained = async { while lanes.running.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_FOR, drained).await.is_err() {
        info!("turns in flight stay open; the next start goes on with them");
        lanes.abort.cancel();
        while lanes.running.join_next().await.is_some() {}
    }
}

/// Ends what an earlier run has asked people and cannot act upon: their chats are told. Nothing is asked
/// before that is on disk.
async fn void_open(context: &LaneContext) {
    let which = Voided::Dispatcher(context.settings.id.clone());
    let ledger = &context.ledger;
    while let Err(failure) = ledger
        .void_approvals(which.clone(), VoidReason::Restarted)
        .await
    {
        error!(error = %failure, "what waits for a decision cannot be ended; trying again");
        tokio::time::sleep(READ_AGAIN).await;
    }
}

/// Shows how far the newest messages are: a run that ended in the middle may have left the marks of
/// an earlier state.
async fn show_again(context: &LaneContext) {
    let messages = match context.ledger.recent_messages(SHOWN_AGAIN).await {
        Ok(messages) => messages,
        Err(failure) => {
            warn!(error = %failure, "how far messages are is not shown again");
            return;
        }
    };
    let now = SystemTime::now();
    for record in messages {
        if let Some(status) = shown_again(&context.settings.id, &record, now) {
            let message = record.message;
            context
                .board
                .show(&record.channel, message.conversation, message.id, status);
        }
    }
}

/// Returns what is shown of a message once more, if anything.
fn shown_again(
    dispatcher: &DispatcherId,
    record: &MessageRecord,
    now: SystemTime,
) -> Option<Status> {
    let age = now.duration_since(record.changed_at).unwrap_or_default();
    if record.dispatcher != *dispatcher || age > SHOWN_AGAIN_WITHIN {
        return None;
    }
    let had_turn = record.turn.is_some();
    match record.state {
        MessageState::Queued => Some(Status::Received),
        MessageState::Answered => had_turn.then_some(Status::Done),
        MessageState::Failed { .. } | MessageState::Cancelled | MessageState::Unclear => {
            had_turn.then_some(Status::Failed)
        }
        // Its lane takes it up, and shows so.
        MessageState::InTurn => None,
        // Nothing is ever shown of it.
        MessageState::Refused { .. } => None,
    }
}

/// Waits for a moment, for ever if there is none.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Lanes {
    /// Wakes the lanes that an earlier run left with work, and the one that is kept loaded.
    /// Returns when to try again if they cannot be read.
    async fn wake_unfinished(&mut self) -> Option<Instant> {
        match unfinished(&self.context).await {
            Ok(lanes) => {
                for lane in lanes {
                    self.wake(lane);
                }
                None
            }
            Err(failure) => {
                error!(error = %failure, "the lanes cannot be read; trying again");
                Some(Instant::now() + READ_AGAIN)
            }
        }
    }

    fn wake(&mut self, id: LaneId) {
        if let Some(wake) = self.wakes.get(&id) {
            wake.notify_one();
            return;
        }
        let wake = Arc::new(Notify::new());
        let lane = Lane::new(
            Arc::clone(&self.context),
            id.clone(),
            Arc::clone(&wake),
            self.drain.clone(),
        );
        let span = info_span!("lane", %id);
        let task = self
            .running
            .spawn(run_lane(lane, id.clone(), self.abort.clone()).instrument(span));
        self.wakes.insert(id.clone(), wake);
        self.ids.insert(task.id(), id);
    }

    /// Forgets a lane that has ended; work that came in that moment wakes it again.
    async fn ended(&mut self, ended: Result<(Id, LaneId), JoinError>) {
        let (task, defect) = match &ended {
            Ok((task, _)) => (*task, None),
            Err(failure) => (failure.id(), Some(failure)),
        };
        let Some(id) = self.ids.remove(&task) else {
            return;
        };
        if let Some(failure) = defect {
            error!(lane = %id, error = %failure, "a lane ended by a defect of tieline");
            // Its work is still on disk. Not at once again, in case it ends the same way; it
            // keeps its place meanwhile, so that nobody begins a second one beside it.
            let resting_lane = id.clone();
            let resting = self.running.spawn(async move {
                tokio::time::sleep(DEFECT_DELAY).await;
                id
            });
            self.ids.insert(resting.id(), resting_lane);
            return;
        }
        self.wakes.remove(&id);
        match is_unfinished(&self.context, &id).await {
            Ok(true) => self.wake(id),
            Ok(false) => {}
            Err(failure) => {
                warn!(lane = %id, error = %failure, "the lane cannot be read; waking it");
                self.wake(id);
            }
        }
    }
}

/// Returns the lanes of an earlier run that are not finished, and the one that is kept loaded.
async fn unfinished(context: &LaneContext) -> Result<Vec<LaneId>, LedgerError> {
    let settings = &context.settings;
    let mut unfinished = Vec::new();
    for lane in context.ledger.lanes(&settings.id).await? {
        if settings.is_shared_lane(&lane.id) || has_to_go_on(context, &lane).await? {
            unfinished.push(lane.id);
        }
    }
    Ok(unfinished)
}

async fn is_unfinished(context: &LaneContext, lane: &LaneId) -> Result<bool, LedgerError> {
    match context.ledger.lane(lane).await? {
        Some(lane) => has_to_go_on(context, &lane).await,
        None => Ok(false),
    }
}

/// Returns whether there is anything to do on a lane. That of a teammate which was closed ends its turn
/// and puts away what it leaves, and takes up nothing more.
async fn has_to_go_on(context: &LaneContext, lane: &LaneRecord) -> Result<bool, LedgerError> {
    if let Some(id) = lane.owner.session()
        && let Some(session) = context.ledger.session(id).await?
    {
        let is_kept_nowhere = session.is_ephemeral && session.state.is_open();
        let is_opening = session.state == SessionState::Opening;
        return Ok(has_work(lane) || is_opening || is_kept_nowhere);
    }
    if let Some(id) = lane.owner.teammate()
        && let Some(teammate) = context.ledger.teammate(id).await?
        && teammate.closed_at.is_some()
    {
        let fate = teammate.workspace.fate();
        let is_leaving = matches!(fate, Some(WorktreeFate::Leaving { .. }));
        return Ok(lane.open.is_some() || is_leaving);
    }
    Ok(has_work(lane))
}

async fn run_lane(lane: Lane, id: LaneId, abort: CancellationToken) -> LaneId {
    abort.run_until_cancelled(lane.run()).await;
    id
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use async_trait::async_trait;

    use super::super::fake_channel::record;
    use super::*;
    use crate::codex::protocol::ThreadSettings;
    use crate::codex::{AppServer, LaunchConfig, StartError};
    use crate::config::Config;
    use crate::id::TurnKey;
    use crate::ledger::LedgerSettings;

    /// A codex that is for ever about to start.
    struct Never;

    #[async_trait]
    impl Launch for Never {
        async fn launch(&self, _: &LaunchConfig) -> Result<AppServer, StartError> {
            std::future::pending().await
        }
    }

    fn settings() -> Settings {
        let text = "[channels.t]\nkind = \"console\"\n\
                    [dispatchers.a]\nworkspace = \"/\"\nchannels = [\"t\"]\n";
        let root = Path::new("/");
        let config = Config::parse(text, &root.join("tieline.toml"), Some(root)).unwrap();
        let (id, config) = config.config.dispatchers.into_iter().next().unwrap();
        Settings {
            launch: LaunchConfig::new(id.as_str(), root, root, root, root),
            id,
            config,
            thread: ThreadSettings::default(),
            attachments: root.join("attachments"),
            spills: root.join("completions"),
            outgoing: root.join("outgoing"),
            worktrees: root.join("worktrees"),
            events: crate::events::Events::none(),
            restart_notice: None,
        }
    }

    #[test]
    fn only_what_a_message_has_come_to_lately_is_shown_again() {
        use MessageState::{Answered, Cancelled, InTurn, Queued, Unclear};
        let ours = DispatcherId::new("flow");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let failed = MessageState::Failed {
            kind: crate::failure::FailureKind::BackendTimeout,
        };
        let (lately, long_ago) = (Duration::from_secs(60), Duration::from_secs(600));
        // The state, whether it had a turn, when it came to that.
        let table = [
            (Queued, false, lately, Some(Status::Received)),
            (Answered, true, lately, Some(Status::Done)),
            (failed, true, lately, Some(Status::Failed)),
            (Cancelled, true, lately, Some(Status::Failed)),
            (Unclear, true, lately, Some(Status::Failed)),
            (InTurn, true, lately, None),
            (Answered, true, long_ago, None),
            // A word of ours that tieline answered itself; what its sender took back.
            (Answered, false, lately, None),
            (Cancelled, false, lately, None),
        ];
        for (state, had_turn, age, expected) in table {
            let record = MessageRecord {
                dispatcher: ours.clone(),
                state,
                turn: had_turn.then(TurnKey::new),
                changed_at: now - age,
                ..record(&[])
            };
            assert_eq!(shown_again(&ours, &record, now), expected, "{record:?}");
            let other = DispatcherId::new("other");
            assert_eq!(shown_again(&other, &record, now), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_rests_after_a_defect_is_not_begun_a_second_time_by_a_message() {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
        let (dispatcher, _handle) =
            Dispatcher::new(settings(), ledger.clone(), BTreeMap::new(), Arc::new(Never));
        let mut lanes = Lanes {
            context: dispatcher.context,
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            running: JoinSet::new(),
            wakes: HashMap::new(),
            ids: HashMap::new(),
        };
        let id = LaneId::new("a/t/1");
        let broken = lanes.running.spawn(async { panic!("a defect") });
        lanes.ids.insert(broken.id(), id.clone());
        lanes.wakes.insert(id.clone(), Arc::new(Notify::new()));
        let ended = lanes.running.join_next_with_id().await.unwrap();
        lanes.ended(ended).await;
        assert_eq!(lanes.running.len(), 1, "it rests");

        lanes.wake(id.clone());
        assert_eq!(lanes.running.len(), 1, "two tasks work on one lane");

        let ended = lanes.running.join_next_with_id().await.unwrap();
        lanes.ended(ended).await;
        assert!(
            lanes.wakes.is_empty() && lanes.ids.is_empty(),
            "it is not forgotten"
        );
        drop((lanes, ledger));
        thread.close().await;
    }
}
