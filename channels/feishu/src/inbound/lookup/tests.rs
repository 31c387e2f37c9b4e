//! Events of which Feishu tells more, late or never.

use std::time::UNIX_EPOCH;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::{Event, plain_text};
use tieline_net::scripted::{Call, Reply};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::inbound::Identity;
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

/// When a message was written that is so old.
fn written_ago(age: Duration) -> Value {
    let at = (SystemTime::now() - age).duration_since(UNIX_EPOCH);
    json!(at.unwrap().as_millis().to_string())
}

/// A reply that comes for the first time.
fn fresh_reply() -> Vec<u8> {
    text(json!({"root_id": "om_1", "create_time": written_ago(Duration::ZERO)}))
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
        let message = read_by(&server, &fresh_reply()).await;
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
    let failure = read(&account, &fresh_reply()).await.unwrap_err();
    assert_eq!(failure.to_string(), "a topic was not told within 2 s");
}

#[tokio::test]
async fn a_topic_is_insisted_on_once_and_the_next_delivery_is_taken() {
    let server = Feishu::of_bot(|asked| match api_path(asked) {
        "im/v1/messages/om_1" => refused_with(99_991_400, "slow down"),
        _ => tell(asked),
    })
    .await;
    let redelivered_after = Duration::from_secs(15);
    let account = server.account();
    let again = |age| text(json!({"root_id": "om_1", "create_time": written_ago(age)}));
    assert!(read_of(&account, &again(Duration::ZERO)).await.is_err());
    let message = read_of(&account, &again(redelivered_after)).await.unwrap();
    assert_eq!(message.conversation.thread, Some(ThreadKey::new("om_1")));
}

#[test]
fn no_message_is_fresh_twice_whatever_our_clock_shows() {
    let us = Identity {
        open_id: "ou_bot".to_owned(),
        app_id: crate::scripted::APP_ID.to_owned(),
    };
    let payload = serde_json::from_slice(&text(json!({}))).unwrap();
    let written_at = UNIX_EPOCH + Duration::from_millis(1_609_073_151_345);
    let mut times_fresh = Vec::new();
    for ahead in -60..60_i64 {
        let is_fresh_after = |seconds: i64| {
            let offset = Duration::from_secs((seconds + ahead).unsigned_abs());
            let now = match seconds + ahead {
                0.. => written_at + offset,
                _ => written_at - offset,
            };
            is_fresh(&super::super::read(&payload, &us, now), now)
        };
        // At once, and after 15 s, 5 min, 1 h and 6 h, each with what a call may take.
        let deliveries = [0, 17, 320, 3_925, 25_530];
        let times = deliveries.iter().filter(|after| is_fresh_after(**after));
        times_fresh.push(times.count());
        if ahead == 0 {
            assert!(is_fresh_after(0));
        }
    }
    assert_eq!(times_fresh.iter().max(), Some(&1));
}

/// A message of another bot's, as events bring it.
fn by_bot(id: &str, age: Duration) -> Vec<u8> {
    let more = json!({"message_id": id, "create_time": written_ago(age)});
    let mut payload: Value = serde_json::from_slice(&text(more)).unwrap();
    payload["event"]["sender"] =
        json!({"sender_id": {"open_id": "ou_other"}, "sender_type": "bot", "tenant_key": "home"});
    payload.to_string().into_bytes()
}

#[tokio::test]
async fn another_bot_goes_by_its_app_id_which_is_asked_for_once() {
    let server = Feishu::of_bot(|asked| match api_path(asked) {
        "im/v1/messages/om_a" => {
            let mut item = item("om_a", "text", &json!({"text": "hi"}));
            item["sender"] = json!({"id": "cli_other", "id_type": "app_id", "sender_type": "app"});
            ok(&json!({"items": [item]}))
        }
        "im/v1/messages/om_b" => refused_with(99_991_400, "slow down"),
        _ => tell(asked),
    })
    .await;
    let account = server.account();
    let sender = async |id: &str, age| {
        let message = read_of(&account, &by_bot(id, age)).await;
        message.map(|message| message.sender.id.to_string())
    };
    let (fresh, old) = (Duration::ZERO, Duration::from_secs(15));
    // Whoever it is may be let in under one name only, so that it is insisted on.
    assert!(sender("om_b", fresh).await.is_err());
    assert_eq!(sender("om_b", old).await.unwrap(), "ou_other");
    for id in ["om_a", "om_b", "om_c"] {
        assert_eq!(sender(id, fresh).await.unwrap(), "cli_other", "{id}");
    }
}

#[tokio::test]
async fn our_organisation_is_the_one_that_events_are_for() {
    let server = Feishu::of_bot(tell).await;
    let account = server.account();
    assert_eq!(account.tenant.known(), None);
    read_of(&account, &text(json!({}))).await.unwrap();
    assert_eq!(account.tenant.known().as_deref(), Some("home"));
}

#[tokio::test]
async fn what_is_no_json_means_nothing() {
    let server = Feishu::of_bot(tell).await;
    let account = server.account();
    for bytes in [&b""[..], b"{", b"\xff\xfe", &[b'['; 100_000]] {
        assert_eq!(
            read(&account, bytes).await.unwrap(),
            Delivered::nothing("a payload that is not JSON")
        );
    }
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
