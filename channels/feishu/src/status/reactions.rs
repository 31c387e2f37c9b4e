//! Reactions that are still to be made: which, in which order, and when again. Does no IO.
//!
//! A message has one reaction of ours at a time, which says how far it is. The next one is added
//! before the last one is taken away.

use std::collections::VecDeque;
use std::time::Duration;

use tieline_channel::{Status, WireId};
use tokio::time::Instant;

/// How many messages are remembered; beyond, the oldest are forgotten.
const MAX_MESSAGES: usize = 1_000;

/// How often one step is tried.
const MAX_ATTEMPTS: u32 = 3;

/// How long to wait when Feishu cannot be reached.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// It is on disk and waits for its turn.
const RECEIVED: &str = "Get";
const WORKING: &str = "Typing";
const DONE: &str = "DONE";
const FAILED: &str = "CrossMark";

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) message: WireId,
    pub(super) what: What,
}

/// What to do to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Add this reaction.
    Add(&'static str),
    /// Take away the reaction with this id.
    Remove(String),
    /// Find out the ids that reactions of this kind have that are ours.
    Find(&'static str),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Take this step.
    Take(Step),
    /// Nothing before this time.
    Wait(Instant),
    /// Nothing until more is wanted.
    Idle,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, under this id if Feishu told it.
    Added(Option<String>),
    /// It is not there any more, or never can be.
    Removed,
    /// These are ours.
    Found(Vec<String>),
    /// The message takes no reactions.
    Impossible,
    /// Nothing is to be tried for so long.
    Limited(Duration),
    /// Feishu could not be reached.
    Failed,
    /// None can be made for so long.
    Off(Duration),
}

/// What is still to be made, and what was made of messages that are not settled.
#[derive(Debug, Default)]
pub(super) struct Reactions {
    /// The oldest first.
    messages: VecDeque<Marks>,
    paused_until: Option<Instant>,
}

/// The reactions of one message.
#[derive(Debug)]
struct Marks {
    message: WireId,
    wanted: Wanted,
    /// Whether nothing else will be wanted.
    is_last: bool,
    /// Those to be taken away once the wanted one is there.
    others: Vec<Mark>,
    /// How often the next step was tried.
    attempts: u32,
}

/// The reaction that a message is to have.
#[derive(Debug)]
struct Wanted {
    name: &'static str,
    state: Made,
}

/// Whether a reaction is there.
#[derive(Debug, PartialEq, Eq)]
enum Made {
    /// Not yet.
    No,
    /// Feishu may have got the call.
    Perhaps,
    /// Under this id, if it was told.
    Yes(Option<String>),
}

/// A reaction to be taken away.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    /// With this id.
    Known(String),
    /// Of this kind, if there is one: nobody knows its id.
    Unknown(&'static str),
}

impl Reactions {
    /// Takes note of a message's status.
    pub(super) fn want(&mut self, message: &WireId, status: &Status) {
        // Of what went before when nobody remembers it, an earlier run may have made it.
        let (name, before): (_, &[_]) = match status {
            Status::Received => (RECEIVED, &[]),
            Status::Working { .. } => (WORKING, &[RECEIVED]),
            Status::Done => (DONE, &[RECEIVED, WORKING]),
            Status::Failed => (FAILED, &[RECEIVED, WORKING]),
        };
        let is_last = matches!(status, Status::Done | Status::Failed);
        if let Some(marks) = self.marks(message) {
            marks.want(name);
            marks.is_last = is_last;
            return;
        }
        if self.messages.len() >= MAX_MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(Marks {
            message: message.clone(),
            wanted: Wanted {
                name,
                state: Made::No,
            },
            is_last,
            others: before.iter().copied().map(Mark::Unknown).collect(),
            attempts: 0,
        });
    }

    /// Returns the next step, which is to be reported to [`Reactions::taken`].
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let paused_until = self.paused_until.filter(|until| *until > now);
        for marks in &mut self.messages {
            let Some(what) = marks.next() else {
                continue;
            };
            if let Some(until) = paused_until {
                return Next::Wait(until);
            }
            marks.attempts += 1;
            return Next::Take(Step {
                message: marks.message.clone(),
                what,
            });
        }
        Next::Idle
    }

    /// Takes note of what became of a step.
    pub(super) fn taken(&mut self, step: &Step, outcome: Outcome, now: Instant) {
        match &outcome {
            Outcome::Limited(after) => self.paused_until = Some(now + *after),
            Outcome::Failed => self.paused_until = Some(now + RETRY_AFTER),
            Outcome::Off(after) => {
                self.paused_until = Some(now + *after);
                self.messages.clear();
            }
            Outcome::Added(_) | Outcome::Removed | Outcome::Found(_) | Outcome::Impossible => {}
        }
        // It may be forgotten by now.
        let Some(marks) = self.marks(&step.message) else {
            return;
        };
        let goes_on = marks.taken(&step.what, outcome);
        if !goes_on || marks.is_settled() {
            self.messages.retain(|marks| marks.message != step.message);
        }
    }

    fn marks(&mut self, message: &WireId) -> Option<&mut Marks> {
        let mut messages = self.messages.iter_mut();
        messages.find(|marks| marks.message == *message)
    }
}

impl Marks {
    fn want(&mut self, name: &'static str) {
        if self.wanted.name == name {
            return;
        }
        let before = std::mem::replace(
            &mut self.wanted,
            Wanted {
                name,
                state: Made::No,
            },
        );
        match before.state {
            Made::No => {}
            Made::Perhaps => self.others.push(Mark::Unknown(before.name)),
            Made::Yes(id) => self.others.push(mark(id, before.name)),
        }
        self.attempts = 0;
    }

    fn next(&self) -> Option<What> {
        match &self.wanted.state {
            Made::No | Made::Perhaps => Some(What::Add(self.wanted.name)),
            Made::Yes(_) => self.others.last().map(|mark| match mark {
                Mark::Known(id) => What::Remove(id.clone()),
                Mark::Unknown(name) => What::Find(name),
            }),
        }
    }

    /// Takes note of what became of a step; returns whether the message has further ones.
    fn taken(&mut self, what: &What, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Impossible | Outcome::Off(_) => return false,
            Outcome::Limited(_) => {
                self.attempts = self.attempts.saturating_sub(1);
                return true;
            }
            Outcome::Failed => {
                if *what == What::Add(self.wanted.name) {
                    self.wanted.state = Made::Perhaps;
                }
                return self.attempts < MAX_ATTEMPTS;
            }
            Outcome::Added(id) => match what {
                What::Add(name) if *name == self.wanted.name => {
                    self.wanted.state = Made::Yes(id);
                }
                // Something else was wanted meanwhile.
                What::Add(name) => self.others.push(mark(id, name)),
                What::Remove(_) | What::Find(_) => {}
            },
            Outcome::Removed => self.forget(what),
            Outcome::Found(ids) => {
                self.forget(what);
                self.others.extend(ids.into_iter().map(Mark::Known));
            }
        }
        self.attempts = 0;
        true
    }

    fn forget(&mut self, what: &What) {
        self.others.retain(|mark| match (mark, what) {
            (Mark::Known(id), What::Remove(removed)) => id != removed,
            (Mark::Unknown(name), What::Find(found)) => name != found,
            _ => true,
        });
    }

    fn is_settled(&self) -> bool {
        self.is_last && self.next().is_none()
    }
}

fn mark(id: Option<String>, name: &'static str) -> Mark {
    id.map_or(Mark::Unknown(name), Mark::Known)
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
            assert!(![RECEIVED, WORKING, DONE, FAILED].contains(&name), "{name}");
        }
    }

    const WORK: Status = Status::Working { progress: None };

    fn want(reactions: &mut Reactions, message: &str, status: &Status) {
        reactions.want(&WireId::new(message), status);
    }

    fn take(reactions: &mut Reactions) -> Step {
        match reactions.next(Instant::now()) {
            Next::Take(step) => step,
            other => panic!("{other:?}"),
        }
    }

    /// Takes all steps that there are, and tells them; ids are what was added where.
    fn take_all(reactions: &mut Reactions) -> Vec<String> {
        let now = Instant::now();
        let mut taken = Vec::new();
        while let Next::Take(step) = reactions.next(now) {
            let message = &step.message;
            let (said, outcome) = match &step.what {
                What::Add(name) => (
                    format!("{message} +{name}"),
                    Outcome::Added(Some(format!("{message}/{name}"))),
                ),
                What::Remove(id) => (format!("-{id}"), Outcome::Removed),
                What::Find(name) => (
                    format!("{message} ?{name}"),
                    Outcome::Found(vec![format!("{message}/{name}")]),
                ),
            };
            taken.push(said);
            reactions.taken(&step, outcome, now);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn each_status_takes_the_place_of_the_one_before() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "a", &Status::Received);
        want(&mut reactions, "b", &Status::Received);
        assert_eq!(take_all(&mut reactions), ["a +Get", "b +Get"]);
        want(&mut reactions, "a", &WORK);
        assert_eq!(take_all(&mut reactions), ["a +Typing", "-a/Get"]);
        want(&mut reactions, "a", &WORK);
        assert_eq!(take_all(&mut reactions), [""; 0]);
        want(&mut reactions, "a", &Status::Done);
        want(&mut reactions, "b", &Status::Failed);
        assert_eq!(
            take_all(&mut reactions),
            ["a +DONE", "-a/Typing", "b +CrossMark", "-b/Get"]
        );
        assert_eq!(reactions.messages.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overtaken_before_it_was_made_is_not_made() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "a", &Status::Received);
        want(&mut reactions, "a", &WORK);
        want(&mut reactions, "a", &Status::Done);
        assert_eq!(take_all(&mut reactions), ["a +DONE"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overtaken_while_it_is_made_is_taken_away() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "a", &Status::Received);
        let step = take(&mut reactions);
        want(&mut reactions, "a", &Status::Done);
        let added = Outcome::Added(Some("1".to_owned()));
        reactions.taken(&step, added, Instant::now());
        assert_eq!(take_all(&mut reactions), ["a +DONE", "-1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_run_made_is_looked_for() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "a", &Status::Done);
        assert_eq!(
            take_all(&mut reactions),
            ["a +DONE", "a ?Typing", "-a/Typing", "a ?Get", "-a/Get"]
        );
        want(&mut reactions, "b", &WORK);
        let step = take(&mut reactions);
        reactions.taken(&step, Outcome::Added(None), Instant::now());
        assert_eq!(take_all(&mut reactions), ["b ?Get", "-b/Get"]);
        want(&mut reactions, "b", &Status::Done);
        assert_eq!(
            take_all(&mut reactions),
            ["b +DONE", "b ?Typing", "-b/Typing"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_get_through_is_tried_three_times_and_perhaps_there() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "a", &Status::Received);
        for n in 1..=MAX_ATTEMPTS {
            let step = take(&mut reactions);
            assert_eq!(step.what, What::Add(RECEIVED));
            reactions.taken(&step, Outcome::Failed, Instant::now());
            if n < MAX_ATTEMPTS {
                let until = Instant::now() + RETRY_AFTER;
                assert_eq!(reactions.next(Instant::now()), Next::Wait(until));
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
        assert_eq!(reactions.next(Instant::now()), Next::Idle);
        want(&mut reactions, "b", &Status::Received);
        let step = take(&mut reactions);
        reactions.taken(&step, Outcome::Failed, Instant::now());
        want(&mut reactions, "b", &Status::Failed);
        tokio::time::sleep(RETRY_AFTER).await;
        assert_eq!(
            take_all(&mut reactions),
            ["b +CrossMark", "b ?Get", "-b/Get"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_puts_everything_off_and_costs_no_attempt() {
        let mut reactions = Reactions::default();
        let after = Duration::from_secs(3);
        want(&mut reactions, "a", &Status::Received);
        for _ in 0..10 {
            let step = take(&mut reactions);
            reactions.taken(&step, Outcome::Limited(after), Instant::now());
            let until = Instant::now() + after;
            assert_eq!(reactions.next(Instant::now()), Next::Wait(until));
            tokio::time::sleep(after).await;
        }
        assert_eq!(take_all(&mut reactions), ["a +Get"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_takes_none_is_left_alone() {
        let mut reactions = Reactions::default();
        want(&mut reactions, "a", &Status::Received);
        want(&mut reactions, "b", &Status::Received);
        let step = take(&mut reactions);
        reactions.taken(&step, Outcome::Impossible, Instant::now());
        assert_eq!(take_all(&mut reactions), ["b +Get"]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_off_nothing_is_tried_and_nothing_piles_up() {
        let mut reactions = Reactions::default();
        let off = Duration::from_secs(600);
        want(&mut reactions, "a", &Status::Received);
        let step = take(&mut reactions);
        reactions.taken(&step, Outcome::Off(off), Instant::now());
        assert_eq!(reactions.next(Instant::now()), Next::Idle);
        for n in 0..3 * MAX_MESSAGES {
            want(&mut reactions, &n.to_string(), &Status::Received);
        }
        let until = Instant::now() + off;
        assert_eq!(reactions.next(Instant::now()), Next::Wait(until));
        assert_eq!(reactions.messages.len(), MAX_MESSAGES);
    }
}
