//! What goes out: shown once, and an honest word on whether it was.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::bench::{Bench, NASTY, message, within};
use super::{Check, Need, PostFailure, check};
use crate::{Emoji, Repeat, SendError, Status};

pub(super) const CHECKS: &[Check] = &[
    check!(a_post_appears_where_it_was_sent_with_an_id),
    check!(a_post_says_what_it_was_given),
    check!(posts_keep_their_order),
    check!(a_post_does_not_wait_for_a_slow_intake),
    check!(
        a_repeated_post_appears_once,
        Need::Repeat(Repeat::Idempotent)
    ),
    check!(
        a_post_can_be_found_by_its_key,
        Need::Repeat(Repeat::Findable)
    ),
    check!(
        a_lost_answer_is_unclear,
        Need::Failure(PostFailure::AnswerLost)
    ),
    check!(
        a_refusal_for_now_is_again,
        Need::Failure(PostFailure::Again)
    ),
    check!(
        a_refusal_for_good_is_never,
        Need::Failure(PostFailure::Never)
    ),
    check!(
        a_refusal_that_needs_a_person_is_operator,
        Need::Failure(PostFailure::Operator)
    ),
    check!(an_edited_post_reads_anew, Need::Edit),
    check!(a_deleted_post_is_gone, Need::Delete),
    check!(a_status_is_no_post, Need::Status),
    check!(a_reaction_that_is_there_is_a_success, Need::Reactions),
    check!(each_emoji_is_another_reaction, Need::Reactions),
    check!(
        a_reaction_to_what_is_gone_is_never,
        Need::Reactions,
        Need::Deletions
    ),
];

async fn a_post_appears_where_it_was_sent_with_an_id(bench: &Bench) {
    let mut ids = Vec::new();
    for number in 0..2 {
        let mut post = bench.post(&format!("where-{number}"), "the same text");
        post.to = bench.harness.conversation(number);
        let posted = bench
            .send(&post)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(!posted.id.as_str().is_empty(), "the id is empty");
        ids.push(posted.id);
    }
    assert_ne!(ids[0], ids[1], "two posts with one id");
    let seen = bench.harness.posts().await;
    for (number, post) in seen.iter().enumerate() {
        assert_eq!(post.at, bench.harness.conversation(number));
        assert_eq!(post.text, "the same text");
        if let Some(id) = &post.id {
            assert_eq!(id, &ids[number]);
        }
    }
    assert_eq!(seen.len(), 2);
}

async fn a_post_says_what_it_was_given(bench: &Bench) {
    let texts: Vec<_> = NASTY
        .iter()
        .filter_map(|text| Some((text, bench.harness.shown(text)?)))
        .collect();
    for (number, (text, _)) in texts.iter().enumerate() {
        let post = bench.post(&format!("nasty-{number}"), text);
        let posted = bench.send(&post).await;
        assert!(posted.is_ok(), "{text:?}: {posted:?}");
    }
    let expected: Vec<_> = texts.into_iter().map(|(_, expected)| expected).collect();
    assert_eq!(bench.seen().await, expected);
}

async fn posts_keep_their_order(bench: &Bench) {
    let texts: Vec<_> = (0..8).map(|number| format!("post {number}")).collect();
    for text in &texts {
        let posted = bench.send(&bench.post(&text.replace(' ', "-"), text)).await;
        assert!(posted.is_ok(), "{posted:?}");
    }
    assert_eq!(bench.seen().await, texts);
}

async fn a_post_does_not_wait_for_a_slow_intake(bench: &Bench) {
    bench.intake.hold_all();
    bench.deliver("hello").await;
    bench.called(1).await;
    let posted = bench.send(&bench.post("slow-1", "meanwhile")).await;
    assert!(posted.is_ok(), "{posted:?}");
    assert_eq!(bench.seen().await, ["meanwhile"]);
    bench.intake.release();
}

async fn a_repeated_post_appears_once(bench: &Bench) {
    let post = bench.post("repeat-1", "once");
    let first = bench.send(&post).await;
    let second = bench.send(&post).await;
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(first, second);
    assert_eq!(bench.seen().await, ["once"]);
    // It is the key that makes it the same, not the text.
    let third = bench.send(&bench.post("repeat-2", "once")).await;
    assert!(third.is_ok(), "{third:?}");
    assert_ne!(first, third);
    assert_eq!(bench.seen().await, ["once", "once"]);
}

async fn a_post_can_be_found_by_its_key(bench: &Bench) {
    let since = SystemTime::now() - Duration::from_secs(60);
    let post = bench.post("find-1", "look for me");
    let posted = bench
        .send(&post)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let find = async |post| within("finding", bench.channel.find(post, since)).await;
    assert_eq!(find(&post).await, Ok(Some(posted)));
    let other = bench.post("find-2", "look for me");
    assert_eq!(find(&other).await, Ok(None));
}

async fn a_lost_answer_is_unclear(bench: &Bench) {
    bench.harness.fail_next_post(PostFailure::AnswerLost).await;
    let post = bench.post("lost-1", "did it come?");
    let result = bench.send(&post).await;
    let is_unclear = matches!(result, Err(SendError::Unclear { .. }));
    assert!(is_unclear, "{result:?}");
    bench.harness.connect().await;
    match bench.channel.capabilities().repeat {
        Repeat::Idempotent | Repeat::IdempotentFor(_) => {
            let again = bench.send(&post).await;
            assert!(again.is_ok(), "{again:?}");
        }
        Repeat::Findable => {
            let since = SystemTime::now() - Duration::from_secs(60);
            let found = within("finding", bench.channel.find(&post, since)).await;
            assert!(matches!(found, Ok(Some(_))), "{found:?}");
        }
        Repeat::Blind => {}
    }
    assert_eq!(bench.seen().await, ["did it come?"]);
}

async fn a_refusal_for_now_is_again(bench: &Bench) {
    bench.harness.fail_next_post(PostFailure::Again).await;
    let post = bench.post("again-1", "later");
    let result = bench.send(&post).await;
    let is_again = matches!(result, Err(SendError::Again { .. }));
    assert!(is_again, "{result:?}");
    assert!(bench.seen().await.is_empty());
    bench.harness.connect().await;
    let posted = bench.send(&post).await;
    assert!(posted.is_ok(), "{posted:?}");
    assert_eq!(bench.seen().await, ["later"]);
}

async fn a_refusal_for_good_is_never(bench: &Bench) {
    bench.harness.fail_next_post(PostFailure::Never).await;
    let result = bench.send(&bench.post("never-1", "nowhere")).await;
    let is_never = matches!(result, Err(SendError::Never { .. }));
    assert!(is_never, "{result:?}");
    assert!(bench.seen().await.is_empty());
}

async fn a_refusal_that_needs_a_person_is_operator(bench: &Bench) {
    bench.harness.fail_next_post(PostFailure::Operator).await;
    let result = bench.send(&bench.post("operator-1", "not yet")).await;
    match result {
        Err(SendError::Operator { remedy, .. }) => assert!(!remedy.is_empty(), "no remedy"),
        other => panic!("{other:?}"),
    }
    assert!(bench.seen().await.is_empty());
}

async fn an_edited_post_reads_anew(bench: &Bench) {
    let post = bench.post("edit-1", "before");
    let posted = bench
        .send(&post)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..2 {
        let edited = within("editing", bench.channel.edit(&post.to, &posted.id, "after")).await;
        assert_eq!(edited, Ok(()));
        assert_eq!(bench.seen().await, ["after"]);
    }
}

async fn a_deleted_post_is_gone(bench: &Bench) {
    let post = bench.post("delete-1", "soon gone");
    let posted = bench
        .send(&post)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..2 {
        let deleted = within("deleting", bench.channel.delete(&post.to, &posted.id)).await;
        assert_eq!(deleted, Ok(()));
        assert!(bench.seen().await.is_empty());
    }
}

async fn a_status_is_no_post(bench: &Bench) {
    bench.deliver("hello").await;
    let events = bench.taken(1).await;
    let message = message(&events[0]);
    let (at, id) = (&message.conversation, &message.id);
    let progress = Some("I look at it.".to_owned());
    for status in [Status::Received, Status::Working { progress }, Status::Done] {
        let shown = within(
            "showing a status",
            bench.channel.show_status(at, id, &status),
        )
        .await;
        assert_eq!(shown, Ok(()), "{status:?}");
    }
    bench.harness.settle().await;
    assert!(bench.seen().await.is_empty());
}

async fn a_reaction_that_is_there_is_a_success(bench: &Bench) {
    let delivery = bench.deliver("hello").await;
    for _ in 0..3 {
        assert_eq!(react(bench, Emoji::ThumbsUp).await, Ok(()));
        assert_eq!(bench.harness.reactions(delivery).await.len(), 1);
    }
}

async fn each_emoji_is_another_reaction(bench: &Bench) {
    let delivery = bench.deliver("hello").await;
    for emoji in Emoji::ALL {
        assert_eq!(react(bench, emoji).await, Ok(()), "{emoji:?}");
    }
    let seen: BTreeSet<_> = bench
        .harness
        .reactions(delivery)
        .await
        .into_iter()
        .collect();
    assert_eq!(seen.len(), Emoji::ALL.len(), "{seen:?}");
}

async fn a_reaction_to_what_is_gone_is_never(bench: &Bench) {
    let delivery = bench.deliver("not meant").await;
    bench.taken(1).await;
    bench.harness.take_back(delivery).await;
    let result = react(bench, Emoji::Heart).await;
    let is_never = matches!(result, Err(SendError::Never { .. }));
    assert!(is_never, "{result:?}");
}

/// Puts an emoji on the first message that was taken.
async fn react(bench: &Bench, emoji: Emoji) -> Result<(), SendError> {
    let events = bench.taken(1).await;
    let message = message(&events[0]);
    let reacting = bench
        .channel
        .react(&message.conversation, &message.id, emoji);
    within("reacting", reacting).await
}
