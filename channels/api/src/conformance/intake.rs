//! An intake that can be slow and can fail.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{AcceptError, ChatId, Event, EventKey, Happening, Intake, Receipt, RefusalReason};

/// Records what comes in; can be held up, and can fail.
#[derive(Debug, Default)]
pub struct RecordingIntake {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Event>,
    taken: Vec<Event>,
    keys: BTreeSet<EventKey>,
    rejections: usize,
    refusal: Option<RefusalReason>,
    holds_all: bool,
    held: BTreeSet<ChatId>,
}

impl RecordingIntake {
    /// Makes the next `n` calls fail.
    pub fn reject_next(&self, n: usize) {
        self.state().rejections = n;
    }

    /// Makes the next event be refused.
    pub fn refuse_next(&self, reason: RefusalReason) {
        self.state().refusal = Some(reason);
    }

    /// Makes all calls wait for [`release`](Self::release).
    pub fn hold_all(&self) {
        self.state().holds_all = true;
    }

    /// Makes the calls for one chat wait for [`release`](Self::release).
    pub fn hold(&self, chat: &ChatId) {
        self.state().held.insert(chat.clone());
    }

    /// Lets all calls go on.
    pub fn release(&self) {
        let mut state = self.state();
        state.holds_all = false;
        state.held.clear();
        drop(state);
        self.changed.send_replace(());
    }

    /// Returns the events of all calls, in the order in which they began.
    pub fn calls(&self) -> Vec<Event> {
        self.state().calls.clone()
    }

    /// Returns the events that were taken, each once, in order.
    pub fn taken(&self) -> Vec<Event> {
        self.state().taken.clone()
    }

    /// Returns once there were `n` calls.
    pub async fn called(&self, n: usize) -> Vec<Event> {
        self.until(|state| (state.calls.len() >= n).then(|| state.calls.clone()))
            .await
    }

    /// Returns once `n` events were taken.
    pub async fn took(&self, n: usize) -> Vec<Event> {
        self.until(|state| (state.taken.len() >= n).then(|| state.taken.clone()))
            .await
    }

    async fn until<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = look(&self.state()) {
                return found;
            }
            changed
                .changed()
                .await
                .expect("the sender lives as long as self");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Intake for RecordingIntake {
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError> {
        let is_rejected = {
            let mut state = self.state();
            state.calls.push(event.clone());
            let is_rejected = state.rejections > 0;
            state.rejections = state.rejections.saturating_sub(1);
            is_rejected
        };
        self.changed.send_replace(());
        if is_rejected {
            return Err(AcceptError::NotRecorded {
                reason: "the disk is full".into(),
            });
        }
        let chat = chat(&event.happening).clone();
        self.until(|state| (!state.holds_all && !state.held.contains(&chat)).then_some(()))
            .await;
        let is_new = {
            let mut state = self.state();
            if let Some(reason) = state.refusal.take() {
                return Ok(Receipt::Refused(reason));
            }
            let is_new = state.keys.insert(event.key.clone());
            if is_new {
                state.taken.push(event);
            }
            is_new
        };
        self.changed.send_replace(());
        Ok(if is_new {
            Receipt::Accepted
        } else {
            Receipt::Duplicate
        })
    }
}

fn chat(happening: &Happening) -> &ChatId {
    match happening {
        Happening::Message(message) | Happening::Edited { message, .. } => {
            &message.conversation.chat
        }
        Happening::Deleted { conversation, .. } => &conversation.chat,
        Happening::Pressed(press) => &press.conversation.chat,
    }
}
