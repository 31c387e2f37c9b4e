//! Reactions that are still to be made: what, in which order, and when again. Does no IO.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tieline_channel::{ChatId, Status, WireId};
use tokio::time::Instant;

use crate::web::Method;

/// How many may wait; beyond, the oldest are forgotten.
const MAX_WAITING: usize = 1_000;

/// How often one is tried when Slack cannot be reached.
const MAX_ATTEMPTS: u32 = 3;

/// How long to wait before the next attempt then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// It is on disk and waits for its turn.
const RECEIVED: &str = "eyes";
const DONE: &str = "white_check_mark";
const FAILED: &str = "x";

/// One reaction to add or to take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reaction {
    pub(super) chat: ChatId,
    pub(super) message: WireId,
    pub(super) method: Method,
    pub(super) name: &'static str,
    /// How often it was tried, also just now.
    attempts: u32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Make this one.
    Make(Reaction),
    /// Nothing before this time.
    Wait(Instant),
    /// Nothing until more is wanted.
    Idle,
}

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, or never will be.
    Settled,
    /// Its method is to be left alone for so long.
    Limited(Duration),
    /// Slack could not be reached.
    Failed,
    /// None can be made for so long.
    Off(Duration),
}

/// What is still to be made, oldest first.
#[derive(Debug, Default)]
pub(super) struct Reactions {
    waiting: VecDeque<Reaction>,
    /// Until when nothing is tried.
    paused_until: Option<Instant>,
    /// Until when a method is left alone.
    limited: Vec<(Method, Instant)>,
}

impl Reactions {
    /// Takes note of a message's status.
    pub(super) fn want(&mut self, chat: &ChatId, message: &WireId, status: &Status) {
        let reaction = |method, name| Reaction {
            chat: chat.clone(),
            message: message.clone(),
            method,
            name,
            attempts: 0,
        };
        match status {
            Status::Received => self.push(reaction(Method::ReactionsAdd, RECEIVED)),
            Status::Working { .. } => {}
            Status::Done | Status::Failed => {
                let name = if *status == Status::Done {
                    DONE
                } else {
                    FAILED
                };
                let first = reaction(Method::ReactionsAdd, RECEIVED);
                let n_before = self.waiting.len();
                self.waiting.retain(|other| *other != first);
                let was_never_made = self.waiting.len() < n_before;
                self.push(reaction(Method::ReactionsAdd, name));
                if !was_never_made {
                    self.push(reaction(Method::ReactionsRemove, RECEIVED));
                }
            }
        }
    }

    /// Returns what to make now. Those of one message are made in the order they were wanted. It
    /// stays until [`Reactions::made`] says that it is.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.limited.retain(|(_, until)| *until > now);
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return if self.waiting.is_empty() {
                Next::Idle
            } else {
                Next::Wait(until)
            };
        }
        let mut passed_over = HashSet::new();
        let ready = self.waiting.iter().position(|reaction| {
            let is_limited = self
                .limited
                .iter()
                .any(|(method, _)| *method == reaction.method);
            let message = (&reaction.chat, &reaction.message);
            let is_ready = !is_limited && !passed_over.contains(&message);
            passed_over.insert(message);
            is_ready
        });
        if let Some(index) = ready {
            let reaction = &mut self.waiting[index];
            reaction.attempts += 1;
            return Next::Make(reaction.clone());
        }
        let first = self.limited.iter().map(|(_, until)| *until).min();
        match first {
            Some(until) if !self.waiting.is_empty() => Next::Wait(until),
            _ => Next::Idle,
        }
    }

    /// Takes note of what became of one.
    pub(super) fn made(&mut self, reaction: &Reaction, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Settled => self.forget(reaction),
            Outcome::Limited(after) => {
                self.limited.push((reaction.method, now + after));
                let tried = self.waiting.iter_mut().find(|other| *other == reaction);
                if let Some(untried) = tried {
                    untried.attempts -= 1;
                }
            }
            Outcome::Failed => {
                self.paused_until = Some(now + RETRY_AFTER);
                if reaction.attempts >= MAX_ATTEMPTS {
                    self.forget(reaction);
                }
            }
            Outcome::Off(duration) => {
                self.paused_until = Some(now + duration);
                self.waiting.clear();
            }
        }
    }

    fn forget(&mut self, reaction: &Reaction) {
        let index = self.waiting.iter().position(|other| other == reaction);
        if let Some(index) = index {
            self.waiting.remove(index);
        }
    }

    fn push(&mut self, reaction: Reaction) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(reaction);
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use tieline_channel::Emoji;

    use super::*;

    #[test]
    fn no_mark_is_one_of_the_reactions_that_are_to_stay() {
        for emoji in Emoji::ALL {
            let name = crate::outbound::emoji_name(emoji);
            assert!(![RECEIVED, DONE, FAILED].contains(&name), "{name}");
        }
    }

    fn want(reactions: &mut Reactions, message: &str, status: &Status) {
        reactions.want(&ChatId::new("C1"), &WireId::new(message), status);
    }

    /// Makes all there is to make now, with the same outcome.
    fn make_all(reactions: &mut Reactions, outcome: Outcome) -> Vec<String> {
        let now = Instant::now();
        let mut made = Vec::new();
        while let Next::Make(reaction) = reactions.next(now) {
            let sign = match reaction.method {
                Method::ReactionsAdd => '+',
                _ => '-',
            };
            made.push(format!("{} {sign}{}", reaction.message, reaction.name));
            reactions.made(&reaction, outcome, now);
        }
        made
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_seen_and_then_done_or_failed() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "1.1", &Status::Received);
        want(&mut reactions, "2.2", &Status::Received);
        assert_eq!(
            make_all(&mut reactions, Outcome::Settled),
            ["1.1 +eyes", "2.2 +eyes"]
        );
        want(&mut reactions, "1.1", &Status::Working { progress: None });
        want(&mut reactions, "1.1", &Status::Done);
        want(&mut reactions, "2.2", &Status::Failed);
        assert_eq!(
            make_all(&mut reactions, Outcome::Settled),
            ["1.1 +white_check_mark", "1.1 -eyes", "2.2 +x", "2.2 -eyes"]
        );
        assert_eq!(reactions.next(Instant::now()), Next::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overtaken_before_it_was_made_is_not_made() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "1.1", &Status::Received);
        want(&mut reactions, "1.1", &Status::Done);
        assert_eq!(
            make_all(&mut reactions, Outcome::Settled),
            ["1.1 +white_check_mark"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_made_is_not_overtaken() {
        let mut reactions = Reactions::default();
        let now = Instant::now();
        want(&mut reactions, "1.1", &Status::Received);
        let Next::Make(first) = reactions.next(now) else {
            panic!("nothing to make");
        };
        want(&mut reactions, "1.1", &Status::Done);
        reactions.made(&first, Outcome::Settled, now);
        assert_eq!(
            make_all(&mut reactions, Outcome::Settled),
            ["1.1 +white_check_mark", "1.1 -eyes"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_method_lets_others_pass_but_not_within_one_message() {
        let mut reactions = Reactions::default();
        let now = Instant::now();
        let after = Duration::from_secs(3);
        want(&mut reactions, "1.1", &Status::Done);
        want(&mut reactions, "1.1", &Status::Received);
        want(&mut reactions, "2.2", &Status::Received);
        let Next::Make(first) = reactions.next(now) else {
            panic!("nothing to make");
        };
        reactions.made(&first, Outcome::Settled, now);
        let Next::Make(removal) = reactions.next(now) else {
            panic!("nothing to make");
        };
        assert_eq!(removal.method, Method::ReactionsRemove);
        reactions.made(&removal, Outcome::Limited(after), now);
        assert_eq!(make_all(&mut reactions, Outcome::Settled), ["2.2 +eyes"]);
        assert_eq!(reactions.next(now), Next::Wait(now + after));
        tokio::time::sleep(after).await;
        assert_eq!(
            make_all(&mut reactions, Outcome::Settled),
            ["1.1 -eyes", "1.1 +eyes"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_get_through_is_tried_three_times() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "1.1", &Status::Received);
        for _ in 0..3 {
            assert_eq!(make_all(&mut reactions, Outcome::Failed), ["1.1 +eyes"]);
            tokio::time::sleep(RETRY_AFTER).await;
        }
        assert_eq!(reactions.next(Instant::now()), Next::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn when_off_nothing_is_tried_and_nothing_piles_up() {
        let mut reactions = Reactions::default();
        let off = Duration::from_secs(600);
        want(&mut reactions, "1.1", &Status::Received);
        assert_eq!(make_all(&mut reactions, Outcome::Off(off)), ["1.1 +eyes"]);
        for number in 0..3_000 {
            want(&mut reactions, &format!("{number}.1"), &Status::Received);
        }
        let now = Instant::now();
        assert_eq!(reactions.next(now), Next::Wait(now + off));
        assert_eq!(reactions.waiting.len(), MAX_WAITING);
    }
}
