//! What is delivered, as often as it takes: to which connection, acknowledged when, and again.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Common, Knowledge, Mock};

/// The code of an acknowledgement that keeps a push from coming again.
pub(crate) const TAKEN: i64 = 200;

/// What is delivered, as often as it takes. Its name stays over redelivery.
pub(crate) struct Push<K: Knowledge> {
    pub(crate) id: String,
    pub(crate) kind: K::Kind,
    /// The message that it is about.
    pub(crate) about: String,
    pub(crate) payload: Value,
    pub(crate) attempts: Vec<Attempt<K::Sent>>,
    /// What came with an acknowledgement.
    pub(crate) response: Option<Value>,
}

/// One delivery of a push.
pub(crate) struct Attempt<S> {
    pub(crate) sent: S,
    pub(crate) sent_at: Instant,
    /// When it was acknowledged, with which code.
    pub(crate) acks: Vec<(Instant, i64)>,
}

/// The name of something that is delivered, the same for all attempts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventId(pub(crate) String);

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) event: EventId,
    /// From the delivery to its acknowledgement.
    pub(crate) after: Duration,
    /// Which delivery of the event it was, from 0.
    pub(crate) attempt: usize,
    pub(crate) code: i64,
}

impl<K: Knowledge> Push<K> {
    pub(crate) fn is_acked(&self) -> bool {
        self.attempts.iter().any(Attempt::is_acked)
    }
}

impl<S> Attempt<S> {
    pub(crate) fn new(sent: S) -> Self {
        Self {
            sent,
            sent_at: Instant::now(),
            acks: Vec::new(),
        }
    }

    fn is_acked(&self) -> bool {
        self.acks.iter().any(|(_, code)| *code == TAKEN)
    }
}

impl<K: Knowledge> Common<K> {
    /// Returns the messages that had to be delivered again.
    pub(crate) fn delayed(&self) -> BTreeSet<&str> {
        let is_delayed = |push: &&Push<K>| push.attempts.len() > 1 && !push.attempts[0].is_acked();
        let delayed = self.pushes.iter().filter(is_delayed);
        delayed.map(|push| push.about.as_str()).collect()
    }

    /// Returns what was delivered and not acknowledged, by none of its deliveries.
    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = &Push<K>> {
        self.pushes.iter().filter(|push| !push.is_acked())
    }

    fn index_of(&self, event: &EventId) -> usize {
        let index = self.pushes.iter().position(|push| push.id == event.0);
        index.expect("an event of this mock")
    }
}

impl<K: Knowledge> Mock<K> {
    /// Returns what was delivered, or is to be, about a message.
    pub(crate) fn events_about(&self, about: &str) -> Vec<EventId> {
        self.shared.look(|state| {
            let of = state.common().pushes.iter().filter(|it| it.about == about);
            of.map(|push| EventId(push.id.clone())).collect()
        })
    }

    /// Looks at an event.
    pub(crate) fn look_at<T>(&self, event: &EventId, look: impl FnOnce(&Push<K>) -> T) -> T {
        self.shared.look(|state| {
            let common = state.common();
            look(&common.pushes[common.index_of(event)])
        })
    }

    /// Delivers an event once more, under the same id.
    pub(crate) fn redeliver(&self, event: &EventId) {
        self.shared.update(|state| {
            let index = state.common().index_of(event);
            state.deal(index);
        });
    }

    /// From now on, events wait for [`release_events`](Self::release_events).
    pub(crate) fn hold_events(&self) {
        self.shared.update(|state| {
            state.common_mut().held.get_or_insert_with(VecDeque::new);
        });
    }

    /// Delivers what was held, in order.
    pub(crate) fn release_events(&self) {
        self.shared.update(|state| {
            for index in state.common_mut().held.take().unwrap_or_default() {
                state.deal(index);
            }
        });
    }

    /// Returns whether an event was acknowledged for good, by any of its deliveries.
    pub(crate) fn is_acked(&self, event: &EventId) -> bool {
        self.look_at(event, Push::is_acked)
    }

    /// Returns how often an event was delivered, or was to be when nobody was there.
    pub(crate) fn deliveries(&self, event: &EventId) -> usize {
        self.look_at(event, |push| push.attempts.len())
    }

    /// Returns what came with the acknowledgement of an event.
    pub(crate) fn response(&self, event: &EventId) -> Option<Value> {
        self.look_at(event, |push| push.response.clone())
    }

    /// Returns what was delivered and not acknowledged, by none of its deliveries.
    pub(crate) fn unacknowledged(&self) -> Vec<EventId> {
        self.shared.look(|state| {
            let missing = state.common().unacknowledged();
            missing.map(|push| EventId(push.id.clone())).collect()
        })
    }

    /// Waits until everything that was delivered is acknowledged.
    pub(crate) async fn all_acknowledged(&self) {
        self.wait_for("all acknowledgements", |state| {
            let mut newest_first = state.common().pushes.iter().rev();
            newest_first.all(Push::is_acked).then_some(())
        })
        .await;
    }

    /// Returns all acknowledgements, in the order of their events.
    pub(crate) fn acks(&self) -> Vec<Ack> {
        self.shared.look(|state| {
            let mut acks = Vec::new();
            for push in &state.common().pushes {
                for (attempt, it) in push.attempts.iter().enumerate() {
                    acks.extend(it.acks.iter().map(|(at, code)| Ack {
                        event: EventId(push.id.clone()),
                        after: at.duration_since(it.sent_at),
                        attempt,
                        code: *code,
                    }));
                }
            }
            acks
        })
    }
}
