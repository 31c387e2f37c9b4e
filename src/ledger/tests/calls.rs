//! Calls of tools: done once while their turn is open.

use pretty_assertions::assert_eq;
use tieline_channel::{ChannelId, ChatId, Conversation, Emoji, WireId};

use super::fixture::{accept, lane};
use crate::id::{DispatcherId, LaneId, OutboxId, ThreadId, TurnKey};
use crate::ledger::{
    CallRecord, Done, Ledger, LedgerError, LedgerSettings, LostThread, NewCall, NewPost, Outcome,
    Reach, Reaction, SentFile,
};
use crate::outbox;

fn post(text: &str) -> NewPost {
    let to = Conversation {
        chat: ChatId::new("C1"),
        thread: None,
    };
    outbox::notice(&ChannelId::new("team"), &to, text)
}

fn call(turn: TurnKey, name: &str, posts: Vec<NewPost>) -> NewCall {
    NewCall {
        lane: lane(),
        turn,
        call: name.to_owned(),
        tool: "reply".to_owned(),
        receipt: format!("did {name}"),
        is_said: !posts.is_empty(),
        posts,
        order: None,
    }
}

async fn open_turn(ledger: &Ledger, message: &str) -> TurnKey {
    let message = accept(ledger, message).await.unwrap();
    let turn = TurnKey::new();
    ledger
        .open_turn(&lane(), turn, vec![message])
        .await
        .unwrap();
    turn
}

async fn texts(ledger: &Ledger) -> Vec<String> {
    let channel = ChannelId::new("team");
    let posts = ledger.undelivered(&channel, None, 100).await.unwrap();
    posts.into_iter().map(|entry| entry.post.text).collect()
}

#[tokio::test]
async fn a_call_is_done_once_also_by_the_next_process_and_forgotten_with_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    let (ledger, thread) = open();
    let turn = open_turn(&ledger, "m1").await;
    let done = |name: &str, is_new| Done {
        receipt: format!("did {name}"),
        is_new,
        ordered: None,
    };
    for name in ["b", "a"] {
        let made = ledger.do_call(call(turn, name, vec![post(name)])).await;
        assert_eq!(made.unwrap(), done(name, true));
    }
    let silent = ledger.do_call(call(turn, "silent", Vec::new())).await;
    assert_eq!(silent.unwrap(), done("silent", true));
    drop(ledger);
    thread.close().await;

    let (ledger, thread) = open();
    let again = NewCall {
        receipt: "something else".to_owned(),
        ..call(turn, "a", vec![post("twice")])
    };
    assert_eq!(ledger.do_call(again).await.unwrap(), done("a", false));
    assert_eq!(texts(&ledger).await, ["b", "a"]);
    let calls = ledger.done_calls(&lane(), turn).await.unwrap();
    let receipts = calls.iter().map(|call: &CallRecord| &*call.receipt);
    assert_eq!(
        receipts.collect::<Vec<_>>(),
        ["did b", "did a", "did silent"]
    );
    let record = ledger.lane(&lane()).await.unwrap().unwrap();
    assert_eq!(
        record.open.unwrap().said,
        2,
        "it is known what people have heard"
    );

    ledger
        .settle_turn(&lane(), turn, Outcome::Answered, Vec::new())
        .await
        .unwrap();
    assert_eq!(ledger.done_calls(&lane(), turn).await.unwrap(), []);
    let late = ledger.do_call(call(turn, "late", vec![post("late")])).await;
    assert!(
        matches!(late, Err(LedgerError::TurnNotOpen { .. })),
        "{late:?}"
    );
    let next = open_turn(&ledger, "m2").await;
    let made = ledger.do_call(call(next, "a", vec![post("anew")])).await;
    assert_eq!(made.unwrap(), done("a", true));
    assert_eq!(texts(&ledger).await, ["b", "a", "anew"]);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn a_post_with_a_file_has_the_id_that_the_file_names() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    let file = SentFile {
        owner: OutboxId::new(),
        name: "a.txt".to_owned(),
        path: "/somewhere".into(),
    };
    let with_file = NewPost {
        file: Some(file.clone()),
        ..post("see")
    };
    let ids = ledger
        .enqueue(vec![post("before"), with_file.clone()])
        .await;
    assert_eq!(ids.unwrap()[1], file.owner);
    let entry = ledger.post(file.owner).await.unwrap().unwrap();
    assert_eq!(entry.post, with_file);
    assert_eq!(texts(&ledger).await, ["before", "see"]);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn a_thread_leads_to_the_lane_that_has_it_now() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    accept(&ledger, "m1").await.unwrap();
    let (first, second) = (ThreadId::new("t1"), ThreadId::new("t2"));
    let reach = Reach {
        tools: 7,
        only_tools: true,
    };
    let find = async |dispatcher: &str, thread: &ThreadId| {
        let dispatcher = DispatcherId::new(dispatcher);
        let lane = ledger.lane_of_thread(&dispatcher, thread).await.unwrap();
        lane.map(|lane| (lane.id, lane.reach))
    };
    assert_eq!(find("flow", &first).await, None);
    // Twice the same is as good as once.
    for _ in 0..2 {
        ledger
            .set_thread(&lane(), first.clone(), reach)
            .await
            .unwrap();
    }
    assert_eq!(find("flow", &first).await, Some((lane(), reach)));
    assert_eq!(find("other", &first).await, None, "it is not its lane");
    ledger
        .set_thread(&lane(), second.clone(), reach)
        .await
        .unwrap();
    assert_eq!(find("flow", &first).await, None);
    let other = Reach::default();
    ledger.set_reach(&lane(), other).await.unwrap();
    assert_eq!(find("flow", &second).await, Some((lane(), other)));
    let lost = LostThread {
        thread: second.clone(),
        at: std::time::SystemTime::UNIX_EPOCH,
        reason: "gone".to_owned(),
    };
    ledger.lose_thread(&lane(), lost, Vec::new()).await.unwrap();
    assert_eq!(find("flow", &second).await, None);
    let nobody = ledger.set_reach(&LaneId::new("flow/none"), reach).await;
    assert!(
        matches!(nobody, Err(LedgerError::UnknownLane(_))),
        "{nobody:?}"
    );
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn a_reaction_is_an_entry_like_others_and_those_from_before_there_were_any_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    let (ledger, thread) = open();
    let turn = open_turn(&ledger, "m1").await;
    let reaction = NewPost {
        reaction: Some(Reaction {
            message: WireId::new("m1"),
            emoji: Emoji::Heart,
        }),
        ..post("")
    };
    let made = ledger.do_call(call(turn, "a", vec![reaction.clone()]));
    made.await.unwrap();
    drop(ledger);
    thread.close().await;
    let (ledger, thread) = open();
    let channel = ChannelId::new("team");
    let entries = ledger.undelivered(&channel, None, 100).await.unwrap();
    let posts: Vec<_> = entries.into_iter().map(|entry| entry.post).collect();
    assert_eq!(posts, [reaction]);
    drop(ledger);
    thread.close().await;

    let mut older = serde_json::to_value(post("older")).unwrap();
    older.as_object_mut().unwrap().remove("reaction").unwrap();
    let read: NewPost = serde_json::from_value(older).unwrap();
    assert_eq!(read, post("older"));
}
