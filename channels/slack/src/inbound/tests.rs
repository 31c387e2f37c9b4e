//! What Slack delivers, and what it means.

use std::time::UNIX_EPOCH;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::{
    ChatKind, Conversation, Event, EventKey, Happening, Message, SenderKind, WireId,
};

use super::directory::testing::Known;
use super::*;

const TS: &str = "1731999999.000100";
const ROOT: &str = "1731990000.000001";

fn us() -> Identity {
    Identity {
        user: "coding-agent".to_owned(),
        user_id: "U0".to_owned(),
        bot_id: Some("B0".to_owned()),
        team_id: "T1".to_owned(),
        team: "Test".to_owned(),
    }
}

fn read_as(kind: &str, payload: &Value, thread_direct: bool) -> Result<Event, Meaningless> {
    let reader = Reader {
        us: &us(),
        thread_direct,
        directory: &Known::few(),
    };
    reader.envelope(kind, payload, UNIX_EPOCH)
}

/// Reads an event of the workspace.
fn read(event: &Value) -> Result<Event, Meaningless> {
    read_as("events_api", &callback(event), false)
}

fn callback(event: &Value) -> Value {
    json!({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event})
}

/// A message of Ann in #ops, changed as `patch` says; `null` removes.
fn message(patch: Value) -> Value {
    patched(
        json!({"type": "message", "user": "U1", "ts": TS, "event_ts": TS, "team": "T1", "channel": "C1",
            "channel_type": "channel", "client_msg_id": "1", "text": "hello"}),
        patch,
    )
}

fn patched(mut value: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else {
        panic!("a patch is an object");
    };
    for (name, new) in patch {
        value[name] = new;
    }
    value
}

/// An edit of what [`message`] wrote.
fn changed(after: Value, before: Value) -> Value {
    json!({"type": "message", "subtype": "message_changed", "hidden": true, "channel": "C1",
        "channel_type": "channel", "ts": "1732000010.000000", "event_ts": "1732000010.000000",
        "message": nested(after), "previous_message": nested(before)})
}

fn nested(patch: Value) -> Value {
    let mut nested = message(json!({}));
    for outside in ["channel", "channel_type", "event_ts"] {
        nested.as_object_mut().unwrap().remove(outside);
    }
    patched(nested, patch)
}

fn written(event: Result<Event, Meaningless>) -> Message {
    match event.unwrap().happening {
        Happening::Message(message) => message,
        other => panic!("not a message: {other:?}"),
    }
}

fn at(chat: &str, thread: Option<&str>) -> Conversation {
    Conversation {
        chat: tieline_channel::ChatId::new(chat),
        thread: thread.map(tieline_channel::ThreadKey::new),
    }
}

fn key(kind: tieline_channel::EventKind, id: &str) -> EventKey {
    EventKey {
        kind,
        id: id.to_owned(),
    }
}

#[test]
fn a_message_is_read_with_all_it_has() {
    let event = read(&message(json!({
        "subtype": "file_share",
        "thread_ts": ROOT,
        "text": "<@U0> see <@U2>: *this* &amp; <#C1>",
        "files": [
            {"id": "F1", "name": "a &amp; b.pdf", "mimetype": "application/pdf", "size": 7,
             "url_private": "https://files.slack.com/p/F1", "url_private_download": "https://files.slack.com/d/F1"},
            {"id": "F2", "file_access": "check_file_info", "url_private": "https://files.slack.com/p/F2"},
            {"id": "F3", "mode": "tombstone"},
            {"id": "F4", "mode": "external", "title": "plan", "url_private": "https://docs.x.dev/plan"},
        ],
        "attachments": [
            {"is_share": true, "is_msg_unfurl": true, "ts": ROOT, "author_id": "U2", "author_name": "Bob",
             "text": "it *fails*", "from_url": "https://t1.slack.com/archives/C1/p1"},
            {"is_share": true, "ts": TS, "author_name": "Ann", "text": "again"},
            {"from_url": "https://x.dev", "title": "a preview", "text": "of a link"},
            {"text": "from an integration"},
        ],
    })));
    insta::assert_debug_snapshot!(event.unwrap());
}

#[test]
fn the_mention_and_the_message_of_one_text_are_the_same_event() {
    for patch in [
        json!({}),
        json!({"thread_ts": ROOT}),
        json!({"channel_type": "mpim", "channel": "G1"}),
        json!({"channel_type": "group", "channel": "G1"}),
    ] {
        let as_message = patched(message(json!({"text": "<@U0> fix it"})), patch);
        let mut as_mention = as_message.clone();
        as_mention["type"] = json!("app_mention");
        as_mention.as_object_mut().unwrap().remove("channel_type");
        let read_message = read(&as_message).unwrap();
        assert_eq!(read(&as_mention).unwrap(), read_message);
        assert!(written(Ok(read_message)).addressed);
    }
}

#[test]
fn a_message_read_back_is_the_same_event_as_the_live_one() {
    let live = message(json!({"text": "<@U0|agent> fix it", "thread_ts": ROOT}));
    let read_back = patched(
        live.clone(),
        json!({"channel": null, "channel_type": null, "event_ts": null,
            "reactions": [{"name": "eyes", "users": ["U0"], "count": 1}]}),
    );
    let reader = Reader {
        us: &us(),
        thread_direct: false,
        directory: &Known::few(),
    };
    let place = Place {
        chat: "C1",
        kind: ChatKind::Group,
        shared: false,
    };
    assert_eq!(reader.written(place, &read_back, false), read(&live));
}

#[test]
fn where_a_message_is_decides_its_conversation() {
    let direct = json!({"channel": "D1", "channel_type": "im"});
    let untold = json!({"channel": "D1", "channel_type": null});
    let in_thread = json!({"channel": "D1", "channel_type": "im", "thread_ts": ROOT});
    for (patch, thread_direct, conversation, kind, in_a_thread) in [
        (json!({}), false, at("C1", Some(TS)), ChatKind::Group, false),
        (
            json!({"thread_ts": TS}),
            false,
            at("C1", Some(TS)),
            ChatKind::Group,
            false,
        ),
        (
            json!({"thread_ts": ROOT}),
            false,
            at("C1", Some(ROOT)),
            ChatKind::Group,
            true,
        ),
        (
            json!({"thread_ts": ROOT, "subtype": "thread_broadcast", "root": {"ts": ROOT}}),
            false,
            at("C1", Some(ROOT)),
            ChatKind::Group,
            true,
        ),
        (
            json!({"channel": "G1", "channel_type": "mpim"}),
            false,
            at("G1", Some(TS)),
            ChatKind::Group,
            false,
        ),
        (
            direct.clone(),
            false,
            at("D1", None),
            ChatKind::Direct,
            false,
        ),
        (untold, false, at("D1", None), ChatKind::Direct, false),
        (direct, true, at("D1", Some(TS)), ChatKind::Direct, false),
        (
            in_thread.clone(),
            false,
            at("D1", Some(ROOT)),
            ChatKind::Direct,
            true,
        ),
        (
            in_thread,
            true,
            at("D1", Some(ROOT)),
            ChatKind::Direct,
            true,
        ),
    ] {
        let event = read_as(
            "events_api",
            &callback(&message(patch.clone())),
            thread_direct,
        );
        let message = written(event);
        assert_eq!(
            (message.conversation, message.chat_kind, message.in_thread),
            (conversation, kind, in_a_thread),
            "of {patch}"
        );
    }
}

#[test]
fn who_is_spoken_to_is_read_from_the_text_and_the_chat() {
    let mention = json!([{"type": "rich_text", "elements": [{"type": "rich_text_section",
        "elements": [{"type": "user", "user_id": "U0"}]}]}]);
    for (patch, addressed) in [
        (json!({}), false),
        (json!({"text": "<@U0>"}), true),
        (json!({"text": "hey <@U0|agent>!"}), true),
        (json!({"text": "`<@U0>`"}), true),
        (json!({"text": "<@U01> <@U2>"}), false),
        (json!({"text": "&lt;@U0&gt; @U0"}), false),
        (json!({"text": "", "blocks": mention}), true),
        (json!({"channel": "D1", "channel_type": "im"}), true),
    ] {
        let message = written(read(&message(patch.clone())));
        assert_eq!(message.addressed, addressed, "of {patch}");
    }
}

#[test]
fn senders_are_people_bots_and_outsiders() {
    let few = |name: &str| Some(name.to_owned());
    for (patch, id, name, kind) in [
        (json!({}), "U1", few("Ann"), SenderKind::Person),
        (
            json!({"subtype": "me_message"}),
            "U1",
            few("Ann"),
            SenderKind::Person,
        ),
        (
            json!({"user": "W7", "team": null}),
            "W7",
            None,
            SenderKind::Person,
        ),
        (
            json!({"team": "T2"}),
            "U1",
            few("Ann"),
            SenderKind::Outsider,
        ),
        (
            json!({"user_team": "T2"}),
            "U1",
            few("Ann"),
            SenderKind::Outsider,
        ),
        (
            json!({"team": null, "source_team": "T2"}),
            "U1",
            few("Ann"),
            SenderKind::Outsider,
        ),
        (
            json!({"user": "U8", "bot_id": "B8", "bot_profile": {"name": "CI"}}),
            "U8",
            few("CI"),
            SenderKind::Bot,
        ),
        (
            json!({"user": null, "subtype": "bot_message", "bot_id": "B8", "username": "hook &amp; co"}),
            "B8",
            few("hook & co"),
            SenderKind::Bot,
        ),
        (
            json!({"user": "U2", "bot_id": "B8"}),
            "U2",
            few("Bob"),
            SenderKind::Bot,
        ),
        (
            json!({"user": "USLACKBOT"}),
            "USLACKBOT",
            None,
            SenderKind::Bot,
        ),
    ] {
        let sender = written(read(&message(patch.clone()))).sender;
        assert_eq!(
            (sender.id.as_str(), sender.name, sender.kind),
            (id, name, kind),
            "of {patch}"
        );
    }
}

#[test]
fn in_a_shared_channel_who_tells_no_team_is_an_outsider_unless_known() {
    for (user, kind) in [("U1", SenderKind::Person), ("U9", SenderKind::Outsider)] {
        let mut payload = callback(&message(json!({"user": user, "team": null})));
        payload["is_ext_shared_channel"] = json!(true);
        let message = written(read_as("events_api", &payload, false));
        assert_eq!(message.sender.kind, kind, "of {user}");
    }
}

#[test]
fn an_edit_names_the_message_it_changes() {
    use tieline_channel::EventKind;

    let edited = json!({"user": "U1", "ts": "1732000010.000000"});
    let event = read(&changed(
        json!({"text": "<@U0> *better*", "edited": edited, "thread_ts": ROOT}),
        json!({"thread_ts": ROOT}),
    ))
    .unwrap();
    assert_eq!(
        event.key,
        key(EventKind::Edit, "T1/C1/1731999999.000100/1732000010.000000")
    );
    let Happening::Edited { target, message } = event.happening else {
        panic!("not an edit");
    };
    assert_eq!(target, key(EventKind::Message, "T1/C1/1731999999.000100"));
    assert_eq!(message.id, WireId::new(TS));
    assert_eq!(message.conversation, at("C1", Some(ROOT)));
    assert_eq!(message.plain_text(), "@U0 **better**");
    assert!(message.addressed);
}

#[test]
fn what_changes_no_text_is_no_edit() {
    let edited = json!({"user": "U1", "ts": "1732000010.000000"});
    for (after, before) in [
        (
            json!({"attachments": [{"from_url": "https://x.dev"}]}),
            json!({}),
        ),
        (json!({"text": "new"}), json!({})),
        (json!({"edited": edited}), json!({})),
        (
            json!({"edited": edited, "attachments": []}),
            json!({"edited": edited, "text": "other"}),
        ),
    ] {
        let event = read(&changed(after.clone(), before));
        assert!(event.is_err(), "of {after}: {event:?}");
    }
}

#[test]
fn a_deletion_names_the_message_that_is_gone() {
    use tieline_channel::EventKind;

    let deleted = |before: Value| {
        json!({"type": "message", "subtype": "message_deleted", "channel": "C1", "channel_type": "channel",
            "ts": "1732000010.000000", "deleted_ts": TS, "previous_message": before})
    };
    let tombstone = changed(
        json!({"subtype": "tombstone", "user": "USLACKBOT"}),
        json!({}),
    );
    for (event, thread) in [
        (deleted(nested(json!({}))), TS),
        (deleted(nested(json!({"thread_ts": ROOT}))), ROOT),
        (deleted(Value::Null), TS),
        (tombstone, TS),
    ] {
        let read = read(&event).unwrap();
        assert_eq!(
            read.key,
            key(EventKind::Deletion, "T1/C1/1731999999.000100")
        );
        assert_eq!(
            read.happening,
            Happening::Deleted {
                conversation: at("C1", Some(thread)),
                target: key(EventKind::Message, "T1/C1/1731999999.000100"),
            }
        );
    }
}

#[test]
fn nothing_of_our_own_is_reported() {
    let edited = json!({"edited": {"user": "U0", "ts": "1"}, "text": "new"});
    let ours = [json!({"user": "U0"}), json!({"bot_id": "B0"})];
    for own in ours {
        let edit = patched(edited.clone(), own.clone());
        for event in [
            message(own.clone()),
            patched(message(own.clone()), json!({"type": "app_mention"})),
            patched(message(own.clone()), json!({"subtype": "bot_message"})),
            patched(message(own.clone()), json!({"subtype": "file_share"})),
            changed(edit, own.clone()),
            patched(changed(edited.clone(), json!({})), own.clone()),
            changed(edited.clone(), own.clone()),
            changed(json!({"subtype": "tombstone"}), own.clone()),
            json!({"type": "message", "subtype": "message_deleted", "channel": "C1", "deleted_ts": TS,
                "previous_message": nested(own.clone())}),
        ] {
            assert_eq!(
                read(&event),
                Err("our own message".to_owned()),
                "of {event}"
            );
        }
    }
}

#[test]
fn what_means_nothing_says_why() {
    let of = |kind: &str, payload: Value| (kind.to_owned(), payload);
    let event = |event: Value| ("events_api".to_owned(), callback(&event));
    let mut reasons = String::new();
    for (kind, payload) in [
        event(message(json!({"subtype": "channel_join"}))),
        event(message(json!({"subtype": "message_replied"}))),
        event(message(json!({"ts": null}))),
        event(message(json!({"ts": "soon"}))),
        event(message(json!({"ts": 1_731_999_999.000_1}))),
        event(message(json!({"channel": null}))),
        event(message(json!({"user": null}))),
        event(json!({"type": "reaction_added", "user": "U1"})),
        event(Value::Null),
        event(changed(json!({}), json!({}))),
        event(json!({"type": "message", "subtype": "message_changed", "channel": "C1"})),
        event(json!({"type": "message", "subtype": "message_deleted", "channel": "C1"})),
        of(
            "events_api",
            json!({"type": "app_rate_limited", "minute_rate_limited": 1}),
        ),
        of("events_api", Value::Null),
        of("interactive", json!({"type": "view_submission"})),
        of("interactive", json!([])),
        of("interactive", pressed(json!({"value": null}))),
        of("interactive", pressed(json!({"url": "https://x.dev"}))),
        of("interactive", pressed(json!({"type": "static_select"}))),
        of("slash_commands", json!({"text": "status"})),
        of("options", json!({})),
    ] {
        let why = read_as(&kind, &payload, false).expect_err("something");
        reasons.push_str(&format!("{why}\n"));
    }
    insta::assert_snapshot!(reasons);
}

#[test]
fn text_is_taken_from_blocks_and_attachments_where_it_is_only_there() {
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "*from blocks*"}}]);
    for (patch, text) in [
        (json!({"text": "", "blocks": blocks}), "**from blocks**"),
        (json!({"text": "as text", "blocks": blocks}), "as text"),
        (
            json!({"text": null, "attachments": [{"fallback": "only this"}]}),
            "only this",
        ),
        (json!({"text": "a", "attachments": [{"text": "b"}]}), "a\nb"),
        (
            json!({"text": null, "blocks": 3, "attachments": "x", "files": {}}),
            "",
        ),
    ] {
        assert_eq!(
            written(read(&message(patch.clone()))).plain_text(),
            text,
            "of {patch}"
        );
    }
}

/// A press by Ann below a message in a thread of #ops.
fn pressed(action: Value) -> Value {
    let button = json!({"type": "button", "action_id": "a", "block_id": "b", "value": "approve-1",
        "text": {"type": "plain_text", "text": "OK"}, "action_ts": "1732000020.000002"});
    json!({"type": "block_actions", "user": {"id": "U1", "username": "ann", "team_id": "T1"},
        "container": {"type": "message", "message_ts": TS, "channel_id": "C1", "thread_ts": ROOT},
        "trigger_id": "9.9", "team": {"id": "T1"}, "channel": {"id": "C1", "name": "ops"},
        "message": {"bot_id": "B0", "user": "U0", "ts": TS, "thread_ts": ROOT},
        "actions": [patched(button, action)]})
}

#[test]
fn a_press_tells_who_pressed_what_and_where() {
    insta::assert_debug_snapshot!(read_as("interactive", &pressed(json!({})), false).unwrap());
}

#[test]
fn a_press_is_known_by_message_action_and_user_wherever_the_button_is() {
    let conversation = |patch: Value, thread_direct| {
        let payload = patched(pressed(json!({})), patch);
        match read_as("interactive", &payload, thread_direct)
            .unwrap()
            .happening
        {
            Happening::Pressed(press) => (press.conversation, press.sender.kind),
            other => panic!("not a press: {other:?}"),
        }
    };
    let direct = json!({"channel": {"id": "D1", "name": "directmessage"},
        "container": {"message_ts": TS, "channel_id": "D1"}, "message": {"ts": TS}});
    assert_eq!(
        conversation(direct.clone(), false),
        (at("D1", None), SenderKind::Person)
    );
    assert_eq!(
        conversation(direct, true),
        (at("D1", Some(TS)), SenderKind::Person)
    );
    let foreign = json!({"channel": null, "user": {"id": "U9", "team_id": "T2"}});
    assert_eq!(
        conversation(foreign, false),
        (at("C1", Some(ROOT)), SenderKind::Outsider)
    );
}

#[test]
fn a_slash_command_is_a_message_to_us() {
    let command = |patch: Value| {
        let command = json!({"token": "x", "team_id": "T1", "channel_id": "C1", "channel_name": "ops",
            "user_id": "U9", "user_name": "mei", "command": "/agent", "text": "stop *now*",
            "response_url": "https://hooks.slack.com/x", "trigger_id": "13.5", "is_enterprise_install": "false"});
        read_as("slash_commands", &patched(command, patch), true).unwrap()
    };
    insta::assert_debug_snapshot!(command(json!({})));
    let direct = written(Ok(command(
        json!({"channel_id": "D1", "channel_name": "directmessage"}),
    )));
    assert_eq!(
        (direct.chat_kind, direct.chat_name, direct.conversation),
        (ChatKind::Direct, None, at("D1", None))
    );
    let private = written(Ok(command(
        json!({"channel_id": "G7", "channel_name": "privategroup"}),
    )));
    assert_eq!(
        (private.chat_kind, private.chat_name),
        (ChatKind::Group, None)
    );
    let foreign = written(Ok(command(json!({"team_id": "T2"}))));
    assert_eq!(foreign.sender.kind, SenderKind::Outsider);
    assert_eq!(written(Ok(command(json!({"text": null})))).body, []);
}
