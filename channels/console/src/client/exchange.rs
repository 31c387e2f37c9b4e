//! What a client has said and heard: does no IO.

use std::collections::{HashSet, VecDeque};

use tieline_channel::{PostKey, PostKind, RefusalReason, WireId};
use uuid::Uuid;

use super::Outcome;
use crate::protocol::{AckOutcome, ClientLine, MAX_LINE, encode};

/// How many messages may wait for their answers before no further one is sent.
const MAX_UNSETTLED: usize = 10_000;

/// How many keys of posts are remembered. The daemon repeats a post soon or not at all.
const MAX_SHOWN: usize = 4_096;

/// Where each message stands, and what was shown.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Sent or about to be, and not acknowledged.
    in_flight: Option<(WireId, ClientLine)>,
    /// On the daemon's disk.
    unsettled: HashSet<WireId>,
    settled: usize,
    failed: usize,
    shown: Keys,
}

/// Where a post goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// It replies to a message of this client.
    Reply,
    /// It says something that replies to nothing.
    Aside,
    /// It replies to somebody else's message.
    ReplyToOthers,
    /// It was shown before.
    Nowhere,
}

impl Exchange {
    /// Returns whether the next message may be composed.
    pub(super) fn may_send(&self) -> bool {
        self.in_flight.is_none() && self.unsettled.len() < MAX_UNSETTLED
    }

    /// Makes a message of `text` and puts it in flight.
    ///
    /// # Errors
    ///
    /// When it is too long to travel; says how long it would be.
    pub(super) fn compose(&mut self, text: String) -> Result<(), usize> {
        let id = WireId::new(Uuid::now_v7().to_string());
        let line = ClientLine::Message {
            id: id.clone(),
            text,
            thread: None,
        };
        let length = encode(&line).len() - 1;
        if length > MAX_LINE {
            self.refuse_unsent();
            return Err(length);
        }
        self.in_flight = Some((id, line));
        Ok(())
    }

    /// Counts a message that cannot be sent.
    pub(super) fn refuse_unsent(&mut self) {
        self.failed += 1;
    }

    /// Returns the message that waits to be acknowledged.
    pub(super) fn in_flight(&self) -> Option<&ClientLine> {
        self.in_flight.as_ref().map(|(_, line)| line)
    }

    pub(super) fn is_in_flight(&self, id: &WireId) -> bool {
        self.in_flight.as_ref().is_some_and(|(own, _)| own == id)
    }

    /// Takes an acknowledgement; returns why the message was turned away, if it was.
    pub(super) fn acknowledged(
        &mut self,
        id: &WireId,
        outcome: AckOutcome,
        reason: Option<RefusalReason>,
    ) -> Option<String> {
        if !self.is_in_flight(id) {
            return None; // its answer was faster, on an earlier connection
        }
        self.in_flight = None;
        match outcome {
            AckOutcome::Accepted | AckOutcome::Duplicate => {
                self.unsettled.insert(id.clone());
                None
            }
            AckOutcome::Ignored => {
                self.settled += 1;
                None
            }
            AckOutcome::Refused => {
                self.failed += 1;
                Some(
                    reason.map_or_else(|| "it was refused".to_owned(), |reason| reason.to_string()),
                )
            }
        }
    }

    /// Says where a post goes.
    pub(super) fn place(
        &self,
        key: &PostKey,
        reply_to: Option<&WireId>,
        settles: &[WireId],
        kind: PostKind,
    ) -> Placement {
        if self.shown.contains(key) {
            return Placement::Nowhere;
        }
        let mut concerned = reply_to.into_iter().chain(settles).peekable();
        if concerned.peek().is_none() {
            return match kind {
                PostKind::Answer => Placement::Reply,
                PostKind::Failure | PostKind::Notice => Placement::Aside,
            };
        }
        if concerned.any(|id| self.is_in_flight(id) || self.unsettled.contains(id)) {
            Placement::Reply
        } else {
            Placement::ReplyToOthers
        }
    }

    /// Notes that a post is on the screen.
    pub(super) fn shown(&mut self, key: &PostKey, settles: &[WireId], kind: PostKind) {
        if !self.shown.insert(key) {
            return;
        }
        for id in settles {
            let is_own = if self.is_in_flight(id) {
                self.in_flight = None;
                true
            } else {
                self.unsettled.remove(id)
            };
            if is_own {
                match kind {
                    PostKind::Answer | PostKind::Notice => self.settled += 1,
                    PostKind::Failure => self.failed += 1,
                }
            }
        }
    }

    pub(super) fn all_settled(&self) -> bool {
        self.in_flight.is_none() && self.unsettled.is_empty()
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            settled: self.settled,
            failed: self.failed,
            unsettled: self.unsettled.len() + usize::from(self.in_flight.is_some()),
        }
    }
}

/// The last keys that were shown.
#[derive(Debug, Default)]
struct Keys {
    known: HashSet<PostKey>,
    order: VecDeque<PostKey>,
}

impl Keys {
    fn contains(&self, key: &PostKey) -> bool {
        self.known.contains(key)
    }

    /// Returns whether it was new.
    fn insert(&mut self, key: &PostKey) -> bool {
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key.clone());
        if self.order.len() > MAX_SHOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight_id(exchange: &Exchange) -> WireId {
        exchange.in_flight.as_ref().unwrap().0.clone()
    }

    fn sent() -> (Exchange, WireId) {
        let mut exchange = Exchange::default();
        exchange.compose("hello".into()).unwrap();
        let id = in_flight_id(&exchange);
        (exchange, id)
    }

    #[test]
    fn a_message_is_settled_by_its_last_part_only() {
        let (mut exchange, id) = sent();
        assert!(!exchange.may_send());
        assert_eq!(exchange.acknowledged(&id, AckOutcome::Accepted, None), None);
        assert!(exchange.may_send());
        let (one, two) = (PostKey::new("1"), PostKey::new("2"));
        let place = |exchange: &Exchange, key: &PostKey, settles: &[WireId]| {
            exchange.place(key, Some(&id), settles, PostKind::Answer)
        };
        assert_eq!(place(&exchange, &one, &[]), Placement::Reply);
        exchange.shown(&one, &[], PostKind::Answer);
        assert!(!exchange.all_settled());
        let last = std::slice::from_ref(&id);
        assert_eq!(place(&exchange, &two, last), Placement::Reply);
        exchange.shown(&two, last, PostKind::Answer);
        assert!(exchange.all_settled());
        assert_eq!(place(&exchange, &two, last), Placement::Nowhere);
        exchange.shown(&two, last, PostKind::Answer);
        let outcome = Outcome {
            settled: 1,
            failed: 0,
            unsettled: 0,
        };
        assert_eq!(exchange.outcome(), outcome);
    }

    #[test]
    fn an_answer_that_is_faster_than_the_ack_settles() {
        let (mut exchange, id) = sent();
        exchange.shown(
            &PostKey::new("1"),
            std::slice::from_ref(&id),
            PostKind::Answer,
        );
        assert!(exchange.all_settled());
        assert_eq!(
            exchange.acknowledged(&id, AckOutcome::Duplicate, None),
            None
        );
        assert!(exchange.all_settled());
        assert_eq!(exchange.outcome().settled, 1);
    }

    #[test]
    fn refusals_and_failures_are_counted() {
        let (mut exchange, id) = sent();
        let word =
            exchange.acknowledged(&id, AckOutcome::Refused, Some(RefusalReason::UserNotListed));
        assert_eq!(word.as_deref(), Some("this user is not on the list"));
        exchange.compose("again".into()).unwrap();
        let id = in_flight_id(&exchange);
        exchange.acknowledged(&id, AckOutcome::Accepted, None);
        exchange.shown(&PostKey::new("1"), &[id], PostKind::Failure);
        assert!(exchange.compose("\u{1}".repeat(MAX_LINE / 6)).is_err());
        assert_eq!(exchange.outcome().failed, 3);
        assert!(!exchange.outcome().is_success());
        assert!(exchange.all_settled());
    }

    #[test]
    fn posts_that_reply_to_others_go_elsewhere() {
        let (exchange, _) = sent();
        let key = PostKey::new("1");
        let other = WireId::new("other");
        let place =
            |reply_to, settles: &[WireId], kind| exchange.place(&key, reply_to, settles, kind);
        assert_eq!(
            place(Some(&other), &[], PostKind::Answer),
            Placement::ReplyToOthers
        );
        assert_eq!(
            place(None, std::slice::from_ref(&other), PostKind::Failure),
            Placement::ReplyToOthers
        );
        assert_eq!(place(None, &[], PostKind::Answer), Placement::Reply);
        assert_eq!(place(None, &[], PostKind::Notice), Placement::Aside);
    }

    #[test]
    fn only_the_latest_keys_are_remembered() {
        let mut keys = Keys::default();
        for number in 0..=MAX_SHOWN {
            assert!(keys.insert(&PostKey::new(number.to_string())));
        }
        assert!(!keys.contains(&PostKey::new("0")));
        assert!(keys.contains(&PostKey::new("1")));
        assert_eq!((keys.known.len(), keys.order.len()), (MAX_SHOWN, MAX_SHOWN));
    }
}
