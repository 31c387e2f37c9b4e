use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tieline_channel::{ChatKind, EventKind, Happening, Message, Press, SenderKind, ThreadKey};

use super::content::Partial;
use super::*;
use crate::button;

fn us() -> Identity {
    Identity {
        open_id: "ou_bot".to_owned(),
        app_id: "cli_us".to_owned(),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

fn payload(kind: &str, event: Value) -> Value {
    json!({
        "schema": "2.0",
        "header": {
            "event_id": "e-1", "token": "", "create_time": "1609073151500", "event_type": kind,
            "tenant_key": "home", "app_id": "cli_us",
        },
        "event": event,
    })
}

/// A message to the bot in a group.
fn received(kind: &str, content: &Value) -> Value {
    payload(
        "im.message.receive_v1",
        json!({
            "sender": {
                "sender_id": {"union_id": "on_tom", "user_id": "tom", "open_id": "ou_tom"},
                "sender_type": "user", "tenant_key": "home",
            },
            "message": {
                "message_id": "om_1", "create_time": "1609073151345", "chat_id": "oc_1",
                "chat_type": "group", "message_type": kind, "content": content.to_string(),
                "mentions": [
                    {"key": "@_user_1", "id": {"open_id": "ou_bot"}, "mentioned_type": "bot", "name": "flow"},
                    {"key": "@_user_2", "id": {"open_id": "ou_mei"}, "mentioned_type": "user", "name": "Mei"},
                ],
            },
        }),
    )
}

fn with(mut payload: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    payload
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .insert(name.to_owned(), value);
    payload
}

fn deliver(payload: &Value) -> Delivered {
    read(payload, &us(), now())
}

fn message_and_lacks(payload: &Value) -> (Message, Vec<Lack>) {
    match deliver(payload) {
        Delivered::Event {
            event:
                Event {
                    happening: Happening::Message(message),
                    ..
                },
            lacks,
            ..
        } => (message, lacks),
        other => panic!("no message: {other:?}"),
    }
}

fn message(payload: &Value) -> Message {
    message_and_lacks(payload).0
}

fn shown(message: &Message) -> String {
    let mut shown = message.plain_text();
    for attachment in &message.attachments {
        shown.push_str(&format!("\n+ {} {}", attachment.name, attachment.reference));
    }
    shown
}

// === What a message says ===

#[test]
fn every_type_of_message_says_what_it_is() {
    let table = [
        ("text", json!({"text": "@_user_1 hi @_user_2\n*there*"})),
        ("text", json!({"text": "  @_all  "})),
        ("text", json!({})),
        ("image", json!({"image_key": "img_1"})),
        ("image", json!({})),
        (
            "file",
            json!({"file_key": "file_1", "file_name": "../a.pdf"}),
        ),
        ("file", json!({"file_key": "file_1"})),
        (
            "folder",
            json!({"file_key": "file_1", "file_name": "notes"}),
        ),
        ("audio", json!({"file_key": "file_1", "duration": 2001})),
        (
            "media",
            json!({"file_key": "file_1", "image_key": "img_1", "file_name": "a.mp4", "duration": "4000"}),
        ),
        ("sticker", json!({"file_key": "file_1"})),
        (
            "interactive",
            json!({"title": "Deploy", "elements": [
                [{"tag": "text", "text": "Ready?"}, {"tag": "a", "text": "log", "href": "https://x.test"}],
                [{"tag": "button", "text": "Yes", "type": "primary"}],
            ]}),
        ),
        ("share_chat", json!({"chat_id": "oc_2"})),
        ("share_user", json!({"user_id": "ou_2"})),
        (
            "merge_forward",
            json!({"content": "Merged and Forwarded Message"}),
        ),
        (
            "location",
            json!({"name": "Canteen", "longitude": "116.3", "latitude": 40.0}),
        ),
        ("location", json!({})),
        (
            "video_chat",
            json!({"topic": "Standup", "start_time": "1609296809000"}),
        ),
        (
            "todo",
            json!({"task_id": "t", "summary": {"title": "", "content": [[{"tag": "text", "text": "Buy milk"}]]}, "due_time": "1"}),
        ),
        (
            "vote",
            json!({"topic": "Lunch?", "options": ["Rice", "Noodles", 7]}),
        ),
        ("hongbao", json!({"text": "[红包]"})),
        (
            "system",
            json!({"template": "{from_user} invited {to_chatters} to this chat.",
                "from_user": ["Tom"], "to_chatters": ["Mei", "Bo"], "divider_text": {}}),
        ),
        (
            "share_calendar_event",
            json!({"summary": "Planning", "start_time": "1", "end_time": "2"}),
        ),
        ("calendar", json!({"summary": "Planning"})),
        ("general_calendar", json!({})),
        ("hologram", json!({"x": 1})),
        ("", json!({})),
    ];
    let mut all = String::new();
    for (kind, content) in table {
        let message = message(&received(kind, &content));
        all.push_str(&format!("--- {kind} {content}\n{}\n", shown(&message)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn rich_text_becomes_markdown() {
    let content = json!({"title": "Plan", "content": [
        [
            {"tag": "at", "user_id": "@_user_1", "user_name": "flow"},
            {"tag": "text", "text": " do ", "style": []},
            {"tag": "text", "text": " this ", "style": ["bold", "italic", "underline"]},
            {"tag": "text", "text": "not that", "style": ["lineThrough"]},
            {"tag": "text", "text": "  ", "style": ["bold"]},
        ],
        [
            {"tag": "a", "href": "https://x.test/a", "text": "the page", "style": []},
            {"tag": "text", "text": " "},
            {"tag": "a", "href": "https://x.test/b", "text": "https://x.test/b"},
            {"tag": "a", "text": " nowhere"},
        ],
        [{"tag": "at", "user_id": "all", "user_name": "All"}, {"tag": "at", "user_id": "ou_x", "user_name": "Xu"}],
        [{"tag": "img", "image_key": "img_1", "width": 1, "height": 1}],
        [{"tag": "media", "file_key": "file_1", "image_key": "img_2"}],
        [{"tag": "emotion", "emoji_type": "SMILE"}],
        [{"tag": "text", "text": "before"}, {"tag": "hr"}],
        [{"tag": "code_block", "language": "RUST", "text": "let a = \"```\";\n"}],
        [{"tag": "code_block", "text": "plain"}],
        [{"tag": "md", "text": "- a\n- b"}],
        [{"tag": "hologram"}, {"tag": "hologram", "text": "seen"}, {"text": "untagged"}, 7, null],
        [],
        "not a paragraph",
        [{"tag": "text", "text": "end @_user_2"}],
    ]});
    insta::assert_snapshot!(shown(&message(&received("post", &content))));
}

#[test]
fn rich_text_with_a_level_of_languages_is_read_too() {
    let content = json!({"zh_cn": {"title": "", "content": [[{"tag": "text", "text": "你好"}]]}});
    assert_eq!(message(&received("post", &content)).plain_text(), "你好");
}

#[test]
fn content_that_is_not_json_is_said_so() {
    for content in [json!("{"), json!(""), json!(null), json!({"text": "hi"})] {
        let payload = with(
            received("text", &json!({})),
            "/event/message/content",
            content,
        );
        assert_eq!(
            message(&payload).plain_text(),
            "[a message of type text that cannot be read]"
        );
    }
}

#[test]
fn what_a_message_does_not_tell_is_listed() {
    let root = |thread: Option<&str>, root: Option<&str>, parent: Option<&str>| {
        let mut payload = received("text", &json!({"text": "hi"}));
        for (name, id) in [
            ("thread_id", thread),
            ("root_id", root),
            ("parent_id", parent),
        ] {
            if let Some(id) = id {
                payload = with(payload, &format!("/event/message/{name}"), json!(id));
            }
        }
        payload
    };
    let quoted = |id: &str| Lack::QuotedText(WireId::new(id));
    let topic = |id| Lack::Topic(WireId::new(id));
    let table = [
        (root(None, None, None), vec![]),
        (root(Some("omt_1"), Some("om_0"), Some("om_0")), vec![]),
        (
            root(Some("omt_1"), Some("om_0"), Some("om_5")),
            vec![quoted("om_5")],
        ),
        (
            root(None, Some("om_0"), Some("om_0")),
            vec![topic("om_0"), quoted("om_0")],
        ),
        (
            root(None, Some("om_0"), Some("om_5")),
            vec![topic("om_0"), quoted("om_5")],
        ),
        (root(None, None, Some("om_1")), vec![]),
        (
            received("interactive", &json!({})),
            vec![Lack::Content(Partial::Card)],
        ),
        (
            received("merge_forward", &json!({})),
            vec![Lack::Content(Partial::Forwarded)],
        ),
    ];
    for (payload, expected) in table {
        let (message, lacks) = message_and_lacks(&payload);
        let quotes: Vec<_> = message
            .quote
            .iter()
            .map(|quote| quoted(quote.message.as_str()))
            .collect();
        let mut lacking = lacks.clone();
        lacking.retain(|lack| matches!(lack, Lack::QuotedText(_)));
        assert_eq!(quotes, lacking, "{payload}");
        assert_eq!(lacks, expected, "{payload}");
    }
}

#[test]
fn a_direct_reply_cannot_be_in_an_unknown_topic() {
    let payload = with(
        with(
            received("text", &json!({"text": "hi"})),
            "/event/message/chat_type",
            json!("p2p"),
        ),
        "/event/message/root_id",
        json!("om_0"),
    );
    assert_eq!(message_and_lacks(&payload).1, []);
}

// === Where, who, when ===

#[test]
fn a_conversation_is_keyed_by_topic_then_by_first_message_then_by_chat() {
    let table = [
        (json!({}), None, false, None),
        (
            json!({"thread_id": "omt_1"}),
            Some("omt_1"),
            false,
            Some(true),
        ),
        (
            json!({"thread_id": "omt_1", "root_id": "om_0", "parent_id": "om_0"}),
            Some("omt_1"),
            true,
            Some(true),
        ),
        (
            json!({"root_id": "om_0", "parent_id": "om_5"}),
            Some("om_0"),
            true,
            Some(false),
        ),
        (json!({"parent_id": "om_5"}), None, true, None),
        (
            json!({"thread_id": "", "root_id": "", "parent_id": ""}),
            None,
            false,
            None,
        ),
        (json!({"root_id": "om_1"}), Some("om_1"), false, Some(false)),
    ];
    for (fields, thread, in_thread, topic) in table {
        let mut payload = received("text", &json!({"text": "hi"}));
        for (name, value) in fields.as_object().unwrap() {
            payload = with(payload, &format!("/event/message/{name}"), value.clone());
        }
        let message = message(&payload);
        assert_eq!(message.conversation.chat.as_str(), "oc_1");
        assert_eq!(
            message.conversation.thread,
            thread.map(ThreadKey::new),
            "{fields}"
        );
        assert_eq!(message.in_thread, in_thread, "{fields}");
        assert_eq!(
            message.conversation.thread.as_ref().map(is_topic),
            topic,
            "{fields}"
        );
    }
}

#[test]
fn we_are_addressed_in_direct_and_where_our_own_open_id_is_mentioned() {
    let bot = json!([{"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "flow"}]);
    let namesake = json!([{"key": "@_user_1", "id": {"open_id": "ou_x"}, "name": "flow"}]);
    let table = [
        ("p2p", json!(null), ChatKind::Direct, true),
        ("p2p", namesake.clone(), ChatKind::Direct, true),
        ("group", bot.clone(), ChatKind::Group, true),
        ("group", namesake, ChatKind::Group, false),
        ("group", json!([]), ChatKind::Group, false),
        ("group", json!({"key": "ou_bot"}), ChatKind::Group, false),
        ("topic_group", bot, ChatKind::Group, true),
    ];
    for (kind, mentions, chat_kind, addressed) in table {
        let text = json!({"text": "@_all flow ou_bot"});
        let payload = with(
            with(
                received("text", &text),
                "/event/message/mentions",
                mentions.clone(),
            ),
            "/event/message/chat_type",
            json!(kind),
        );
        let message = message(&payload);
        assert_eq!(message.chat_kind, chat_kind, "{kind}");
        assert_eq!(message.addressed, addressed, "{kind} {mentions}");
    }
}

#[test]
fn senders_are_told_apart_and_our_own_messages_dropped() {
    let user = |kind: &str, tenant: Value| json!({"sender_id": {"open_id": "ou_a"}, "sender_type": kind, "tenant_key": tenant});
    let table = [
        (
            user("user", json!("home")),
            Ok(("ou_a", SenderKind::Person)),
        ),
        (user("user", json!(null)), Ok(("ou_a", SenderKind::Person))),
        (
            user("user", json!("away")),
            Ok(("ou_a", SenderKind::Outsider)),
        ),
        (user("bot", json!("home")), Ok(("ou_a", SenderKind::Bot))),
        (user("app", json!("home")), Ok(("ou_a", SenderKind::Bot))),
        (user("", json!("home")), Ok(("ou_a", SenderKind::Bot))),
        (
            json!({"sender_id": {"union_id": "on_a"}, "sender_type": "user"}),
            Ok(("on_a", SenderKind::Person)),
        ),
        (
            json!({"sender_id": {"app_id": "cli_b"}, "sender_type": "bot"}),
            Ok(("cli_b", SenderKind::Bot)),
        ),
        (
            json!({"sender_id": {"open_id": "ou_bot"}, "sender_type": "bot"}),
            Err("a message of our own"),
        ),
        (
            json!({"sender_id": {"app_id": "cli_us"}, "sender_type": "app"}),
            Err("a message of our own"),
        ),
        (json!({"sender_type": "user"}), Err("a message of nobody")),
        (json!(null), Err("a message of nobody")),
    ];
    for (sender, expected) in table {
        let payload = with(
            received("text", &json!({"text": "hi"})),
            "/event/sender",
            sender.clone(),
        );
        match expected {
            Ok((id, kind)) => {
                let message = message(&payload);
                assert_eq!(message.sender.id.as_str(), id);
                assert_eq!(message.sender.kind, kind, "{sender}");
            }
            Err(reason) => assert_eq!(deliver(&payload), Delivered::nothing(reason)),
        }
    }
}

#[test]
fn the_time_is_the_best_that_is_known() {
    let ms = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let table = [
        (json!("1609073151345"), ms(1_609_073_151_345)),
        (json!(1_609_073_151_345_u64), ms(1_609_073_151_345)),
        (json!("soon"), ms(1_609_073_151_500)),
        (json!("-1"), ms(1_609_073_151_500)),
        (json!(null), ms(1_609_073_151_500)),
    ];
    for (time, expected) in table {
        let payload = with(
            received("text", &json!({"text": "hi"})),
            "/event/message/create_time",
            time.clone(),
        );
        assert_eq!(message(&payload).sent_at, expected, "{time}");
        let timeless = with(payload, "/header/create_time", json!([]));
        let fallback = if expected == ms(1_609_073_151_500) {
            now()
        } else {
            expected
        };
        assert_eq!(message(&timeless).sent_at, fallback, "{time}");
    }
}

#[test]
fn a_message_has_the_same_key_under_every_event() {
    let payload = received("text", &json!({"text": "hi"}));
    let again = with(payload.clone(), "/header/event_id", json!("e-2"));
    let key = |payload: &Value| match deliver(payload) {
        Delivered::Event { event, .. } => event.key,
        Delivered::Nothing(reason) => panic!("{reason}"),
    };
    assert_eq!(key(&payload), key(&again));
    assert_eq!(key(&payload), message::key("om_1"));
}

// === Other events ===

#[test]
fn a_recall_names_the_message_that_it_takes_back() {
    let payload = payload(
        "im.message.recalled_v1",
        json!({"message_id": "om_1", "chat_id": "oc_1", "recall_time": "1", "recall_type": "message_owner"}),
    );
    let Delivered::Event { event, lacks, .. } = deliver(&payload) else {
        panic!("no event");
    };
    assert_eq!(lacks, [Lack::Author(WireId::new("om_1"))]);
    assert_eq!(event.key.kind, EventKind::Deletion);
    let Happening::Deleted {
        conversation,
        target,
    } = event.happening
    else {
        panic!("no deletion");
    };
    assert_eq!(conversation.chat.as_str(), "oc_1");
    assert_eq!(target, message::key("om_1"));
}

fn press(value: Value) -> Value {
    payload(
        "card.action.trigger",
        json!({
            "operator": {"tenant_key": "home", "open_id": "ou_tom", "union_id": "on_tom"},
            "token": "c-1",
            "action": {"value": value, "tag": "button"},
            "context": {"open_message_id": "om_9", "open_chat_id": "oc_1"},
        }),
    )
}

#[test]
fn a_press_says_who_where_and_what() {
    let topic = ThreadKey::new("omt_1");
    let table = [
        (button::carry("yes", None), "yes", None),
        (button::carry("yes", Some(&topic)), "yes", Some(&topic)),
        (json!("plain"), "plain", None),
    ];
    for (carried, value, thread) in table {
        let Delivered::Event { event, .. } = deliver(&press(carried)) else {
            panic!("no event");
        };
        assert_eq!(event.key.kind, EventKind::Press);
        assert_eq!(event.key.id, "e-1");
        let Happening::Pressed(Press {
            conversation,
            message,
            sender,
            value: pressed,
        }) = event.happening
        else {
            panic!("no press");
        };
        assert_eq!(conversation.chat.as_str(), "oc_1");
        assert_eq!(conversation.thread.as_ref(), thread);
        assert_eq!(message.as_str(), "om_9");
        assert_eq!(
            (sender.id.as_str(), sender.kind),
            ("ou_tom", SenderKind::Person)
        );
        assert_eq!(pressed, value);
    }
}

#[test]
fn a_stranger_may_press_and_is_told_apart() {
    let payload = with(
        press(json!("yes")),
        "/event/operator/tenant_key",
        json!("away"),
    );
    let Delivered::Event { event, .. } = deliver(&payload) else {
        panic!("no event");
    };
    let Happening::Pressed(press) = event.happening else {
        panic!("no press");
    };
    assert_eq!(press.sender.kind, SenderKind::Outsider);
}

#[test]
fn what_means_nothing_says_why() {
    let table: [(Value, &str); 12] = [
        (json!({}), "an event without a type"),
        (json!([]), "an event without a type"),
        (
            payload("im.chat.member.bot.added_v1", json!({})),
            "the bot was added to a chat",
        ),
        (
            payload("im.chat.member.bot.deleted_v1", json!({})),
            "the bot was removed from a chat",
        ),
        (
            payload("im.message.reaction.created_v1", json!({})),
            "an event of type im.message.reaction.created_v1",
        ),
        (
            payload("im.message.receive_v1", json!({})),
            "a message without an id",
        ),
        (
            with(
                received("text", &json!({})),
                "/event/message/chat_id",
                json!(7),
            ),
            "a message without a chat",
        ),
        (
            payload("im.message.recalled_v1", json!({"message_id": "om_1"})),
            "a recall that does not say of what",
        ),
        (
            press(json!(null)),
            "a press of something that carries no value",
        ),
        (
            with(press(json!("a")), "/event/operator", json!({})),
            "a press by nobody",
        ),
        (
            with(press(json!("a")), "/event/context", json!({})),
            "a press that does not say where",
        ),
        (
            with(
                with(press(json!("a")), "/event/token", json!(null)),
                "/header/event_id",
                json!(""),
            ),
            "a press without an id",
        ),
    ];
    for (payload, reason) in table {
        assert_eq!(deliver(&payload), Delivered::nothing(reason), "{payload}");
    }
}

// === Anything ===

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["", "@_user_1", "om_1", "all", "bold", "hr", "text"])
            .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let name = prop::sample::select(vec![
            "tag",
            "text",
            "content",
            "title",
            "style",
            "user_id",
            "image_key",
            "elements",
            "x",
            "options",
            "template",
            "summary",
            "file_key",
            "open_id",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect::<Map<_, _>>())
            }),
        ]
    })
}

const KINDS: [&str; 14] = [
    "text",
    "post",
    "image",
    "file",
    "audio",
    "media",
    "interactive",
    "share_chat",
    "location",
    "todo",
    "vote",
    "system",
    "calendar",
    "?",
];

proptest! {
    #[test]
    fn no_content_is_too_strange(
        kind in prop::sample::select(KINDS.to_vec()),
        content in json_value(),
    ) {
        let _message = message(&received(kind, &content));
    }

    #[test]
    fn a_field_of_any_kind_never_fails_a_message_that_has_its_names(
        pointer in prop::sample::select(vec![
            "/schema", "/header/create_time", "/header/tenant_key", "/header/app_id",
            "/event/message/mentions", "/event/message/content", "/event/message/message_type",
            "/event/message/root_id", "/event/message/parent_id", "/event/message/thread_id",
            "/event/message/create_time", "/event/message/chat_type", "/event/message/user_agent",
            "/event/sender/tenant_key", "/event/sender/sender_type", "/event/new",
        ]),
        value in json_value(),
    ) {
        let _message = message(&with(received("post", &json!({})), pointer, value));
    }

    #[test]
    fn no_payload_is_too_strange(
        payload in json_value(),
        kind in prop::sample::select(vec![
            "im.message.receive_v1", "im.message.recalled_v1", "card.action.trigger",
        ]),
    ) {
        let _delivered = deliver(&payload);
        let _delivered = deliver(&json!({"header": {"event_type": kind}, "event": payload}));
    }
}
