use pretty_assertions::assert_eq;
use serde_json::json;
use tieline_channel::language::assert_speaks_both;
use tieline_channel::{ChatId, Language, ThreadKey};
use tokio::join;

use super::*;
use crate::web::scripted::{Call, Reply, Scripted, account, error};

fn at() -> Conversation {
    Conversation {
        chat: ChatId::new("C1"),
        thread: Some(ThreadKey::new("1.1")),
    }
}

fn said(call: &Call) -> String {
    match call.method.as_str() {
        "reactions.add" => format!("{} +{}", call.arg("timestamp"), call.arg("name")),
        "reactions.remove" => format!("{} -{}", call.arg("timestamp"), call.arg("name")),
        "assistant.threads.setStatus" => {
            format!("{} {:?}", call.arg("thread_ts"), call.arg("status"))
        }
        other => other.to_owned(),
    }
}

/// What was called, without regard to the order between the two ways of showing.
fn sorted(calls: &[Call]) -> Vec<String> {
    let mut said: Vec<_> = calls.iter().map(said).collect();
    said.sort();
    said
}

fn working(progress: &str) -> Status {
    Status::Working {
        progress: Some(progress.to_owned()),
    }
}

#[tokio::test]
async fn a_message_is_seen_worked_on_and_done() {
    let server = Scripted::start(|_| Reply::Json(json!({"ok": true}))).await;
    let account = server.account();
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let story = async {
        let message = WireId::new("1.2");
        for (status, n_calls) in [
            (Status::Received, 1),
            (working("Reading `main.rs`\n\nand more"), 2),
            (Status::Done, 5),
        ] {
            let shown = keeper.show(&account, &at(), &message, &status).await;
            assert_eq!(shown, Ok(()));
            server.called(n_calls).await;
        }
        stop.cancel();
    };
    join!(keeper.run(&account, stop.clone()), story);
    assert_eq!(
        sorted(&server.calls()),
        [
            "1.1 \"\"",
            "1.1 \"is working: Reading main.rs\"",
            "1.2 +eyes",
            "1.2 +white_check_mark",
            "1.2 -eyes",
        ]
    );
}

#[tokio::test]
async fn what_shows_is_taken_away_at_the_end() {
    let server = Scripted::start(|_| Reply::Json(json!({"ok": true}))).await;
    let account = account(&server.url("/api/"), false);
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let direct = Conversation {
        thread: None,
        ..at()
    };
    let story = async {
        for (at, message) in [(&at(), "1.2"), (&direct, "2.2")] {
            let shown = keeper
                .show(&account, at, &WireId::new(message), &working(""))
                .await;
            assert_eq!(shown, Ok(()));
        }
        server.called(2).await;
        stop.cancel();
    };
    join!(keeper.run(&account, stop.clone()), story);
    assert_eq!(
        sorted(&server.calls()),
        [
            "1.1 \"\"",
            "1.1 \"is working…\"",
            "2.2 \"\"",
            "2.2 \"is working…\""
        ]
    );
}

#[tokio::test]
async fn a_refusal_switches_off_what_it_is_about_and_nothing_else() {
    let server = Scripted::start(|call| match call.method.as_str() {
        "assistant.threads.setStatus" => error("unknown_method"),
        _ => Reply::Json(json!({"ok": true})),
    })
    .await;
    let account = server.account();
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let story = async {
        for message in ["1.2", "1.3", "1.4"] {
            let message = WireId::new(message);
            for status in [Status::Received, working("")] {
                let shown = keeper.show(&account, &at(), &message, &status).await;
                assert_eq!(shown, Ok(()));
            }
        }
        server.called(4).await;
        stop.cancel();
    };
    join!(keeper.run(&account, stop.clone()), story);
    assert_eq!(
        sorted(&server.calls()),
        ["1.1 \"is working…\"", "1.2 +eyes", "1.3 +eyes", "1.4 +eyes"]
    );
}

#[tokio::test]
async fn without_the_scope_no_further_reaction_is_tried() {
    let server = Scripted::start(|call| match call.method.as_str() {
        "assistant.threads.setStatus" => Reply::Json(json!({"ok": true})),
        _ => {
            Reply::Json(json!({"ok": false, "error": "missing_scope", "needed": "reactions:write"}))
        }
    })
    .await;
    let account = server.account();
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let story = async {
        for message in ["1.2", "1.3", "1.4"] {
            let shown = keeper
                .show(&account, &at(), &WireId::new(message), &Status::Received)
                .await;
            assert_eq!(shown, Ok(()));
        }
        server.called(1).await;
        let shown = keeper
            .show(&account, &at(), &WireId::new("1.4"), &working(""))
            .await;
        assert_eq!(shown, Ok(()));
        server.called(2).await;
        stop.cancel();
    };
    join!(keeper.run(&account, stop.clone()), story);
    let reactions = server.methods();
    let n_reactions = reactions.iter().filter(|method| *method == "reactions.add");
    assert_eq!(n_reactions.count(), 1);
}

#[tokio::test]
async fn what_is_no_message_has_nothing_to_show_it_on() {
    let account = account("http://127.0.0.1:1/api/", true);
    let keeper = StatusKeeper::new();
    for id in [
        "command:12.34",
        "F0123",
        "",
        ".",
        "1.",
        ".1",
        "1.2.3",
        "-1.2",
    ] {
        let shown = keeper
            .show(&account, &at(), &WireId::new(id), &Status::Received)
            .await;
        assert_eq!(shown, Ok(()));
        let shown = keeper
            .show(&account, &at(), &WireId::new(id), &working("x"))
            .await;
        assert_eq!(shown, Ok(()));
    }
    let now = Instant::now();
    assert_eq!(locked(&keeper.reactions).next(now), reactions::Next::Idle);
    assert_eq!(locked(&keeper.statuses).next(now), native::Next::Idle);
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_platform_that_is_silent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/", listener.local_addr().unwrap());
    let account = account(&url, true);
    let keeper = StatusKeeper::new();
    let stop = CancellationToken::new();
    let story = async {
        let shown = keeper
            .show(&account, &at(), &WireId::new("1.2"), &working("x"))
            .await;
        assert_eq!(shown, Ok(()));
        let connection = listener.accept().await;
        stop.cancel();
        connection
    };
    let ((), connection) = timeout(Duration::from_secs(30), async {
        join!(keeper.run(&account, stop.clone()), story)
    })
    .await
    .unwrap();
    assert!(connection.is_ok());
}

#[test]
fn progress_is_said_in_a_few_plain_words() {
    for (progress, expected) in [
        ("", "is working…"),
        ("\n\n", "is working…"),
        (
            "# **Look** at [this](https://x.dev)\nnext",
            "is working: Look at this",
        ),
        ("- first\n- second", "is working: first"),
        ("say <!channel> <@U1>", "is working: say !channel @U1"),
        (
            "I will now read all of the files in the repository",
            "is working: I will now read all of the files in t…",
        ),
    ] {
        let status = working(progress);
        let said = words(&status, Language::English);
        assert!(said.chars().count() <= MAX_WORDS);
        assert_eq!(said, expected);
    }
    let silent = Status::Working { progress: None };
    assert_eq!(words(&silent, Language::English), "is working…");
    assert_speaks_both(|language| words(&silent, language));
    let said = words(&working("读 main.rs"), Language::Chinese);
    assert_eq!(said, "正在处理：读 main.rs");
}
