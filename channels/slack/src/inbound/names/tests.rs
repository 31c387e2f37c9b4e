//! Names of a server that tells them, late or not at all.

use pretty_assertions::assert_eq;
use serde_json::json;

use super::*;
use crate::scripted::{Call, Server, ok, refused};

/// Tells the name of everybody but U9.
fn tell(call: &Call) -> crate::scripted::Answer {
    match (call.path.as_str(), call.field("user")) {
        ("users.info", "U9") => refused("user_not_found"),
        ("users.info", user) => ok(
            json!({"user": {"id": user, "name": "login", "team_id": "T1",
            "profile": {"display_name": "", "real_name": format!("Real {user}")}}}),
        ),
        _ => ok(json!({"channel": {"id": "C1", "name": "ops", "is_channel": true}})),
    }
}

/// Does something while lookups are made.
async fn while_running<T>(names: &Names, action: impl Future<Output = T>) -> T {
    let stop = CancellationToken::new();
    let (result, ()) = tokio::join!(
        async {
            let result = action.await;
            stop.cancel();
            result
        },
        names.run(stop.clone())
    );
    result
}

/// Waits until nothing is being looked up.
async fn settled(names: &Names) {
    let mut settled = names.settled.subscribe();
    while !names.state().pending.is_empty() {
        settled.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_remembered() {
    let server = Server::start(tell).await;
    let account = server.account();
    let names = &account.names;
    while_running(names, async {
        let all = futures_util::future::join_all((0..20).map(|_| names.user("U1")));
        all.await;
        settled(names).await;
        assert_eq!(names.user("U1").await.as_deref(), Some("Real U1"));
        names.learn_chat("C1").await;
        settled(names).await;
        assert_eq!(names.chat_name("C1").as_deref(), Some("ops"));
    })
    .await;
    let asked: Vec<_> = server.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(asked, ["users.info", "conversations.info"]);
}

#[tokio::test]
async fn what_slack_does_not_know_is_not_asked_again() {
    let server = Server::start(tell).await;
    let account = server.account();
    let names = &account.names;
    while_running(names, async {
        names.want_user("U9");
        settled(names).await;
        assert_eq!(names.user("U9").await, None);
    })
    .await;
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn without_lookups_nobody_waits_for_long_and_only_once() {
    let server = Server::start(tell).await;
    let account = server.account();
    tokio::time::pause();
    let started = Instant::now();
    for number in 0..100 {
        assert_eq!(account.names.user(&format!("U{number}")).await, None);
    }
    let waited = started.elapsed();
    assert!(waited >= PATIENCE && waited < 2 * PATIENCE, "{waited:?}");
    tokio::time::resume();
    // What was asked for meanwhile is looked up all the same.
    while_running(&account.names, settled(&account.names)).await;
    assert_eq!(
        account.names.person("U1").and_then(|person| person.name),
        Some("Real U1".to_owned())
    );
}

#[tokio::test]
async fn the_queue_and_the_memory_are_bounded() {
    let server = Server::start(tell).await;
    let account = server.account();
    let names = &account.names;
    for number in 0..2 * MAX_WANTED {
        names.want_user(&format!("U{number}"));
    }
    assert_eq!(names.state().queue.len(), MAX_WANTED);
    assert_eq!(names.state().pending.len(), MAX_WANTED);
    for number in 0..2 * MAX_KNOWN {
        names.heard_of_chat(&format!("C{number}"), "chat");
    }
    let known = names.state().known.len();
    assert!(known <= MAX_KNOWN && known > 0, "{known}");
}

#[tokio::test]
async fn after_the_end_names_can_be_looked_up_again() {
    let server = Server::start(tell).await;
    let account = server.account();
    let stop = CancellationToken::new();
    stop.cancel();
    account.names.want_user("U1");
    account.names.run(stop).await;
    assert!(account.names.state().pending.is_empty());
    while_running(&account.names, async {
        account.names.want_user("U1");
        settled(&account.names).await;
    })
    .await;
    assert!(account.names.person("U1").is_some());
}

#[test]
fn an_old_name_is_used_until_there_is_a_new_one() {
    let now = Instant::now();
    let key = Key::User("U1".to_owned());
    let ann = Person {
        name: Some("Ann".to_owned()),
        team: None,
    };
    let mut state = State {
        known: HashMap::new(),
        queue: VecDeque::new(),
        pending: HashSet::new(),
        impatient_until: now,
    };
    assert_eq!(state.ask(&key, now), (Ask::Wait, true));
    assert_eq!(state.ask(&key, now), (Ask::Wait, false));
    state.settle(key.clone(), Some(ann.clone()), FRESH_FOR, now);
    assert_eq!(state.ask(&key, now), (Ask::Known, false));
    let later = now + FRESH_FOR;
    assert_eq!(state.ask(&key, later), (Ask::Known, true));
    // A failure leaves it as it is.
    state.settle(key.clone(), None, FAILED_FOR, later);
    assert_eq!(state.known[&key].found, Some(ann));
    assert_eq!(state.ask(&key, later), (Ask::Known, false));
}
