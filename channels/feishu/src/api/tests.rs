use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use tieline_channel::SendError;
use tieline_net::pace::Urgency;
use tieline_net::scripted::{Reply, Scripted};
use tokio::task::JoinSet;

use super::*;
use crate::scripted::{APP_ID, APP_SECRET, Feishu, TOKEN, account, ok, refused, token};

const INVALID_TOKEN: i64 = 99_991_663;

fn call() -> Call {
    Call {
        name: "im/v1/messages/create",
        method: Method::POST,
        path: "/open-apis/im/v1/messages".to_owned(),
        query: vec![("receive_id_type", "chat_id".to_owned())],
        body: Some(json!({"content": "héllo & 你好"})),
        chat: Some("oc_1".to_owned()),
    }
}

fn in_chat(chat: &str) -> Call {
    Call {
        chat: Some(chat.to_owned()),
        ..call()
    }
}

async fn after(api: &Api, call: Call) -> Duration {
    match api.call(call).await {
        Err(Failure::Again { after, .. }) => after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_carries_json_and_a_token_that_is_fetched_once() {
    let feishu = Feishu::start(|_| ok(&json!({"message_id": "om_1"}))).await;
    let api = feishu.account().api;
    let answer = api.call(call()).await.unwrap();
    assert_eq!(answer["data"]["message_id"], "om_1");
    api.call(in_chat("oc_2")).await.unwrap();
    let calls = feishu.0.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(
        calls[0].json(),
        json!({"app_id": APP_ID, "app_secret": APP_SECRET})
    );
    assert!(!calls[0].headers.contains_key("authorization"));
    for call in &calls[1..] {
        assert_eq!(call.line(), "POST /open-apis/im/v1/messages");
        assert_eq!(call.query["receive_id_type"], "chat_id");
        assert_eq!(call.headers["authorization"], format!("Bearer {TOKEN}1"));
        assert_eq!(
            call.headers["content-type"],
            "application/json; charset=utf-8"
        );
        assert_eq!(call.json(), json!({"content": "héllo & 你好"}));
    }
}

#[tokio::test]
async fn the_base_url_may_have_a_path() {
    let server = Scripted::with(vec![Reply::Json(token(1)), ok(&json!({}))]).await;
    let api = account(server.url("/proxy/")).api;
    assert!(api.call(call()).await.is_ok());
    for call in server.calls() {
        assert!(call.path.starts_with("/proxy/open-apis/"), "{}", call.path);
    }
}

#[tokio::test]
async fn of_all_who_need_a_token_one_fetches_it() {
    let feishu = Feishu::start(|_| ok(&json!({}))).await;
    let account = Arc::new(feishu.account());
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let account = Arc::clone(&account);
        calls.spawn(async move { account.api.call(in_chat(&n.to_string())).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(feishu.n_tokens(), 1);
    assert_eq!(feishu.calls().len(), 20);
}

#[tokio::test]
async fn a_failure_to_fetch_a_token_stands_for_all_who_wait() {
    let server = Scripted::with(vec![refused(10_014)]).await;
    let account = Arc::new(account(server.url("/")));
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let account = Arc::clone(&account);
        calls.spawn(async move { account.api.call(in_chat(&n.to_string())).await });
    }
    for outcome in calls.join_all().await {
        assert!(
            matches!(outcome, Err(Failure::Operator { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn a_call_without_a_token_was_certainly_not_made() {
    let replies = [
        Reply::Lost,
        Reply::Http(502, String::new(), "<html>".to_owned()),
        Reply::Json(json!({"code": 0})),
        refused(INVALID_TOKEN),
        refused(7),
    ];
    for reply in replies {
        let server = Scripted::with(vec![reply.clone()]).await;
        let outcome = account(server.url("/")).api.call(call()).await;
        assert!(
            matches!(outcome, Err(Failure::Again { .. })),
            "{reply:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_once() {
    let feishu = Feishu::with(vec![
        refused(INVALID_TOKEN),
        ok(&json!({})),
        refused(INVALID_TOKEN),
    ])
    .await;
    let api = feishu.account().api;
    assert!(api.call(call()).await.is_ok());
    let outcome = api.call(call()).await;
    assert!(
        matches!(outcome, Err(Failure::TokenInvalid { .. })),
        "{outcome:?}"
    );
    let tokens: Vec<_> = feishu
        .calls()
        .into_iter()
        .map(|call| call.headers["authorization"].clone())
        .collect();
    let expected = [1, 2, 2, 3].map(|n| format!("Bearer {TOKEN}{n}"));
    assert_eq!(tokens, expected);
}

#[tokio::test]
async fn one_token_that_ends_under_many_calls_is_replaced_once() {
    let feishu = Feishu::start(|call| {
        if call.headers["authorization"].ends_with("-1") {
            refused(INVALID_TOKEN)
        } else {
            ok(&json!({}))
        }
    })
    .await;
    let account = Arc::new(feishu.account());
    let mut calls = JoinSet::new();
    for n in 0..10 {
        let account = Arc::clone(&account);
        calls.spawn(async move { account.api.call(in_chat(&n.to_string())).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!(feishu.n_tokens(), 2);
}

#[tokio::test]
async fn an_api_that_wants_to_be_left_alone_is_not_called() {
    let headers = "x-ogw-ratelimit-reset: 60\r\n".to_owned();
    let limited = json!({"code": 99_991_400, "msg": "request trigger frequency limit"});
    for status in [400, 429] {
        let reply = Reply::Http(status, headers.clone(), limited.to_string());
        let feishu = Feishu::with(vec![reply, ok(&json!({}))]).await;
        let api = feishu.account().api;
        let begun = Instant::now();
        assert_eq!(after(&api, call()).await, Duration::from_secs(60));
        for chat in ["oc_1", "oc_2"] {
            assert!(after(&api, in_chat(chat)).await > Duration::from_secs(50));
        }
        assert!(begun.elapsed() < Duration::from_secs(50));
        assert_eq!(feishu.calls().len(), 1);
        let other = Call {
            name: "im/v1/messages/reply",
            ..in_chat("oc_2")
        };
        assert!(api.call(other).await.is_ok());
    }
}

#[tokio::test]
async fn a_chat_that_wants_to_be_left_alone_stops_no_other() {
    let headers = "x-ogw-ratelimit-reset: 60\r\n".to_owned();
    let limited = json!({"code": 230_020, "msg": "frequency"}).to_string();
    let feishu = Feishu::with(vec![Reply::Http(400, headers, limited), ok(&json!({}))]).await;
    let api = feishu.account().api;
    assert_eq!(after(&api, call()).await, Duration::from_secs(60));
    assert!(after(&api, call()).await > Duration::from_secs(50));
    assert!(api.call(in_chat("oc_2")).await.is_ok());
    assert_eq!(feishu.calls().len(), 2);
}

#[tokio::test]
async fn what_nobody_misses_is_refused_where_what_somebody_waits_for_waits() {
    let headers = "x-ogw-ratelimit-reset: 3\r\n".to_owned();
    let limited = json!({"code": 230_020, "msg": "frequency"}).to_string();
    let feishu = Feishu::with(vec![Reply::Http(400, headers, limited), ok(&json!({}))]).await;
    let api = feishu.account().api;
    after(&api, call()).await;
    let outcome = api.call_as(Urgency::Low, call()).await;
    assert!(matches!(outcome, Err(Failure::Again { .. })), "{outcome:?}");
    assert!(api.call(call()).await.is_ok());
    assert_eq!(feishu.calls().len(), 2);
}

#[tokio::test]
async fn what_is_lost_may_have_been_done_and_what_is_not_sent_was_not() {
    let unreadable = Reply::Http(200, String::new(), "<html>".to_owned());
    for reply in [Reply::Lost, unreadable, refused(1_663)] {
        let feishu = Feishu::with(vec![reply.clone()]).await;
        let outcome = feishu.account().api.call(call()).await;
        assert!(
            matches!(outcome, Err(Failure::Unclear { .. })),
            "{reply:?}: {outcome:?}"
        );
        assert_eq!(feishu.calls().len(), 1);
    }
    let nowhere = Scripted::with(Vec::new()).await.url("/");
    let outcome = account(nowhere).api.call(call()).await;
    assert!(
        matches!(outcome, Err(Failure::Again { after, .. }) if after.is_zero()),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_file_is_told_from_a_refusal() {
    let file = |headers: &str, body: &str| Reply::Http(200, headers.to_owned(), body.to_owned());
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let attached = format!("{json}Content-Disposition: attachment; filename=\"a.json\"\r\n");
    let ask = async |replies: Vec<Reply>| {
        let feishu = Feishu::with(replies).await;
        let path = "/open-apis/im/v1/messages/om_1/resources/file_1".to_owned();
        let query = vec![("type", "file".to_owned())];
        let outcome = feishu.account().api.download(path, query).await;
        assert_eq!(feishu.calls()[0].query["type"], "file");
        match outcome {
            Ok(response) => Ok(response.text().await.unwrap()),
            Err(failure) => Err(failure),
        }
    };
    let bytes = "Content-Type: application/octet-stream\r\n";
    assert_eq!(ask(vec![file(bytes, "abc")]).await, Ok("abc".to_owned()));
    assert_eq!(ask(vec![file(&attached, "{}")]).await, Ok("{}".to_owned()));
    let again = vec![refused(INVALID_TOKEN), file(bytes, "abc")];
    assert_eq!(ask(again).await, Ok("abc".to_owned()));
    for reply in [
        refused(234_037),
        file(json, &json!({"code": 234_037, "msg": "large"}).to_string()),
    ] {
        let outcome = ask(vec![reply]).await;
        assert!(matches!(outcome, Err(Failure::Never { .. })), "{outcome:?}");
    }
    let outcome = ask(vec![file(json, "{\"code\":0}")]).await;
    assert!(
        matches!(outcome, Err(Failure::Unclear { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn who_we_are_is_asked_once() {
    let feishu = Feishu::start(|_| {
        let bot = json!({"open_id": "ou_bot", "app_name": "Bot", "activate_status": 2});
        Reply::Json(json!({"code": 0, "msg": "ok", "bot": bot}))
    })
    .await;
    let account = feishu.account();
    for _ in 0..2 {
        let us = account.identity().await.unwrap();
        assert_eq!(
            (us.open_id.as_str(), us.app_id.as_str()),
            ("ou_bot", APP_ID)
        );
    }
    let lines: Vec<_> = feishu.calls().iter().map(|call| call.line()).collect();
    assert_eq!(lines, ["GET /open-apis/bot/v3/info"]);
}

#[tokio::test]
async fn no_secret_is_in_anything_that_can_be_printed() {
    let mut printed = Vec::new();
    let nowhere = Scripted::with(Vec::new()).await.url("/");
    let unreachable = account(nowhere);
    printed.push(format!("{unreachable:?}"));
    printed.push(format!("{:?}", unreachable.api.call(call()).await));
    let html = Reply::Http(500, String::new(), "<html>".to_owned());
    for reply in [Reply::Lost, html, refused(INVALID_TOKEN), refused(5)] {
        let feishu = Feishu::with(vec![reply.clone()]).await;
        let account = feishu.account();
        let failure = account.api.call(call()).await.unwrap_err();
        printed.push(format!("{failure} {failure:?} {account:?}"));
        printed.push(format!("{:?}", SendError::from(failure)));
        let upload = account
            .api
            .upload("files", "/files", Form::new().text("a", "b"));
        printed.push(format!("{:?}", upload.await));
        printed.push(format!(
            "{:?}",
            account.api.download("/x".to_owned(), Vec::new()).await
        ));
        let server = Scripted::with(vec![reply]).await;
        let failure = crate::scripted::account(server.url("/"))
            .api
            .call(call())
            .await;
        printed.push(format!("{failure:?}"));
    }
    for text in printed {
        assert!(!text.contains(APP_SECRET), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_the_token_to_others() {
    let is_first = AtomicBool::new(true);
    let server = Scripted::start(move |call| {
        if !call.path.contains("/auth/") {
            return ok(&Value::Null);
        }
        if is_first.swap(false, Ordering::Relaxed) {
            Reply::Never
        } else {
            Reply::Json(token(1))
        }
    })
    .await;
    let account = account(server.url("/"));
    tokio::select! {
        outcome = account.api.call(call()) => panic!("{outcome:?}"),
        _ = server.called(1) => {}
    }
    assert!(account.api.call(call()).await.is_ok());
}
