//! Codex cannot sign in to its model: a login has expired or was revoked, or a key is missing.
//!
//! Nothing is lost by it. The turn that failed stays open and is tried again, what comes meanwhile
//! waits, and people are told once, and once when it is over (see `lane/login.rs`). Here is what the
//! lanes of a dispatcher know of it together: what the status shows, and the watch over the files
//! from which codex takes its credentials: when one changes, codex is started anew and every lane
//! tries at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::supervisor::Supervised;
use crate::codex::{Failure, FailureKind, LaunchConfig, credentials_of};
use crate::id::LaneId;

/// How often the files are looked at while codex cannot sign in.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The HTTP status of a model that does not like the request rather than the login: that will not
/// change by itself, and must not hold up what comes after.
const FORBIDDEN: u16 = 403;

/// That codex cannot sign in to its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginProblem {
    /// Since when.
    pub since: SystemTime,
    /// [`FailureKind::ProviderAuthFailed`] or [`FailureKind::SecretUnavailable`].
    pub kind: FailureKind,
    /// In codex's or the provider's words.
    pub message: String,
    /// What the operator does about it.
    pub remedy: String,
}

/// Who has the problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// Codex is not even started.
    Child,
    /// The turns of a lane fail.
    Lane(LaneId),
}

/// What is known of it together. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Login {
    problems: Arc<watch::Sender<BTreeMap<Whose, LoginProblem>>>,
    launch: Arc<LaunchConfig>,
}

/// Returns whether a failure is for the operator to mend and over then.
pub(super) fn is_login_trouble(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::SecretUnavailable => true,
        FailureKind::ProviderAuthFailed => failure.http_status != Some(FORBIDDEN),
        _ => false,
    }
}

impl Login {
    pub(super) fn new(launch: &LaunchConfig) -> Self {
        Self {
            problems: Arc::default(),
            launch: Arc::new(launch.clone()),
        }
    }

    /// Returns the oldest problem, if there is any.
    pub(super) fn problem(&self) -> Option<LoginProblem> {
        let problems = self.problems.borrow();
        problems.values().min_by_key(|it| it.since).cloned()
    }

    /// A turn of a lane has failed, or had failed at `since` when the daemon was stopped.
    pub(super) fn lane_failed(&self, lane: &LaneId, since: SystemTime, failure: &Failure) {
        self.failed(Whose::Lane(lane.clone()), since, failure);
    }

    /// The model has answered a lane.
    pub(super) fn lane_works(&self, lane: &LaneId) {
        self.works(&Whose::Lane(lane.clone()));
    }

    /// Codex was not started.
    pub(super) fn start_failed(&self, failure: &Failure) {
        self.failed(Whose::Child, SystemTime::now(), failure);
    }

    /// Codex was started.
    pub(super) fn started(&self) {
        self.works(&Whose::Child);
    }

    fn failed(&self, whose: Whose, since: SystemTime, failure: &Failure) {
        let problem = LoginProblem {
            since,
            kind: failure.kind,
            message: failure.message.clone(),
            remedy: credentials_of(&self.launch).remedy(failure),
        };
        self.problems.send_modify(|problems| {
            if problems.is_empty() {
                warn!(reason = %problem.message, remedy = problem.remedy, "codex cannot sign in");
            }
            let since = problems.get(&whose).map_or(since, |before| before.since);
            problems.insert(whose, LoginProblem { since, ..problem });
        });
    }

    fn works(&self, whose: &Whose) {
        self.problems.send_if_modified(|problems| {
            let was_there = problems.remove(whose).is_some();
            if was_there && problems.is_empty() {
                info!("codex is signed in");
            }
            was_there
        });
    }

    /// Has codex started anew when the files change from which it takes its credentials, as long as
    /// it cannot sign in with them.
    pub(super) async fn tend(self, supervised: Supervised, stop: CancellationToken) {
        let tending = async {
            let mut problems = self.problems.subscribe();
            // The sender is `self`'s: it does not go.
            while problems.wait_for(|it| !it.is_empty()).await.is_ok() {
                let mut before = Fingerprint::of(&self.launch);
                while !problems.borrow().is_empty() {
                    tokio::time::sleep(LOOK_EVERY).await;
                    let now = Fingerprint::of(&self.launch);
                    if now != before {
                        info!("what codex signs in with has changed; it is started anew");
                        supervised.refresh();
                        before = now;
                    }
                }
            }
        };
        stop.run_until_cancelled(tending).await;
    }
}

/// What changes when somebody writes one of the files.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint(Vec<Option<Looks>>);

/// Modified at, in seconds and nanoseconds; the number and size of the file.
type Looks = (i64, i64, u64, u64);

impl Fingerprint {
    fn of(launch: &LaunchConfig) -> Self {
        let files = credentials_of(launch).files;
        Self(files.iter().map(|path| looks(path)).collect())
    }
}

fn looks(path: &Path) -> Option<Looks> {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ino(),
        metadata.size(),
    ))
}
