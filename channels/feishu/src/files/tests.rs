//! Files of a server that has them, or does not.

use pretty_assertions::assert_eq;
use serde_json::json;
use tieline_net::scripted::{Call, Reply};

use super::*;
use crate::scripted::{Feishu, api_path, parameter, refused_with};

fn file(content: &str, headers: &str) -> Reply {
    Reply::Http(200, headers.to_owned(), content.to_owned())
}

/// Fetches a file of at most ten bytes and returns what is there then.
async fn fetch_key(server: &Feishu, key: &str) -> (Option<String>, Result<(), SendError>) {
    let reference = json!({"message_id": "om_1", "key": key, "type": "file"}).to_string();
    fetch_reference(server, reference).await
}

async fn fetch_reference(
    server: &Feishu,
    reference: String,
) -> (Option<String>, Result<(), SendError>) {
    let attachment = Attachment {
        reference,
        name: "a".to_owned(),
        mime: None,
        bytes: None,
        path: None,
    };
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("a");
    let outcome = fetch(&server.account(), &attachment, &to, 10).await;
    (std::fs::read_to_string(&to).ok(), outcome)
}

fn what(outcome: Result<(), SendError>) -> &'static str {
    match outcome {
        Ok(()) => "there",
        Err(SendError::Never { .. }) => "never",
        Err(SendError::Again { .. }) => "again",
        Err(SendError::Operator { .. }) => "operator",
        Err(SendError::Unclear { .. }) => "unclear",
    }
}

fn answer(asked: &Call) -> Reply {
    assert_eq!(parameter(asked, "type"), "file");
    match api_path(asked).trim_start_matches("im/v1/messages/om_1/resources/") {
        "file" => file("ten bytes!", "Content-Type: text/plain\r\n"),
        "json" => file(
            "{\"code\":1}",
            "Content-Type: application/json\r\n\
             Content-Disposition: attachment; filename=a.json\r\n",
        ),
        "large" => file("eleven bytes", "Content-Type: text/plain\r\n"),
        "error" => Reply::status(200, &json!({"code": 234_037, "msg": "too big"})),
        "scope" => refused_with(99_991_672, "scopes is required: [im:message:readonly]"),
        "gone" => Reply::Http(502, String::new(), String::new()),
        code => refused_with(code.parse().unwrap(), "no"),
    }
}

#[tokio::test]
async fn a_file_is_fetched_whole_or_not_at_all() {
    let server = Feishu::of_bot(answer).await;
    for (key, content, expected) in [
        ("file", Some("ten bytes!"), "there"),
        ("json", Some("{\"code\":1}"), "there"),
        ("large", None, "never"),
        ("error", None, "never"),
        ("234003", None, "never"),
        ("234004", None, "never"),
        ("234037", None, "never"),
        ("234043", None, "never"),
        ("99991400", None, "again"),
        ("scope", None, "operator"),
        ("gone", None, "again"),
    ] {
        let (fetched, outcome) = fetch_key(&server, key).await;
        assert_eq!(
            (fetched.as_deref(), what(outcome)),
            (content, expected),
            "{key}"
        );
    }
}

#[tokio::test]
async fn only_an_attachment_of_feishu_is_asked_for() {
    let server = Feishu::of_bot(answer).await;
    for reference in [
        "no".to_owned(),
        json!({"id": "F1"}).to_string(),
        json!({"message_id": "om_1", "key": "../../../bot/v3/info", "type": "file"}).to_string(),
        json!({"message_id": "", "key": "k", "type": "file"}).to_string(),
    ] {
        let (_, outcome) = fetch_reference(&server, reference.clone()).await;
        assert_eq!(what(outcome), "never", "{reference}");
    }
    assert_eq!(server.asked(), []);
}
