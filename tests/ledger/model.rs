//! Random operations against a simple model of what a ledger is.

use std::collections::VecDeque;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tieline::failure::FailureKind;
use tieline::id::{MessageId, OutboxId, TurnKey};
use tieline::ledger::{
    Accepted, Admission, Admitted, Conditions, Fate, Ledger, LedgerError, LedgerSettings,
    LedgerThread, MessageState, NewMessage, Outcome, PostEvent, Revised, TurnEvent,
};
use tieline_channel::{EventKey, EventKind, ThreadKey, WireId};

use super::fixture::{channel, key, lane, message, new_message, post};

const LANES: usize = 2;
const THREADS: usize = 3;

/// What is done; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Operation {
    Accept {
        lane: usize,
        urgent: bool,
    },
    AcceptAgain {
        message: usize,
    },
    /// Somebody writes in a thread, which counts if they mention us or somebody has.
    Say {
        thread: usize,
        addressed: bool,
    },
    Revise {
        message: usize,
    },
    Withdraw {
        message: usize,
    },
    OpenTurn {
        lane: usize,
        messages: usize,
    },
    Deliver {
        lane: usize,
    },
    JoinTurn {
        lane: usize,
    },
    LeaveTurn {
        lane: usize,
        messages: usize,
    },
    SettleTurn {
        lane: usize,
        outcome: usize,
        posts: usize,
    },
    SettleWaiting {
        lane: usize,
        messages: usize,
    },
    Enqueue {
        posts: usize,
    },
    Send {
        post: usize,
        delivered: bool,
    },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let lane = 0..LANES;
    let any_of = 0..1000_usize;
    prop_oneof![
        6 => (lane.clone(), any::<bool>())
            .prop_map(|(lane, urgent)| Operation::Accept { lane, urgent }),
        1 => any_of.clone().prop_map(|message| Operation::AcceptAgain { message }),
        3 => (0..THREADS, any::<bool>())
            .prop_map(|(thread, addressed)| Operation::Say { thread, addressed }),
        1 => any_of.clone().prop_map(|message| Operation::Revise { message }),
        1 => any_of.clone().prop_map(|message| Operation::Withdraw { message }),
        3 => (lane.clone(), 0..3_usize)
            .prop_map(|(lane, messages)| Operation::OpenTurn { lane, messages }),
        1 => lane.clone().prop_map(|lane| Operation::Deliver { lane }),
        1 => lane.clone().prop_map(|lane| Operation::JoinTurn { lane }),
        1 => (lane.clone(), 0..3_usize)
            .prop_map(|(lane, messages)| Operation::LeaveTurn { lane, messages }),
        2 => (lane.clone(), 0..4_usize, 0..3_usize)
            .prop_map(|(lane, outcome, posts)| Operation::SettleTurn { lane, outcome, posts }),
        1 => (lane, 1..3_usize)
            .prop_map(|(lane, messages)| Operation::SettleWaiting { lane, messages }),
        1 => (0..3_usize).prop_map(|posts| Operation::Enqueue { posts }),
        2 => (any_of, any::<bool>())
            .prop_map(|(post, delivered)| Operation::Send { post, delivered }),
        1 => Just(Operation::Reopen),
    ]
}

/// What a ledger is, without a disk.
#[derive(Default)]
struct Model {
    messages: Vec<Known>,
    queues: [VecDeque<usize>; LANES],
    turns: [Option<(TurnKey, Vec<usize>)>; LANES],
    had_turn: [bool; LANES],
    joined: [bool; THREADS],
    /// The undelivered posts, in order.
    outbox: Vec<(OutboxId, String)>,
    posts: usize,
}

struct Known {
    id: MessageId,
    lane: usize,
    new: NewMessage,
    state: MessageState,
}

impl Model {
    fn ids(&self, messages: &[usize]) -> Vec<MessageId> {
        messages
            .iter()
            .map(|message| self.messages[*message].id)
            .collect()
    }

    fn first_waiting(&self, lane: usize, count: usize) -> Vec<usize> {
        self.queues[lane].iter().take(count).copied().collect()
    }

    fn new_posts(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                self.posts += 1;
                // Every third one is too long for the database.
                let long = if self.posts.is_multiple_of(3) {
                    9000
                } else {
                    9
                };
                format!("{:0long$}", self.posts)
            })
            .collect()
    }

    fn enqueue(&mut self, ids: Vec<OutboxId>, texts: Vec<String>) {
        assert_eq!(ids.len(), texts.len());
        self.outbox.extend(ids.into_iter().zip(texts));
    }
}

/// A ledger and the model of it.
struct Pair {
    dir: TempDir,
    ledger: Ledger,
    thread: LedgerThread,
    model: Model,
    number: usize,
}

impl Pair {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
        Self {
            dir,
            ledger,
            thread,
            model: Model::default(),
            number: 0,
        }
    }

    fn fresh(&mut self, kind: EventKind) -> EventKey {
        self.number += 1;
        EventKey {
            kind,
            ..key(self.number.to_string())
        }
    }

    async fn run(mut self, operations: Vec<Operation>) {
        for operation in operations {
            match operation {
                Operation::Reopen => {
                    self.thread.close().await;
                    (self.ledger, self.thread) =
                        Ledger::open(self.dir.path(), LedgerSettings::standard()).unwrap();
                }
                operation => self.step(operation).await,
            }
            self.compare().await;
        }
        self.thread.close().await;
    }

    async fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Accept { lane, urgent } => self.accept(lane, urgent).await,
            Operation::AcceptAgain { message } => self.accept_again(message).await,
            Operation::Say { thread, addressed } => self.say(thread, addressed).await,
            Operation::Revise { message } => self.revise(message).await,
            Operation::Withdraw { message } => self.withdraw(message).await,
            Operation::OpenTurn { lane, messages } => self.open_turn(lane, messages).await,
            Operation::Deliver { lane } => self.deliver(lane).await,
            Operation::JoinTurn { lane } => self.join_turn(lane).await,
            Operation::LeaveTurn { lane, messages } => self.leave_turn(lane, messages).await,
            Operation::SettleTurn {
                lane,
                outcome,
                posts,
            } => self.settle_turn(lane, outcome, posts).await,
            Operation::SettleWaiting { lane, messages } => {
                self.settle_waiting(lane, messages).await;
            }
            Operation::Enqueue { posts } => {
                let texts = self.model.new_posts(posts);
                let posts = texts.iter().map(|text| post(text)).collect();
                let ids = self.ledger.enqueue(posts).await.unwrap();
                self.model.enqueue(ids, texts);
            }
            Operation::Send { post, delivered } => self.send(post, delivered).await,
            Operation::Reopen => unreachable!("handled by the caller"),
        }
    }

    async fn accept(&mut self, lane: usize, urgent: bool) {
        let key = self.fresh(EventKind::Message);
        let mut new = new_message(&lane_id(lane), &key.id);
        new.urgent = urgent;
        // Every fifth one is too long for the database.
        let long = if self.number.is_multiple_of(5) {
            9000
        } else {
            9
        };
        new.message = message(&key.id, &"x".repeat(long));
        let queue = &mut self.model.queues[lane];
        let Accepted::New { id, waiting } = self.ledger.accept(new.clone()).await.unwrap() else {
            panic!("{key:?} was never seen");
        };
        let index = self.model.messages.len();
        if urgent {
            queue.push_front(index);
        } else {
            queue.push_back(index);
        }
        assert_eq!(waiting, queue.len());
        self.model.messages.push(Known {
            id,
            lane,
            new,
            state: MessageState::Queued,
        });
    }

    async fn accept_again(&mut self, message: usize) {
        let Some(known) = pick(&self.model.messages, message) else {
            return;
        };
        assert_eq!(
            self.ledger.accept(known.new.clone()).await,
            Ok(Accepted::Duplicate { id: Some(known.id) })
        );
    }

    /// Has somebody write in a thread; all threads are of the first lane.
    async fn say(&mut self, thread: usize, addressed: bool) {
        let key = self.fresh(EventKind::Message);
        let mut new = new_message(&lane_id(0), &key.id);
        new.message.conversation.thread = Some(ThreadKey::new(thread.to_string()));
        new.message.addressed = addressed;
        let admission = Admission {
            message: new.clone(),
            conditions: Conditions {
                joined: !addressed,
                ..Conditions::default()
            },
            fate: Fate::Queue,
        };
        let say = |_: &Admitted| Vec::new();
        let admitted = self.ledger.admit(admission, say).await.unwrap();
        let joined = &mut self.model.joined[thread];
        let index = self.model.messages.len();
        let (id, state) = match admitted {
            Admitted::Queued { id, waiting } => {
                assert!(addressed || *joined);
                let first_here = self.ledger.message(id).await.unwrap().unwrap().first_here;
                assert_eq!(first_here, !*joined);
                *joined = true;
                self.model.queues[0].push_back(index);
                assert_eq!(waiting, self.model.queues[0].len());
                (id, MessageState::Queued)
            }
            Admitted::Refused { id, reason, .. } => {
                assert!(!addressed && !*joined);
                new.message.body = Vec::new();
                (id, MessageState::Refused { reason })
            }
            other => panic!("{other:?}"),
        };
        self.model.messages.push(Known {
            id,
            lane: 0,
            new,
            state,
        });
    }

    async fn revise(&mut self, chosen: usize) {
        let edit = self.fresh(EventKind::Edit);
        let count = self.model.messages.len();
        if count == 0 {
            return;
        }
        let known = &mut self.model.messages[chosen % count];
        let text = "y".repeat(chosen * 10);
        let new = message(known.new.message.id.as_str(), &text);
        let target = known.new.key.clone();
        let expected = if known.state == MessageState::Queued {
            known.new.message = new.clone();
            Revised::Applied
        } else {
            Revised::TooLate
        };
        for expected in [expected, Revised::Duplicate] {
            let found = self
                .ledger
                .revise(&channel(), edit.clone(), target.clone(), new.clone())
                .await;
            assert_eq!(found, Ok(expected));
        }
    }

    async fn withdraw(&mut self, chosen: usize) {
        let deletion = self.fresh(EventKind::Deletion);
        let count = self.model.messages.len();
        if count == 0 {
            return;
        }
        let index = chosen % count;
        let known = &mut self.model.messages[index];
        let expected = if known.state == MessageState::Queued {
            known.state = MessageState::Cancelled;
            self.model.queues[known.lane].retain(|waiting| *waiting != index);
            Revised::Applied
        } else {
            Revised::TooLate
        };
        let found = self
            .ledger
            .withdraw(&channel(), deletion, known.new.key.clone())
            .await;
        assert_eq!(found, Ok(expected));
    }

    async fn open_turn(&mut self, lane: usize, count: usize) {
        let messages = self.model.first_waiting(lane, count);
        let key = TurnKey::new();
        let opened = self
            .ledger
            .open_turn(&lane_id(lane), key, self.model.ids(&messages))
            .await;
        if !self.has_lane(lane) {
            assert_eq!(opened, Err(LedgerError::UnknownLane(lane_id(lane))));
        } else if let Some((open, _)) = self.model.turns[lane] {
            let lane = lane_id(lane);
            assert_eq!(opened, Err(LedgerError::TurnOpen { lane, open }));
        } else {
            assert_eq!(opened.unwrap().messages, self.model.ids(&messages));
            self.model.queues[lane].drain(..messages.len());
            self.set_state(&messages, &MessageState::InTurn);
            self.model.turns[lane] = Some((key, messages));
        }
    }

    async fn deliver(&mut self, lane: usize) {
        if let Some((key, _)) = self.model.turns[lane] {
            let event = TurnEvent::Delivered { turn: None };
            let advanced = self.ledger.advance_turn(&lane_id(lane), key, event).await;
            advanced.unwrap();
            self.model.had_turn[lane] = true;
        }
    }

    async fn join_turn(&mut self, lane: usize) {
        let Some(message) = self.model.queues[lane].front().copied() else {
            return;
        };
        let id = self.model.messages[message].id;
        let Some((key, messages)) = &mut self.model.turns[lane] else {
            let key = TurnKey::new();
            let lane = lane_id(lane);
            let joined = self.ledger.join_turn(&lane, key, id).await;
            assert_eq!(joined, Err(LedgerError::TurnNotOpen { lane, key }));
            return;
        };
        let joined = self.ledger.join_turn(&lane_id(lane), *key, id).await;
        joined.unwrap();
        messages.push(message);
        self.model.queues[lane].pop_front();
        self.set_state(&[message], &MessageState::InTurn);
    }

    async fn leave_turn(&mut self, lane: usize, count: usize) {
        let Some((key, messages)) = &mut self.model.turns[lane] else {
            return;
        };
        let key = *key;
        let left = messages.split_off(messages.len().saturating_sub(count));
        let ids = self.model.ids(&left);
        self.ledger
            .leave_turn(&lane_id(lane), key, ids)
            .await
            .unwrap();
        for message in left.iter().rev() {
            self.model.queues[lane].push_front(*message);
        }
        self.set_state(&left, &MessageState::Queued);
    }

    async fn settle_turn(&mut self, lane: usize, outcome: usize, posts: usize) {
        let Some((key, messages)) = self.model.turns[lane].take() else {
            return;
        };
        let (outcome, state) = outcomes()[outcome].clone();
        let texts = self.model.new_posts(posts);
        let posts = texts.iter().map(|text| post(text)).collect();
        let ids = self
            .ledger
            .settle_turn(&lane_id(lane), key, outcome.clone(), posts)
            .await
            .unwrap();
        self.model.enqueue(ids, texts);
        self.set_state(&messages, &state);
        let again = self
            .ledger
            .settle_turn(&lane_id(lane), key, outcome, Vec::new())
            .await;
        let lane = lane_id(lane);
        assert_eq!(again, Err(LedgerError::TurnNotOpen { lane, key }));
    }

    async fn settle_waiting(&mut self, lane: usize, count: usize) {
        if !self.has_lane(lane) {
            return;
        }
        let messages = self.model.first_waiting(lane, count);
        let texts = self.model.new_posts(1);
        let ids = self
            .ledger
            .settle_waiting(
                &lane_id(lane),
                self.model.ids(&messages),
                Outcome::Cancelled,
                vec![post(&texts[0])],
            )
            .await
            .unwrap();
        self.model.enqueue(ids, texts);
        self.model.queues[lane].drain(..messages.len());
        self.set_state(&messages, &MessageState::Cancelled);
    }

    async fn send(&mut self, chosen: usize, delivered: bool) {
        let count = self.model.outbox.len();
        if count == 0 {
            return;
        }
        let (id, _) = self.model.outbox[chosen % count];
        let at = std::time::SystemTime::now();
        let attempt = PostEvent::Attempt { at };
        self.ledger.advance_post(id, attempt).await.unwrap();
        let event = if delivered {
            self.model.outbox.remove(chosen % count);
            let wire = WireId::new("w");
            PostEvent::Delivered { wire, at }
        } else {
            let reason = "slow down".to_owned();
            PostEvent::Again {
                not_before: at,
                reason,
            }
        };
        self.ledger.advance_post(id, event).await.unwrap();
    }

    fn has_lane(&self, lane: usize) -> bool {
        let refused = |state: &MessageState| matches!(state, MessageState::Refused { .. });
        let mut messages = self.model.messages.iter();
        messages.any(|known| known.lane == lane && !refused(&known.state))
    }

    fn set_state(&mut self, messages: &[usize], state: &MessageState) {
        for message in messages {
            self.model.messages[*message].state = state.clone();
        }
    }

    /// Compares all that can be seen.
    async fn compare(&self) {
        for known in &self.model.messages {
            let found = self.ledger.message(known.id).await.unwrap().unwrap();
            assert_eq!(found.state, known.state);
            assert_eq!(found.message, known.new.message);
        }
        for lane in 0..LANES {
            let waiting = self.ledger.waiting(&lane_id(lane), 1000).await.unwrap();
            let waiting: Vec<_> = waiting.into_iter().map(|record| record.id).collect();
            let queue: Vec<_> = self.model.queues[lane].iter().copied().collect();
            assert_eq!(waiting, self.model.ids(&queue));
            let record = self.ledger.lane(&lane_id(lane)).await.unwrap();
            assert_eq!(record.is_some(), self.has_lane(lane));
            if let Some(record) = record {
                assert_eq!(record.waiting, queue.len());
                assert_eq!(record.had_turn, self.model.had_turn[lane]);
                let open = record.open.map(|open| (open.key, open.messages));
                let expected = self.model.turns[lane].as_ref();
                let expected = expected.map(|(key, messages)| (*key, self.model.ids(messages)));
                assert_eq!(open, expected);
            }
        }
        let undelivered = self.ledger.undelivered(&channel(), None, 1000).await;
        let undelivered: Vec<_> = undelivered
            .unwrap()
            .into_iter()
            .map(|entry| (entry.id, entry.post.text))
            .collect();
        assert_eq!(undelivered, self.model.outbox);
        let counts = self.ledger.counts().await.unwrap();
        let queued: usize = self.model.queues.iter().map(VecDeque::len).sum();
        assert_eq!(counts.waiting(), queued as u64);
        assert_eq!(counts.messages.total(), self.model.messages.len() as u64);
        let turns = self.model.turns.iter().flatten().count();
        assert_eq!(counts.open_turns, turns as u64);
    }
}

/// Each outcome and the state it leaves.
fn outcomes() -> [(Outcome, MessageState); 4] {
    let kind = || FailureKind::ProviderRateLimited;
    [
        (Outcome::Answered, MessageState::Answered),
        (
            Outcome::Failed {
                kind: kind(),
                message: "come back later".to_owned(),
            },
            MessageState::Failed { kind: kind() },
        ),
        (Outcome::Cancelled, MessageState::Cancelled),
        (
            Outcome::Unclear {
                reason: "the rollout is gone".to_owned(),
            },
            MessageState::Unclear,
        ),
    ]
}

fn lane_id(lane: usize) -> tieline::id::LaneId {
    self::lane(&lane.to_string())
}

fn pick<T>(of: &[T], chosen: usize) -> Option<&T> {
    of.get(chosen.checked_rem(of.len())?)
}

#[test]
fn ledger_is_what_the_model_is() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let operations = proptest::collection::vec(operation(), 1..70);
    let result = runner.run(&operations, |operations| {
        runtime.block_on(Pair::new().run(operations));
        Ok(())
    });
    result.unwrap();
}
