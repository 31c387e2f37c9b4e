use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tieline_channel::{Button, ChatId, File, FileContent, PostKey, ThreadKey};

use super::*;
use crate::scripted::hurried;
use crate::web::scripted::{Call, Reply, Scripted, error};

const KEY: &str = "0192f3a1-7d4e-7c3a-9b1e-3c5d7e9f1a2b";

fn a_post(text: &str) -> Post {
    Post {
        key: PostKey::new(KEY),
        to: Conversation {
            chat: ChatId::new("C1"),
            thread: Some(ThreadKey::new("1731.000100")),
        },
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Answer,
        text: text.to_owned(),
        buttons: Vec::new(),
        file: None,
    }
}

fn a_file_post(content: FileContent) -> Post {
    Post {
        file: Some(File {
            name: format!("answer-{KEY}.md"),
            content,
        }),
        ..a_post("It *begins* so")
    }
}

fn ok(ts: &str) -> Reply {
    Reply::Json(json!({"ok": true, "channel": "C1", "ts": ts, "message": {"text": "x"}}))
}

fn us() -> Value {
    json!({"ok": true, "user_id": "UBOT", "bot_id": "BBOT", "team_id": "T1", "team": "Team"})
}

/// Answers `auth.test` itself and everything else by the script.
async fn platform(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |call| match call.method.as_str() {
        "auth.test" => Reply::Json(us()),
        _ => script(call),
    })
    .await
}

fn since() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_731_000_900_250)
}

fn posted(id: &str) -> Posted {
    Posted {
        id: WireId::new(id),
    }
}

#[tokio::test]
async fn a_post_goes_into_its_thread_with_blocks_text_and_key() {
    let server = Scripted::with(vec![ok("1731.000200")]).await;
    let mut a_post = a_post("**Hello**");
    a_post.buttons.push(Button {
        label: "Stop".to_owned(),
        value: "v1".to_owned(),
    });
    assert_eq!(
        post(&server.account(), &a_post).await,
        Ok(posted("1731.000200"))
    );
    let calls = server.calls();
    assert_eq!(server.methods(), ["chat.postMessage"]);
    let call = &calls[0];
    let sent: Vec<_> = call.form.keys().map(String::as_str).collect();
    assert_eq!(
        sent,
        [
            "blocks",
            "channel",
            "metadata",
            "text",
            "thread_ts",
            "unfurl_links",
            "unfurl_media"
        ]
    );
    assert_eq!(call.arg("channel"), "C1");
    assert_eq!(call.arg("thread_ts"), "1731.000100");
    assert_eq!(call.arg("text"), "*Hello*");
    assert_eq!(call.arg("unfurl_links"), "false");
    assert_eq!(call.arg("unfurl_media"), "false");
    assert_eq!(
        call.json("metadata"),
        json!({"event_type": "tieline_post", "event_payload": {"key": KEY}})
    );
    assert_eq!(
        call.json("blocks")[0],
        json!({"type": "markdown", "text": "**Hello**"})
    );
    assert_eq!(call.json("blocks")[1]["elements"][0]["value"], "v1");
}

#[tokio::test]
async fn refused_blocks_are_posted_in_plainer_forms() {
    for refusal in [
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "invalid_attachments",
        "only_one_table_allowed",
        "msg_too_long",
    ] {
        let server = Scripted::with(vec![error(refusal), ok("1731.000200")]).await;
        let outcome = hurried(post(&server.account(), &a_post("**Hello**"))).await;
        assert_eq!(outcome, Ok(posted("1731.000200")), "{refusal}");
        let calls = server.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[1].arg("text"), "*Hello*");
        assert!(!calls[1].form.contains_key("blocks"));
        assert_eq!(calls[1].json("metadata"), calls[0].json("metadata"));
        assert_eq!(calls[1].arg("thread_ts"), "1731.000100");
    }
    let server = Scripted::start(|_| error("invalid_blocks")).await;
    let outcome = hurried(post(&server.account(), &a_post("x"))).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_answer_whose_thread_is_gone_goes_to_the_channel() {
    for refusal in ["thread_not_found", "cannot_reply_to_message"] {
        let server = Scripted::with(vec![error(refusal), ok("1731.000200")]).await;
        let outcome = hurried(post(&server.account(), &a_post("Hello"))).await;
        assert_eq!(outcome, Ok(posted("1731.000200")), "{refusal}");
        assert!(!server.calls()[1].form.contains_key("thread_ts"));
    }
}

#[tokio::test]
async fn failures_say_whether_it_was_sent_and_who_can_act() {
    let missing_scope = json!({"ok": false, "error": "missing_scope", "needed": "chat:write", "provided": "im:read"});
    for (reply, expected) in [
        (Reply::Lost, "unclear"),
        (Reply::Http(500, "", ""), "unclear"),
        (error("fatal_error"), "unclear"),
        (
            Reply::Http(429, "Retry-After: 30\r\n", ""),
            "not sent, may work later",
        ),
        (error("channel_not_found"), "cannot be sent"),
        (error("is_archived"), "cannot be sent"),
        (
            error("not_in_channel"),
            "not sent until the operator acts: invite the bot",
        ),
        (
            Reply::Json(missing_scope),
            "not sent until the operator acts: add the scope chat:write",
        ),
        (
            error("token_revoked"),
            "not sent until the operator acts: give tieline",
        ),
    ] {
        let server = Scripted::with(vec![reply]).await;
        let outcome = post(&server.account(), &a_post("Hello")).await.unwrap_err();
        assert!(
            outcome.to_string().starts_with(expected),
            "{outcome} is not {expected}"
        );
        assert_eq!(server.calls().len(), 1, "{expected}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_by_its_key_in_the_thread() {
    let server = platform(|call| match call.method.as_str() {
        "chat.postMessage" => Reply::Lost,
        "conversations.replies" if call.arg("cursor").is_empty() => Reply::Json(json!({
            "ok": true, "has_more": true, "response_metadata": {"next_cursor": "more"},
            "messages": [
                // Anybody can write this metadata.
                {"ts": "1731.000150", "user": "U1", "bot_id": "B9", "metadata": metadata(KEY)},
                {"ts": "1731.000160", "bot_id": "BBOT", "user": "UBOT", "metadata": metadata("other")},
                {"ts": "1731.000170", "bot_id": "BBOT", "metadata": {"event_type": "x", "event_payload": 7}},
                "odd",
            ],
        })),
        "conversations.replies" => Reply::Json(json!({
            "ok": true, "response_metadata": {"next_cursor": ""},
            "messages": [{"ts": "1731.000200", "bot_id": "BBOT", "metadata": metadata(KEY)}],
        })),
        other => panic!("{other}"),
    })
    .await;
    let account = server.account();
    let a_post = a_post("Hello");
    let outcome = post(&account, &a_post).await;
    assert!(
        matches!(outcome, Err(SendError::Unclear { .. })),
        "{outcome:?}"
    );
    let found = find(&account, &a_post, since()).await;
    assert_eq!(found, Ok(Some(posted("1731.000200"))));
    let calls = server.calls();
    let search = &calls[2];
    assert_eq!(search.method, "conversations.replies");
    assert_eq!(search.arg("ts"), "1731.000100");
    assert_eq!(search.arg("include_all_metadata"), "true");
    assert_eq!(search.arg("oldest"), "1731000600.250000");
    assert_eq!(calls[3].arg("cursor"), "more");
}

fn metadata(key: &str) -> Value {
    json!({"event_type": "tieline_post", "event_payload": {"key": key}})
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_cannot_be_asked_is_an_error() {
    let empty = || Reply::Json(json!({"ok": true, "messages": []}));
    let server = platform(move |_| empty()).await;
    assert_eq!(
        find(&server.account(), &a_post("x"), since()).await,
        Ok(None)
    );
    // Without a thread it is looked for in the chat itself only.
    let mut direct = a_post("x");
    direct.to.thread = None;
    assert_eq!(find(&server.account(), &direct, since()).await, Ok(None));
    assert_eq!(
        server.methods(),
        [
            "auth.test",
            "conversations.replies",
            "conversations.history",
            "auth.test",
            "conversations.history"
        ]
    );
    let server = platform(|_| Reply::Lost).await;
    let found = find(&server.account(), &a_post("x"), since()).await;
    assert!(matches!(found, Err(SendError::Again { .. })), "{found:?}");
}

#[tokio::test]
async fn what_went_to_the_channel_in_place_of_its_thread_is_found_there() {
    let empty = || Reply::Json(json!({"ok": true, "messages": []}));
    for is_gone in [true, false] {
        let server = platform(move |call| match call.method.as_str() {
            "conversations.replies" if is_gone => error("thread_not_found"),
            "conversations.replies" => empty(),
            _ => Reply::Json(json!({"ok": true, "messages": [
                {"ts": "1.2", "user": "UBOT", "metadata": metadata(KEY)},
            ]})),
        })
        .await;
        let found = find(&server.account(), &a_post("x"), since()).await;
        assert_eq!(found, Ok(Some(posted("1.2"))), "{is_gone}");
    }
}

#[tokio::test]
async fn a_search_without_end_is_given_up_as_unclear() {
    let server = platform(|_| {
        Reply::Json(json!({
            "ok": true, "messages": [], "response_metadata": {"next_cursor": "for ever"},
        }))
    })
    .await;
    let found = find(&server.account(), &a_post("x"), since()).await;
    // Of a post that is unclear, the core says so when nothing can be told of it.
    assert!(matches!(found, Err(SendError::Never { .. })), "{found:?}");
    assert_eq!(server.calls().len(), 11);
}

/// Takes files, and answers the last step as told.
async fn file_platform(complete: impl Fn() -> Reply + Send + Sync + 'static) -> Scripted {
    let place = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let server = platform({
        let place = place.clone();
        move |call| match call.method.as_str() {
            "files.getUploadURLExternal" => {
                Reply::Json(json!({"ok": true, "upload_url": place.get(), "file_id": "F1"}))
            }
            "/upload/ticket" => Reply::Http(200, "", "OK - 5"),
            "files.completeUploadExternal" => complete(),
            "conversations.replies" => Reply::Json(json!({"ok": true, "messages": [
                {"ts": "1.1", "user": "UBOT", "files": [{"id": "F0", "name": "other.md"}]},
                {"ts": "1.2", "user": "UBOT", "files": [{"id": "F1", "name": format!("answer-{KEY}.md")}]},
            ]})),
            other => panic!("{other}"),
        }
    })
    .await;
    place.set(server.url("/upload/ticket")).unwrap();
    server
}

#[tokio::test]
async fn a_file_is_uploaded_raw_and_shared_in_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("content");
    std::fs::write(&path, "h\u{e9}llo").unwrap();
    for content in [
        FileContent::Text("h\u{e9}llo".to_owned()),
        FileContent::Path(path),
    ] {
        let server = file_platform(|| {
            Reply::Json(json!({"ok": true, "files": [{"id": "F1", "title": "x"}]}))
        })
        .await;
        let outcome = post(&server.account(), &a_file_post(content)).await;
        assert_eq!(outcome, Ok(posted("F1")));
        let calls = server.calls();
        assert_eq!(
            server.methods(),
            [
                "files.getUploadURLExternal",
                "/upload/ticket",
                "files.completeUploadExternal"
            ]
        );
        assert_eq!(calls[0].arg("filename"), format!("answer-{KEY}.md"));
        assert_eq!(calls[0].arg("length"), "6");
        assert_eq!(calls[1].body, "h\u{e9}llo".as_bytes());
        assert_eq!(calls[1].headers["content-length"], "6");
        assert!(!calls[1].headers.contains_key("authorization"));
        let name = format!("answer-{KEY}.md");
        assert_eq!(calls[2].json("files"), json!([{"id": "F1", "title": name}]));
        assert_eq!(calls[2].arg("channel_id"), "C1");
        assert_eq!(calls[2].arg("thread_ts"), "1731.000100");
        assert_eq!(calls[2].arg("initial_comment"), "It _begins_ so");
    }
}

#[tokio::test]
async fn a_file_whose_sharing_was_not_answered_is_found_by_its_name() {
    let server = file_platform(|| Reply::Lost).await;
    let account = server.account();
    let a_post = a_file_post(FileContent::Text("hello".to_owned()));
    let outcome = post(&account, &a_post).await;
    assert!(
        matches!(outcome, Err(SendError::Unclear { .. })),
        "{outcome:?}"
    );
    assert_eq!(
        find(&account, &a_post, since()).await,
        Ok(Some(posted("1.2")))
    );
}

#[tokio::test]
async fn the_message_of_a_file_may_appear_a_little_later() {
    let n_looks = std::sync::atomic::AtomicUsize::new(0);
    let server = platform(move |_| {
        let is_there = n_looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0;
        let files = json!([{"id": "F1", "name": format!("answer-{KEY}.md")}]);
        let message = json!({"ts": "1.2", "user": "UBOT", "files": files});
        let messages = if is_there { vec![message] } else { Vec::new() };
        Reply::Json(json!({"ok": true, "messages": messages}))
    })
    .await;
    let a_post = a_file_post(FileContent::Text("hello".to_owned()));
    let found = find(&server.account(), &a_post, since()).await;
    assert_eq!(found, Ok(Some(posted("1.2"))));
}

#[tokio::test]
async fn before_a_file_is_shared_every_failure_is_for_now() {
    for upload_url in [
        "http://127.0.0.1:1/ticket-secret",
        "http://files.example.com/ticket-secret",
        "ftp://127.0.0.1/ticket-secret",
        "ticket-secret",
    ] {
        let server = platform(move |_| {
            Reply::Json(json!({"ok": true, "upload_url": upload_url, "file_id": "F1"}))
        })
        .await;
        let a_post = a_file_post(FileContent::Text("hello".to_owned()));
        match post(&server.account(), &a_post).await {
            Err(SendError::Again { reason, .. }) => assert!(!reason.contains("secret"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.methods(), ["files.getUploadURLExternal"]);
    }
    let server = file_platform(|| error("file_not_found")).await;
    let a_post = a_file_post(FileContent::Text(String::new()));
    let outcome = post(&server.account(), &a_post).await;
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
    assert_eq!(
        server.calls()[0].arg("length"),
        "1",
        "a file has something in it"
    );
}

#[tokio::test]
async fn a_file_that_is_gone_will_never_be_sent() {
    let server = platform(|_| Reply::Lost).await;
    let a_post = a_file_post(FileContent::Path("/nowhere/to/be/found".into()));
    let outcome = post(&server.account(), &a_post).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn an_edit_replaces_text_and_blocks() {
    let server = Scripted::with(vec![
        error("invalid_blocks"),
        Reply::Json(json!({"ok": true, "channel": "C1", "ts": "1.2", "message": {}})),
    ])
    .await;
    let account = server.account();
    let at = a_post("").to;
    let edited = edit(&account, &at, &WireId::new("1.2"), "**new**").await;
    assert_eq!(edited, Ok(()));
    let calls = server.calls();
    assert_eq!(server.methods(), ["chat.update", "chat.update"]);
    assert_eq!(calls[0].arg("ts"), "1.2");
    assert_eq!(calls[0].arg("text"), "*new*");
    assert_eq!(
        calls[0].json("blocks"),
        json!([{"type": "markdown", "text": "**new**"}])
    );
    assert_eq!(calls[1].arg("blocks"), "[]");
    assert_eq!(calls[1].arg("text"), "*new*");
}

#[tokio::test]
async fn an_edit_may_be_repeated_and_its_text_is_within_the_limit() {
    let server = Scripted::with(vec![Reply::Lost, Reply::Json(json!({"ok": true}))]).await;
    let account = server.account();
    let at = a_post("").to;
    let text = "many words ".repeat(900);
    let outcome = edit(&account, &at, &WireId::new("1.2"), &text).await;
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
    let outcome = edit(&account, &at, &WireId::new("1.2"), &text).await;
    assert_eq!(outcome, Ok(()));
    for call in server.calls() {
        assert!(measure(call.arg("text")) < 4_000);
        assert_eq!(call.json("blocks")[0]["text"], text);
    }
}

#[tokio::test]
async fn what_is_gone_already_is_deleted() {
    let server = Scripted::with(vec![
        Reply::Json(json!({"ok": true})),
        error("message_not_found"),
        error("cant_delete_message"),
    ])
    .await;
    let account = server.account();
    let at = a_post("").to;
    let id = WireId::new("1.2");
    assert_eq!(delete(&account, &at, &id).await, Ok(()));
    assert_eq!(delete(&account, &at, &id).await, Ok(()));
    let outcome = delete(&account, &at, &id).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
}
