use OnInterrupted::{Ask, Continue};
use TurnStatus::{Completed, Failed, InProgress, Interrupted, Other};
use serde_json::json;

use super::*;
use crate::codex::FailureKind;

fn message(text: &str, phase: Option<AgentPhase>) -> Item {
    Item::AgentMessage {
        id: "m".to_owned(),
        text: text.to_owned(),
        phase,
    }
}

fn item(value: serde_json::Value) -> Item {
    serde_json::from_value(value).unwrap()
}

fn command() -> Item {
    item(json!({
        "type": "commandExecution", "id": "c", "command": "ls", "status": "completed",
    }))
}

fn compaction() -> Item {
    item(json!({ "type": "contextCompaction", "id": "k" }))
}

fn turn(status: TurnStatus, items: Vec<Item>) -> Trace {
    Trace::Turn(FoundTurn {
        turn_id: TurnId::new("1"),
        failure: (status == Failed).then(|| Failure::new(FailureKind::ProviderUnavailable, "gone")),
        status,
        answer: Item::last_answer(&items).map(str::to_owned),
        last_phase: None,
        items,
    })
}

#[test]
fn each_trace_has_its_next_step_under_each_policy() {
    let commentary = || message("hm", Some(AgentPhase::Commentary));
    let answer = || message("yes", Some(AgentPhase::FinalAnswer));
    let unnamed = || message("yes", None);
    // What is found; what follows with `continue`, and with `ask`.
    let table = [
        (turn(InProgress, vec![]), "follow", "follow"),
        (turn(InProgress, vec![answer()]), "follow", "follow"),
        (turn(Completed, vec![answer()]), "deliver", "deliver"),
        (
            turn(Completed, vec![unnamed(), command()]),
            "deliver",
            "deliver",
        ),
        (turn(Completed, vec![]), "conclude", "conclude"),
        (turn(Completed, vec![commentary()]), "conclude", "conclude"),
        (turn(Completed, vec![compaction()]), "continue", "ask"),
        (
            turn(Completed, vec![compaction(), answer()]),
            "deliver",
            "deliver",
        ),
        (turn(Interrupted, vec![]), "continue", "ask"),
        (turn(Interrupted, vec![commentary()]), "continue", "ask"),
        (turn(Interrupted, vec![answer()]), "deliver", "deliver"),
        (turn(Interrupted, vec![unnamed()]), "deliver", "deliver"),
        (
            turn(Interrupted, vec![unnamed(), command()]),
            "continue",
            "ask",
        ),
        (
            turn(Interrupted, vec![answer(), commentary()]),
            "continue",
            "ask",
        ),
        (turn(Failed, vec![]), "fail", "fail"),
        (turn(Failed, vec![answer()]), "fail", "fail"),
        (turn(Other, vec![answer()]), "give up", "give up"),
        (Trace::TextOnly, "continue", "ask"),
        (Trace::Absent, "submit", "submit"),
        (Trace::Unreadable("io".to_owned()), "give up", "give up"),
    ];
    for (trace, to_continue, to_ask) in table {
        for (policy, expected) in [(Continue, to_continue), (Ask, to_ask)] {
            // Whether it was delivered makes a difference only to what is gone.
            for delivered in [false, true] {
                let expected = match (&trace, delivered) {
                    (Trace::Absent, true) => "give up",
                    _ => expected,
                };
                let step = next_step(trace.clone(), delivered, 0, policy);
                assert_eq!(step.name(), expected, "{policy:?} {delivered} {trace:?}");
            }
        }
    }
}

#[test]
fn what_is_interrupted_again_and_again_comes_to_an_end_and_nothing_else_does() {
    for trace in [turn(Interrupted, vec![]), Trace::TextOnly] {
        for (continuations, expected) in [
            (0, "continue"),
            (MAX_CONTINUATIONS - 1, "continue"),
            (MAX_CONTINUATIONS, "stop trying"),
            (u32::MAX, "stop trying"),
        ] {
            let step = next_step(trace.clone(), true, continuations, Continue);
            assert_eq!(step.name(), expected, "{continuations}");
            let step = next_step(trace.clone(), true, continuations, Ask);
            assert_eq!(step.name(), "ask", "{continuations}");
        }
    }
    let table = [
        (turn(Interrupted, vec![message("yes", None)]), "deliver"),
        (turn(InProgress, vec![]), "follow"),
        (Trace::Absent, "submit"),
    ];
    for (trace, expected) in table {
        let step = next_step(trace, false, u32::MAX, Continue);
        assert_eq!(step.name(), expected);
    }
}

#[test]
fn a_step_carries_what_the_thread_said() {
    let found = turn(
        Completed,
        vec![message("first", None), message("last", None)],
    );
    let Step::Deliver(answer) = next_step(found, true, 0, Continue) else {
        panic!("not delivered");
    };
    assert_eq!(answer, "last");
    let Step::Fail(failure) = next_step(turn(Failed, vec![]), true, 0, Continue) else {
        panic!("not failed");
    };
    assert_eq!(failure.kind, FailureKind::ProviderUnavailable);
    let Step::Follow(id) = next_step(turn(InProgress, vec![]), true, 0, Continue) else {
        panic!("not followed");
    };
    assert_eq!(id, TurnId::new("1"));
}

#[test]
fn a_turn_that_was_shortened_before_all_else_is_told_from_others() {
    let user = || item(json!({ "type": "userMessage", "id": "u", "content": [] }));
    let answer = || message("yes", None);
    let found = |items| match turn(Completed, items) {
        Trace::Turn(turn) => turn,
        other => panic!("{other:?}"),
    };
    // What it did; whether it was shortened, and before all else.
    let table = [
        (vec![user()], [false, false]),
        (vec![user(), command(), answer()], [false, false]),
        (vec![compaction()], [true, true]),
        (vec![user(), compaction(), answer()], [true, true]),
        (
            vec![user(), command(), compaction(), answer()],
            [true, false],
        ),
    ];
    for (items, expected) in table {
        let turn = found(items);
        let seen = [has_compaction(&turn), begins_with_compaction(&turn)];
        assert_eq!(seen, expected, "{turn:?}");
    }
}
