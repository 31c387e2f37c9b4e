//! Random faults, crashes and reconnections: what people see, and what is recorded, in the end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tieline_channel::{Link, PostKey, Repeat, WireId};

use super::bench::{Bench, conversation};
use super::platform::{Answer, Kind, Platform, Seen, Shown};
use crate::id::OutboxId;
use crate::ledger::PostState;
use crate::outbox::words;

const POSTS: usize = 300;
const CHATS: usize = 5;

/// How often a post is failed before the platform has mercy.
const MAX_FAULTS: u32 = 4;

#[tokio::test]
async fn posts_are_shown_once_and_in_order_where_a_repeat_is_harmless() {
    for seed in 1..=2 {
        let run = Run::new(Repeat::Idempotent, seed).await;
        run.assert_shown_once_and_in_order();
    }
}

#[tokio::test]
async fn posts_are_shown_once_and_in_order_where_they_can_be_found() {
    for seed in 1..=2 {
        let run = Run::new(Repeat::Findable, seed).await;
        run.assert_shown_once_and_in_order();
    }
}

#[tokio::test]
async fn no_post_is_lost_and_repeats_are_marked_where_nobody_can_tell() {
    let mut repeats = 0;
    for seed in 1..=2 {
        let run = Run::new(Repeat::Blind, seed).await;
        repeats += run.assert_marked_and_in_order();
    }
    assert!(repeats > 0, "a run without repeats shows nothing");
}

/// A run and what came of it.
struct Run {
    /// The posts by chat, in order: those that can be delivered, and those that cannot.
    expected: Vec<Vec<String>>,
    seen: Seen,
}

impl Run {
    async fn new(repeat: Repeat, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut bench = Bench::new(Platform::new(repeat, faults(seed)));
        bench.pace.call = Duration::from_millis(60);
        bench.start();
        let mut expected = vec![Vec::new(); CHATS];
        let mut ids = HashMap::new();
        for batch in 0..POSTS / 10 {
            let mut posts = Vec::new();
            for number in batch * 10..(batch + 1) * 10 {
                let chat = dice.below(CHATS);
                let text = if dice.below(20) == 0 {
                    format!("{number} never")
                } else {
                    expected[chat].push(number.to_string());
                    number.to_string()
                };
                posts.push(bench.new_post(&chat.to_string(), &text));
            }
            let texts: Vec<_> = posts.iter().map(|post| post.text.clone()).collect();
            ids.extend(bench.enqueue_all(posts).await.into_iter().zip(texts));
            let calls = bench.platform.seen().calls.len() + dice.below(10);
            bench
                .platform
                .until(|seen| seen.calls.len() >= calls.min(batch * 10))
                .await;
            match dice.below(4) {
                0 => {
                    bench.crash().await;
                    bench.start();
                }
                1 => bench.platform.set_link(Link::Down),
                2 => bench.platform.set_link(Link::Up),
                _ => {}
            }
        }
        for id in ids.keys() {
            bench.settled(*id).await;
        }
        bench.stop().await;
        let seen = bench.platform.seen();
        let calls = seen.calls.len();
        assert_eq!(seen.overlaps, HashSet::new(), "seed {seed}");
        assert!(calls > POSTS * 5 / 4, "seed {seed}: only {calls} calls");
        let mut doubts = Vec::new();
        for (id, text) in ids {
            let entry = bench.entry(id).await;
            assert_state(&seen, id, &text, &entry.state);
            if let PostState::Unclear { .. } = entry.state {
                let chat = |chat: &usize| entry.post.to == conversation(&chat.to_string());
                doubts.extend((0..CHATS).find(chat));
            }
        }
        for shown in seen.shown.iter().filter(|shown| is_doubt(shown)) {
            let is_in_doubt = |chat: &usize| shown.to == conversation(&chat.to_string());
            assert!(doubts.iter().any(is_in_doubt), "{shown:?} is about nothing");
        }
        Self { expected, seen }
    }

    fn assert_shown_once_and_in_order(&self) {
        for (chat, expected) in self.expected.iter().enumerate() {
            assert_eq!(&self.shown(chat), expected, "chat {chat}");
        }
    }

    /// Returns how many repeats there were.
    fn assert_marked_and_in_order(&self) -> usize {
        let mut repeats = 0;
        for (chat, expected) in self.expected.iter().enumerate() {
            let mut distinct = Vec::new();
            for text in self.shown(chat) {
                let (marked, text) = match text.split_once("\n\n") {
                    Some((mark, text)) => {
                        assert!(mark.contains("may have seen it already"), "{mark}");
                        (true, text.to_owned())
                    }
                    None => (false, text),
                };
                if distinct.last() == Some(&text) {
                    assert!(marked, "an unmarked repeat of {text}");
                    repeats += 1;
                } else {
                    distinct.push(text);
                }
            }
            assert_eq!(&distinct, expected, "chat {chat}");
        }
        repeats
    }

    /// Returns what was said in a chat, but for what tells of a doubt.
    fn shown(&self, chat: usize) -> Vec<String> {
        let to = conversation(&chat.to_string());
        let said = |shown: &&Shown| shown.to == to && !is_doubt(shown);
        let shown = self.seen.shown.iter().filter(said);
        shown.map(|shown| shown.text.clone()).collect()
    }
}

/// Returns whether a post tells that it is not known whether another one is there. One that was
/// interrupted when it was sent may be there.
fn is_doubt(shown: &Shown) -> bool {
    shown.text.ends_with(words::IN_DOUBT.en)
}

/// The record is true: delivered under a name that the platform gave it, or not there.
fn assert_state(seen: &Seen, id: OutboxId, text: &str, state: &PostState) {
    let key = PostKey::new(id.to_string());
    let mut wires = seen.shown.iter().filter(|shown| shown.key == key);
    match state {
        PostState::Delivered { wire, .. } => {
            let known = |found: &WireId| found == wire;
            assert!(wires.any(|shown| known(&shown.wire)), "{text}: {wire}");
        }
        PostState::Failed { .. } | PostState::Unclear { .. } => {
            assert!(text.ends_with("never"), "{text}: {state:?}");
            assert_eq!(wires.count(), 0, "{text} is there");
        }
        PostState::Pending | PostState::Sending { .. } => panic!("{text}: {state:?}"),
    }
}

/// Fails about every second call, in every way there is.
fn faults(seed: u64) -> impl FnMut(Kind, &tieline_channel::Post) -> Answer {
    let mut dice = Dice(seed + 1000);
    let mut failed: HashMap<PostKey, u32> = HashMap::new();
    let mut panicked = HashSet::new();
    move |kind, post| {
        if kind == Kind::Post && post.text.ends_with("never") {
            return Answer::Never;
        }
        let faults = failed.entry(post.key.clone()).or_default();
        if *faults >= MAX_FAULTS || dice.below(2) == 0 {
            return Answer::Take;
        }
        *faults += 1;
        let taken = dice.below(2) == 0;
        match dice.below(7) {
            0 => Answer::Again(None),
            1 => Answer::Again(Some(Duration::from_millis(dice.below(10) as u64))),
            2 => Answer::Operator,
            3 => Answer::Hang { taken },
            // After three, tieline gives a post up.
            4 if panicked.insert(post.key.clone()) => Answer::Panic { taken },
            _ => Answer::Unclear { taken },
        }
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap()
    }
}
