//! Reading back from a server that has a history.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use serde_json::json;
use tieline_channel::{
    AcceptError, CaughtUp, ChatId, ChatKind, Conversation, Event, EventKind, Happening, Intake,
    Message, Quote, Receipt, SendError, Sender, SenderKind, ThreadKey, UserId, WireId,
};
use tieline_net::scripted::{Call, Reply};

use super::*;
use crate::scripted::{Feishu, api_path, ok, parameter, refused_with};

// === the server ===

/// A Feishu with a few chats.
#[derive(Default)]
struct History {
    /// `chat_mode` by id.
    chats: BTreeMap<&'static str, &'static str>,
    messages: Vec<Value>,
    /// By what is asked for: a chat, a container or a message.
    refusals: BTreeMap<&'static str, (i64, &'static str)>,
    /// How many on a page.
    page: usize,
}

impl History {
    fn new(messages: Vec<Value>) -> Self {
        Self {
            chats: BTreeMap::from([("oc_d", "p2p"), ("oc_g", "group"), ("oc_x", "group")]),
            messages,
            page: 2,
            ..Self::default()
        }
    }

    fn refusing(mut self, what: &'static str, code: i64, message: &'static str) -> Self {
        self.refusals.insert(what, (code, message));
        self
    }

    fn answer(&self, asked: &Call) -> Reply {
        assert_eq!(asked.method, "GET");
        let last = api_path(asked).rsplit('/').next().unwrap();
        let about = match last {
            "messages" => parameter(asked, "container_id"),
            id => id,
        };
        if let Some((code, message)) = self.refusals.get(about) {
            return refused_with(*code, message);
        }
        if last == "messages" {
            return self.list(asked);
        }
        if let Some(mode) = self.chats.get(last) {
            let name = format!("name of {last}");
            let is_external = last == "oc_x";
            return ok(&json!({"name": name, "chat_mode": mode, "external": is_external}));
        }
        match self.messages.iter().find(|item| item["message_id"] == last) {
            Some(item) => {
                assert_eq!(
                    parameter(asked, "card_msg_content_type"),
                    "user_card_content"
                );
                let mut item = item.clone();
                if let Some(card) = item.as_object_mut().unwrap().remove("original") {
                    item["body"]["content"] = json!(card.to_string());
                }
                ok(&json!({"items": [item]}))
            }
            None => refused_with(231_003, "no such message"),
        }
    }

    fn list(&self, asked: &Call) -> Reply {
        assert_eq!(parameter(asked, "page_size"), "50");
        let container = parameter(asked, "container_id");
        let mut found: Vec<&Value> = match parameter(asked, "container_id_type") {
            "chat" => {
                let start: u64 = parameter(asked, "start_time").parse().unwrap_or(0);
                let is_in_topic = |item: &Value| !item["root_id"].is_null();
                let all = self.messages.iter();
                all.filter(|item| item["chat_id"] == container)
                    .filter(|item| item["thread_id"].is_null() || !is_in_topic(item))
                    .filter(|item| sent_at(item) / 1_000 >= start)
                    .collect()
            }
            "thread" => {
                assert_eq!(parameter(asked, "start_time"), "");
                let all = self.messages.iter();
                all.filter(|item| item["thread_id"] == container).collect()
            }
            other => panic!("a container of type {other:?}"),
        };
        match parameter(asked, "sort_type") {
            "ByCreateTimeAsc" => {}
            "ByCreateTimeDesc" => found.reverse(),
            other => panic!("sorted by {other:?}"),
        }
        let start = parameter(asked, "page_token").parse().unwrap_or(0);
        let end = (start + self.page).min(found.len());
        ok(&json!({
            "items": found[start..end],
            "has_more": end < found.len(),
            "page_token": end.to_string(),
        }))
    }

    async fn start(self) -> Feishu {
        Feishu::of_bot(move |asked| self.answer(asked)).await
    }
}

fn sent_at(item: &Value) -> u64 {
    item["create_time"].as_str().unwrap().parse().unwrap()
}

// === messages ===

fn time(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_731_990_000 + second)
}

/// What Tom wrote in so many seconds after the beginning: `om_` and the second.
fn written(chat: &str, second: u64, text: &str) -> Value {
    json!({
        "message_id": format!("om_{second}"), "msg_type": "text", "chat_id": chat,
        "create_time": format!("{}000", 1_731_990_000 + second),
        "sender": {"id": "ou_tom", "id_type": "open_id", "sender_type": "user"},
        "body": {"content": json!({"text": text}).to_string()},
    })
}

fn with(mut item: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("no object");
    };
    item.as_object_mut().unwrap().extend(more);
    item
}

fn by_app(item: Value, app: &str) -> Value {
    let sender = json!({"id": app, "id_type": "app_id", "sender_type": "app"});
    with(item, json!({"sender": sender}))
}

fn reply(item: Value, root: u64, parent: u64) -> Value {
    with(
        item,
        json!({"root_id": format!("om_{root}"), "parent_id": format!("om_{parent}")}),
    )
}

fn in_topic(item: Value) -> Value {
    with(item, json!({"thread_id": "omt_1"}))
}

fn at(chat: &str, thread: Option<&str>) -> Conversation {
    Conversation {
        chat: ChatId::new(chat),
        thread: thread.map(ThreadKey::new),
    }
}

// === catching up ===

/// Takes what is handed in.
#[derive(Default)]
struct Taken {
    events: Mutex<Vec<Event>>,
    /// By key; else it is accepted.
    receipts: BTreeMap<&'static str, Receipt>,
    fails: bool,
}

#[async_trait]
impl Intake for Taken {
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError> {
        if self.fails {
            return Err(AcceptError::Stopping);
        }
        let receipt = self.receipts.get(event.key.id.as_str()).cloned();
        self.events.lock().unwrap().push(event);
        Ok(receipt.unwrap_or(Receipt::Accepted))
    }
}

impl Taken {
    /// Returns key, place, whether it speaks to us, and text of each.
    fn lines(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(line).collect()
    }
}

fn line(event: &Event) -> String {
    assert_eq!(event.key.kind, EventKind::Message);
    match &event.happening {
        Happening::Message(message) => {
            let thread = message.conversation.thread.as_ref();
            format!(
                "{} {} {} {} {}",
                event.key.id,
                message.conversation.chat,
                thread.map_or("-", ThreadKey::as_str),
                if message.addressed { "to us" } else { "to all" },
                message.plain_text()
            )
        }
        other => panic!("not a message: {other:?}"),
    }
}

/// Catches up from second 100 on.
async fn catch_up_with(
    server: &Feishu,
    threads: &[Conversation],
    taken: &Taken,
) -> Result<CaughtUp, SendError> {
    catch_up(&server.account(), time(100), threads, taken).await
}

#[tokio::test]
async fn what_is_new_is_handed_in_as_if_it_had_just_come() {
    let mention = json!({"mentions": [{"key": "@_user_1", "id": "ou_bot", "name": "flow"}]});
    let server = History::new(vec![
        written("oc_d", 99, "old"),
        written("oc_d", 101, "first"),
        by_app(written("oc_d", 102, "ours"), "cli_scripted"),
        by_app(written("oc_d", 103, "another app's"), "cli_else"),
        with(written("oc_d", 104, "gone"), json!({"deleted": true})),
        with(written("oc_d", 105, "{}"), json!({"msg_type": "system"})),
        written("oc_d", 106, "last"),
        with(written("oc_g", 107, "@_user_1 do it"), mention),
        reply(written("oc_g", 108, "go on"), 107, 107),
        written("oc_else", 109, "not asked for"),
    ])
    .start()
    .await;
    let taken = Taken::default();
    let threads = [at("oc_d", None), at("oc_g", Some("om_1")), at("oc_g", None)];
    let outcome = catch_up_with(&server, &threads, &taken).await.unwrap();
    assert_eq!(
        taken.lines(),
        [
            "om_101 oc_d - to us first",
            "om_103 oc_d - to us another app's",
            "om_106 oc_d - to us last",
            "om_107 oc_g - to us @flow do it",
            "om_108 oc_g om_107 to all go on",
        ]
    );
    let kinds: Vec<_> = taken
        .events
        .lock()
        .unwrap()
        .iter()
        .map(sender_kind)
        .collect();
    assert_eq!(kinds[..2], [SenderKind::Person, SenderKind::Bot]);
    let expected = CaughtUp {
        missed: 5,
        oldest_missed: Some(time(101)),
        unreadable: Vec::new(),
    };
    assert_eq!(outcome, expected);
}

#[tokio::test]
async fn nobody_is_believed_to_be_of_ours_in_a_chat_of_several_organisations() {
    let server = History::new(vec![
        written("oc_g", 101, "ours alone"),
        written("oc_x", 102, "of several"),
    ])
    .start()
    .await;
    let taken = Taken::default();
    let threads = [at("oc_g", None), at("oc_x", None)];
    catch_up_with(&server, &threads, &taken).await.unwrap();
    let events = taken.events.lock().unwrap();
    let kinds: Vec<_> = events.iter().map(sender_kind).collect();
    assert_eq!(kinds, [SenderKind::Person, SenderKind::Outsider]);
}

fn of(tenant: &str, item: Value) -> Value {
    let mut item = item;
    item["sender"]["tenant_key"] = json!(tenant);
    item
}

#[tokio::test]
async fn our_own_posts_tell_which_organisation_is_ours() {
    let ours = |second| by_app(written("oc_x", second, "an answer"), "cli_scripted");
    let people = [
        of("home", written("oc_x", 101, "a colleague")),
        of("away", written("oc_x", 102, "a guest")),
        written("oc_x", 103, "nobody knows"),
    ];
    // Among what is new, before it, or nowhere.
    for (second, ours_is_known) in [(Some(104), true), (Some(50), true), (None, false)] {
        let mut messages = people.to_vec();
        messages.extend(second.map(|second| of("home", ours(second))));
        messages.sort_by_key(sent_at);
        let history = History {
            page: 50,
            ..History::new(messages)
        };
        let server = history.start().await;
        let taken = Taken::default();
        let caught_up = catch_up_with(&server, &[at("oc_x", None)], &taken).await;
        assert_eq!(caught_up.unwrap().missed, 3);
        let events = taken.events.lock().unwrap();
        let kinds: Vec<_> = events.iter().map(sender_kind).collect();
        let colleague = if ours_is_known {
            SenderKind::Person
        } else {
            SenderKind::Outsider
        };
        let guest = SenderKind::Outsider;
        assert_eq!(kinds, [colleague, guest, guest], "{second:?}");
    }
}

#[tokio::test]
async fn a_root_that_is_never_told_keeps_no_message_from_being_read_back() {
    let history = History::new(vec![
        reply(written("oc_g", 101, "a reply"), 1, 1),
        written("oc_g", 102, "beside"),
    ]);
    let server = Feishu::of_bot(move |asked| match api_path(asked) {
        "im/v1/messages/om_1" => Reply::status(500, &json!({"code": 1663, "msg": "internal"})),
        _ => history.answer(asked),
    })
    .await;
    let taken = Taken::default();
    catch_up_with(&server, &[at("oc_g", None)], &taken)
        .await
        .unwrap();
    assert_eq!(
        taken.lines(),
        [
            "om_101 oc_g om_1 to all a reply",
            "om_102 oc_g - to all beside"
        ]
    );
}

#[tokio::test]
async fn what_other_bots_say_to_others_is_not_missed() {
    let mention = json!({"mentions": [{"key": "@_user_1", "id": "ou_bot", "name": "flow"}]});
    let server = History::new(vec![
        by_app(written("oc_g", 101, "42 builds are red"), "cli_else"),
        with(
            by_app(written("oc_g", 102, "@_user_1 help"), "cli_else"),
            mention,
        ),
        written("oc_g", 103, "I look into it"),
    ])
    .start()
    .await;
    let taken = Taken::default();
    let outcome = catch_up_with(&server, &[at("oc_g", None)], &taken).await;
    let lines = [
        "om_102 oc_g - to us @flow help",
        "om_103 oc_g - to all I look into it",
    ];
    assert_eq!(taken.lines(), lines);
    assert_eq!(outcome.unwrap().missed, 2);
}

fn sender_kind(event: &Event) -> SenderKind {
    match &event.happening {
        Happening::Message(message) => message.sender.kind,
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn topics_are_read_that_the_daemon_knows_and_that_have_just_begun() {
    let topic = |item, id: &str| with(item, json!({"thread_id": id}));
    let mut messages = vec![written("oc_g", 10, "root of an old one")];
    messages[0]["thread_id"] = json!("omt_1");
    for second in 11..20 {
        messages.push(in_topic(reply(written("oc_g", second, "old"), 10, 10)));
    }
    messages.extend([
        in_topic(reply(written("oc_g", 103, "new in the old one"), 10, 10)),
        topic(written("oc_g", 104, "root of a new one"), "omt_2"),
        written("oc_g", 105, "beside"),
        topic(reply(written("oc_g", 106, "new"), 104, 104), "omt_2"),
        topic(reply(written("oc_g", 107, "unknown"), 20, 20), "omt_3"),
    ]);
    let server = History::new(messages).start().await;
    let taken = Taken::default();
    let threads = [at("oc_g", Some("omt_1"))];
    let outcome = catch_up_with(&server, &threads, &taken).await.unwrap();
    assert_eq!(
        taken.lines(),
        [
            "om_103 oc_g omt_1 to all new in the old one",
            "om_104 oc_g omt_2 to all root of a new one",
            "om_105 oc_g - to all beside",
            "om_106 oc_g omt_2 to all new",
        ]
    );
    assert_eq!(outcome.missed, 4);
    // Of the old one only what is new, and the page that shows its end.
    let asked = server.asked();
    let of_old = asked
        .iter()
        .filter(|asked| parameter(asked, "container_id") == "omt_1");
    assert_eq!(of_old.count(), 1);
}

#[tokio::test]
async fn what_came_by_the_connection_was_not_missed() {
    let server = History::new(vec![
        written("oc_d", 101, "came"),
        written("oc_d", 102, "missed"),
        written("oc_d", 103, "ignored"),
    ])
    .start()
    .await;
    let taken = Taken {
        receipts: BTreeMap::from([("om_101", Receipt::Duplicate), ("om_103", Receipt::Ignored)]),
        ..Taken::default()
    };
    let outcome = catch_up_with(&server, &[at("oc_d", None)], &taken).await;
    let expected = CaughtUp {
        missed: 1,
        oldest_missed: Some(time(102)),
        unreadable: Vec::new(),
    };
    assert_eq!(outcome, Ok(expected));
}

const NO_GROUPS: &str = "Access denied. One of the following scopes is required: \
    [im:message.group_msg]. https://open.feishu.cn/app/cli_scripted/auth?q=im:message.group_msg";

#[tokio::test]
async fn a_missing_permission_is_told_once_and_the_rest_is_read() {
    let mut history = History::new(vec![
        written("oc_d", 102, "direct"),
        written("oc_d2", 103, "also direct"),
    ]);
    history.chats.extend([("oc_g2", "topic"), ("oc_d2", "p2p")]);
    let server = Feishu::of_bot(move |asked| match parameter(asked, "container_id") {
        "oc_g" | "oc_g2" => refused_with(99_991_672, NO_GROUPS),
        _ => history.answer(asked),
    })
    .await;
    let taken = Taken::default();
    let threads = ["oc_g", "oc_d", "oc_g2", "oc_d2"].map(|chat| at(chat, None));
    let outcome = catch_up_with(&server, &threads, &taken).await.unwrap();
    assert_eq!(taken.lines().len(), 2);
    insta::assert_snapshot!(outcome.unreadable.join("\n"), @"messages in groups cannot be read back: grant the app im:message.group_msg at https://open.feishu.cn/app/cli_scripted/auth?q=im:message.group_msg and publish a version");
    // Nor is it asked for again.
    let asked = server.asked();
    let of_groups = asked
        .iter()
        .filter(|asked| parameter(asked, "container_id").starts_with("oc_g"));
    assert_eq!(of_groups.count(), 1);
}

#[tokio::test]
async fn what_fails_for_the_whole_app_is_read_again_once_that_has_passed() {
    let quota = "This month's API call quota has been exceeded";
    for (code, what) in [
        (99_991_403, "oc_d"),
        (99_991_403, "oc_g"),
        (99_991_401, "oc_g"),
        (99_991_662, "oc_g"),
    ] {
        // Both when a chat is asked for and when its messages are.
        for container in ["", what] {
            let history = History::new(vec![written("oc_d", 101, "direct")]);
            let server = Feishu::of_bot(move |asked| {
                let is_it = api_path(asked).ends_with(what) && container.is_empty();
                if is_it || (parameter(asked, "container_id") == what && !container.is_empty()) {
                    return refused_with(code, quota);
                }
                history.answer(asked)
            })
            .await;
            let taken = Taken::default();
            let threads = [at("oc_d", None), at("oc_g", None)];
            let outcome = catch_up_with(&server, &threads, &taken).await;
            assert!(
                matches!(outcome, Err(SendError::Operator { .. })),
                "{code} of {what}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn where_nobody_tells_what_a_chat_is_nothing_is_guessed() {
    let server = History::new(vec![written("oc_d", 101, "unread")])
        .refusing("oc_d", 99_991_672, "[im:chat:read, im:chat:readonly]")
        .start()
        .await;
    let taken = Taken::default();
    let outcome = catch_up_with(&server, &[at("oc_d", None)], &taken).await;
    assert_eq!(taken.lines(), [""; 0]);
    insta::assert_snapshot!(outcome.unwrap().unreadable.join("\n"), @"what was missed cannot be read back: grant the app one of im:chat:read, im:chat:readonly under Permissions & Scopes in the developer console and publish a version");
}

#[tokio::test]
async fn a_chat_that_refuses_is_named_and_one_that_is_gone_is_not() {
    let history = History::new(vec![written("oc_d", 101, "direct")]);
    let server =
        Feishu::of_bot(
            move |asked| match (api_path(asked), parameter(asked, "container_id")) {
                ("im/v1/chats/oc_gone", _) => refused_with(232_011, "not in the chat"),
                (_, "oc_g") => refused_with(230_027, "Lack of necessary permissions"),
                _ => history.answer(asked),
            },
        )
        .await;
    let taken = Taken::default();
    let threads = ["oc_gone", "oc_g", "oc_d"].map(|chat| at(chat, None));
    let outcome = catch_up_with(&server, &threads, &taken).await.unwrap();
    assert_eq!(taken.lines(), ["om_101 oc_d - to us direct"]);
    insta::assert_snapshot!(outcome.unreadable.join("\n"), @r#"the chat "name of oc_g" cannot be read back: im/v1/messages/list: code 230027: not permitted in this chat, which may belong to several organisations: Lack of necessary permissions"#);
}

#[tokio::test]
async fn a_permission_that_is_missed_by_another_code_is_named_as_well() {
    let message = "Lack of necessary permissions, ext=need scope: im:message.group_msg";
    let history = History::new(Vec::new());
    let server = Feishu::of_bot(move |asked| match parameter(asked, "container_id") {
        "oc_g" => refused_with(230_027, message),
        _ => history.answer(asked),
    })
    .await;
    let threads = [at("oc_g", None)];
    let outcome = catch_up_with(&server, &threads, &Taken::default()).await;
    insta::assert_snapshot!(outcome.unwrap().unreadable.join("\n"), @"messages in groups cannot be read back: grant the app im:message.group_msg under Permissions & Scopes in the developer console and publish a version");
}

#[tokio::test]
async fn a_limit_is_waited_for_and_a_lost_answer_is_asked_for_again() {
    let history = History::new(vec![written("oc_d", 101, "read")]);
    let attempts = AtomicUsize::new(0);
    let server = Feishu::of_bot(move |asked| match parameter(asked, "container_id") {
        "oc_d" => match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::status(502, &json!("<html>")),
            1 => Reply::status(429, &json!({"code": 99_991_400, "msg": "slow down"})),
            _ => history.answer(asked),
        },
        _ => history.answer(asked),
    })
    .await;
    let taken = Taken::default();
    let outcome = catch_up_with(&server, &[at("oc_d", None)], &taken).await;
    assert_eq!(outcome.map(|caught_up| caught_up.missed), Ok(1));
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_later() {
    let server = History::new(vec![written("oc_d", 101, "read")])
        .start()
        .await;
    let taken = Taken {
        fails: true,
        ..Taken::default()
    };
    let outcome = catch_up_with(&server, &[at("oc_d", None)], &taken).await;
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
}

// === what was said before ===

/// A message of second 200.
fn mention(thread: Option<&str>, quoted: Option<u64>) -> Message {
    Message {
        id: WireId::new("om_200"),
        conversation: at("oc_g", thread),
        chat_kind: ChatKind::Group,
        chat_name: None,
        sender: Sender {
            id: UserId::new("ou_tom"),
            name: None,
            kind: SenderKind::Person,
        },
        sent_at: time(200),
        body: Vec::new(),
        addressed: true,
        in_thread: true,
        quote: quoted.map(|second| Quote {
            message: WireId::new(format!("om_{second}")),
            sender: None,
            text: String::new(),
        }),
        attachments: Vec::new(),
    }
}

#[tokio::test]
async fn a_topic_is_told_up_to_the_message_with_cards_as_they_were_made() {
    let card = json!({"schema": "2.0", "body": {"elements": [
        {"tag": "markdown", "content": "we *know*"}]}});
    let ours = by_app(written("oc_g", 12, "x"), "cli_scripted");
    let ours = with(
        ours,
        json!({"msg_type": "interactive", "original": card,
            "body": {"content": "{\"elements\":[[{\"tag\":\"text\",\"text\":\"too old\"}]]}"}}),
    );
    let server = History::new(
        [
            written("oc_g", 10, "it fails"),
            with(
                written("oc_g", 11, ""),
                json!({"msg_type": "file",
                    "body": {"content": "{\"file_key\":\"file_1\",\"file_name\":\"a.log\"}"}}),
            ),
            ours,
            with(written("oc_g", 13, "gone"), json!({"deleted": true})),
            by_app(written("oc_g", 14, "red"), "cli_else"),
            written("oc_g", 15, &"x".repeat(3_000)),
            written("oc_g", 200, "mend it"),
            written("oc_g", 201, "later"),
        ]
        .map(in_topic)
        .to_vec(),
    )
    .start()
    .await;
    let said = earlier(&server.account(), &mention(Some("omt_1"), None), 20).await;
    let mut texts: Vec<_> = said
        .unwrap()
        .iter()
        .map(|said| format!("{} {:?}: {}", said.sender.id, said.sender.kind, said.text))
        .collect();
    let long = texts.pop().unwrap();
    assert_eq!(
        texts,
        [
            "ou_tom Person: it fails",
            "ou_tom Person: [file: a.log]",
            "cli_scripted Bot: we *know*",
            "cli_else Bot: red",
        ]
    );
    assert_eq!(long, format!("ou_tom Person: {}…", "x".repeat(2_000)));
}

async fn texts(server: &Feishu, message: &Message, limit: usize) -> String {
    let said = earlier(&server.account(), message, limit).await.unwrap();
    said.into_iter().map(|said| said.text).collect()
}

#[tokio::test]
async fn of_a_long_topic_or_chain_the_first_and_the_latest_are_told() {
    let message = |second: u64| written("oc_g", second, &second.to_string());
    let mut messages = vec![message(1)];
    messages.extend((2..10).map(|second| reply(message(second), 1, second - 1)));
    let chain = History::new(messages.clone()).start().await;
    let topic = History::new(messages.into_iter().map(in_topic).collect())
        .start()
        .await;
    let (in_chain, in_topic) = (mention(Some("om_1"), Some(9)), mention(Some("omt_1"), None));
    for (limit, expected) in [
        (0, ""),
        (1, "1"),
        (2, "19"),
        (4, "1789"),
        (9, "123456789"),
        (20, "123456789"),
    ] {
        assert_eq!(texts(&chain, &in_chain, limit).await, expected, "{limit}");
        assert_eq!(texts(&topic, &in_topic, limit).await, expected, "{limit}");
    }
}

#[tokio::test]
async fn a_chain_with_a_gap_is_told_from_its_first_message_on() {
    let server = History::new(vec![
        written("oc_g", 1, "first"),
        reply(written("oc_g", 3, "third"), 1, 2),
    ])
    .start()
    .await;
    let message = mention(Some("om_1"), Some(3));
    assert_eq!(texts(&server, &message, 9).await, "firstthird");
}

#[tokio::test]
async fn outside_of_a_thread_nothing_was_said() {
    let server = History::new(Vec::new()).start().await;
    assert_eq!(texts(&server, &mention(None, Some(1)), 9).await, "");
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn a_thread_that_cannot_be_read_says_why() {
    for (code, expected) in [
        (99_991_672, "operator"),
        (230_027, "never"),
        (1663, "again"),
    ] {
        for (thread, what) in [("omt_1", "omt_1"), ("om_1", "om_1")] {
            let server = History::new(Vec::new())
                .refusing(what, code, "no")
                .start()
                .await;
            let outcome = earlier(&server.account(), &mention(Some(thread), None), 9).await;
            let what = match outcome.unwrap_err() {
                SendError::Operator { .. } => "operator",
                SendError::Never { .. } => "never",
                SendError::Again { .. } => "again",
                SendError::Unclear { .. } => "unclear",
            };
            assert_eq!(what, expected, "{code} of {thread}");
        }
    }
}
