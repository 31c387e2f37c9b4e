use std::time::Instant;

use pretty_assertions::assert_eq;
use serde_json::json;
use tokio::net::TcpListener;

use super::scripted::{APP_TOKEN, BOT_TOKEN, Reply, Scripted, account, error};
use super::*;

async fn call(server: &Scripted, method: Method) -> Result<Value, CallError> {
    let form = vec![("channel", "C1".to_owned())];
    server.account().web.call(method, form).await
}

#[tokio::test]
async fn a_call_is_a_form_with_the_token_that_its_method_takes() {
    let server = Scripted::with(vec![Reply::Json(json!({"ok": true}))]).await;
    let text = "a & b = c + d % é \u{0}\n".to_owned();
    let form = vec![("channel", "C1".to_owned()), ("text", text.clone())];
    let web = server.account().web;
    web.call::<Value>(Method::ChatPostMessage, form)
        .await
        .unwrap();
    web.call::<Value>(Method::AppsConnectionsOpen, Vec::new())
        .await
        .unwrap();
    let calls = server.calls();
    assert_eq!(
        server.methods(),
        ["chat.postMessage", "apps.connections.open"]
    );
    assert_eq!(
        calls[0].headers["authorization"],
        format!("Bearer {BOT_TOKEN}")
    );
    assert_eq!(calls[0].arg("text"), text);
    assert_eq!(
        calls[1].headers["authorization"],
        format!("Bearer {APP_TOKEN}")
    );
    for call in calls {
        assert!(!call.form.contains_key("token"));
    }
}

#[tokio::test]
async fn answers_are_told_apart_by_whether_it_was_done() {
    let not_sent = "not sent";
    let lost = "no clear answer";
    let limited = "rate limited for";
    for (reply, outcome) in [
        (Reply::Lost, lost),
        (Reply::Http(500, "", "<html>"), lost),
        (Reply::Http(503, "", ""), lost),
        (
            Reply::Http(500, "", r#"{"ok":false,"error":"moon"}"#),
            "no clear answer: chat.postMessage: HTTP 500 Internal Server Error: moon",
        ),
        (Reply::Http(200, "", "<html>"), lost),
        (Reply::Http(200, "", "[]"), lost),
        (Reply::Json(json!({"fine": true})), lost),
        (error("internal_error"), lost),
        (error("fatal_error"), lost),
        (error("service_unavailable"), lost),
        (error("request_timeout"), lost),
        (
            Reply::Http(302, "Location: http://127.0.0.1:1/\r\n", ""),
            not_sent,
        ),
        (Reply::Http(407, "", "<html>"), not_sent),
        (
            Reply::Http(429, "Retry-After: 7\r\n", ""),
            "rate limited for 7 s",
        ),
        (
            Reply::Http(429, "Retry-After: 0\r\n", ""),
            "rate limited for 1 s",
        ),
        (Reply::Http(429, "", ""), "rate limited for 30 s"),
        (
            Reply::Http(429, "Retry-After: 99999999999999\r\n", ""),
            "rate limited for 3600 s",
        ),
        (error("ratelimited"), limited),
        (
            Reply::Http(
                200,
                "Retry-After: 4\r\n",
                r#"{"ok":false,"error":"rate_limited"}"#,
            ),
            "rate limited for 4 s",
        ),
        (
            Reply::Json(json!({
                "ok": false, "error": "moon", "response_metadata": {"messages": null},
            })),
            "chat.postMessage: moon",
        ),
        (
            error("channel_not_found"),
            "chat.postMessage: channel_not_found",
        ),
    ] {
        let server = Scripted::with(vec![reply]).await;
        let told = call(&server, Method::ChatPostMessage).await.unwrap_err();
        assert!(
            told.to_string().starts_with(outcome),
            "{told} is not {outcome}"
        );
    }
}

#[tokio::test]
async fn an_answer_of_another_shape_may_have_been_done() {
    let server = Scripted::with(vec![Reply::Json(json!({"ok": true}))]).await;
    let account = server.account();
    let outcome = account
        .web
        .call::<Vec<u8>>(Method::ChatPostMessage, Vec::new());
    assert!(matches!(outcome.await, Err(CallError::Lost { .. })));
}

#[tokio::test]
async fn nothing_is_sent_while_slack_wants_to_be_left_alone() {
    let server = Scripted::with(vec![
        Reply::Http(429, "Retry-After: 60\r\n", ""),
        Reply::Json(json!({"ok": true})),
    ])
    .await;
    let web = server.account().web;
    let begun = Instant::now();
    for _ in 0..5 {
        let form = vec![("channel", "C1".to_owned())];
        let outcome = web.call::<Value>(Method::ChatPostMessage, form).await;
        assert!(matches!(outcome, Err(CallError::Limited { after }) if after.as_secs() >= 50));
    }
    assert!(begun.elapsed() < Duration::from_secs(50));
    web.call::<Value>(Method::ChatUpdate, Vec::new())
        .await
        .unwrap();
    assert_eq!(server.methods(), ["chat.postMessage", "chat.update"]);
}

#[tokio::test]
async fn what_cannot_be_reached_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let account = account(&format!("http://{address}/api/"), true);
    let outcome = account
        .web
        .call::<Value>(Method::AuthTest, Vec::new())
        .await;
    assert!(
        matches!(outcome, Err(CallError::NotSent { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn no_token_is_in_anything_that_can_be_printed() {
    let unreachable = account("http://127.0.0.1:1/api/", true);
    let mut printed = vec![format!("{:?}", unreachable.web), format!("{unreachable:?}")];
    let outcome = unreachable.web.call::<Value>(Method::AuthTest, Vec::new());
    printed.push(format!("{:?}", outcome.await));
    for reply in [Reply::Lost, error("invalid_auth"), Reply::Http(500, "", "")] {
        let server = Scripted::with(vec![reply]).await;
        let outcome = call(&server, Method::AuthTest).await.unwrap_err();
        printed.push(format!("{outcome:?} {outcome}"));
        printed.push(format!("{:?}", outcome.into_send_error(Method::AuthTest)));
    }
    for text in printed {
        assert!(!text.contains("scripted-secret"), "{text}");
    }
}
