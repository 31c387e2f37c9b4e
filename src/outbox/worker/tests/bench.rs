//! A worker on a real ledger and a platform in memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::TempDir;
use tieline_channel::{Channel as _, ChatId, Conversation, Language, PostKind, WireId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::platform::Platform;
use crate::id::OutboxId;
use crate::ledger::{Ledger, LedgerThread, NewPost, OutboxEntry, PostState, flaky};
use crate::outbox::pace::Pace;
use crate::outbox::worker::Worker;

/// Long enough to be noticed when it is waited for.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A worker on a real ledger and a platform in memory.
pub(super) struct Bench {
    pub(super) platform: Arc<Platform>,
    pub(super) ledger: Ledger,
    pub(super) pace: Pace,
    /// The disk is full while this is set.
    pub(super) full: Arc<AtomicBool>,
    thread: LedgerThread,
    running: JoinSet<()>,
    stop: CancellationToken,
    dir: TempDir,
}

impl Bench {
    pub(super) fn new(platform: Arc<Platform>) -> Self {
        let dir = TempDir::new().unwrap();
        let full = Arc::default();
        let (ledger, thread) = flaky::open(dir.path(), &full);
        Self {
            platform,
            ledger,
            pace: Pace {
                retry: (Duration::from_millis(2), Duration::from_millis(20)),
                call: HOUR,
                settling: Duration::from_millis(1),
                operator: Duration::from_millis(5),
                longest: HOUR,
                ledger: Duration::from_millis(5),
                grace: HOUR,
            },
            full,
            thread,
            running: JoinSet::new(),
            stop: CancellationToken::new(),
            dir,
        }
    }

    pub(super) fn start(&mut self) {
        let worker = self.worker();
        self.start_worker(worker);
    }

    pub(super) fn worker(&self) -> Worker {
        let channel = Arc::clone(&self.platform);
        Worker::with_pace(
            self.ledger.clone(),
            channel,
            Language::English,
            self.pace.clone(),
        )
    }

    pub(super) fn start_worker(&mut self, worker: Worker) {
        self.stop = CancellationToken::new();
        self.running.spawn(worker.run(self.stop.clone()));
    }

    /// Ends the worker in the middle of whatever it does, as far as anyone outside can tell.
    pub(super) async fn crash(&mut self) {
        self.running.shutdown().await;
    }

    /// Stops the worker as the daemon does.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Returns when the worker has ended.
    pub(super) async fn ended(&mut self) {
        tokio::time::timeout(Duration::from_secs(60), self.running.join_next())
            .await
            .expect("the worker should have ended")
            .unwrap()
            .unwrap();
    }

    /// Opens the ledger again, as the next process does.
    pub(super) async fn reopen_ledger(&mut self) {
        let (ledger, thread) = {
            let placeholder = TempDir::new().unwrap();
            flaky::open(placeholder.path(), &self.full)
        };
        self.ledger = ledger;
        std::mem::replace(&mut self.thread, thread).close().await;
        let (ledger, thread) = flaky::open(self.dir.path(), &self.full);
        self.ledger = ledger;
        std::mem::replace(&mut self.thread, thread).close().await;
    }

    pub(super) async fn close_ledger(self) -> JoinSet<()> {
        self.thread.close().await;
        self.running
    }

    pub(super) async fn enqueue(&self, chat: &str, text: &str) -> OutboxId {
        let ids = self.enqueue_all(vec![self.new_post(chat, text)]).await;
        ids[0]
    }

    pub(super) async fn enqueue_all(&self, posts: Vec<NewPost>) -> Vec<OutboxId> {
        self.ledger.enqueue(posts).await.unwrap()
    }

    pub(super) fn new_post(&self, chat: &str, text: &str) -> NewPost {
        NewPost {
            channel: self.platform.id().clone(),
            to: conversation(chat),
            reply_to: None,
            settles: vec![WireId::new("m")],
            kind: PostKind::Answer,
            text: text.to_owned(),
            buttons: Vec::new(),
            as_file: None,
            file: None,
            reaction: None,
            edit: None,
        }
    }

    pub(super) async fn entry(&self, id: OutboxId) -> OutboxEntry {
        self.ledger.post(id).await.unwrap().unwrap()
    }

    /// Returns the entry once `enough` holds; for what the platform does not see.
    pub(super) async fn until(
        &self,
        id: OutboxId,
        enough: impl Fn(&OutboxEntry) -> bool,
    ) -> OutboxEntry {
        let search = async {
            loop {
                if let Ok(Some(entry)) = self.ledger.post(id).await
                    && enough(&entry)
                {
                    return entry;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), search).await {
            Ok(entry) => entry,
            Err(_elapsed) => panic!("it never came to that: {:#?}", self.entry(id).await),
        }
    }

    pub(super) async fn settled(&self, id: OutboxId) -> PostState {
        self.until(id, |entry| entry.state.is_settled()).await.state
    }
}

pub(super) fn conversation(chat: &str) -> Conversation {
    Conversation {
        chat: ChatId::new(chat),
        thread: None,
    }
}
