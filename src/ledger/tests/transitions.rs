//! The state machines as tables.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tieline_channel::{RefusalReason, WireId};

use crate::failure::FailureKind;
use crate::id::{TurnId, TurnKey};
use crate::ledger::{
    MessageEvent, MessageState, OpenTurn, Outcome, PostEvent, PostState, TurnEvent, TurnPhase,
};

#[test]
fn message_transitions() {
    let failed = || Outcome::Failed {
        kind: FailureKind::ProviderRateLimited,
        message: "come back later".to_owned(),
    };
    let unclear = || Outcome::Unclear {
        reason: "the rollout is gone".to_owned(),
    };
    let states = [
        MessageState::Queued,
        MessageState::InTurn,
        MessageState::Answered,
        MessageState::Failed {
            kind: FailureKind::ProviderRateLimited,
        },
        MessageState::Cancelled,
        MessageState::Unclear,
        MessageState::Refused {
            reason: RefusalReason::Bot,
        },
    ];
    let events = [
        MessageEvent::Taken,
        MessageEvent::Returned,
        MessageEvent::Withdrawn,
        MessageEvent::Settled(Outcome::Answered),
        MessageEvent::Settled(failed()),
        MessageEvent::Settled(Outcome::Cancelled),
        MessageEvent::Settled(unclear()),
    ];
    let [queued, in_turn, answered, failed, cancelled, unclear, _] = &states;
    let no = None;
    let expected = [
        // Taken, Returned, Withdrawn, Answered, Failed, Cancelled, Unclear
        [
            Some(in_turn),
            no,
            Some(cancelled),
            Some(answered),
            Some(failed),
            Some(cancelled),
            Some(unclear),
        ],
        [
            no,
            Some(queued),
            no,
            Some(answered),
            Some(failed),
            Some(cancelled),
            Some(unclear),
        ],
        [no; 7],
        [no; 7],
        [no; 7],
        [no; 7],
        [no; 7],
    ];
    for (state, row) in states.iter().zip(expected) {
        assert_eq!(state.is_settled(), row == [no; 7], "{state:?}");
        for (event, next) in events.iter().zip(row) {
            let found = state.clone().on(event.clone());
            assert_eq!(found.as_ref().ok(), next, "{state:?} on {event:?}");
        }
    }
}

#[test]
fn post_transitions() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(2);
    let earlier = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let reason = || "no".to_owned();
    let states = [
        PostState::Pending,
        PostState::Sending { since: earlier },
        PostState::Delivered {
            wire: WireId::new("w"),
            at,
        },
        PostState::Failed {
            reason: reason(),
            at,
        },
        PostState::Unclear {
            reason: reason(),
            at,
        },
    ];
    let events = [
        PostEvent::Attempt { at },
        PostEvent::Delivered {
            wire: WireId::new("w"),
            at,
        },
        PostEvent::Again {
            not_before: at,
            reason: reason(),
        },
        PostEvent::PutOff {
            not_before: at,
            reason: reason(),
        },
        PostEvent::Failed {
            reason: reason(),
            at,
        },
        PostEvent::Unclear {
            reason: reason(),
            at,
        },
    ];
    let [pending, sending, delivered, failed, unclear] = &states;
    let started = PostState::Sending { since: at };
    let no = None;
    let expected = [
        // Attempt, Delivered, Again, PutOff, Failed, Unclear
        [
            Some(&started),
            no,
            Some(pending),
            Some(pending),
            Some(failed),
            no,
        ],
        [
            Some(sending),
            Some(delivered),
            Some(pending),
            Some(sending),
            Some(failed),
            Some(unclear),
        ],
        [no; 6],
        [no; 6],
        [no; 6],
    ];
    for (state, row) in states.iter().zip(expected) {
        assert_eq!(state.is_settled(), row == [no; 6], "{state:?}");
        for (event, next) in events.iter().zip(row) {
            let found = state.clone().on(event);
            assert_eq!(found.as_ref().ok(), next, "{state:?} on {event:?}");
        }
    }
}

#[test]
fn turn_transitions() {
    let turn = |id: &str| TurnId::new(id);
    let events = [
        TurnEvent::Submitted { turn: turn("new") },
        TurnEvent::Delivered {
            turn: Some(turn("new")),
        },
        TurnEvent::Delivered { turn: None },
        TurnEvent::Continued,
        TurnEvent::Retried,
        TurnEvent::Resubmitted,
    ];
    let phases = [
        TurnPhase::Opened,
        TurnPhase::Submitted,
        TurnPhase::Delivered,
    ];
    let (opened, submitted, delivered) = (phases[0], phases[1], phases[2]);
    let (new, old, no) = (Some("new"), Some("old"), None);
    let expected = [
        // Each of the events above: the phase and Codex's turn after it.
        [
            Some((submitted, new)),
            Some((delivered, new)),
            Some((delivered, old)),
            Some((delivered, no)),
            Some((delivered, no)),
            Some((opened, no)),
        ],
        [
            Some((submitted, new)),
            Some((delivered, new)),
            Some((delivered, old)),
            Some((delivered, no)),
            Some((delivered, no)),
            Some((opened, no)),
        ],
        [
            Some((delivered, new)),
            Some((delivered, new)),
            Some((delivered, old)),
            Some((delivered, no)),
            Some((delivered, no)),
            Some((opened, no)),
        ],
    ];
    for (phase, row) in phases.into_iter().zip(expected) {
        for (event, next) in events.iter().zip(row) {
            let before = OpenTurn {
                phase,
                codex_turn: Some(turn("old")),
                ..OpenTurn::new(TurnKey::new(), None, SystemTime::UNIX_EPOCH)
            };
            let after = before.clone().on(event.clone());
            let found = after
                .as_ref()
                .ok()
                .map(|after| (after.phase, after.codex_turn.as_ref().map(TurnId::as_str)));
            assert_eq!(found, next, "{phase:?} on {event:?}");
            if let Ok(after) = after {
                let again = matches!(event, TurnEvent::Resubmitted);
                assert_eq!(after.resubmissions, u32::from(again));
                let continued = matches!(event, TurnEvent::Continued);
                assert_eq!(after.continuations, u32::from(continued));
            }
        }
    }
}

#[test]
fn error_about_a_transition_carries_no_text_of_a_message() {
    let error = MessageState::Answered
        .on(MessageEvent::Settled(Outcome::Unclear {
            reason: "secret".to_owned(),
        }))
        .unwrap_err();
    assert_eq!(error.to_string(), "Settled cannot happen when Answered");
}
