//! Events of which Feishu tells more, late or never.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::{Event, plain_text};
use tieline_net::scripted::{Call, Reply};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::scripted::{Feishu, api_path, ok, parameter, refused_with};

/// A message of Tom's.
fn event(kind: &str, content: &Value, more: Value) -> Vec<u8> {
    let mut message = json!({
        "message_id": "om_9", "create_time": "1609073151345", "chat_id": "oc_1",
        "chat_type": "group", "message_type": kind, "content": content.to_string(),
    });
    let Value::Object(more) = more else {
        panic!("no object");
    };
    message.as_object_mut().unwrap().extend(more);
    json!({
        "header": {"event_type": "im.message.receive_v1", "tenant_key": "home"},
        "event": {
            "sender": {"sender_id": {"open_id": "ou_tom"}, "sender_type": "user"},
            "message": message,
        },
    })
    .to_string()
    .into_bytes()
}

fn text(more: Value) -> Vec<u8> {
    event("text", &json!({"text": "hi"}), more)
}

/// An item as messages are read back.
fn item(id: &str, kind: &str, content: &Value) -> Value {
    json!({
        "message_id": id, "msg_type": kind, "create_time": "1609073151000", "chat_id": "oc_1",
        "sender": {"id": "ou_mei", "id_type": "open_id", "sender_type": "user"},
        "body": {"content": content.to_string()},
    })
}

/// Reads a payload while names are looked up, to the end.
async fn read_by(server: &Feishu, payload: &[u8]) -> Result<Message, Failure> {
    read_of(&server.account(), payload).await
}

async fn read_of(account: &Account, payload: &[u8]) -> Result<Message, Failure> {
    // So that nothing else takes of the time that there is.
    account.identity().await?;
    let stop = CancellationToken::new();
    let (delivered, ()) = tokio::join!(
        async {
            let delivered = read(account, payload).await;
            account.names.settled().await;
            stop.cancel();
            delivered
        },
        account.names.run(stop.clone())
    );
    Ok(message_in(delivered?))
}

fn message_in(delivered: Delivered) -> Message {
    match delivered {
        Delivered::Event {
            event:
                Event {
                    happening: Happening::Message(message),
                    ..
                },
            lacks,
            ..
        } if lacks.is_empty() => message,
        other => panic!("no whole message: {other:?}"),
    }
}

/// Knows everybody, the group oc_1, and the first message of a topic.
fn tell(asked: &Call) -> Reply {
    match api_path(asked) {
        "contact/v3/users/ou_tom" => {
            assert_eq!(parameter(asked, "user_id_type"), "open_id");
            ok(&json!({"user": {"name": "Tom", "open_id": "ou_tom"}}))
        }
        "im/v1/chats/oc_1" => ok(&json!({"name": "ops", "chat_mode": "group"})),
        "im/v1/messages/om_1" => {
            assert_eq!(
                parameter(asked, "card_msg_content_type"),
                "user_card_content"
            );
            let mut root = item("om_1", "text", &json!({"text": "the root"}));
            root["thread_id"] = json!("omt_1");
            ok(&json!({"items": [root]}))
        }
        _ => refused_with(231_003, "no such message"),
    }
}

#[tokio::test]
async fn who_wrote_where_is_told_by_name() {
    let server = Feishu::of_bot(tell).await;
    let account = server.account();
    // Who is in a hurry may not know the first time.
    read_of(&account, &text(json!({}))).await.unwrap();
    let message = read_of(&account, &text(json!({}))).await.unwrap();
    assert_eq!(message.sender.name.as_deref(), Some("Tom"));
    assert_eq!(message.chat_name.as_deref(), Some("ops"));
    assert_eq!(
        server.paths(),
        ["contact/v3/users/ou_tom", "im/v1/chats/oc_1"]
    );
}

#[tokio::test]
async fn a_name_that_is_not_told_is_not_asked_for_again() {
    let answers: [fn() -> Reply; 2] = [
        || refused_with(99_991_672, "Access denied"),
        || ok(&json!({"user": {"open_id": "ou_tom"}})),
    ];
    for answer in answers {
        let server = Feishu::of_bot(move |_| answer()).await;
        let account = server.account();
        for _ in 0..3 {
            let message = read_of(&account, &text(json!({"chat_type": "p2p"}))).await;
            assert_eq!(message.unwrap().sender.name, None);
        }
        assert_eq!(server.paths(), ["contact/v3/users/ou_tom"]);
    }
}

#[tokio::test]
async fn a_reply_is_put_into_the_topic_of_its_root_which_is_asked_for_once() {
    let server = Feishu::of_bot(tell).await;
    let account = server.account();
    for _ in 0..3 {
        let reply = text(json!({"root_id": "om_1", "parent_id": "om_1"}));
        let message = read_of(&account, &reply).await.unwrap();
        assert_eq!(message.conversation.thread, Some(ThreadKey::new("omt_1")));
        let quote = message.quote.unwrap();
        assert_eq!(quote.text, "the root");
        assert_eq!(quote.sender.unwrap().as_str(), "ou_mei");
    }
    let asked = server.paths();
    assert_eq!(
        asked,
        [
            "contact/v3/users/ou_tom",
            "im/v1/chats/oc_1",
            "im/v1/messages/om_1"
        ]
    );
}

#[tokio::test]
async fn only_while_a_topic_may_still_be_told_is_the_message_refused() {
    let permission = "One of the following scopes is required: [im:message:readonly]";
    for (code, http_status, is_taken) in [
        (231_003, 400, true),
        (230_027, 400, true),
        (99_991_672, 400, true),
        (99_991_400, 429, false),
        (1663, 500, false),
    ] {
        let server = Feishu::of_bot(move |asked| match api_path(asked) {
            "im/v1/messages/om_1" => {
                Reply::status(http_status, &json!({"code": code, "msg": permission}))
            }
            _ => tell(asked),
        })
        .await;
        let message = read_by(&server, &text(json!({"root_id": "om_1"}))).await;
        let thread = message.map(|message| message.conversation.thread);
        match thread {
            Ok(thread) => assert_eq!((thread, is_taken), (Some(ThreadKey::new("om_1")), true)),
            Err(failure) => assert!(!is_taken, "{code}: {failure}"),
        }
    }
}

#[tokio::test]
async fn a_silent_feishu_holds_up_no_message_but_one_whose_topic_is_unclear() {
    let server = Feishu::of_bot(|_| Reply::Never).await;
    let quoting = text(json!({"chat_type": "p2p", "parent_id": "om_1", "root_id": "om_1"}));
    let account = server.account();
    let message = message_in(read(&account, &quoting).await.unwrap());
    assert_eq!(message.quote.unwrap().text, "");
    let reply = text(json!({"root_id": "om_1"}));
    let failure = read(&account, &reply).await.unwrap_err();
    assert_eq!(failure.to_string(), "a topic was not told within 2 s");
}

#[tokio::test]
async fn a_card_and_what_is_forwarded_are_read_whole() {
    let server = Feishu::of_bot(|asked| match api_path(asked) {
        "im/v1/messages/om_9" => {
            let card = json!({"user_dsl": json!({"schema": "2.0", "body": {"elements": [
                {"tag": "markdown", "content": "all of it"}]}}).to_string()});
            ok(&json!({"items": [item("om_9", "interactive", &card)]}))
        }
        "im/v1/messages/om_8" => {
            let mut items = vec![
                item("om_8", "merge_forward", &json!({"content": "Merged"})),
                item("om_a", "text", &json!({"text": "one\ntwo"})),
                item("om_b", "merge_forward", &json!({})),
                item(
                    "om_c",
                    "file",
                    &json!({"file_key": "file_1", "file_name": "a.pdf"}),
                ),
            ];
            let many = (0..100).map(|n| item("om_d", "text", &json!({"text": n.to_string()})));
            items.extend(many);
            ok(&json!({"items": items}))
        }
        _ => tell(asked),
    })
    .await;
    let simplified = json!({"title": null, "elements": [[{"tag": "text", "text": "too old"}]]});
    let card = read_by(&server, &event("interactive", &simplified, json!({})))
        .await
        .unwrap();
    assert_eq!(plain_text(&card.body), "[a card]\nall of it");
    let payload = event("merge_forward", &json!({}), json!({"message_id": "om_8"}));
    let forwarded = read_by(&server, &payload).await.unwrap();
    let said = plain_text(&forwarded.body);
    let start = "[forwarded messages]\n> ou_mei: one\n> two\n> ou_mei: [file: a.pdf]\n\
                 > ou_mei: 0\n> ou_mei: 1\n";
    assert!(said.starts_with(start), "{said}");
    assert!(said.ends_with("\n> ou_mei: 97\n[and 2 more]"), "{said}");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_again_stays_as_it_is() {
    let server = Feishu::of_bot(|_| refused_with(99_991_672, "Access denied")).await;
    let simplified = json!({"title": "Job 7", "elements": []});
    let card = read_by(&server, &event("interactive", &simplified, json!({})))
        .await
        .unwrap();
    assert_eq!(plain_text(&card.body), "[a card]\n**Job 7**");
}

fn recall(message: &str) -> Vec<u8> {
    json!({
        "header": {"event_type": "im.message.recalled_v1", "tenant_key": "home"},
        "event": {"message_id": message, "chat_id": "oc_1", "recall_type": "message_owner"},
    })
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn a_recall_is_of_the_thread_where_the_message_was_and_our_own_are_nothing() {
    let server = Feishu::of_bot(|asked| {
        let mut recalled = item("om_1", "text", &json!({"text": "gone"}));
        recalled["deleted"] = json!(true);
        match api_path(asked) {
            "im/v1/messages/om_topic" => {
                recalled["root_id"] = json!("om_0");
                recalled["thread_id"] = json!("omt_1");
            }
            "im/v1/messages/om_chain" => recalled["root_id"] = json!("om_0"),
            "im/v1/messages/om_top" => {}
            "im/v1/messages/om_own" => {
                recalled["sender"] = json!({"id": crate::scripted::APP_ID, "id_type": "app_id"});
            }
            _ => return refused_with(230_110, "no such message"),
        }
        ok(&json!({"items": [recalled]}))
    })
    .await;
    let account = server.account();
    let table = [
        ("om_topic", Some("omt_1")),
        ("om_chain", Some("om_0")),
        ("om_top", None),
        ("om_unknown", None),
    ];
    for (id, expected) in table {
        let delivered = read(&account, &recall(id)).await.unwrap();
        let Delivered::Event { event, .. } = delivered else {
            panic!("{id}: {delivered:?}");
        };
        let Happening::Deleted {
            conversation,
            target,
        } = event.happening
        else {
            panic!("no deletion");
        };
        assert_eq!(conversation.thread, expected.map(ThreadKey::new), "{id}");
        assert_eq!(target.id, id);
    }
    let own = read(&account, &recall("om_own")).await;
    let is_nothing = matches!(own, Ok(Delivered::Nothing(_)));
    assert!(is_nothing, "{own:?}");
}
