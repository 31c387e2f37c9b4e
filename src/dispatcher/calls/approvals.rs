//! Requests of codex that people decide about.
//!
//! A request becomes an approval in the ledger and a post that asks, in one commit. Then it waits for
//! what the ledger says became of it, whoever decided and however: by a button, by words, at the
//! machine, or because there was nothing to decide any more. A request that codex sends again after a
//! lost connection finds its approval by codex's name of it: nobody is asked twice.
//!
//! Nothing is granted but by a decision that is on disk.

mod describe;

use std::time::{Duration, SystemTime};

use tieline_channel::PostKind;
use tracing::{info, warn};

use self::describe::Description;
use super::Calls;
use crate::approvals::{self, words};
use crate::codex::protocol::{Answer, ServerRequest};
use crate::dispatcher::lane::Work;
use crate::id::{ApprovalId, LaneId};
use crate::ledger::{
    ApprovalRecord, Asked, Decision, LaneRecord, LedgerError, NewApproval, NewPost, OpenTurn,
    Origin, VoidReason, Voided,
};
use crate::outbox::{self, Reply};

/// How long people may not be asked because the disk takes nothing.
const DISK_WITHIN: Duration = Duration::from_secs(30);

/// When the disk is tried again.
const DISK_AGAIN: Duration = Duration::from_secs(1);

/// How people are asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatcher) struct Asking {
    /// How long they may take to decide.
    pub(in crate::dispatcher) timeout: Duration,
}

/// The lane and the turn that a request comes from.
struct Requester {
    lane: LaneRecord,
    open: OpenTurn,
}

impl Calls {
    /// Asks people and waits for what they decide; `None` when there is nobody to ask.
    pub(super) async fn ask_people(
        &self,
        request: &ServerRequest,
        asking: Asking,
    ) -> Option<Answer> {
        let record = match self.asked(request, asking).await {
            Ok(record) => record?,
            Err(LedgerError::Closed) => self.stopped().await,
            Err(failure) => {
                warn!(error = %failure, method = request.method, "people cannot be asked; declined");
                return None;
            }
        };
        let decision = match self.decided(record.id).await {
            Ok(decision) => decision?,
            Err(LedgerError::Closed) => self.stopped().await,
            Err(failure) => {
                warn!(error = %failure, "what was decided cannot be read; declined");
                return None;
            }
        };
        Some(match decision {
            Decision::Accept => request.grant(false),
            Decision::AcceptForSession => request.grant(true),
            Decision::Decline => request.decline(),
            Decision::Cancel => {
                // Not every request can end its turn by itself.
                self.wakes.add(record.lane);
                request.cancel()
            }
        })
    }

    /// Ends an approval for which codex does not wait any more.
    pub(super) async fn no_longer_asked(&self, request: &ServerRequest) {
        let voided = async {
            let Some(Requester { lane, open }) = self.requester(request).await? else {
                // It was settled, and its approvals with it.
                return Ok(());
            };
            let which = Voided::Request(lane.id, open.key, name(request));
            self.retried(|| {
                let which = which.clone();
                async move {
                    let reason = VoidReason::Withdrawn;
                    self.ledger.void_approvals(which, reason).await
                }
            })
            .await
            .map(drop)
        };
        if let Err(failure) = voided.await {
            // It is ended with its turn.
            warn!(error = %failure, "that an approval is needed no longer is not on disk");
        }
    }

    /// Asks people, unless they were asked before; `None` when that cannot be.
    async fn asked(
        &self,
        request: &ServerRequest,
        asking: Asking,
    ) -> Result<Option<ApprovalRecord>, LedgerError> {
        let Some(Requester { lane, open }) = self.retried(|| self.requester(request)).await? else {
            info!(method = request.method, "a request comes from no open turn");
            return Ok(None);
        };
        let work = self
            .retried(|| Work::load(&self.ledger, &lane.id, &open))
            .await?;
        let mut teammate = None;
        let mut origin = work.origin.clone();
        let its_teammate = lane.owner.teammate();
        if let Some(id) = its_teammate {
            let record = self.retried(|| self.ledger.teammate(id)).await?;
            let asker = match (&work.task, &record) {
                (Some(task), _) => task.asker.clone(),
                (None, Some(record)) => Some(record.asker.clone()),
                (None, None) => None,
            };
            teammate = record.map(|record| record.name);
            origin = match asker {
                Some(asker) if asker.origin.is_some() => asker.origin,
                Some(asker) => self.last_from(&asker.lane).await?,
                None => None,
            };
        }
        let line = origin.as_ref().and_then(|it| self.lines.get(&it.channel));
        let (Some(origin), Some(line)) = (origin, line) else {
            info!(lane = %lane.id, "nobody is there who could decide about a request");
            return Ok(None);
        };
        let language = line.language;
        let Some(description) = Description::of(request, teammate, language) else {
            return Ok(None);
        };
        let capabilities = line.capabilities().clone();
        let reply = Reply {
            channel: origin.channel.clone(),
            to: origin.conversation.clone(),
            reply_to: match its_teammate {
                None => work.messages.last().map(|last| last.message.id.clone()),
                Some(_) => None,
            },
            settles: Vec::new(),
            kind: PostKind::Notice,
            language,
        };
        let Description { wanted, whole } = description;
        let new = NewApproval {
            dispatcher: self.dispatcher.clone(),
            lane: lane.id.clone(),
            turn: open.key,
            request: name(request),
            wanted,
            origin,
            timeout: asking.timeout,
        };
        let asked = self
            .retried(|| {
                let (reply, whole, capabilities) =
                    (reply.clone(), whole.clone(), capabilities.clone());
                let say = move |record: &ApprovalRecord| {
                    let mut posts = Vec::new();
                    if let Some(whole) = whole {
                        posts = match capabilities.files {
                            true => vec![NewPost {
                                as_file: Some(whole.name.to_owned()),
                                ..reply.template(&whole.text)
                            }],
                            false => outbox::compose(&reply, &whole.fenced(), Some(&capabilities)),
                        };
                    }
                    let text = words::question(record, capabilities.buttons, language);
                    let mut question = reply.template(&text);
                    if capabilities.buttons {
                        question.buttons = approvals::buttons(record, language);
                    }
                    posts.push(question);
                    posts
                };
                self.ledger.ask(new.clone(), say)
            })
            .await;
        match asked {
            Ok(Asked::Yes { record, is_new }) => {
                let kind = record.wanted.kind.as_str();
                info!(approval = %record.id, lane = %record.lane, kind, is_new, "people are asked");
                Ok(Some(*record))
            }
            Ok(Asked::TooMany) => {
                warn!(lane = %lane.id, "too much waits for a decision already; declined");
                Ok(None)
            }
            Err(LedgerError::TurnNotOpen { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Waits until an approval is settled.
    async fn decided(&self, id: ApprovalId) -> Result<Option<Decision>, LedgerError> {
        // Whatever settles one enqueues a post.
        let mut changes = self.ledger.outbox_changes();
        loop {
            changes.mark_unchanged();
            let Some(record) = self.retried(|| self.ledger.approval(id)).await? else {
                return Ok(None);
            };
            if let Some(decision) = record.state.verdict() {
                let state = record.state.as_str();
                info!(approval = %id, state, decision = decision.as_str(), "an approval is settled");
                return Ok(Some(decision));
            }
            let left = record.expires_at.duration_since(SystemTime::now());
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return Err(LedgerError::Closed);
                },
                () = tokio::time::sleep(left.unwrap_or_default()) => {
                    self.retried(|| self.ledger.expire_approval(id)).await?;
                }
            }
        }
    }

    async fn requester(&self, request: &ServerRequest) -> Result<Option<Requester>, LedgerError> {
        let Some(thread) = &request.thread_id else {
            return Ok(None);
        };
        let lane = self.ledger.lane_of_thread(&self.dispatcher, thread).await?;
        Ok(lane.and_then(|mut lane| {
            let open = lane.open.take()?;
            Some(Requester { lane, open })
        }))
    }

    async fn last_from(&self, lane: &LaneId) -> Result<Option<Origin>, LedgerError> {
        let lane = self.retried(|| self.ledger.lane(lane)).await?;
        Ok(lane.and_then(|lane| lane.last_from))
    }

    /// Tries again for a while what the disk does not take.
    async fn retried<T, F: Future<Output = Result<T, LedgerError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, LedgerError> {
        let give_up_at = tokio::time::Instant::now() + DISK_WITHIN;
        loop {
            match attempt().await {
                Err(LedgerError::NotWritten { .. }) if tokio::time::Instant::now() < give_up_at => {
                    tokio::time::sleep(DISK_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// The daemon stops: what is open is for the next one to end, and the connection ends, and this
    /// with it.
    async fn stopped<T>(&self) -> T {
        std::future::pending().await
    }
}

/// Returns our name of codex's request: the same when it is sent again. Its number counts in one child,
/// and a turn of codex lives in one child.
fn name(request: &ServerRequest) -> String {
    let turn = request.turn_id.as_ref().map(|it| it.as_str());
    let item = request.item_id.as_deref();
    [
        request.method.as_str(),
        turn.unwrap_or_default(),
        item.unwrap_or_default(),
        request.id.as_str(),
    ]
    .join("\n")
}
