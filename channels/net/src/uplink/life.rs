//! Which connections there should be: a state machine without IO.
//!
//! There is one current connection. When the platform or the daemon asks for another, it is opened
//! beside the current one, and only when that is there does the current one become a retired one,
//! which goes on until nothing is in flight on it. At most one connection is being opened at any
//! time.

use std::collections::VecDeque;
use std::time::Duration;

use tieline_channel::retry::RetryPolicy;
use tokio::time::Instant;

/// How many retired connections may finish at leisure; of more, the oldest are closed at once:
/// platforms allow an app some ten connections, all processes together.
const MAX_RETIRED: usize = 3;

/// A connection that was asked to end before this is not replaced at once, or two peers that
/// disagree would open connections as fast as they can.
const BRIEF: Duration = Duration::from_millis(500);

/// How patiently connections are made again.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// A connection that lived this long was a good one: the next failure is a new accident.
    pub lived: Duration,
    /// The longest wait between attempts.
    pub longest: Duration,
    /// Between attempts that need the operator first.
    pub slow: Duration,
}

/// What to do about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again: at the next turn of the backoff, and not before `after`.
    Retry {
        /// What the platform asked for.
        after: Option<Duration>,
    },
    /// The app has too many connections: close those that are not needed, then try again.
    Crowded,
    /// Try again slowly: somebody must do something first.
    Operator {
        /// What to do, as one or two sentences.
        remedy: String,
    },
}

/// A connection, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionId(pub(super) u64);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A new connection is there.
    Opened(ConnectionId),
    /// The attempt failed.
    Failed {
        /// What to do about it.
        verdict: Verdict,
        /// What happened.
        reason: String,
    },
    /// The platform asked to replace a connection, which ends soon.
    Announced {
        /// Which.
        id: ConnectionId,
        /// What is to be done if it is not the routine.
        verdict: Option<Verdict>,
        /// What happened.
        reason: String,
    },
    /// A connection is gone.
    Ended {
        /// Which.
        id: ConnectionId,
        /// What happened.
        reason: String,
        /// Whether anything came by it.
        has_delivered: bool,
        /// How long the platform wants us to stay away.
        after: Option<Duration>,
    },
    /// The platform says how long to wait between attempts at most.
    Paced(Duration),
    /// The daemon wants another connection.
    Forced,
    /// The wait is over.
    Due,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Open a connection.
    Open,
    /// Let a connection finish what is in flight, and close it.
    Retire(ConnectionId),
    /// Close a connection now.
    Close(ConnectionId),
}

/// How it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Nothing is known yet.
    Connecting,
    /// There is a current connection.
    Up,
    /// There is none, because of this.
    Down(String),
    /// There is none, and somebody must do this.
    NeedsOperator(String),
}

/// The connections that there are, and the attempt to get another.
#[derive(Debug)]
pub(super) struct Life {
    current: Option<Current>,
    /// Oldest first.
    retired: VecDeque<ConnectionId>,
    attempt: Attempt,
    trouble: Option<Trouble>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Current {
    id: ConnectionId,
    since: Instant,
}

#[derive(Debug)]
enum Attempt {
    /// None is needed.
    None,
    /// One is being made.
    Running,
    /// The next one is made then.
    Waiting { until: Instant, wish: Wish },
}

/// Who wants us to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// We do, so the daemon may cut it short.
    Ours,
    /// The platform does.
    Platforms,
}

#[derive(Debug)]
enum Trouble {
    Passing(String),
    Operator(String),
}

impl Life {
    /// Begins with the first attempt, which is for the caller to make.
    pub(super) fn begin(habits: Habits) -> Self {
        Self {
            current: None,
            retired: VecDeque::new(),
            attempt: Attempt::Running,
            trouble: None,
            backoff: Backoff::new(habits),
        }
    }

    /// Takes note of what happened and returns what to do about it, in order.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Opened(id) => self.opened(id, now),
            Event::Failed { verdict, reason } => {
                self.attempt = Attempt::None;
                self.follow(verdict, reason, now)
            }
            Event::Announced {
                id,
                verdict,
                reason,
            } => self.announced(id, verdict, reason, now),
            Event::Ended {
                id,
                reason,
                has_delivered,
                after,
            } => self.ended(id, reason, has_delivered, after, now),
            Event::Paced(longest) => {
                self.backoff.wait_at_most(longest);
                Vec::new()
            }
            Event::Forced => match self.attempt {
                Attempt::None
                | Attempt::Waiting {
                    wish: Wish::Ours, ..
                } => self.open(),
                Attempt::Running
                | Attempt::Waiting {
                    wish: Wish::Platforms,
                    ..
                } => Vec::new(),
            },
            Event::Due => match self.attempt {
                Attempt::Waiting { .. } => self.open(),
                Attempt::None | Attempt::Running => Vec::new(),
            },
        }
    }

    /// Returns when [`Event::Due`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.attempt {
            Attempt::Waiting { until, .. } => Some(until),
            Attempt::None | Attempt::Running => None,
        }
    }

    /// Returns how it looks from outside.
    pub(super) fn outlook(&self) -> Outlook {
        match (&self.current, &self.trouble) {
            (Some(_), _) => Outlook::Up,
            (None, None) => Outlook::Connecting,
            (None, Some(Trouble::Passing(reason))) => Outlook::Down(reason.clone()),
            (None, Some(Trouble::Operator(remedy))) => Outlook::NeedsOperator(remedy.clone()),
        }
    }

    fn opened(&mut self, id: ConnectionId, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(old) = self.current.replace(Current { id, since: now }) {
            self.retired.push_back(old.id);
            actions.push(Action::Retire(old.id));
        }
        while self.retired.len() > MAX_RETIRED {
            actions.extend(self.retired.pop_front().map(Action::Close));
        }
        self.attempt = Attempt::None;
        self.trouble = None;
        actions
    }

    fn announced(
        &mut self,
        id: ConnectionId,
        verdict: Option<Verdict>,
        reason: String,
        now: Instant,
    ) -> Vec<Action> {
        let Some(current) = self.current.take_if(|current| current.id == id) else {
            // An old one; the platform's word on routine changes nothing about it.
            return match verdict {
                Some(Verdict::Crowded) => self.retired.drain(..).map(Action::Close).collect(),
                Some(Verdict::Retry { .. } | Verdict::Operator { .. }) | None => Vec::new(),
            };
        };
        let age = now - current.since;
        let Some(verdict) = verdict else {
            // It goes on until there is another.
            self.current = Some(current);
            return match self.attempt {
                Attempt::None => {
                    self.backoff.forget_after(age);
                    if age >= BRIEF {
                        return self.open();
                    }
                    let delay = self.backoff.next_delay();
                    self.wait(delay, Wish::Ours, now)
                }
                Attempt::Running | Attempt::Waiting { .. } => Vec::new(),
            };
        };
        let mut actions = vec![Action::Close(id)];
        actions.extend(self.follow(verdict, reason, now));
        actions
    }

    fn ended(
        &mut self,
        id: ConnectionId,
        reason: String,
        has_delivered: bool,
        after: Option<Duration>,
        now: Instant,
    ) -> Vec<Action> {
        self.retired.retain(|retired| *retired != id);
        let Some(current) = self.current.take_if(|current| current.id == id) else {
            return Vec::new();
        };
        // What the operator must do is not hidden by what follows from it.
        if !matches!(self.trouble, Some(Trouble::Operator(_))) {
            self.trouble = Some(Trouble::Passing(reason));
        }
        match self.attempt {
            Attempt::None => {
                self.backoff.forget_after(now - current.since);
                if has_delivered {
                    self.backoff.shorten();
                }
                let (delay, wish) = self.delay(after);
                self.wait(delay, wish, now)
            }
            Attempt::Running | Attempt::Waiting { .. } => Vec::new(),
        }
    }

    /// Returns when to try again if the platform asked for `after`.
    fn delay(&mut self, after: Option<Duration>) -> (Duration, Wish) {
        let delay = self.backoff.next_delay();
        match after {
            None => (delay, Wish::Ours),
            Some(after) => (delay.max(after), Wish::Platforms),
        }
    }

    /// Does what a verdict says. An attempt that runs goes on.
    fn follow(&mut self, verdict: Verdict, reason: String, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let (delay, wish) = match &verdict {
            Verdict::Retry { after } => self.delay(*after),
            Verdict::Crowded => {
                actions.extend(self.retired.drain(..).map(Action::Close));
                (self.backoff.patient_delay(), Wish::Ours)
            }
            Verdict::Operator { .. } => (self.backoff.habits.slow, Wish::Ours),
        };
        self.trouble = Some(match verdict {
            Verdict::Operator { remedy } => Trouble::Operator(remedy),
            Verdict::Retry { .. } | Verdict::Crowded => Trouble::Passing(reason),
        });
        if !matches!(self.attempt, Attempt::Running) {
            actions.extend(self.wait(delay, wish, now));
        }
        actions
    }

    fn open(&mut self) -> Vec<Action> {
        self.attempt = Attempt::Running;
        vec![Action::Open]
    }

    /// Makes the next attempt after `delay`, or now if there is none.
    fn wait(&mut self, delay: Duration, wish: Wish, now: Instant) -> Vec<Action> {
        if delay.is_zero() {
            return self.open();
        }
        self.attempt = Attempt::Waiting {
            until: now + delay,
            wish,
        };
        Vec::new()
    }
}

/// The first retry is immediate, the next ones wait longer and longer.
#[derive(Debug)]
struct Backoff {
    habits: Habits,
    policy: RetryPolicy,
    is_fresh: bool,
}

impl Backoff {
    /// The ceiling of the first wait.
    const BASE: Duration = Duration::from_secs(1);

    /// The least to wait when the platform has too many connections of ours.
    const PATIENT: Duration = Duration::from_secs(1);

    fn new(habits: Habits) -> Self {
        Self {
            habits,
            policy: RetryPolicy::between(Self::BASE, habits.longest),
            is_fresh: true,
        }
    }

    /// Begins anew after a connection that lived.
    fn forget_after(&mut self, age: Duration) {
        if age >= self.habits.lived {
            *self = Self::new(self.habits);
        }
    }

    /// Begins anew, but not with an immediate retry, after a connection that was of some use.
    fn shorten(&mut self) {
        self.policy = RetryPolicy::between(Self::BASE, self.habits.longest);
    }

    fn wait_at_most(&mut self, longest: Duration) {
        if self.habits.longest != longest {
            self.habits.longest = longest;
            self.shorten();
        }
    }

    fn next_delay(&mut self) -> Duration {
        if std::mem::take(&mut self.is_fresh) {
            return Duration::ZERO;
        }
        self.policy.next_delay()
    }

    fn patient_delay(&mut self) -> Duration {
        self.is_fresh = false;
        self.policy.next_delay().max(Self::PATIENT)
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);
    const SLOW: Duration = Duration::from_secs(60);
    const LIVED: Duration = Duration::from_secs(5);
    const HABITS: Habits = Habits {
        lived: LIVED,
        longest: Duration::from_secs(30),
        slow: SLOW,
    };

    /// A life on a clock that only the test moves.
    struct Bench {
        life: Life,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                life: Life::begin(HABITS),
                now: Instant::now(),
            }
        }

        /// A life with the current connection `A`, which has lived.
        fn connected() -> Self {
            let mut bench = Self::new();
            assert_eq!(bench.on(Event::Opened(A)), []);
            bench.pass(Duration::from_secs(100));
            bench
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }

        fn on(&mut self, event: Event) -> Vec<Action> {
            self.life.on(event, self.now)
        }

        fn wait(&self) -> Option<Duration> {
            self.life.due().map(|due| due - self.now)
        }
    }

    fn failed(verdict: Verdict) -> Event {
        Event::Failed {
            verdict,
            reason: "it failed".to_owned(),
        }
    }

    fn retry() -> Verdict {
        Verdict::Retry { after: None }
    }

    fn operator() -> Verdict {
        Verdict::Operator {
            remedy: "do this".to_owned(),
        }
    }

    fn announced(id: ConnectionId, verdict: Option<Verdict>) -> Event {
        Event::Announced {
            id,
            verdict,
            reason: "it was announced".to_owned(),
        }
    }

    fn ended(id: ConnectionId) -> Event {
        Event::Ended {
            id,
            reason: "it ended".to_owned(),
            has_delivered: false,
            after: None,
        }
    }

    #[test]
    fn a_refresh_opens_the_next_before_the_old_is_let_go() {
        let mut bench = Bench::connected();
        assert_eq!(bench.on(announced(A, None)), [Action::Open]);
        assert_eq!(bench.life.outlook(), Outlook::Up);
        assert_eq!(bench.on(announced(A, None)), [], "one attempt at a time");
        assert_eq!(bench.on(Event::Opened(B)), [Action::Retire(A)]);
        assert_eq!(bench.on(ended(A)), []);
        assert_eq!(bench.life.outlook(), Outlook::Up);
    }

    #[test]
    fn refreshes_every_second_are_followed_at_once_and_do_not_pile_up() {
        let mut bench = Bench::connected();
        let mut open = vec![A];
        for number in 2..100 {
            let id = ConnectionId(number);
            let current = ConnectionId(number - 1);
            bench.pass(Duration::from_secs(1));
            assert_eq!(bench.on(announced(current, None)), [Action::Open]);
            let actions = bench.on(Event::Opened(id));
            open.push(id);
            for action in actions {
                match action {
                    Action::Retire(retired) => assert_eq!(retired, current),
                    Action::Close(closed) => open.retain(|id| *id != closed),
                    Action::Open => panic!("nothing asked for another"),
                }
            }
            assert!(open.len() <= MAX_RETIRED + 1, "{open:?}");
        }
    }

    #[test]
    fn a_peer_that_asks_for_a_refresh_at_once_is_not_followed_at_once_for_ever() {
        let mut bench = Bench::new();
        assert_eq!(bench.on(Event::Opened(A)), []);
        assert_eq!(bench.on(announced(A, None)), [Action::Open], "once is fine");
        assert_eq!(bench.on(Event::Opened(B)), [Action::Retire(A)]);
        assert_eq!(bench.on(announced(B, None)), []);
        assert!(bench.wait().is_some());
        assert_eq!(bench.life.outlook(), Outlook::Up);
    }

    #[test]
    fn a_lost_connection_is_made_again_at_once_and_then_with_backoff() {
        let mut bench = Bench::connected();
        assert_eq!(bench.on(ended(A)), [Action::Open]);
        assert_eq!(bench.life.outlook(), Outlook::Down("it ended".to_owned()));
        let mut total = Duration::ZERO;
        for _ in 0..50 {
            assert_eq!(bench.on(failed(retry())), []);
            let wait = bench.wait().unwrap();
            assert!(wait <= Duration::from_secs(30), "{wait:?}");
            total += wait;
            bench.pass(wait);
            assert_eq!(bench.on(Event::Due), [Action::Open]);
        }
        assert!(total > Duration::from_secs(120), "{total:?}");
        assert_eq!(bench.on(Event::Opened(B)), []);
        bench.pass(LIVED);
        assert_eq!(bench.on(ended(B)), [Action::Open], "it had lived");
    }

    #[test]
    fn connections_that_break_soon_are_made_again_soon_only_while_they_deliver() {
        let break_often = |has_delivered| {
            let mut bench = Bench::new();
            (0..50)
                .map(|number| {
                    let id = ConnectionId(number);
                    bench.on(Event::Opened(id));
                    bench.pass(Duration::from_millis(100));
                    bench.on(Event::Ended {
                        id,
                        reason: String::new(),
                        has_delivered,
                        after: None,
                    });
                    let wait = bench.wait().unwrap_or_default();
                    bench.pass(wait);
                    bench.on(Event::Due);
                    wait
                })
                .max()
                .unwrap()
        };
        assert!(break_often(true) <= Duration::from_secs(1));
        assert!(break_often(false) > Duration::from_secs(10));
    }

    #[test]
    fn the_platform_s_own_wait_is_obeyed_and_not_cut_short() {
        let mut bench = Bench::new();
        let after = Duration::from_secs(40);
        let verdict = Verdict::Retry { after: Some(after) };
        assert_eq!(bench.on(failed(verdict)), []);
        assert_eq!(bench.wait(), Some(after));
        assert_eq!(bench.on(Event::Forced), []);
        assert_eq!(bench.on(Event::Due), [Action::Open]);
    }

    #[test]
    fn a_platform_that_sends_us_away_is_left_alone_for_as_long_as_it_wants() {
        let mut bench = Bench::connected();
        let after = Some(Duration::from_secs(20));
        let sent_away = Event::Ended {
            id: A,
            reason: "it ended".to_owned(),
            has_delivered: true,
            after,
        };
        assert_eq!(bench.on(sent_away), []);
        assert_eq!(bench.wait(), after);
        assert_eq!(bench.on(Event::Forced), []);
        assert_eq!(bench.on(Event::Due), [Action::Open]);
    }

    #[test]
    fn waits_grow_no_longer_than_the_longest_as_it_is_now() {
        let longest_wait = |longest| {
            let mut bench = Bench::new();
            assert_eq!(bench.on(Event::Paced(longest)), []);
            (0..500)
                .map(|_| {
                    bench.on(failed(retry()));
                    let wait = bench.wait().unwrap_or_default();
                    bench.pass(wait);
                    bench.on(Event::Due);
                    wait
                })
                .max()
                .unwrap()
        };
        assert!(longest_wait(Duration::from_secs(5)) <= Duration::from_secs(5));
        assert!(longest_wait(Duration::from_secs(120)) > Duration::from_secs(30));
    }

    #[test]
    fn what_needs_the_operator_is_tried_again_slowly_or_on_request() {
        let mut bench = Bench::new();
        assert_eq!(bench.on(failed(operator())), []);
        assert_eq!(bench.wait(), Some(SLOW));
        let needs = Outlook::NeedsOperator("do this".to_owned());
        assert_eq!(bench.life.outlook(), needs);
        assert_eq!(bench.on(Event::Forced), [Action::Open]);
        assert_eq!(bench.life.outlook(), needs, "nothing is better yet");
        assert_eq!(bench.on(Event::Opened(A)), []);
        assert_eq!(bench.life.outlook(), Outlook::Up);
    }

    #[test]
    fn a_switched_off_socket_mode_is_not_hidden_by_the_end_that_follows() {
        let mut bench = Bench::connected();
        assert_eq!(bench.on(announced(A, Some(operator()))), [Action::Close(A)]);
        assert_eq!(bench.on(ended(A)), []);
        assert_eq!(
            bench.life.outlook(),
            Outlook::NeedsOperator("do this".to_owned())
        );
        assert_eq!(bench.wait(), Some(SLOW));
    }

    #[test]
    fn a_working_connection_stays_up_while_the_next_cannot_be_opened() {
        let mut bench = Bench::connected();
        assert_eq!(bench.on(Event::Forced), [Action::Open]);
        assert_eq!(bench.on(failed(operator())), []);
        assert_eq!(bench.life.outlook(), Outlook::Up);
        assert_eq!(bench.on(ended(A)), []);
        assert_eq!(
            bench.life.outlook(),
            Outlook::NeedsOperator("do this".to_owned())
        );
    }

    #[test]
    fn too_many_connections_close_our_old_ones_first() {
        let mut bench = Bench::connected();
        bench.on(Event::Forced);
        assert_eq!(bench.on(Event::Opened(B)), [Action::Retire(A)]);
        bench.pass(Duration::from_secs(1));
        assert_eq!(
            bench.on(announced(B, Some(Verdict::Crowded))),
            [Action::Close(B), Action::Close(A)]
        );
        assert!(bench.wait().unwrap() >= Backoff::PATIENT);
        assert_eq!(
            bench.life.outlook(),
            Outlook::Down("it was announced".to_owned())
        );
    }

    #[test]
    fn forced_reconnects_overlap_and_do_not_add_up() {
        let mut bench = Bench::connected();
        assert_eq!(bench.on(Event::Forced), [Action::Open]);
        assert_eq!(bench.on(Event::Forced), []);
        assert_eq!(bench.on(ended(A)), [], "one is on its way");
        assert_eq!(bench.on(Event::Opened(B)), []);
        assert_eq!(bench.life.outlook(), Outlook::Up);
    }

    #[test]
    fn what_retired_connections_say_changes_nothing_about_the_current_one() {
        let mut bench = Bench::connected();
        bench.on(Event::Forced);
        bench.on(Event::Opened(B));
        for verdict in [None, Some(retry()), Some(operator())] {
            assert_eq!(bench.on(announced(A, verdict)), []);
        }
        let crowded = announced(A, Some(Verdict::Crowded));
        assert_eq!(bench.on(crowded), [Action::Close(A)]);
        assert_eq!(bench.on(ended(A)), []);
        assert_eq!(bench.life.outlook(), Outlook::Up);
    }
}
