//! Approvals: asked for once, settled once, forgotten with time.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tieline_channel::{ChannelId, ChatId, Conversation, EventKey, EventKind, UserId};

use super::fixture::{accept, lane};
use crate::id::{DispatcherId, TurnKey};
use crate::ledger::{
    ApprovalEvent, ApprovalKind, ApprovalRecord, ApprovalState, Asked, Decider, Decision, Edit,
    Ledger, LedgerError, LedgerSettings, MAX_OPEN_APPROVALS, NewApproval, NewPost, Origin, Outcome,
    Ruled, Ruling, Stop, VoidReason, Voided, Wanted,
};
use crate::outbox;

fn origin() -> Origin {
    Origin {
        channel: ChannelId::new("team"),
        conversation: Conversation {
            chat: ChatId::new("C1"),
            thread: None,
        },
    }
}

fn wish(turn: TurnKey, request: &str) -> NewApproval {
    NewApproval {
        dispatcher: DispatcherId::new("flow"),
        lane: lane(),
        turn,
        request: request.to_owned(),
        wanted: Wanted {
            kind: ApprovalKind::Command,
            what: request.to_owned(),
            is_cut: false,
            place: None,
            reason: None,
            teammate: None,
            for_session: true,
        },
        origin: origin(),
        timeout: Duration::from_secs(600),
    }
}

fn question(record: &ApprovalRecord) -> Vec<NewPost> {
    let Origin {
        channel,
        conversation,
    } = origin();
    let text = format!("#{} {}?", record.number, record.wanted.what);
    vec![outbox::notice(&channel, &conversation, &text)]
}

fn mei() -> Decider {
    Decider::Person {
        channel: ChannelId::new("team"),
        user: UserId::new("U1"),
        name: Some("Mei".to_owned()),
    }
}

fn word(record: &ApprovalRecord, decision: Decision) -> Ruling {
    Ruling {
        approval: record.id,
        decision,
        by: mei(),
        may: true,
        is_answered: false,
    }
}

async fn open_turn(ledger: &Ledger, message: &str) -> TurnKey {
    let message = accept(ledger, message).await.unwrap();
    let turn = TurnKey::new();
    let lane = lane();
    let opened = ledger.open_turn(&lane, turn, vec![message]);
    opened.await.unwrap();
    turn
}

async fn asked(ledger: &Ledger, turn: TurnKey, request: &str) -> ApprovalRecord {
    match ledger.ask(wish(turn, request), question).await.unwrap() {
        Asked::Yes { record, is_new } => {
            assert!(is_new, "{request} was asked before");
            *record
        }
        Asked::TooMany => panic!("too many"),
    }
}

/// Returns the edits that wait.
async fn edits(ledger: &Ledger) -> Vec<Edit> {
    let channel = origin().channel;
    let posts = ledger.undelivered(&channel, None, 1000).await.unwrap();
    let posts = posts.into_iter();
    posts.filter_map(|entry| entry.post.edit).collect()
}

async fn count(ledger: &Ledger) -> u32 {
    let lane = ledger.lane(&lane()).await.unwrap().unwrap();
    lane.open.map_or(0, |open| open.approvals)
}

fn ledger() -> (tempfile::TempDir, Ledger, crate::ledger::LedgerThread) {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    (directory, ledger, thread)
}

#[test]
fn only_what_is_open_changes_and_only_once() {
    let at = SystemTime::UNIX_EPOCH;
    let decided = |decision| ApprovalEvent::Decided {
        decision,
        by: mei(),
        at,
    };
    let voided = |reason| ApprovalEvent::Voided { reason, at };
    let mut events: Vec<_> = Decision::ALL.map(decided).to_vec();
    events.push(ApprovalEvent::Expired { at });
    events.push(voided(VoidReason::Restarted));
    for first in &events {
        let state = ApprovalState::Open.on(first.clone()).unwrap();
        assert!(!state.is_open());
        let granted = matches!(
            state.verdict(),
            Some(Decision::Accept | Decision::AcceptForSession)
        );
        let is_grant = matches!(
            first,
            ApprovalEvent::Decided {
                decision: Decision::Accept | Decision::AcceptForSession,
                ..
            }
        );
        assert_eq!(granted, is_grant, "{first:?}");
        for second in &events {
            assert!(
                state.clone().on(second.clone()).is_err(),
                "{first:?}, {second:?}"
            );
        }
    }
    assert_eq!(ApprovalState::Open.verdict(), None);
}

#[tokio::test]
async fn what_is_asked_again_is_the_same_also_for_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    let (ledger, thread) = open();
    let turn = open_turn(&ledger, "m1").await;
    let one = asked(&ledger, turn, "a").await;
    let two = asked(&ledger, turn, "b").await;
    assert_eq!((one.number, two.number, count(&ledger).await), (1, 2, 2));
    let again = ledger.ask(wish(turn, "a"), |_| panic!("said twice")).await;
    let same = |record: &ApprovalRecord| Asked::Yes {
        record: Box::new(record.clone()),
        is_new: false,
    };
    assert_eq!(again.unwrap(), same(&one));
    let ruled = ledger.rule(word(&one, Decision::Accept), None, |_| Vec::new());
    let Ruled::Decided(one) = ruled.await.unwrap() else {
        panic!("not decided");
    };
    drop(ledger);
    thread.close().await;

    let (ledger, thread) = open();
    let again = ledger.ask(wish(turn, "a"), |_| panic!("said twice")).await;
    assert_eq!(again.unwrap(), same(&one));
    assert_eq!(one.state.verdict(), Some(Decision::Accept));
    let open = ledger.open_approvals(&DispatcherId::new("flow")).await;
    assert_eq!(open.unwrap(), std::slice::from_ref(&two));
    assert_eq!(ledger.recent_approvals(9).await.unwrap(), [two, *one]);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn the_first_word_counts_once_for_each_event_and_the_post_is_to_show_it() {
    let (_directory, ledger, thread) = ledger();
    let turn = open_turn(&ledger, "m1").await;
    let record = asked(&ledger, turn, "a").await;
    let press = |id: &str| {
        let key = EventKey {
            kind: EventKind::Press,
            id: id.to_owned(),
        };
        Some((ChannelId::new("team"), key))
    };
    let rule = |decision, id: &str| ledger.rule(word(&record, decision), press(id), |_| Vec::new());
    let Ruled::Decided(decided) = rule(Decision::Decline, "p1").await.unwrap() else {
        panic!("not decided");
    };
    assert_eq!(decided.state.verdict(), Some(Decision::Decline));
    assert_eq!(
        rule(Decision::Accept, "p1").await.unwrap(),
        Ruled::Duplicate
    );
    let late = rule(Decision::Accept, "p2").await.unwrap();
    assert_eq!(late, Ruled::Settled(decided));
    let edit = Edit {
        post: record.post,
        approval: record.id,
        is_answered: false,
    };
    assert_eq!(edits(&ledger).await, [edit]);
    assert_eq!(count(&ledger).await, 0);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn whoever_may_not_decide_changes_nothing_and_is_told_once() {
    let (_directory, ledger, thread) = ledger();
    let turn = open_turn(&ledger, "m1").await;
    let record = asked(&ledger, turn, "a").await;
    for expected in [true, false, false] {
        let ruling = Ruling {
            may: false,
            ..word(&record, Decision::Accept)
        };
        match ledger.rule(ruling, None, |_| Vec::new()).await.unwrap() {
            Ruled::NotAllowed { record, is_first } => {
                assert_eq!((is_first, record.state.is_open()), (expected, true));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(edits(&ledger).await, []);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn to_cancel_stops_the_turn_in_the_same_commit() {
    let (_directory, ledger, thread) = ledger();
    let turn = open_turn(&ledger, "m1").await;
    let record = asked(&ledger, turn, "a").await;
    let other = asked(&ledger, turn, "b").await;
    let ruled = ledger.rule(word(&record, Decision::Cancel), None, |_| Vec::new());
    ruled.await.unwrap();
    let open = ledger.lane(&lane()).await.unwrap().unwrap().open.unwrap();
    let stop = Stop {
        by: None,
        origin: Some(origin()),
        user: Some(UserId::new("U1")),
        name: Some("Mei".to_owned()),
    };
    assert_eq!((open.stop, open.approvals), (Some(stop), 1));
    // Why the other one is over follows from that.
    let which = Voided::Request(lane(), turn, "b".to_owned());
    let voided = ledger.void_approvals(which, VoidReason::Withdrawn).await;
    let [voided] = voided.unwrap().try_into().unwrap();
    assert_eq!(voided.id, other.id);
    assert!(matches!(
        voided.state,
        ApprovalState::Void {
            reason: VoidReason::Stopped,
            ..
        }
    ));
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn settling_a_turn_ends_what_it_asked_for() {
    let (_directory, ledger, thread) = ledger();
    let turn = open_turn(&ledger, "m1").await;
    let record = asked(&ledger, turn, "a").await;
    let lane = lane();
    let settled = ledger.settle_turn(&lane, turn, Outcome::Answered, Vec::new());
    settled.await.unwrap();
    let now = ledger.approval(record.id).await.unwrap().unwrap();
    assert_eq!(now.state.verdict(), Some(Decision::Decline));
    assert_eq!(edits(&ledger).await.len(), 1);
    // The turn is over, so nothing is asked for it any more.
    let late = ledger.ask(wish(turn, "a"), question).await;
    assert!(
        matches!(late, Err(LedgerError::TurnNotOpen { .. })),
        "{late:?}"
    );
    // The numbers of the conversation go on.
    let turn = open_turn(&ledger, "m2").await;
    assert_eq!(asked(&ledger, turn, "a").await.number, 2);
    let open = ledger.open_approvals(&DispatcherId::new("flow")).await;
    assert_eq!(open.unwrap().len(), 1);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn what_has_expired_cannot_be_decided() {
    let (_directory, ledger, thread) = ledger();
    let turn = open_turn(&ledger, "m1").await;
    let early = asked(&ledger, turn, "early").await;
    let open = ledger.expire_approval(early.id).await.unwrap().unwrap();
    assert!(open.state.is_open(), "too early");
    let timeout = Duration::ZERO;
    let mut expired = Vec::new();
    for request in ["a", "b"] {
        let new = NewApproval {
            timeout,
            ..wish(turn, request)
        };
        match ledger.ask(new, question).await.unwrap() {
            Asked::Yes { record, .. } => expired.push(*record),
            Asked::TooMany => panic!("too many"),
        }
    }
    let [a, b] = expired.try_into().unwrap();
    let ruled = ledger.rule(word(&a, Decision::Accept), None, |_| Vec::new());
    let Ruled::Settled(a) = ruled.await.unwrap() else {
        panic!("decided");
    };
    let b = ledger.expire_approval(b.id).await.unwrap().unwrap();
    for record in [&*a, &b] {
        assert!(
            matches!(record.state, ApprovalState::Expired { .. }),
            "{record:?}"
        );
    }
    assert_eq!(edits(&ledger).await.len(), 2);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn only_so_many_are_open_at_a_time_and_what_is_settled_is_forgotten() {
    let (_directory, ledger, thread) = ledger();
    let turn = open_turn(&ledger, "m1").await;
    let mut first = None;
    for number in 0..MAX_OPEN_APPROVALS {
        let record = asked(&ledger, turn, &number.to_string()).await;
        first.get_or_insert(record);
    }
    let one_more = ledger.ask(wish(turn, "more"), question).await;
    assert_eq!(one_more.unwrap(), Asked::TooMany);
    let first = first.unwrap();
    let ruled = ledger.rule(word(&first, Decision::Accept), None, |_| Vec::new());
    ruled.await.unwrap();
    asked(&ledger, turn, "more").await;
    let all = Voided::Dispatcher(DispatcherId::new("flow"));
    let voided = ledger.void_approvals(all.clone(), VoidReason::Restarted);
    assert_eq!(voided.await.unwrap().len(), MAX_OPEN_APPROVALS);
    let none = ledger.void_approvals(all, VoidReason::Restarted).await;
    assert_eq!(none.unwrap(), []);
    let later = SystemTime::now() + Duration::from_secs(60 * 24 * 60 * 60);
    let expired = ledger.expire(later).await.unwrap();
    assert_eq!(expired.approvals, MAX_OPEN_APPROVALS as u64 + 1);
    assert_eq!(ledger.approval(first.id).await.unwrap(), None);
    drop(ledger);
    thread.close().await;
}
