//! Emoji on messages: in order with what is said, there once, and never in the way of an answer.

use pretty_assertions::assert_eq;
use tieline_channel::Emoji;

use super::*;
use crate::ledger::Reaction;

const SEEN: &str = "👍 on m1";

impl Bench {
    fn new_reaction(&self, chat: &str) -> NewPost {
        NewPost {
            settles: Vec::new(),
            reaction: Some(Reaction {
                message: WireId::new("m1"),
                emoji: Emoji::ThumbsUp,
            }),
            ..self.new_post(chat, "")
        }
    }
}

#[tokio::test]
async fn a_reaction_is_made_in_order_with_the_posts_of_its_conversation() {
    let mut bench = Bench::new(Platform::answering(Repeat::Findable, []));
    let posts = vec![
        bench.new_post("C1", "before"),
        bench.new_reaction("C1"),
        bench.new_post("C1", "after"),
    ];
    let ids = bench.enqueue_all(posts).await;
    bench.start();
    bench.settled(ids[2]).await;
    let seen = bench.platform.seen();
    assert_eq!(seen.texts(), ["before", SEEN, "after"]);
    assert_eq!(seen.kinds(), [Kind::Post, Kind::React, Kind::Post]);
    let PostState::Delivered { wire, .. } = bench.settled(ids[1]).await else {
        panic!("not delivered");
    };
    assert_eq!(wire, WireId::new("m1"));
}

#[tokio::test]
async fn whatever_an_attempt_came_to_the_reaction_is_there_once_and_nothing_is_looked_up() {
    for repeat in [Repeat::Findable, Repeat::Blind, Repeat::Idempotent] {
        for first in [
            Answer::Again(None),
            Answer::Unclear { taken: true },
            Answer::Unclear { taken: false },
            Answer::Hang { taken: true },
            Answer::Panic { taken: true },
        ] {
            let mut bench = Bench::new(Platform::answering(repeat, [first]));
            bench.pace.call = Duration::from_millis(20);
            let ids = bench.enqueue_all(vec![bench.new_reaction("C1")]).await;
            bench.start();
            let state = bench.settled(ids[0]).await;
            let is_delivered = matches!(state, PostState::Delivered { .. });
            assert!(is_delivered, "{repeat:?}, {first:?}: {state:?}");
            let seen = bench.platform.seen();
            assert_eq!(seen.texts(), [SEEN], "{repeat:?}, {first:?}");
            assert_eq!(seen.kinds(), [Kind::React, Kind::React]);
        }
    }
}

#[tokio::test]
async fn a_crash_in_the_middle_leaves_it_to_the_next_process() {
    let hang = Answer::Hang { taken: true };
    let mut bench = Bench::new(Platform::answering(Repeat::Findable, [hang]));
    let ids = bench.enqueue_all(vec![bench.new_reaction("C1")]).await;
    bench.start();
    bench.platform.until(|seen| seen.shown.len() == 1).await;
    let state = bench.entry(ids[0]).await.state;
    assert!(matches!(state, PostState::Sending { .. }), "{state:?}");
    bench.crash().await;
    bench.reopen_ledger().await;
    bench.start();
    let state = bench.settled(ids[0]).await;
    assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    assert_eq!(bench.platform.seen().texts(), [SEEN]);
}

#[tokio::test]
async fn a_reaction_that_cannot_be_made_is_given_up_in_silence_and_holds_nothing_up() {
    for (answers, is_unclear) in [
        (vec![Answer::Never], false),
        (vec![Answer::Operator], false),
        (vec![Answer::Unclear { taken: false }, Answer::Never], true),
    ] {
        let mut answers = answers.into_iter();
        let platform = Platform::new(Repeat::Idempotent, move |kind, _| match kind {
            Kind::React => answers.next().unwrap(),
            _ => Answer::Take,
        });
        let mut bench = Bench::new(platform);
        let posts = vec![bench.new_reaction("C1"), bench.new_post("C1", "after")];
        let ids = bench.enqueue_all(posts).await;
        bench.start();
        bench.settled(ids[1]).await;
        let state = bench.settled(ids[0]).await;
        let reason = match &state {
            PostState::Failed { reason, .. } if !is_unclear => reason,
            PostState::Unclear { reason, .. } if is_unclear => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason.contains("so it was told"), "{reason}");
        assert_eq!(bench.platform.seen().texts(), ["after"]);
    }
}

#[tokio::test]
async fn where_there_are_none_it_fails() {
    let mut bench = Bench::new(Platform::without_reactions());
    let ids = bench.enqueue_all(vec![bench.new_reaction("C1")]).await;
    bench.start();
    let state = bench.settled(ids[0]).await;
    assert!(matches!(state, PostState::Failed { .. }), "{state:?}");
    assert!(bench.platform.seen().calls.is_empty());
}
