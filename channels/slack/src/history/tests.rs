//! Reading back from a server that has a history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::{
    AcceptError, CaughtUp, ChatId, ChatKind, Conversation, Event, Happening, Intake, Message,
    Receipt, RefusalReason, SendError, Sender, SenderKind, ThreadKey, UserId, WireId,
};

use super::*;
use crate::scripted::{Answer, Call, Server, hurried, ok, refused, with};

// === the server ===

/// A Slack with a few chats.
#[derive(Default)]
struct Slack {
    chats: Vec<Value>,
    /// By chat, as they were written.
    messages: BTreeMap<&'static str, Vec<Value>>,
    /// By method and channel or type; answered with this error.
    refusals: BTreeMap<(&'static str, &'static str), &'static str>,
    /// How many on a page.
    page: usize,
}

impl Slack {
    fn new() -> Self {
        Self {
            chats: vec![json!({"id": "C1", "name": "ops", "is_channel": true, "is_member": true})],
            page: 100,
            ..Self::default()
        }
    }

    fn answer(&self, call: &Call) -> Answer {
        let method = call.path.as_str();
        let about = match method {
            "conversations.list" => "types",
            _ => "channel",
        };
        let refusal = self.refusals.iter().find(|((refused, part), _)| {
            *refused == method && call.field(about).split(',').any(|about| about == *part)
        });
        if let Some((_, error)) = refusal {
            return refused(error);
        }
        let (field, mut found): (_, Vec<&Value>) = match method {
            "conversations.list" => {
                assert_eq!(call.field("exclude_archived"), "true");
                let types: BTreeSet<_> = call.field("types").split(',').collect();
                let listed = self.chats.iter().filter(|chat| types.contains(kind(chat)));
                ("channels", listed.collect())
            }
            "conversations.history" => {
                let top = self.written(call).filter(|message| {
                    message["thread_ts"].is_null()
                        || message["thread_ts"] == message["ts"]
                        || message["subtype"] == "thread_broadcast"
                });
                ("messages", top.collect())
            }
            "conversations.replies" => {
                let root = call.field("ts");
                let thread = self.written(call).filter(|message| {
                    message["ts"] == root
                        || message["thread_ts"] == root
                            && is_between(message, call.field("oldest"), call.field("latest"))
                });
                ("messages", thread.collect())
            }
            _ => return refused("user_not_found"),
        };
        if method == "conversations.history" {
            found.reverse();
        }
        let start = call.field("cursor").parse().unwrap_or(0);
        let limit: usize = call.field("limit").parse().unwrap();
        assert!(limit < 1_000);
        let end = (start + self.page.min(limit)).min(found.len());
        let next = (end < found.len()).then(|| end.to_string());
        let mut page = found[start..end].to_vec();
        if method == "conversations.replies" && start > 0 {
            page.insert(0, found[0]);
        }
        ok(json!({field: page,
            "response_metadata": {"next_cursor": next.unwrap_or_default()}}))
    }

    fn written(&self, call: &Call) -> impl Iterator<Item = &Value> {
        self.messages
            .get(call.field("channel"))
            .into_iter()
            .flatten()
    }

    async fn start(self) -> Server {
        Server::start(move |call| self.answer(call)).await
    }
}

fn kind(chat: &Value) -> &'static str {
    if chat["is_im"] == true {
        "im"
    } else if chat["is_mpim"] == true {
        "mpim"
    } else if chat["is_private"] == true {
        "private_channel"
    } else {
        "public_channel"
    }
}

fn is_between(message: &Value, oldest: &str, latest: &str) -> bool {
    let ts = message["ts"].as_str().unwrap();
    (oldest.is_empty() || ts > oldest) && (latest.is_empty() || ts < latest)
}

// === messages ===

/// The `ts` of so many seconds after the beginning.
fn ts(second: u64) -> String {
    format!("{}.000100", 1_731_990_000 + second)
}

fn time(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_731_990_000 + second, 100_000)
}

fn written(second: u64, text: &str) -> Value {
    json!({"type": "message", "user": "U1", "team": "T1", "ts": ts(second), "text": text})
}

fn reply(root: u64, second: u64, text: &str) -> Value {
    let mut reply = written(second, text);
    reply["thread_ts"] = json!(ts(root));
    reply
}

fn root(second: u64, text: &str, latest_reply: u64) -> Value {
    let mut root = reply(second, second, text);
    root["reply_count"] = json!(1);
    root["latest_reply"] = json!(ts(latest_reply));
    root
}

fn ours(mut message: Value) -> Value {
    message["user"] = json!("U0");
    message["bot_id"] = json!("B0");
    message
}

fn thread(chat: &str, root: u64) -> Conversation {
    Conversation {
        chat: ChatId::new(chat),
        thread: Some(ThreadKey::new(ts(root))),
    }
}

// === catching up ===

/// Takes what is handed in, and answers as it is told.
#[derive(Default)]
struct Taken {
    events: Mutex<Vec<Event>>,
    /// By key; else it is accepted.
    receipts: BTreeMap<String, Receipt>,
    fails: bool,
}

#[async_trait]
impl Intake for Taken {
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError> {
        if self.fails {
            return Err(AcceptError::Stopping);
        }
        let receipt = self.receipts.get(&event.key.id).cloned();
        self.events.lock().unwrap().push(event);
        Ok(receipt.unwrap_or(Receipt::Accepted))
    }
}

impl Taken {
    /// Returns chat and text of each.
    fn texts(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(text_of).collect()
    }
}

fn text_of(event: &Event) -> String {
    match &event.happening {
        Happening::Message(message) => {
            format!("{} {}", message.conversation.chat, message.plain_text())
        }
        other => panic!("not a message: {other:?}"),
    }
}

/// Catches up from second 100 on.
async fn catch_up_with(
    server: &Server,
    threads: &[Conversation],
    taken: &Taken,
) -> Result<CaughtUp, SendError> {
    catch_up(&server.account(), time(100), threads, taken).await
}

fn caught_up(missed: u64, oldest: u64) -> CaughtUp {
    CaughtUp {
        missed,
        oldest_missed: Some(time(oldest)),
        unreadable: Vec::new(),
    }
}

#[tokio::test]
async fn what_is_new_is_handed_in_oldest_first_without_our_own_posts() {
    let mut slack = Slack::new();
    slack.chats.extend([
        json!({"id": "C2", "name": "else", "is_member": false}),
        json!({"id": "D1", "is_im": true, "user": "U1"}),
        json!({"id": "G1", "name": "mpdm-1", "is_mpim": true, "is_private": true}),
    ]);
    slack.messages = BTreeMap::from([
        (
            "C1",
            vec![
                written(99, "old"),
                written(100, "seen"),
                written(101, "first"),
                ours(written(102, "ours")),
                json!({"type": "message", "subtype": "channel_join", "user": "U1", "ts": ts(103)}),
                written(104, "second"),
            ],
        ),
        ("C2", vec![written(105, "not ours to read")]),
        ("D1", vec![written(106, "direct")]),
        ("G1", vec![written(107, "group")]),
    ]);
    let server = slack.start().await;
    let taken = Taken::default();
    let outcome = catch_up_with(&server, &[], &taken).await;
    assert_eq!(outcome, Ok(caught_up(4, 101)));
    assert_eq!(
        taken.texts(),
        ["C1 first", "C1 second", "D1 direct", "G1 group"]
    );
    let events = taken.events.lock().unwrap();
    assert_eq!(events[0].key.id, format!("T1/C1/{}", ts(101)));
    let kinds = events.iter().map(|event| match &event.happening {
        Happening::Message(message) => (message.chat_kind, message.addressed),
        other => panic!("not a message: {other:?}"),
    });
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        [
            (ChatKind::Group, false),
            (ChatKind::Group, false),
            (ChatKind::Direct, true),
            (ChatKind::Group, false),
        ]
    );
}

#[tokio::test]
async fn threads_are_read_that_tell_of_news_or_are_asked_for() {
    let mut broadcast = reply(50, 110, "to all");
    broadcast["subtype"] = json!("thread_broadcast");
    let mut slack = Slack::new();
    slack.messages = BTreeMap::from([(
        "C1",
        vec![
            root(20, "old root without news", 30),
            root(50, "old root with news", 108),
            reply(50, 60, "old reply"),
            reply(50, 104, "news"),
            root(101, "new root", 103),
            reply(101, 103, "below it"),
            reply(50, 108, "more news"),
            broadcast,
        ],
    )]);
    let server = slack.start().await;
    let taken = Taken::default();
    let threads = [thread("C1", 10), thread("C1", 20), thread("C1", 50)];
    let outcome = catch_up_with(&server, &threads, &taken).await;
    assert_eq!(outcome, Ok(caught_up(5, 101)));
    assert_eq!(
        taken.texts(),
        [
            "C1 new root",
            "C1 below it",
            "C1 news",
            "C1 more news",
            "C1 to all"
        ]
    );
    let asked: Vec<_> = server
        .calls()
        .into_iter()
        .filter(|call| call.path == "conversations.replies")
        .map(|call| (call.field("ts").to_owned(), call.field("oldest").to_owned()))
        .collect();
    assert_eq!(
        asked,
        [(ts(10), ts(100)), (ts(50), ts(100)), (ts(101), ts(100))]
    );
}

#[tokio::test]
async fn pages_are_read_to_the_last_known_message_and_no_further() {
    let mut slack = Slack::new();
    slack.page = 2;
    let numbered = |second| written(second, &second.to_string());
    slack.messages = BTreeMap::from([("C1", (90..106).map(numbered).collect())]);
    let server = slack.start().await;
    let taken = Taken::default();
    let outcome = catch_up_with(&server, &[], &taken).await;
    assert_eq!(outcome, Ok(caught_up(5, 101)));
    assert_eq!(
        taken.texts(),
        ["C1 101", "C1 102", "C1 103", "C1 104", "C1 105"]
    );
    let pages = server.calls().into_iter();
    let pages = pages.filter(|call| call.path == "conversations.history");
    assert_eq!(pages.count(), 3);
}

#[tokio::test]
async fn only_what_did_not_come_before_counts_as_missed() {
    let mut slack = Slack::new();
    let numbered = |second| written(second, "x");
    slack.messages = BTreeMap::from([("C1", (101..105).map(numbered).collect())]);
    let server = slack.start().await;
    let id = |second| format!("T1/C1/{}", ts(second));
    let taken = Taken {
        receipts: BTreeMap::from([
            (id(101), Receipt::Duplicate),
            (id(102), Receipt::Ignored),
            (id(103), Receipt::Refused(RefusalReason::NotMentioned)),
        ]),
        ..Taken::default()
    };
    let outcome = catch_up_with(&server, &[], &taken).await;
    assert_eq!(outcome, Ok(caught_up(2, 103)));
    assert_eq!(taken.texts().len(), 4);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_once_and_the_rest_goes_on() {
    let mut slack = Slack::new();
    slack.chats.extend([
        json!({"id": "C3", "name": "a", "is_member": true}),
        json!({"id": "C4", "name": "b", "is_member": true}),
        json!({"id": "C5", "name": "c", "is_member": true}),
        json!({"id": "C6", "name": "gone", "is_member": true}),
    ]);
    slack.refusals = BTreeMap::from([
        (("conversations.list", "private_channel"), "missing_scope"),
        (("conversations.list", "mpim"), "missing_scope"),
        (("conversations.history", "C3"), "missing_scope"),
        (("conversations.history", "C4"), "missing_scope"),
        (("conversations.history", "C5"), "not_in_channel"),
        (("conversations.history", "C6"), "channel_not_found"),
    ]);
    slack.messages = BTreeMap::from([("C1", vec![written(101, "read")])]);
    let server = slack.start().await;
    let taken = Taken::default();
    let outcome = catch_up_with(&server, &[], &taken).await.unwrap();
    assert_eq!(
        (outcome.missed, taken.texts()),
        (1, vec!["C1 read".to_owned()])
    );
    insta::assert_snapshot!(outcome.unreadable.join("\n"), @r"
    private channels cannot be read back: add the bot scope groups:read to the Slack app (OAuth & Permissions) and install the app again
    group direct messages cannot be read back: add the bot scope mpim:read to the Slack app (OAuth & Permissions) and install the app again
    public channels cannot be read back: add the bot scope channels:history to the Slack app (OAuth & Permissions) and install the app again
    #c cannot be read back: write /invite and the bot's @name there
    ");
}

#[tokio::test]
async fn a_chat_that_is_not_listed_is_read_when_its_threads_are_asked_for() {
    let mut slack = Slack::new();
    slack.refusals = BTreeMap::from([(("conversations.list", "im"), "missing_scope")]);
    slack.messages = BTreeMap::from([
        ("C1", vec![written(101, "may wait")]),
        ("D1", vec![written(102, "direct")]),
    ]);
    let server = slack.start().await;
    let taken = Taken::default();
    let at = Conversation {
        chat: ChatId::new("D1"),
        thread: None,
    };
    let outcome = catch_up_with(&server, &[at], &taken).await.unwrap();
    assert_eq!(outcome.missed, 2);
    assert_eq!(taken.texts(), ["D1 direct", "C1 may wait"]);
}

#[tokio::test]
async fn a_limit_is_waited_for_and_a_lost_answer_is_asked_for_again() {
    let mut slack = Slack::new();
    slack.messages = BTreeMap::from([("C1", vec![written(101, "read")])]);
    let attempts = AtomicUsize::new(0);
    let server = Server::start(move |call| match call.path.as_str() {
        "conversations.history" => match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => with(502, &[], "<html>"),
            1 => with(429, &[("retry-after", "0")], "slow down"),
            _ => slack.answer(call),
        },
        _ => slack.answer(call),
    })
    .await;
    let taken = Taken::default();
    let outcome = hurried(catch_up_with(&server, &[], &taken)).await;
    assert_eq!(outcome, Ok(caught_up(1, 101)));
}

#[tokio::test]
async fn a_token_that_is_worth_nothing_ends_it() {
    let mut slack = Slack::new();
    slack.refusals = BTreeMap::from([(("conversations.history", "C1"), "token_revoked")]);
    let server = slack.start().await;
    let outcome = catch_up_with(&server, &[], &Taken::default()).await;
    assert!(
        matches!(outcome, Err(SendError::Operator { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_later() {
    let mut slack = Slack::new();
    slack.messages = BTreeMap::from([("C1", vec![written(101, "read")])]);
    let server = slack.start().await;
    let taken = Taken {
        fails: true,
        ..Taken::default()
    };
    let outcome = catch_up_with(&server, &[], &taken).await;
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
}

// === what a thread said ===

/// A message of second 200 in the thread of second 10.
fn mention() -> Message {
    Message {
        id: WireId::new(ts(200)),
        conversation: thread("C1", 10),
        chat_kind: ChatKind::Group,
        chat_name: None,
        sender: Sender {
            id: UserId::new("U1"),
            name: None,
            kind: SenderKind::Person,
        },
        sent_at: time(200),
        body: Vec::new(),
        addressed: true,
        in_thread: true,
        quote: None,
        attachments: Vec::new(),
    }
}

/// Returns who said what.
async fn earlier_texts(server: &Server, limit: usize) -> Vec<String> {
    let said = earlier(&server.account(), &mention(), limit).await.unwrap();
    said.iter()
        .map(|said| format!("{} {:?}: {}", said.sender.id, said.sender.kind, said.text))
        .collect()
}

#[tokio::test]
async fn a_thread_is_told_up_to_the_message() {
    let mut slack = Slack::new();
    let mut file = reply(10, 14, "");
    file["subtype"] = json!("file_share");
    file["files"] = json!([{"id": "F1", "name": "log.txt"}]);
    let mut bot = reply(10, 15, "*red*");
    bot["bot_id"] = json!("B8");
    let mut join = reply(10, 16, "joined");
    join["subtype"] = json!("channel_join");
    slack.messages = BTreeMap::from([(
        "C1",
        vec![
            root(10, "it &lt;fails&gt; since <@U2>", 201),
            reply(10, 11, "why?"),
            ours(reply(10, 12, "we *know*")),
            reply(10, 13, " "),
            file,
            bot,
            join,
            reply(10, 17, &"x".repeat(3_000)),
            reply(10, 200, "<@U0> mend it"),
            reply(10, 201, "later"),
        ],
    )]);
    let server = slack.start().await;
    let mut texts = earlier_texts(&server, 20).await;
    let long = texts.pop().unwrap();
    assert_eq!(
        texts,
        [
            "U1 Person: it <fails> since @U2",
            "U1 Person: why?",
            "U0 Bot: we **know**",
            "U1 Person: [file: log.txt]",
            "U1 Bot: **red**",
        ]
    );
    assert_eq!(long, format!("U1 Person: {}…", "x".repeat(2_000)));
}

#[tokio::test]
async fn of_a_long_thread_the_first_and_the_latest_are_told() {
    let mut slack = Slack::new();
    slack.page = 3;
    let mut messages = vec![root(10, "0", 19)];
    messages.extend((1..10).map(|number| reply(10, 10 + number, &number.to_string())));
    slack.messages = BTreeMap::from([("C1", messages)]);
    let server = slack.start().await;
    for (limit, expected) in [
        (0, ""),
        (1, "0"),
        (2, "09"),
        (4, "0789"),
        (10, "0123456789"),
        (11, "0123456789"),
    ] {
        let account = server.account();
        let said = earlier(&account, &mention(), limit).await.unwrap();
        let texts: String = said.into_iter().map(|said| said.text).collect();
        assert_eq!(texts, expected, "of {limit}");
    }
}

#[tokio::test]
async fn outside_of_a_thread_nothing_was_said() {
    let server = Slack::new().start().await;
    let mut message = mention();
    message.conversation.thread = None;
    let said = earlier(&server.account(), &message, 10).await;
    assert_eq!(said, Ok(Vec::new()));
    assert_eq!(server.calls(), []);
}

#[tokio::test]
async fn a_thread_that_cannot_be_read_says_why() {
    for (error, expected) in [("missing_scope", "operator"), ("thread_not_found", "never")] {
        let mut slack = Slack::new();
        slack.refusals = BTreeMap::from([(("conversations.replies", "C1"), error)]);
        let server = slack.start().await;
        let outcome = earlier(&server.account(), &mention(), 10).await;
        let what = match outcome.unwrap_err() {
            SendError::Operator { .. } => "operator",
            SendError::Never { .. } => "never",
            other => panic!("{other:?}"),
        };
        assert_eq!(what, expected, "of {error}");
    }
}
