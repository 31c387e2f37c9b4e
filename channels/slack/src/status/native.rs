//! Which native status shows in which thread, and when it is due to be set. Does no IO.

use std::collections::HashMap;
use std::time::Duration;

use tieline_channel::{ChatId, Conversation, Status, WireId};
use tokio::time::Instant;

/// Slack lets a status expire after two minutes.
const RENEW_AFTER: Duration = Duration::from_secs(90);

/// How often the words of one may change.
const CHANGE_AFTER: Duration = Duration::from_secs(3);

/// How long to leave it alone when Slack could not be reached.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How long a status is renewed when nothing is heard of the work.
const FORGET_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// How many threads there may be; more have no status.
const MAX_THREADS: usize = 500;

/// A thread as Slack names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) chat: ChatId,
    /// The `ts` of its first message.
    pub(super) thread: String,
}

impl Place {
    /// Returns where a message's status shows: in a direct chat, it may be a thread's first one.
    pub(super) fn of(at: &Conversation, message: &WireId) -> Self {
        Self {
            chat: at.chat.clone(),
            thread: match &at.thread {
                Some(thread) => thread.to_string(),
                None => message.to_string(),
            },
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Set this status; none: take it away.
    Set(Place, Option<String>),
    /// Nothing before this time.
    Wait(Instant),
    /// Nothing until more is wanted.
    Idle,
}

/// What became of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It shows.
    Set,
    /// Not in this thread.
    Impossible,
    /// Too many for now.
    Limited(Duration),
    /// Slack could not be reached.
    Failed,
    /// Nowhere, for so long.
    Off(Duration),
}

/// The threads in which something is worked on, or a status shows.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    threads: HashMap<Place, Thread>,
    /// Until when nothing is tried.
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Thread {
    /// The messages that are worked on.
    working: Vec<WireId>,
    words: String,
    heard_at: Instant,
    shown: Option<Shown>,
    /// It may show, also when nobody knows whether it does.
    was_tried: bool,
    is_impossible: bool,
}

#[derive(Debug)]
struct Shown {
    words: String,
    at: Instant,
}

impl Statuses {
    /// Takes note of a message's status; `words` say what is done when it is worked on.
    pub(super) fn want(
        &mut self,
        place: Place,
        message: &WireId,
        status: &Status,
        words: impl FnOnce() -> String,
        now: Instant,
    ) {
        match status {
            Status::Received => {}
            Status::Working { .. } => {
                if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&place) {
                    return;
                }
                let thread = self.threads.entry(place).or_insert_with(|| Thread {
                    working: Vec::new(),
                    words: String::new(),
                    heard_at: now,
                    shown: None,
                    was_tried: false,
                    is_impossible: false,
                });
                if !thread.working.contains(message) {
                    thread.working.push(message.clone());
                }
                thread.words = words();
                thread.heard_at = now;
            }
            Status::Done | Status::Failed => {
                if let Some(thread) = self.threads.get_mut(&place) {
                    thread.working.retain(|other| other != message);
                }
            }
        }
    }

    /// Takes note that we wrote into a thread, which takes its status away.
    pub(super) fn replied(&mut self, at: &Conversation) {
        let Some(thread) = &at.thread else {
            return;
        };
        let place = Place {
            chat: at.chat.clone(),
            thread: thread.to_string(),
        };
        if let Some(thread) = self.threads.get_mut(&place)
            && !thread.working.is_empty()
        {
            thread.shown = None;
        }
    }

    /// Returns what is due, first what is to be taken away.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.threads.retain(|_, thread| {
            if now > thread.heard_at + FORGET_AFTER {
                thread.working.clear();
            }
            !thread.working.is_empty() || thread.shown.is_some()
        });
        let due = self.threads.iter().filter_map(|(place, thread)| {
            let due_at = thread.due_at(now)?;
            Some(((due_at.max(now), !thread.working.is_empty()), place))
        });
        let Some(((due_at, is_working), place)) = due.min_by_key(|(due, _)| *due) else {
            return Next::Idle;
        };
        let due_at = self.paused_until.map_or(due_at, |until| due_at.max(until));
        if due_at > now {
            return Next::Wait(due_at);
        }
        let place = place.clone();
        let words = self.threads.get_mut(&place).and_then(|thread| {
            thread.was_tried = true;
            is_working.then(|| thread.words.clone())
        });
        Next::Set(place, words)
    }

    /// Takes note of what became of a status.
    pub(super) fn done(
        &mut self,
        place: &Place,
        words: Option<String>,
        outcome: Outcome,
        now: Instant,
    ) {
        let Some(thread) = self.threads.get_mut(place) else {
            return;
        };
        match outcome {
            Outcome::Set => thread.shown = words.map(|words| Shown { words, at: now }),
            Outcome::Impossible => {
                thread.is_impossible = true;
                thread.shown = None;
            }
            Outcome::Limited(after) => self.paused_until = Some(now + after),
            Outcome::Failed => {
                self.paused_until = Some(now + RETRY_AFTER);
                // It may show all the same, and must then be taken away.
                if words.is_some() && thread.shown.is_none() {
                    thread.shown = Some(Shown {
                        words: String::new(),
                        at: now,
                    });
                }
            }
            Outcome::Off(duration) => {
                self.paused_until = Some(now + duration);
                // They expire before it is tried again.
                for thread in self.threads.values_mut() {
                    thread.shown = None;
                    thread.was_tried = false;
                }
            }
        }
    }

    /// Returns where a status may show.
    pub(super) fn shown(&self) -> Vec<Place> {
        let may_show = |thread: &Thread| thread.was_tried && !thread.is_impossible;
        let shown = self.threads.iter().filter(|(_, thread)| may_show(thread));
        shown.map(|(place, _)| place.clone()).collect()
    }
}

impl Thread {
    /// Returns when its status is to be set, if ever.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        if self.is_impossible {
            return None;
        }
        match &self.shown {
            None if self.working.is_empty() => None,
            None => Some(now),
            Some(_) if self.working.is_empty() => Some(now),
            Some(shown) if shown.words != self.words => Some(shown.at + CHANGE_AFTER),
            Some(shown) => Some(shown.at + RENEW_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use tieline_channel::ThreadKey;

    use super::*;

    struct Bench {
        statuses: Statuses,
    }

    fn at(thread: &str) -> Conversation {
        Conversation {
            chat: ChatId::new("C1"),
            thread: Some(ThreadKey::new(thread)),
        }
    }

    impl Bench {
        fn new() -> Self {
            Self {
                statuses: Statuses::default(),
            }
        }

        fn working(&mut self, thread: &str, message: &str, words: &str) {
            let status = Status::Working { progress: None };
            self.want(thread, message, &status, words);
        }

        fn want(&mut self, thread: &str, message: &str, status: &Status, words: &str) {
            let message = WireId::new(message);
            let place = Place::of(&at(thread), &message);
            let words = || words.to_owned();
            self.statuses
                .want(place, &message, status, words, Instant::now());
        }

        /// Sets what is due with this outcome; otherwise waits, or tells that nothing is due.
        async fn step(&mut self, outcome: Outcome) -> String {
            match self.statuses.next(Instant::now()) {
                Next::Set(place, words) => {
                    let said = format!("{}: {}", place.thread, words.as_deref().unwrap_or("-"));
                    self.statuses.done(&place, words, outcome, Instant::now());
                    said
                }
                Next::Wait(until) => {
                    let wait = until - Instant::now();
                    tokio::time::sleep_until(until).await;
                    format!("{} s", wait.as_secs())
                }
                Next::Idle => "idle".to_owned(),
            }
        }

        async fn steps(&mut self, n: usize) -> Vec<String> {
            let mut steps = Vec::new();
            for _ in 0..n {
                steps.push(self.step(Outcome::Set).await);
            }
            steps
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_is_renewed_before_it_expires_and_taken_away_at_the_end() {
        let mut bench = Bench::new();
        assert_eq!(bench.steps(1).await, ["idle"]);
        bench.want("1.1", "1.2", &Status::Received, "");
        assert_eq!(bench.steps(1).await, ["idle"]);
        bench.working("1.1", "1.2", "works");
        let steps = bench.steps(5).await;
        assert_eq!(
            steps,
            ["1.1: works", "90 s", "1.1: works", "90 s", "1.1: works"]
        );
        bench.want("1.1", "1.2", &Status::Done, "");
        assert_eq!(bench.steps(2).await, ["1.1: -", "idle"]);
        assert!(bench.statuses.threads.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_until_none_of_a_threads_messages_is_worked_on() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "works");
        bench.working("1.1", "1.3", "works");
        assert_eq!(bench.steps(1).await, ["1.1: works"]);
        bench.want("1.1", "1.2", &Status::Failed, "");
        assert_eq!(bench.steps(2).await, ["90 s", "1.1: works"]);
        bench.want("1.1", "1.3", &Status::Done, "");
        assert_eq!(bench.steps(2).await, ["1.1: -", "idle"]);
    }

    #[tokio::test(start_paused = true)]
    async fn words_change_every_few_seconds_at_most() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "one");
        assert_eq!(bench.steps(1).await, ["1.1: one"]);
        bench.working("1.1", "1.2", "two");
        bench.working("1.1", "1.2", "three");
        assert_eq!(bench.steps(3).await, ["3 s", "1.1: three", "90 s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_before_anything_showed_needs_nothing() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "works");
        bench.want("1.1", "1.2", &Status::Done, "");
        assert_eq!(bench.steps(1).await, ["idle"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_in_between_makes_it_due_again() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "works");
        assert_eq!(bench.steps(1).await, ["1.1: works"]);
        bench.statuses.replied(&at("1.1"));
        assert_eq!(bench.steps(2).await, ["1.1: works", "90 s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_put_it_off_and_a_refusal_for_longer() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "works");
        for (outcome, wait) in [
            (Outcome::Failed, "10 s"),
            (Outcome::Limited(Duration::from_secs(7)), "7 s"),
            (Outcome::Off(Duration::from_secs(600)), "600 s"),
        ] {
            assert_eq!(bench.step(outcome).await, "1.1: works");
            assert_eq!(bench.step(outcome).await, wait);
        }
        assert_eq!(bench.step(Outcome::Impossible).await, "1.1: works");
        assert_eq!(bench.steps(1).await, ["idle"]);
        bench.working("2.1", "2.2", "works");
        assert_eq!(bench.steps(1).await, ["2.1: works"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_show_is_taken_away_too() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "works");
        assert_eq!(bench.step(Outcome::Failed).await, "1.1: works");
        bench.want("1.1", "1.2", &Status::Done, "");
        assert_eq!(bench.steps(1).await, ["10 s"]);
        assert_eq!(bench.step(Outcome::Failed).await, "1.1: -");
        assert_eq!(bench.steps(3).await, ["10 s", "1.1: -", "idle"]);
        assert!(bench.statuses.threads.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn work_nothing_is_heard_of_is_forgotten() {
        let mut bench = Bench::new();
        bench.working("1.1", "1.2", "works");
        assert_eq!(bench.steps(1).await, ["1.1: works"]);
        tokio::time::sleep(FORGET_AFTER + Duration::from_secs(1)).await;
        assert_eq!(bench.steps(2).await, ["1.1: -", "idle"]);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_too_many_threads() {
        let mut bench = Bench::new();
        for number in 0..2 * MAX_THREADS {
            bench.working(&format!("{number}.1"), "1.2", "works");
        }
        assert_eq!(bench.statuses.threads.len(), MAX_THREADS);
    }
}
