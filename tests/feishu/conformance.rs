//! Feishu passes the suite for channels: in topics of groups, and in direct messages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tieline_channel::conformance::{Abilities, Delivery, Harness, PostFailure, Seen, run_all};
use tieline_channel::{Channel, ChatId, Conversation, PostKey, ThreadKey, UserId, WireId};
use tieline_feishu::FeishuChannel;

use crate::support::feishu::{Fault, Feishu, Hangup, MockFeishu, Options, Post};
use crate::support::service::Service as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feishu_passes_the_suite_in_topics() {
    let report = run_all(async || Organisation::new(Kind::Topics).await).await;
    assert_eq!(report.skipped, SKIPPED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feishu_passes_the_suite_in_direct_messages() {
    let report = run_all(async || Organisation::new(Kind::Direct).await).await;
    assert_eq!(report.skipped, SKIPPED);
}

/// Feishu recognises what is repeated, so that nothing is looked up, and tells of no edits.
const SKIPPED: &[(&str, &str)] = &[
    (
        "an_edit_names_its_message_and_says_it_anew",
        "edits by people",
    ),
    ("two_edits_have_two_keys", "edits by people"),
    ("a_post_can_be_found_by_its_key", "findable repeat"),
    ("a_file_of_unclear_fate_is_found", "findable repeat"),
    ("a_file_that_was_not_sent_is_not_found", "findable repeat"),
];

/// Where the conversations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Topics,
    Direct,
}

/// An organisation with the channel in it.
struct Organisation {
    feishu: MockFeishu,
    channel: Arc<FeishuChannel>,
    kind: Kind,
    people: Vec<String>,
    conversations: Vec<Conversation>,
    /// The first messages of the topics.
    roots: Vec<String>,
    /// No connection can be made.
    is_cut: Arc<AtomicBool>,
    /// The message of each delivery, and its file.
    deliveries: Mutex<BTreeMap<Delivery, Written>>,
}

#[derive(Clone)]
struct Written {
    message: String,
    file: Option<String>,
}

impl Organisation {
    async fn new(kind: Kind) -> Self {
        let mut options = Options::default().hasty();
        options.same_times = false;
        let feishu = MockFeishu::start(options).await;
        let people: Vec<String> = ["Mei", "Jan"].map(|name| feishu.person(name)).into();
        let mut conversations = Vec::new();
        let mut roots = Vec::new();
        for (number, person) in people.iter().enumerate() {
            conversations.push(match kind {
                Kind::Direct => Conversation {
                    chat: ChatId::new(feishu.p2p(person)),
                    thread: None,
                },
                Kind::Topics => {
                    let chat = feishu.topic_group(&format!("group-{number}"));
                    let root = feishu.write(person, &chat).text("It all begins here.");
                    let root = root.unheard().ago(Duration::from_secs(86_400)).send();
                    let thread = Some(ThreadKey::new(feishu.topic_of(&root)));
                    roots.push(root);
                    Conversation {
                        chat: ChatId::new(chat),
                        thread,
                    }
                }
            });
        }
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        feishu.fail_always(move |call| {
            let is_opening = call.method == "endpoint";
            (is_opening && cut.load(Ordering::SeqCst)).then_some(Fault::Dropped)
        });
        let channel = Feishu::channel(&feishu);
        Self {
            feishu,
            channel,
            kind,
            people,
            conversations,
            roots,
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
        text: &str,
        file: Option<String>,
        is_heard: bool,
    ) -> Delivery {
        let chat = at.chat.as_str();
        let place = self.conversations.iter().position(|it| it.chat == at.chat);
        let from = match self.kind {
            Kind::Direct => &self.people[place.unwrap()],
            Kind::Topics => from.as_str(),
        };
        let mut draft = match &file {
            None => self.feishu.write(from, chat).text(text),
            Some(file) => self.feishu.write(from, chat).file(file),
        };
        if self.kind == Kind::Topics {
            draft = draft.in_topic(&self.roots[place.unwrap()]);
        }
        if !is_heard {
            draft = draft.unheard();
        }
        let message = draft.send();
        let mut deliveries = self.deliveries();
        let delivery = Delivery(deliveries.len() as u64);
        deliveries.insert(delivery, Written { message, file });
        delivery
    }
}

fn seen(post: Post) -> Seen {
    Seen {
        at: Conversation {
            chat: ChatId::new(post.chat),
            thread: post.thread.map(ThreadKey::new),
        },
        text: post.text,
        id: Some(WireId::new(post.id)),
        key: post.uuid.map(PostKey::new),
        files: post.files,
    }
}

#[async_trait]
impl Harness for Organisation {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::<FeishuChannel>::clone(&self.channel)
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
            edits: false,
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

    /// Nobody can send what is empty; blanks around a text, as around a mention, mean nothing.
    fn carried(&self, text: &str) -> Option<String> {
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Of Markdown, people see what it means; here, only what means itself is compared.
    fn shown(&self, text: &str) -> Option<String> {
        let is_odd = |it: char| (it.is_control() && it != '\n') || it == '\u{2028}';
        let is_as_it_is = text.trim() == text
            && !text.is_empty()
            && !text.chars().any(is_odd)
            && !text.contains(['*', '~', '<', '&', '|']);
        is_as_it_is.then(|| text.to_owned())
    }

    async fn connect(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }

    async fn disconnect(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.feishu.hang_up(Hangup::Drop);
    }

    async fn deliver(&self, at: &Conversation, from: &UserId, text: &str) -> Delivery {
        self.write(at, from, text, None, true)
    }

    async fn redeliver(&self, delivery: Delivery) {
        let it = self.written(delivery);
        match self.feishu.events_of(&it.message).as_slice() {
            [] => self.feishu.announce_late(&it.message),
            [event, ..] if delivery.0 % 2 == 1 => {
                self.feishu.duplicate(event);
            }
            [event, ..] => self.feishu.redeliver(event),
        }
    }

    async fn is_acknowledged(&self, delivery: Delivery) -> bool {
        let it = self.written(delivery);
        let events = self.feishu.events_of(&it.message);
        !events.is_empty() && events.iter().all(|event| self.feishu.is_acked(event))
    }

    async fn settle(&self) {
        self.feishu.settle().await;
    }

    async fn posts(&self) -> Vec<Seen> {
        self.feishu.posts().into_iter().map(seen).collect()
    }

    async fn reactions(&self, delivery: Delivery) -> Vec<String> {
        self.feishu.reactions(&self.written(delivery).message)
    }

    async fn fail_next_post(&self, failure: PostFailure) {
        let fault = match failure {
            PostFailure::Again => Fault::RateLimited(1),
            PostFailure::Never => Fault::Error(232_009),
            PostFailure::Operator => Fault::Error(99_991_672),
            PostFailure::AnswerLost => Fault::AnswerLost,
        };
        self.feishu.fail_where(1, move |call| {
            let is_post = matches!(call.method, "messages.create" | "messages.reply");
            is_post.then(|| fault.clone())
        });
    }

    async fn finish(&self) {
        self.feishu.finish();
    }

    async fn connections(&self) -> usize {
        self.feishu.connections_ever()
    }

    async fn take_back(&self, delivery: Delivery) {
        self.feishu.recall(&self.written(delivery).message);
    }

    async fn press(&self, _at: &Conversation, message: &WireId, from: &UserId, label: &str) {
        self.feishu.press(from.as_str(), message.as_str(), label);
    }

    async fn deliver_file(
        &self,
        at: &Conversation,
        from: &UserId,
        name: &str,
        content: &[u8],
    ) -> Delivery {
        let file = self.feishu.file(from.as_str(), name, content);
        self.write(at, from, "", Some(file), true)
    }

    async fn lose_file(&self, delivery: Delivery) {
        self.feishu.lose_file(&self.written(delivery).file.unwrap());
    }

    async fn write_unheard(&self, at: &Conversation, from: &UserId, text: &str) -> Delivery {
        self.write(at, from, text, None, false)
    }
}
