//! A chat platform that outlives the daemon: it speaks the console's protocol, delivers again
//! what was not acknowledged, recognises a post by its key, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What this platform knows of one chat.
#[derive(Debug, Default)]
struct Chat {
    /// Messages in the order they were written; the value tells whether they were acknowledged.
    messages: Vec<(String, String)>,
    acked: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// Messages that the daemon could not record, at least once.
    unrecorded: BTreeSet<String>,
    /// Posts in the order they appeared, each key once.
    posts: Vec<Posted>,
    /// How often a post came again under a key that is shown already.
    repeats: usize,
    /// Everything people saw, in order, as the daemon sent it.
    seen: Vec<String>,
}

/// A post as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) settles: Vec<String>,
}

/// One chat of the platform, connected to the daemon's console whenever it listens.
pub(crate) struct Platform {
    socket: PathBuf,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    chats: Mutex<BTreeMap<String, Chat>>,
    /// Bumped whenever anything changed.
    changed: watch::Sender<u64>,
    /// While set, posts are shown but not confirmed.
    withhold: watch::Sender<bool>,
}

impl Platform {
    /// Makes a platform for the console that listens, or will, at `socket`.
    pub(crate) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            shared: Arc::new(Shared::default()),
            tasks: JoinSet::new(),
        }
    }

    /// Writes a message; the platform delivers it until it is acknowledged.
    pub(crate) fn write(&mut self, chat: &str, text: &str) -> String {
        let is_new;
        let id;
        {
            let mut chats = self.shared.lock();
            is_new = !chats.contains_key(chat);
            let state = chats.entry(chat.to_owned()).or_default();
            id = format!("{chat}-{}", state.messages.len());
            state.messages.push((id.clone(), text.to_owned()));
        }
        self.shared.touch();
        if is_new {
            let shared = Arc::clone(&self.shared);
            self.tasks
                .spawn(serve_chat(self.socket.clone(), chat.to_owned(), shared));
        }
        id
    }

    /// Returns everything that people have seen, in all chats.
    pub(crate) fn everything_seen(&self) -> String {
        let chats = self.shared.lock();
        let seen = chats.values().flat_map(|chat| &chat.seen);
        let mut all = seen.cloned().collect::<Vec<_>>().join("\n");
        for post in chats.values().flat_map(|chat| &chat.posts) {
            all.push_str(&post.text);
            all.push('\n');
        }
        all
    }

    /// While withheld, posts are shown and not confirmed: the daemon cannot know.
    pub(crate) fn withhold_confirmations(&self, withhold: bool) {
        self.shared.withhold.send_replace(withhold);
    }

    /// Waits until `id` was acknowledged.
    pub(crate) async fn acked(&self, id: &str) {
        self.until(&format!("the ack of {id}"), |chats| {
            chats.values().any(|chat| chat.acked.contains(id))
        })
        .await;
    }

    /// Returns whether `id` was acknowledged.
    pub(crate) fn is_acked(&self, id: &str) -> bool {
        self.shared
            .lock()
            .values()
            .any(|chat| chat.acked.contains(id))
    }

    /// Forgets that `id` was acknowledged, as if the ack had been lost on its way.
    pub(crate) fn forget_ack(&self, id: &str) {
        for chat in self.shared.lock().values_mut() {
            chat.acked.remove(id);
        }
        self.shared.touch();
    }

    /// Waits until the daemon has said that it cannot record `id`.
    pub(crate) async fn refused_to_record(&self, id: &str) {
        self.until(&format!("a nack of {id}"), |chats| {
            chats.values().any(|chat| chat.unrecorded.contains(id))
        })
        .await;
    }

    /// Waits until `id` is settled and returns the posts that settle it.
    pub(crate) async fn settled(&self, id: &str) -> Vec<Posted> {
        self.until(&format!("the answer to {id}"), |chats| {
            !settling(chats, id).is_empty()
        })
        .await;
        settling(&self.shared.lock(), id)
    }

    /// Waits until every message is settled.
    pub(crate) async fn all_settled(&self) {
        self.until("every message to be answered", |chats| {
            unsettled(chats).is_empty()
        })
        .await;
    }

    /// Waits until a post contains `text`.
    pub(crate) async fn posted(&self, text: &str) -> Posted {
        let find = |chats: &BTreeMap<String, Chat>| {
            chats
                .values()
                .flat_map(|chat| &chat.posts)
                .find(|post| post.text.contains(text))
                .cloned()
        };
        self.until(&format!("a post that says {text:?}"), |chats| {
            find(chats).is_some()
        })
        .await;
        find(&self.shared.lock()).unwrap()
    }

    /// Returns the posts of a chat, in the order they appeared.
    pub(crate) fn posts(&self, chat: &str) -> Vec<Posted> {
        self.shared
            .lock()
            .get(chat)
            .map(|chat| chat.posts.clone())
            .unwrap_or_default()
    }

    /// Returns everything people saw in a chat, in order: posts and statuses as they were sent.
    pub(crate) fn seen(&self, chat: &str) -> Vec<String> {
        self.shared
            .lock()
            .get(chat)
            .map(|chat| chat.seen.clone())
            .unwrap_or_default()
    }

    /// Returns what was lost and what came twice, over everything that was ever written.
    pub(crate) fn tally(&self) -> Tally {
        let chats = self.shared.lock();
        let mut tally = Tally::default();
        for (name, chat) in chats.iter() {
            let mut settled_in_order = Vec::new();
            for post in &chat.posts {
                settled_in_order.extend(post.settles.iter().cloned());
                if post.kind == "notice" && post.settles.is_empty() {
                    tally.notices += 1;
                }
            }
            for (id, text) in &chat.messages {
                tally.written += 1;
                let posts = settling(&chats, id);
                match posts.as_slice() {
                    [] => tally.lost.push(id.clone()),
                    [post] => match post.kind.as_str() {
                        "answer" => {
                            tally.answered += 1;
                            if !post.text.contains(text.as_str()) {
                                tally.wrong.push(format!("{id}: {:?}", post.text));
                            }
                        }
                        _ if post.text.contains('❓') => tally.unclear += 1,
                        _ => tally.failed.push(format!("{id}: {}", post.text)),
                    },
                    several => tally.twice.push(format!("{id}: {several:?}")),
                }
            }
            let mut sorted = settled_in_order.clone();
            sorted.sort_by_key(|id| id.rsplit('-').next().and_then(|n| n.parse::<usize>().ok()));
            if sorted != settled_in_order {
                tally
                    .out_of_order
                    .push(format!("{name}: {settled_in_order:?}"));
            }
            tally.repeats += chat.repeats;
        }
        tally
    }

    async fn until(&self, what: &str, predicate: impl Fn(&BTreeMap<String, Chat>) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if predicate(&self.shared.lock()) {
                    return;
                }
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(120), wait)
            .await
            .is_err()
        {
            panic!(
                "waited 120 s for {what}; the platform knows: {:#?}",
                self.shared.lock()
            );
        }
    }
}

/// What became of everything that was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) written: usize,
    pub(crate) answered: usize,
    pub(crate) unclear: usize,
    pub(crate) notices: usize,
    /// Posts that came again under their key, which a platform recognises.
    pub(crate) repeats: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) twice: Vec<String>,
    pub(crate) failed: Vec<String>,
    pub(crate) wrong: Vec<String>,
    pub(crate) out_of_order: Vec<String>,
}

impl Tally {
    /// Fails unless every message has one answer, or one honest "unclear", in order.
    pub(crate) fn assert_exactly_once(&self) {
        assert!(
            self.lost.is_empty()
                && self.twice.is_empty()
                && self.failed.is_empty()
                && self.wrong.is_empty()
                && self.out_of_order.is_empty()
                && self.answered + self.unclear == self.written,
            "{self:#?}"
        );
    }
}

fn settling(chats: &BTreeMap<String, Chat>, id: &str) -> Vec<Posted> {
    let posts = chats.values().flat_map(|chat| &chat.posts);
    posts
        .filter(|post| post.settles.iter().any(|settled| settled == id))
        .cloned()
        .collect()
}

fn unsettled(chats: &BTreeMap<String, Chat>) -> Vec<String> {
    let messages = chats.values().flat_map(|chat| &chat.messages);
    messages
        .map(|(id, _)| id.clone())
        .filter(|id| settling(chats, id).is_empty())
        .collect()
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Chat>> {
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

/// Keeps one chat connected for ever.
async fn serve_chat(socket: PathBuf, chat: String, shared: Arc<Shared>) {
    loop {
        if let Ok(stream) = UnixStream::connect(&socket).await {
            // However it ends, the platform tries again.
            let _ended = converse(stream, &chat, &shared).await;
        }
        // The daemon is away; nothing tells when it is back but trying.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn converse(stream: UnixStream, chat: &str, shared: &Shared) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut changed = shared.changed.subscribe();
    let mut withheld = shared.withhold.subscribe();
    let mut unconfirmed: Vec<String> = Vec::new();
    let mut sent = BTreeSet::new();
    send(
        &mut write,
        &json!({"type": "hello", "chat": chat, "name": "Tester"}),
    )
    .await?;
    loop {
        changed.borrow_and_update();
        let due: Vec<(String, String)> = {
            let chats = shared.lock();
            let state = &chats[chat];
            let is_due =
                |(id, _): &&(String, String)| !state.acked.contains(id) && !sent.contains(id);
            state.messages.iter().filter(is_due).cloned().collect()
        };
        for (id, text) in due {
            send(
                &mut write,
                &json!({"type": "message", "id": id, "text": text}),
            )
            .await?;
            sent.insert(id);
        }
        if !*withheld.borrow_and_update() {
            for key in unconfirmed.drain(..) {
                send(&mut write, &json!({"type": "posted", "key": key})).await?;
            }
        }
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let frame: Value = serde_json::from_str(&line).expect("the daemon speaks JSON");
                take(&frame, chat, shared, &mut sent, &mut unconfirmed);
            }
            _ = changed.changed() => {}
            _ = withheld.changed() => {}
        }
    }
}

fn take(
    frame: &Value,
    chat: &str,
    shared: &Shared,
    sent: &mut BTreeSet<String>,
    unconfirmed: &mut Vec<String>,
) {
    let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
    let mut chats = shared.lock();
    let state = chats.get_mut(chat).unwrap();
    if matches!(frame["type"].as_str(), Some("post" | "status")) {
        state.seen.push(frame.to_string());
    }
    match frame["type"].as_str() {
        Some("ack") => {
            if frame["outcome"] == "refused" {
                state.refused.insert(text("id"));
            }
            state.acked.insert(text("id"));
        }
        Some("nack") => {
            state.unrecorded.insert(text("id"));
            sent.remove(&text("id"));
        }
        Some("post") => {
            let key = text("key");
            if state.posts.iter().any(|post| post.key == key) {
                state.repeats += 1;
            } else {
                let settles = frame["settles"].as_array().into_iter().flatten();
                state.posts.push(Posted {
                    key: key.clone(),
                    kind: text("kind"),
                    text: text("text"),
                    settles: settles.map(|id| id.as_str().unwrap().to_owned()).collect(),
                });
            }
            unconfirmed.push(key);
        }
        Some("status" | "welcome") => {}
        other => panic!("the daemon sent {other:?}: {frame}"),
    }
    drop(chats);
    shared.touch();
}

async fn send(write: &mut tokio::net::unix::OwnedWriteHalf, frame: &Value) -> std::io::Result<()> {
    let mut line = frame.to_string();
    line.push('\n');
    write.write_all(line.as_bytes()).await
}
