//! What others hold of a dispatcher: to ask how it is, to wake its lanes, to switch it off and on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::{ChannelId, Conversation, Message, Status};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use super::Settings;
use super::login::{Login, LoginProblem};
use super::observed::Observed;
use super::status_board::StatusBoard;
use super::supervisor::{Condition, Link};
use super::switch::Switch;
use super::waiting::{self, has_work};
use super::wakes::Wakes;
use crate::config::{Languages, Sandbox, Sessions};
use crate::events::Events;
use crate::id::{DispatcherId, LaneId};
use crate::ledger::{Ledger, LedgerError, Lifecycle, Origin, Withdrawn};
use crate::sessions::Changes;
use crate::teammates::Roster;

/// How long it may take until a dispatcher that was switched on is shown as such.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// What others hold of a dispatcher.
#[derive(Clone)]
pub struct Handle {
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Ledger,
    pub(super) languages: Languages,
    pub(super) teammates: Roster,
    /// Reports and orders on their way to the disk.
    pub(super) reports: TaskTracker,
    pub(super) wakes: Arc<Wakes>,
    pub(super) board: StatusBoard,
    /// The channels that have buttons.
    pub(super) buttons: Arc<BTreeSet<ChannelId>>,
    pub(super) condition: watch::Receiver<Condition>,
    pub(super) switch: Switch,
    pub(super) observed: watch::Receiver<Option<Observed>>,
    pub(super) login: Login,
    pub(super) link: watch::Receiver<Link>,
    /// Tells that something has happened to a session.
    pub(super) changes: Changes,
    /// Told of what is reported and ordered from outside.
    pub(super) events: Events,
    pub(super) pulse: mpsc::Sender<oneshot::Sender<()>>,
}

impl Handle {
    /// Returns the dispatcher's name.
    pub fn id(&self) -> &DispatcherId {
        &self.settings.id
    }

    /// Returns whether a channel is one of the dispatcher's.
    pub fn has_channel(&self, channel: &ChannelId) -> bool {
        self.settings.config.channels.contains(channel)
    }

    /// Returns the lane of a conversation.
    pub fn lane_of(&self, channel: &ChannelId, conversation: &Conversation) -> LaneId {
        self.settings.lane_of(channel, conversation)
    }

    /// Returns what shares a lane.
    pub fn sessions(&self) -> Sessions {
        self.settings.config.sessions
    }

    /// Returns whether posts on a channel have buttons.
    pub fn has_buttons(&self, channel: &ChannelId) -> bool {
        self.buttons.contains(channel)
    }

    /// Returns what commands of the model may do.
    pub fn sandbox(&self) -> Sandbox {
        self.settings.config.sandbox
    }

    /// Returns the model of the configuration, if it names one.
    pub fn model(&self) -> Option<&str> {
        self.settings.thread.model.as_deref()
    }

    /// Returns its teammates.
    pub fn teammates(&self) -> &Roster {
        &self.teammates
    }

    /// Says that there is work for a lane.
    pub fn wake(&self, lane: LaneId) {
        self.wakes.add(lane);
    }

    /// Shows the sender that a message is on disk.
    pub fn show_received(&self, channel: &ChannelId, message: &Message) {
        self.board.show(
            channel,
            message.conversation.clone(),
            message.id.clone(),
            Status::Received,
        );
    }

    /// Shows the sender of a message which waited that it will not be worked on.
    pub fn show_withdrawn(&self, withdrawn: &Withdrawn) {
        self.board.show(
            &withdrawn.channel,
            withdrawn.conversation.clone(),
            withdrawn.message.clone(),
            Status::Failed,
        );
    }

    /// Returns how it is set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns what Codex said of the thread that was loaded last, since the daemon was started.
    pub fn observed(&self) -> Option<Observed> {
        self.observed.borrow().clone()
    }

    /// Has it work, if it does not; `false` if it has not begun in time.
    pub async fn start(&self) -> bool {
        self.switch.start().await && self.has_begun().await
    }

    /// Has it take no more turns until it is started again: turns in flight get a while to end, and go
    /// on then if they have not; its child is ended. `false` if that takes long; it happens nevertheless.
    pub async fn stop(&self) -> bool {
        self.switch.stop().await
    }

    /// Stops it and has it begin anew; `false` if that takes long; it happens nevertheless.
    pub async fn restart(&self) -> bool {
        self.switch.restart().await && self.has_begun().await
    }

    /// Waits until one that is switched on is shown as such; `false` if that takes long.
    async fn has_begun(&self) -> bool {
        let mut condition = self.condition.clone();
        let begun = condition.wait_for(|it| it.record.state != Lifecycle::Stopped);
        matches!(tokio::time::timeout(SHOWN_WITHIN, begun).await, Ok(Ok(_)))
    }

    /// Returns when the dispatcher has come round to answering: it gives its lanes their work.
    /// `false` when it has ended.
    pub async fn pulse(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.pulse.send(answer).await.is_ok() && answered.await.is_ok()
    }

    /// Returns the conversations that the dispatcher owes an answer, each once.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn waiting_conversations(&self) -> Result<Vec<Origin>, LedgerError> {
        let mut origins = Vec::new();
        for lane in self.ledger.lanes(self.id()).await? {
            if has_work(&lane) {
                for origin in waiting::origins(&self.ledger, &lane).await? {
                    if !origins.contains(&origin) {
                        origins.push(origin);
                    }
                }
            }
        }
        Ok(origins)
    }

    /// Returns when the dispatcher is ready, for the first time or again. Never, when it has ended.
    pub async fn ready(&self) {
        let mut condition = self.condition.clone();
        let is_ready = |condition: &Condition| condition.record.state == Lifecycle::Ready;
        if condition.wait_for(is_ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns what there is to show of the dispatcher and its child.
    pub fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// Returns why codex cannot sign in to its model, if it cannot.
    pub fn login_problem(&self) -> Option<LoginProblem> {
        self.login.problem()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.settings.id)
            .finish_non_exhaustive()
    }
}
