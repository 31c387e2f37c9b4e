//! Names of a server that tells them, or does not.

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

#[tokio::test]
async fn a_name_is_asked_for_once_and_remembered() {
    let server = Server::start(tell).await;
    let account = server.account();
    let names = &account.names;
    while_running(names, async {
        let all = futures_util::future::join_all((0..20).map(|_| names.user("U1")));
        all.await;
        names.lookups.settled().await;
        assert_eq!(names.user("U1").await.as_deref(), Some("Real U1"));
        names.learn_chat("C1").await;
        names.lookups.settled().await;
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
        names.lookups.settled().await;
        assert_eq!(names.user("U9").await, None);
    })
    .await;
    assert_eq!(server.calls().len(), 1);
}
