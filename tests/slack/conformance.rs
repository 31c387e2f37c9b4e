//! Slack passes the suite for channels: in a thread of a channel, and in direct messages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tieline_channel::conformance::{Abilities, Delivery, Harness, PostFailure, Seen, run_all};
use tieline_channel::{Channel, ChatId, Conversation, PostKey, ThreadKey, UserId, WireId};
use tieline_slack::SlackChannel;

use crate::support::service::Service as _;
use crate::support::slack::{Fault, Hangup, MockSlack, Options, Post, Slack, escape};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_passes_the_suite_in_threads() {
    let report = run_all(async || Workspace::new(Kind::Threads).await).await;
    assert_eq!(report.skipped, SKIPPED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_passes_the_suite_in_direct_messages() {
    let report = run_all(async || Workspace::new(Kind::Direct).await).await;
    assert_eq!(report.skipped, SKIPPED);
}

/// Slack recognises nothing by itself, but what was posted can be found.
const SKIPPED: &[(&str, &str)] = &[("a_repeated_post_appears_once", "idempotent repeat")];

/// Where the conversations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Threads,
    Direct,
}

/// A workspace with the channel in it.
struct Workspace {
    slack: MockSlack,
    channel: Arc<SlackChannel>,
    kind: Kind,
    people: Vec<String>,
    conversations: Vec<Conversation>,
    /// No connection can be made.
    is_cut: Arc<AtomicBool>,
    /// The channel and `ts` of each delivery, and its file.
    deliveries: Mutex<BTreeMap<Delivery, Written>>,
}

#[derive(Clone)]
struct Written {
    chat: String,
    ts: String,
    file: Option<String>,
}

impl Workspace {
    async fn new(kind: Kind) -> Self {
        let mut options = Options::default().hasty();
        options.timing.share = Duration::from_millis(500);
        let slack = MockSlack::start(options).await;
        let people: Vec<String> = ["Mei", "Jan"].map(|name| slack.person(name)).into();
        let conversations = people
            .iter()
            .enumerate()
            .map(|(number, person)| {
                let (chat, thread) = match kind {
                    Kind::Direct => (slack.direct(person), None),
                    Kind::Threads => {
                        let chat = slack.public(&format!("channel-{number}"));
                        let root = slack.write(person, &chat).text("It all begins here.");
                        let root = root.unheard().ago(Duration::from_secs(86_400)).send();
                        (chat, Some(ThreadKey::new(root)))
                    }
                };
                Conversation {
                    chat: ChatId::new(chat),
                    thread,
                }
            })
            .collect();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        slack.fail_always(move |call| {
            let is_opening = call.method == "apps.connections.open";
            (is_opening && cut.load(Ordering::SeqCst)).then_some(Fault::Dropped)
        });
        let channel = Slack::channel(&slack);
        Self {
            slack,
            channel,
            kind,
            people,
            conversations,
            is_cut,
            deliveries: Mutex::default(),
        }
    }

    fn deliveries(&self) -> MutexGuard<'_, BTreeMap<Delivery, Written>> {
        self.deliveries.lock().unwrap()
    }

    fn written(&self, delivery: Delivery) -> Written {
        self.deliveries()[&delivery].clone()
    }

    /// Writes a message; direct messages have one person only.
    fn write(
        &self,
        at: &Conversation,
        from: &UserId,
        file: Option<String>,
        text: &str,
        is_heard: bool,
    ) -> Delivery {
        let chat = at.chat.as_str();
        let place = self.conversations.iter().position(|it| it.chat == at.chat);
        let from = match self.kind {
            Kind::Direct => &self.people[place.unwrap()],
            Kind::Threads => from.as_str(),
        };
        let mut draft = self.slack.write(from, chat).text(&escape(text));
        if let Some(thread) = &at.thread {
            draft = draft.in_thread(thread.as_str());
        }
        if let Some(file) = &file {
            draft = draft.file(file);
        }
        if !is_heard {
            draft = draft.unheard();
        }
        let ts = draft.send();
        let mut deliveries = self.deliveries();
        let delivery = Delivery(deliveries.len() as u64);
        let chat = chat.to_owned();
        deliveries.insert(delivery, Written { chat, ts, file });
        delivery
    }
}

fn seen(post: Post) -> Seen {
    Seen {
        at: Conversation {
            chat: ChatId::new(post.channel.clone()),
            thread: post.thread_ts.clone().map(ThreadKey::new),
        },
        text: unescape(&post.visible()),
        id: Some(WireId::new(post.ts.clone())),
        key: post.key().map(PostKey::new),
        files: post.files,
    }
}

/// Returns what people read.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[async_trait]
impl Harness for Workspace {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::<SlackChannel>::clone(&self.channel)
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            redeliver: true,
            disconnect: true,
            failures: vec![
                PostFailure::Again,
                PostFailure::Never,
                PostFailure::Operator,
                PostFailure::AnswerLost,
            ],
            connections: true,
            edits: true,
            deletions: true,
            presses: true,
            attachments: true,
            misses: true,
        }
    }

    fn conversation(&self, number: usize) -> Conversation {
        self.conversations[number].clone()
    }

    fn person(&self, number: usize) -> UserId {
        UserId::new(self.people[number].clone())
    }

    /// Slack drops what is not printable, trims, and has its own marks for bold and struck text.
    fn carried(&self, text: &str) -> Option<String> {
        let is_odd = |it: char| (it.is_control() && it != '\n') || it == '\u{2028}';
        let is_as_it_is = text.trim() == text
            && !text.is_empty()
            && !text.chars().any(is_odd)
            && !text.contains(['*', '~']);
        is_as_it_is.then(|| text.to_owned())
    }

    /// In Markdown, `&lt;` is another way to write `<`.
    fn shown(&self, text: &str) -> Option<String> {
        self.carried(text).map(|text| unescape(&text))
    }

    async fn connect(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }

    async fn disconnect(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.slack.hang_up(Hangup::Drop);
    }

    async fn deliver(&self, at: &Conversation, from: &UserId, text: &str) -> Delivery {
        self.write(at, from, None, text, true)
    }

    async fn redeliver(&self, delivery: Delivery) {
        let it = self.written(delivery);
        match self.slack.events_of(&it.chat, &it.ts).as_slice() {
            [] => self.slack.announce_late(&it.chat, &it.ts),
            events => events.iter().for_each(|event| self.slack.redeliver(event)),
        }
    }

    async fn is_acknowledged(&self, delivery: Delivery) -> bool {
        let it = self.written(delivery);
        let events = self.slack.events_of(&it.chat, &it.ts);
        !events.is_empty() && events.iter().all(|event| self.slack.is_acked(event))
    }

    async fn settle(&self) {
        self.slack.settle().await;
    }

    async fn posts(&self) -> Vec<Seen> {
        self.slack.posts().into_iter().map(seen).collect()
    }

    async fn reactions(&self, delivery: Delivery) -> Vec<String> {
        let it = self.written(delivery);
        self.slack.reactions(&it.chat, &it.ts)
    }

    async fn fail_next_post(&self, failure: PostFailure) {
        let fault = match failure {
            PostFailure::Again => Fault::RateLimited(1),
            PostFailure::Never => Fault::Error("is_archived"),
            PostFailure::Operator => Fault::Error("missing_scope"),
            PostFailure::AnswerLost => Fault::AnswerLost,
        };
        self.slack.fail_where(1, move |call| {
            let has_file = call.method == "files.completeUploadExternal";
            (has_file || call.method == "chat.postMessage").then(|| fault.clone())
        });
    }

    async fn finish(&self) {
        self.slack.finish();
    }

    async fn connections(&self) -> usize {
        self.slack.connections_ever()
    }

    async fn change(&self, delivery: Delivery, text: &str) {
        let it = self.written(delivery);
        self.slack.edit_message(&it.chat, &it.ts, &escape(text));
    }

    async fn take_back(&self, delivery: Delivery) {
        let it = self.written(delivery);
        self.slack.delete_message(&it.chat, &it.ts);
    }

    async fn press(&self, at: &Conversation, message: &WireId, from: &UserId, label: &str) {
        let (chat, ts) = (at.chat.as_str(), message.as_str());
        self.slack.press(from.as_str(), chat, ts, label);
    }

    async fn deliver_file(
        &self,
        at: &Conversation,
        from: &UserId,
        name: &str,
        content: &[u8],
    ) -> Delivery {
        let mime = "application/octet-stream";
        let file = self.slack.file(from.as_str(), name, mime, content);
        self.write(at, from, Some(file), "have a look", true)
    }

    async fn lose_file(&self, delivery: Delivery) {
        let file = self.written(delivery).file;
        self.slack.lose_file(&file.unwrap());
    }

    async fn write_unheard(&self, at: &Conversation, from: &UserId, text: &str) -> Delivery {
        self.write(at, from, None, text, false)
    }
}
