//! What happens to messages later: changed, taken back, their buttons pressed.

use super::bench::{Bench, message};
use super::{Check, Need, check};
use crate::{Button, EventKind, Happening, Message, Post, SenderKind};

pub(super) const CHECKS: &[Check] = &[
    check!(an_edit_names_its_message_and_says_it_anew, Need::Edits),
    check!(two_edits_have_two_keys, Need::Edits),
    check!(a_deletion_names_its_message, Need::Deletions),
    check!(a_press_says_who_pressed_what, Need::Buttons, Need::Presses),
    check!(two_presses_have_two_keys, Need::Buttons, Need::Presses),
    check!(our_own_edits_are_not_reported, Need::Edit),
    check!(our_own_deletions_are_not_reported, Need::Delete),
];

async fn an_edit_names_its_message_and_says_it_anew(bench: &Bench) {
    let delivery = bench.deliver("before").await;
    let original = bench.taken(1).await[0].clone();
    bench.harness.change(delivery, "after").await;
    let event = bench.taken(2).await[1].clone();
    assert_eq!(event.key.kind, EventKind::Edit);
    let Happening::Edited {
        target,
        message: edited,
    } = event.happening
    else {
        panic!("not an edit: {event:?}");
    };
    assert_eq!(target, original.key);
    assert_eq!(edited.plain_text(), "after");
    let without_body = |message: &Message| Message {
        body: Vec::new(),
        ..message.clone()
    };
    assert_eq!(
        without_body(&edited),
        without_body(message(&original)),
        "an edit changes the text alone"
    );
    bench.acknowledged(delivery).await;
}

async fn two_edits_have_two_keys(bench: &Bench) {
    let delivery = bench.deliver("before").await;
    bench.taken(1).await;
    bench.harness.change(delivery, "between").await;
    bench.taken(2).await;
    bench.harness.change(delivery, "after").await;
    bench.taken(3).await; // the intake takes each key once
}

async fn a_deletion_names_its_message(bench: &Bench) {
    let delivery = bench.deliver("never mind").await;
    let original = bench.taken(1).await[0].clone();
    bench.harness.take_back(delivery).await;
    let event = bench.taken(2).await[1].clone();
    assert_eq!(event.key.kind, EventKind::Deletion);
    let Happening::Deleted {
        conversation,
        target,
    } = event.happening
    else {
        panic!("not a deletion: {event:?}");
    };
    assert_eq!(target, original.key);
    assert_eq!(conversation, message(&original).conversation);
}

async fn a_press_says_who_pressed_what(bench: &Bench) {
    let post = with_buttons(bench);
    let posted = bench.sent(&post).await;
    let from = bench.harness.person(0);
    for (number, button) in post.buttons.iter().enumerate() {
        bench
            .harness
            .press(&post.to, &posted.id, &from, &button.label)
            .await;
        let event = bench.taken(number + 1).await[number].clone();
        assert_eq!(event.key.kind, EventKind::Press);
        let Happening::Pressed(press) = event.happening else {
            panic!("not a press: {event:?}");
        };
        assert_eq!(press.value, button.value);
        assert_eq!(press.message, posted.id);
        assert_eq!(press.conversation, post.to);
        assert_eq!(press.sender.id, from);
        assert_eq!(press.sender.kind, SenderKind::Person);
    }
}

async fn two_presses_have_two_keys(bench: &Bench) {
    let post = with_buttons(bench);
    let posted = bench.sent(&post).await;
    let from = bench.harness.person(0);
    for _ in 0..2 {
        bench
            .harness
            .press(&post.to, &posted.id, &from, "Yes")
            .await;
    }
    bench.taken(2).await; // the intake takes each key once
}

async fn our_own_edits_are_not_reported(bench: &Bench) {
    let post = bench.post("own-edit-1", "this is ours");
    let posted = bench.sent(&post).await;
    let edited = bench.channel.edit(&post.to, &posted.id, "still ours").await;
    assert_eq!(edited, Ok(()));
    nothing_was_reported(bench).await;
}

async fn our_own_deletions_are_not_reported(bench: &Bench) {
    let post = bench.post("own-delete-1", "this is ours");
    let posted = bench.sent(&post).await;
    let deleted = bench.channel.delete(&post.to, &posted.id).await;
    assert_eq!(deleted, Ok(()));
    nothing_was_reported(bench).await;
}

/// Checks that nothing came in, by something that does.
async fn nothing_was_reported(bench: &Bench) {
    let delivery = bench.deliver("this is not").await;
    bench.acknowledged(delivery).await;
    bench.harness.settle().await;
    let calls = bench.intake.calls();
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!(message(&calls[0]).plain_text(), "this is not");
}

fn with_buttons(bench: &Bench) -> Post {
    let mut post = bench.post("buttons-1", "Shall I?");
    post.buttons = [("Yes", "v1:yes"), ("No", "v1:no")]
        .map(|(label, value)| Button {
            label: label.to_owned(),
            value: value.to_owned(),
        })
        .into();
    post
}
