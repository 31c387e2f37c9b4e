use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::language::assert_speaks_both;
use tieline_channel::{
    Button, ChatId, Conversation, File, FileContent, Post, PostKey, PostKind, Posted, SendError,
    ThreadKey, WireId, with_choices,
};
use tieline_net::scripted::{Call, Reply};

use super::*;
use crate::scripted::{Feishu, ok, refused};

const KEY: &str = "0192a3b4-0000-7000-8000-000000000001";

fn conversation(thread: Option<&str>) -> Conversation {
    Conversation {
        chat: ChatId::new("oc_1"),
        thread: thread.map(ThreadKey::new),
    }
}

fn a_post(text: &str) -> Post {
    Post {
        key: PostKey::new(KEY),
        to: conversation(None),
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Answer,
        text: text.to_owned(),
        buttons: Vec::new(),
        file: None,
    }
}

fn in_topic(text: &str) -> Post {
    Post {
        to: conversation(Some("omt_1")),
        reply_to: Some(WireId::new("om_asked")),
        ..a_post(text)
    }
}

fn with_file(text: &str, name: &str, content: FileContent) -> Post {
    Post {
        file: Some(File {
            name: name.to_owned(),
            content,
        }),
        ..a_post(text)
    }
}

fn text_file(text: &str) -> FileContent {
    FileContent::Text(text.to_owned())
}

/// Says that a message was sent.
fn sent(id: &str) -> Reply {
    ok(&json!({"message_id": id}))
}

fn posted(id: &str) -> Result<Posted, SendError> {
    Ok(Posted {
        id: WireId::new(id),
    })
}

/// Posts to a server that answers so, and returns what came of it and what was called.
async fn post_to(replies: Vec<Reply>, what: &Post) -> (Result<Posted, SendError>, Vec<Call>) {
    let feishu = Feishu::with(replies).await;
    let outcome = post(&feishu.account(), what).await;
    (outcome, feishu.calls())
}

/// Returns where a message was sent and of what type.
fn aim(call: &Call) -> String {
    let body = call.json();
    let path = call.path.trim_start_matches("/open-apis/im/v1/");
    let topic = match &body["reply_in_thread"] {
        Value::Bool(true) => " in topic",
        _ => "",
    };
    let msg_type = body["msg_type"].as_str().unwrap_or("-");
    format!("{} {path}{topic} {msg_type}", call.method)
}

fn aims(calls: &[Call]) -> Vec<String> {
    calls.iter().map(aim).collect()
}

fn content(call: &Call) -> Value {
    let body = call.json();
    serde_json::from_str(body["content"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn an_answer_is_a_card_under_its_key() {
    let (outcome, calls) = post_to(vec![sent("om_1")], &a_post("**Done**")).await;
    assert_eq!(outcome, posted("om_1"));
    assert_eq!(aims(&calls), ["POST messages interactive"]);
    assert_eq!(calls[0].query["receive_id_type"], "chat_id");
    let body = calls[0].json();
    assert_eq!(body["receive_id"], "oc_1");
    assert_eq!(body["uuid"], KEY);
    let card = content(&calls[0]);
    assert_eq!(card["body"]["elements"][0]["content"], "**Done**");
}

#[tokio::test]
async fn an_answer_goes_to_what_it_answers() {
    let reply = Post {
        reply_to: Some(WireId::new("om_asked")),
        ..a_post("yes")
    };
    let table = [
        (reply, "POST messages/om_asked/reply interactive"),
        (
            in_topic("yes"),
            "POST messages/om_asked/reply in topic interactive",
        ),
        (
            Post {
                to: conversation(Some("om_root")),
                ..a_post("yes")
            },
            "POST messages/om_root/reply interactive",
        ),
    ];
    for (what, expected) in table {
        let (outcome, calls) = post_to(vec![sent("om_1")], &what).await;
        assert_eq!(outcome, posted("om_1"));
        assert_eq!(aims(&calls), [expected]);
        assert!(calls[0].query.is_empty());
        assert_eq!(calls[0].json().get("receive_id"), None);
    }
}

#[tokio::test]
async fn a_form_that_is_refused_gives_way_to_the_next_under_the_same_key() {
    for code in [230_099, 230_001, 230_054, 230_025, 200_621] {
        let replies = vec![refused(code), refused(code), sent("om_1")];
        let (outcome, calls) = post_to(replies, &in_topic("**Done**")).await;
        assert_eq!(outcome, posted("om_1"), "{code}");
        let to = "POST messages/om_asked/reply in topic";
        let expected = ["interactive", "post", "text"].map(|form| format!("{to} {form}"));
        assert_eq!(aims(&calls), expected);
        for call in &calls {
            assert_eq!(call.json()["uuid"], KEY);
        }
    }
    let (outcome, calls) = post_to(vec![refused(230_099)], &a_post("x")).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls.len(), 4, "and a notice");
}

#[tokio::test]
async fn what_may_have_been_posted_is_not_attempted_in_another_way() {
    let html = Reply::Http(502, String::new(), "<html>".to_owned());
    for reply in [Reply::Lost, html, refused(1_663), ok(&json!({}))] {
        let (outcome, calls) = post_to(vec![reply.clone()], &in_topic("x")).await;
        assert!(
            matches!(outcome, Err(SendError::Unclear { .. })),
            "{reply:?}: {outcome:?}"
        );
        assert_eq!(calls.len(), 1);
    }
}

#[tokio::test]
async fn what_is_being_posted_or_comes_too_fast_is_to_be_posted_again() {
    for code in [230_049, 230_020, 99_991_400] {
        let (outcome, calls) = post_to(vec![refused(code)], &in_topic("x")).await;
        let Err(SendError::Again { after, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(after >= Some(Duration::from_secs(1)));
        assert_eq!(calls.len(), 1);
    }
}

#[tokio::test]
async fn a_place_that_is_refused_gives_way_to_the_next() {
    let topic = "POST messages/om_asked/reply in topic interactive";
    let plain = "POST messages/om_asked/reply interactive";
    let chat = "POST messages interactive";
    let table: [(&[i64], &[&str]); 5] = [
        (&[230_071], &[topic, plain]),
        (&[230_072], &[topic, plain]),
        (&[230_019, 230_019], &[topic, plain, chat]),
        (&[230_011], &[topic, chat]),
        (&[230_071, 230_110], &[topic, plain, chat]),
    ];
    for (codes, expected) in table {
        let mut replies: Vec<_> = codes.iter().copied().map(refused).collect();
        replies.push(sent("om_1"));
        let (outcome, calls) = post_to(replies, &in_topic("x")).await;
        assert_eq!(outcome, posted("om_1"), "{codes:?}");
        assert_eq!(aims(&calls), expected);
        for call in &calls {
            assert_eq!(call.json()["uuid"], KEY);
        }
    }
    let (outcome, calls) = post_to(vec![refused(230_011)], &in_topic("x")).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(aims(&calls), [topic, chat]);
}

#[tokio::test]
async fn what_answers_nothing_goes_to_the_first_message_of_its_topic() {
    let feishu = Feishu::start(|call| match call.method.as_str() {
        "GET" => ok(&json!({"items": [{"message_id": "om_first"}]})),
        _ => ok(&json!({"message_id": "om_1", "thread_id": "omt_1"})),
    })
    .await;
    let account = feishu.account();
    let what = Post {
        reply_to: None,
        ..in_topic("by the way")
    };
    for _ in 0..2 {
        assert_eq!(post(&account, &what).await, posted("om_1"));
    }
    let into = "POST messages/om_first/reply in topic interactive";
    assert_eq!(aims(&feishu.calls()[1..]), [into; 2]);
}

#[tokio::test]
async fn our_own_posts_show_where_a_topic_is() {
    let feishu = Feishu::start(|call| match call.path.ends_with("om_first/reply") {
        true => ok(&json!({"message_id": "om_2", "thread_id": "omt_1"})),
        false => ok(&json!({
            "message_id": "om_own", "root_id": "om_first", "thread_id": "omt_1",
        })),
    })
    .await;
    let account = feishu.account();
    let what = Post {
        reply_to: None,
        ..in_topic("by the way")
    };
    assert_eq!(post(&account, &in_topic("yes")).await, posted("om_own"));
    assert_eq!(post(&account, &what).await, posted("om_2"));
    let expected =
        ["om_asked", "om_first"].map(|to| format!("POST messages/{to}/reply in topic interactive"));
    assert_eq!(aims(&feishu.calls()), expected);
}

#[tokio::test]
async fn a_topic_that_cannot_be_asked_for_now_is_not_left() {
    let what = Post {
        reply_to: None,
        ..in_topic("by the way")
    };
    let (outcome, calls) = post_to(vec![refused(99_991_400)], &what).await;
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
    assert_eq!(aims(&calls), ["GET messages -"]);
    let (outcome, calls) = post_to(vec![refused(230_027), sent("om_1")], &what).await;
    assert_eq!(outcome, posted("om_1"));
    assert_eq!(
        aims(&calls),
        ["GET messages -", "POST messages interactive"]
    );
}

#[tokio::test]
async fn words_that_are_refused_are_replaced_by_a_notice() {
    for code in [230_022, 230_028] {
        let replies = vec![refused(code), sent("om_1")];
        let (outcome, calls) = post_to(replies, &a_post("secret words")).await;
        assert_eq!(outcome, posted("om_1"));
        let expected = ["POST messages interactive", "POST messages text"];
        assert_eq!(aims(&calls), expected);
        let notice = content(&calls[1])["text"].to_string();
        assert!(notice.contains("There is an answer"), "{notice}");
    }
    let (outcome, calls) = post_to(vec![refused(230_022)], &a_post("x")).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn what_is_taken_in_no_form_is_not_lost_in_silence() {
    const NOBODY_KNOWS: i64 = 239_999;
    let mut replies = vec![refused(NOBODY_KNOWS); 3];
    replies.push(sent("om_1"));
    let (outcome, calls) = post_to(replies, &a_post("words")).await;
    assert_eq!(outcome, posted("om_1"));
    let last = content(&calls[3]).to_string();
    assert!(last.contains("was refused"), "{last}");
    let keys: Vec<_> = calls
        .iter()
        .map(|call| call.json()["uuid"].clone())
        .collect();
    assert_eq!(keys, [KEY; 4]);
    // If not even that is taken, it is not tried for ever.
    let (outcome, calls) = post_to(vec![refused(NOBODY_KNOWS)], &a_post("words")).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls.len(), 4);
}

#[test]
fn every_text_of_ours_is_there_in_both_languages() {
    for text in [super::post::NOT_TO_BE_SHOWN, super::post::REFUSED] {
        assert_speaks_both(|language| text.within(language).to_owned());
    }
    let choice = Button {
        label: "1".to_owned(),
        value: String::new(),
    };
    assert_speaks_both(|language| with_choices("", std::slice::from_ref(&choice), language));
}

#[tokio::test]
async fn what_only_people_can_mend_says_so_at_once() {
    let (outcome, calls) = post_to(vec![refused(99_991_672)], &in_topic("x")).await;
    assert!(
        matches!(outcome, Err(SendError::Operator { .. })),
        "{outcome:?}"
    );
    let (outcome, more) = post_to(vec![refused(230_002)], &in_topic("x")).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!((calls.len(), more.len()), (1, 1));
}

#[tokio::test]
async fn buttons_need_no_text_and_nothing_is_not_sent() {
    let button = Button {
        label: "Approve".to_owned(),
        value: "yes".to_owned(),
    };
    let what = Post {
        buttons: vec![button],
        ..in_topic("")
    };
    let (outcome, calls) = post_to(vec![sent("om_1")], &what).await;
    assert_eq!(outcome, posted("om_1"));
    let shown = content(&calls[0]).to_string();
    assert!(shown.contains(r#""value":"yes""#), "{shown}");
    assert!(shown.contains(r#""thread":"omt_1""#), "{shown}");
    let (outcome, calls) = post_to(vec![sent("om_1")], &a_post(" ")).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls.len(), 0);
}

/// Returns a server that takes files and messages.
async fn with_files() -> Feishu {
    Feishu::start(|call| {
        if call.path.ends_with("/files") {
            return ok(&json!({"file_key": "file_1"}));
        }
        match call.json()["msg_type"].as_str() {
            Some("file") => sent("om_file"),
            _ => sent("om_text"),
        }
    })
    .await
}

/// Returns the fields of a form: their names and values.
fn fields(call: &Call) -> Vec<(String, String)> {
    let boundary = call.headers["content-type"]
        .split_once("boundary=")
        .unwrap()
        .1;
    let body = String::from_utf8(call.body.clone()).unwrap();
    let boundary = format!("--{boundary}");
    body.split(&boundary)
        .filter_map(|part| part.split_once("\r\n\r\n"))
        .map(|(head, value)| {
            let name = head.split("name=\"").nth(1).unwrap();
            let name = name.split('"').next().unwrap();
            (name.to_owned(), value.trim_end_matches("\r\n").to_owned())
        })
        .collect()
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_file_is_sent_and_then_shown_below_its_text() {
    let feishu = with_files().await;
    let what = Post {
        to: conversation(Some("omt_1")),
        reply_to: Some(WireId::new("om_asked")),
        ..with_file("See this.", "回答-1.md", text_file("# 你好\n"))
    };
    let outcome = post(&feishu.account(), &what).await;
    assert_eq!(outcome, posted("om_file"));
    let calls = feishu.calls();
    assert_eq!(calls[0].line(), "POST /open-apis/im/v1/files");
    assert_eq!(
        fields(&calls[0]),
        [
            field("file_type", "stream"),
            field("file_name", "回答-1.md"),
            field("file", "# 你好\n"),
        ]
    );
    assert_eq!(
        aims(&calls[1..]),
        [
            "POST messages/om_asked/reply in topic interactive",
            "POST messages/om_asked/reply in topic file",
        ]
    );
    assert_eq!(calls[1].json()["uuid"], format!("{KEY}-t"));
    assert_eq!(calls[2].json()["uuid"], KEY);
    assert_eq!(content(&calls[2]), json!({"file_key": "file_1"}));
}

#[tokio::test]
async fn files_of_ours_are_read_and_empty_ones_are_not_quite_empty() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.pdf");
    std::fs::write(&path, "PDF").unwrap();
    let table = [
        (FileContent::Path(path), "a.PDF", "pdf", "PDF"),
        (text_file(""), "a.docx", "doc", "\n"),
        (text_file("video"), "a.mp4", "stream", "video"),
    ];
    for (file, name, file_type, sent) in table {
        let feishu = with_files().await;
        let outcome = post(&feishu.account(), &with_file("", name, file)).await;
        assert_eq!(outcome, posted("om_file"));
        let calls = feishu.calls();
        assert_eq!(calls.len(), 2);
        let expected = [
            field("file_type", file_type),
            field("file_name", name),
            field("file", sent),
        ];
        assert_eq!(fields(&calls[0]), expected);
    }
}

#[tokio::test]
async fn an_image_is_shown_and_one_that_is_refused_is_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plot");
    std::fs::write(&path, "GIF89a and more").unwrap();
    let what = with_file("", "plot.gif", FileContent::Path(path));
    let replies = vec![ok(&json!({"image_key": "img_1"})), sent("om_1")];
    let (outcome, calls) = post_to(replies, &what).await;
    assert_eq!(outcome, posted("om_1"));
    assert_eq!(calls[0].path, "/open-apis/im/v1/images");
    let expected = [
        field("image_type", "message"),
        field("image", "GIF89a and more"),
    ];
    assert_eq!(fields(&calls[0]), expected);
    assert_eq!(aim(&calls[1]), "POST messages image");
    assert_eq!(content(&calls[1]), json!({"image_key": "img_1"}));
    let replies = vec![
        refused(234_011),
        ok(&json!({"file_key": "file_1"})),
        sent("om_1"),
    ];
    let (outcome, calls) = post_to(replies, &what).await;
    assert_eq!(outcome, posted("om_1"));
    assert_eq!(calls[1].path, "/open-apis/im/v1/files");
    assert_eq!(aim(&calls[2]), "POST messages file");
}

#[tokio::test]
async fn a_file_that_is_missing_or_too_large_is_never_sent() {
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large");
    let file = std::fs::File::create(&large).unwrap();
    file.set_len(30_000_001).unwrap();
    let missing = directory.path().join("missing");
    for path in [large, missing] {
        let what = with_file("text", "a.txt", FileContent::Path(path));
        let (outcome, calls) = post_to(vec![sent("om_1")], &what).await;
        let Err(SendError::Never { reason }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(reason.starts_with("a.txt: "), "{reason}");
        assert_eq!(calls.len(), 0);
    }
}

#[tokio::test]
async fn a_file_that_did_not_get_through_is_not_posted() {
    let what = with_file("text", "a.txt", text_file("x"));
    for reply in [Reply::Lost, refused(1_663), ok(&json!({}))] {
        let (outcome, calls) = post_to(vec![reply.clone()], &what).await;
        assert!(
            matches!(outcome, Err(SendError::Again { .. })),
            "{reply:?}: {outcome:?}"
        );
        assert_eq!(calls.len(), 1);
    }
    let (outcome, _) = post_to(vec![refused(234_006)], &what).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    let again = vec![
        refused(99_991_663),
        ok(&json!({"file_key": "file_1"})),
        sent("om_1"),
    ];
    let (outcome, calls) = post_to(again, &with_file("", "a.txt", text_file("x"))).await;
    assert_eq!(outcome, posted("om_1"));
    assert_eq!(fields(&calls[0]), fields(&calls[1]));
}

#[tokio::test]
async fn a_post_that_is_repeated_shows_the_file_that_was_sent() {
    let feishu = Feishu::with(vec![
        ok(&json!({"file_key": "file_1"})),
        Reply::Lost,
        sent("om_1"),
    ])
    .await;
    let account = feishu.account();
    let what = with_file("", "a.txt", text_file("x"));
    let outcome = post(&account, &what).await;
    assert!(
        matches!(outcome, Err(SendError::Unclear { .. })),
        "{outcome:?}"
    );
    assert_eq!(post(&account, &what).await, posted("om_1"));
    let calls = feishu.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[1].json(), calls[2].json());
}

#[tokio::test]
async fn once_its_text_is_posted_a_file_is_not_called_unsent() {
    let what = with_file("text", "a.txt", text_file("x"));
    for code in [99_991_400, 99_991_403] {
        let replies = vec![
            ok(&json!({"file_key": "file_1"})),
            sent("om_text"),
            refused(code),
        ];
        let (outcome, calls) = post_to(replies, &what).await;
        assert!(
            matches!(outcome, Err(SendError::Unclear { .. })),
            "{code}: {outcome:?}"
        );
        assert_eq!(calls.len(), 3);
    }
}

#[tokio::test]
async fn a_card_with_buttons_that_is_refused_tells_its_choices() {
    let button = |label: &str| Button {
        label: label.to_owned(),
        value: "opaque".to_owned(),
    };
    let what = Post {
        buttons: vec![button("Approve"), button("Deny")],
        ..a_post("May I?")
    };
    let (outcome, calls) = post_to(vec![refused(230_099), sent("om_1")], &what).await;
    assert_eq!(outcome, posted("om_1"));
    let shown = content(&calls[1]).to_string();
    assert!(shown.contains("1. Approve\\n2. Deny"), "{shown}");
}

#[tokio::test]
async fn an_answer_to_a_post_tells_which_organisation_is_ours() {
    let answer = json!({"message_id": "om_1", "sender": {"tenant_key": "home"}});
    let feishu = Feishu::with(vec![ok(&answer)]).await;
    let account = feishu.account();
    post(&account, &a_post("x")).await.unwrap();
    assert_eq!(account.tenant.known().as_deref(), Some("home"));
}

#[tokio::test]
async fn a_long_key_still_has_room_for_a_mark() {
    let feishu = with_files().await;
    let what = Post {
        key: PostKey::new("k".repeat(50)),
        ..with_file("text", "a.txt", text_file("x"))
    };
    assert!(post(&feishu.account(), &what).await.is_ok());
    let key = feishu.calls()[1].json()["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(key, format!("{}-t", "k".repeat(48)));
}

#[tokio::test]
async fn a_post_is_edited_as_what_it_is() {
    let edit_by = async |replies: Vec<Reply>| {
        let feishu = Feishu::with(replies).await;
        let message = WireId::new("om_1");
        let outcome = edit(&feishu.account(), &conversation(None), &message, "new").await;
        (outcome, aims(&feishu.calls()))
    };
    let (outcome, calls) = edit_by(vec![ok(&json!({}))]).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(calls, ["PATCH messages/om_1 -"]);
    let (outcome, calls) = edit_by(vec![refused(230_001), ok(&json!({}))]).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(calls, ["PATCH messages/om_1 -", "PUT messages/om_1 post"]);
    let (outcome, calls) = edit_by(vec![refused(230_001)]).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls.len(), 3);
    let (outcome, calls) = edit_by(vec![refused(230_031)]).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
    assert_eq!(calls.len(), 1);
    let (outcome, _) = edit_by(vec![Reply::Lost]).await;
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_is_gone_is_deleted() {
    let table = [
        (ok(&json!({})), true),
        (refused(230_011), true),
        (refused(230_110), true),
        (refused(231_003), true),
        (refused(230_009), false),
        (refused(230_026), false),
    ];
    for (reply, is_deleted) in table {
        let feishu = Feishu::with(vec![reply.clone()]).await;
        let message = WireId::new("om_1");
        let outcome = delete(&feishu.account(), &conversation(None), &message).await;
        assert_eq!(outcome.is_ok(), is_deleted, "{reply:?}");
        assert_eq!(aims(&feishu.calls()), ["DELETE messages/om_1 -"]);
    }
}
