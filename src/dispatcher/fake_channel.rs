//! A channel whose files and history a test makes up.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tieline_channel::{
    Attachment, Capabilities, CaughtUp, Channel, ChannelId, ChatId, ChatKind, Conversation, Emoji,
    EventKey, EventKind, Health, Intake, Message, Post, Posted, Repeat, RunError, Said, Segment,
    SendError, Sender, SenderKind, Status, TextLimit, TextUnit, ThreadKey, UserId, WireId,
};
use tokio::fs;
use tokio::sync::{Barrier, Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::id::{DispatcherId, LaneId, MessageId};
use crate::ledger::{MessageRecord, MessageState};

/// What a call for a file comes to.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The file has this in it.
    Content(&'static [u8]),
    /// The file has so many bytes, whatever was asked for.
    Bytes(u64),
    /// The call fails.
    Fails(SendError),
    /// Something is written, and then nothing more happens.
    Hangs,
}

/// What a call for earlier messages comes to; `None` never returns.
pub(super) type EarlierAnswer = Option<Result<Vec<Said>, SendError>>;

#[derive(Default)]
struct Seen {
    fetches: Vec<String>,
    earlier: usize,
    at_once: usize,
    most_at_once: usize,
}

/// A channel whose files and history a test makes up. What it is not told of, it does not have.
pub(super) struct FakeChannel {
    id: ChannelId,
    capabilities: Capabilities,
    /// What calls for a file come to, one after the other; the last one for ever.
    files: Mutex<HashMap<String, Vec<Answer>>>,
    /// What calls for earlier messages come to, in the same way.
    earlier: Mutex<Vec<EarlierAnswer>>,
    /// The first calls for files wait for each other: so many, if any.
    meeting: Option<(usize, Barrier)>,
    /// A call hangs, and has written half of its file.
    pub(super) hanging: Notify,
    seen: Mutex<Seen>,
}

impl FakeChannel {
    pub(super) fn new() -> Self {
        Self {
            id: ChannelId::new("team"),
            capabilities: Capabilities {
                text: TextLimit {
                    max: 1_000,
                    unit: TextUnit::Chars,
                },
                repeat: Repeat::Idempotent,
                edit: false,
                delete: false,
                status: false,
                reactions: true,
                buttons: false,
                files: true,
                max_file_bytes: 1_000,
                settles: false,
                history: true,
                operator_only: false,
            },
            files: Mutex::default(),
            earlier: Mutex::default(),
            meeting: None,
            hanging: Notify::new(),
            seen: Mutex::default(),
        }
    }

    pub(super) fn with_file(self, reference: &str, answers: &[Answer]) -> Self {
        let mut files = self.files.lock().unwrap();
        files.insert(reference.to_owned(), answers.to_vec());
        drop(files);
        self
    }

    pub(super) fn with_earlier(self, answers: Vec<EarlierAnswer>) -> Self {
        *self.earlier.lock().unwrap() = answers;
        self
    }

    pub(super) fn without_reactions(mut self) -> Self {
        self.capabilities.reactions = false;
        self
    }

    pub(super) fn without_history(mut self) -> Self {
        self.capabilities.history = false;
        self
    }

    /// The first `calls` for files only go on when all of them are under way.
    pub(super) fn meeting(mut self, calls: usize) -> Self {
        self.meeting = Some((calls, Barrier::new(calls)));
        self
    }

    /// Returns what was asked for, in order.
    pub(super) fn fetches(&self) -> Vec<String> {
        self.seen.lock().unwrap().fetches.clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.seen.lock().unwrap().most_at_once
    }

    pub(super) fn asked_for_earlier(&self) -> usize {
        self.seen.lock().unwrap().earlier
    }

    async fn answer(&self, answer: Answer, to: &Path) -> Result<(), SendError> {
        match answer {
            Answer::Content(content) => fs::write(to, content).await.unwrap(),
            Answer::Bytes(bytes) => {
                let file = fs::File::create(to).await.unwrap();
                file.set_len(bytes).await.unwrap();
            }
            Answer::Fails(failure) => return Err(failure),
            Answer::Hangs => {
                fs::write(to, "half of").await.unwrap();
                self.hanging.notify_one();
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }
}

/// Takes the next answer; the last one stays.
fn next<T: Clone>(answers: &mut Vec<T>) -> Option<T> {
    if answers.len() > 1 {
        return Some(answers.remove(0));
    }
    answers.first().cloned()
}

/// Returns a failure that says it may work later.
pub(super) fn again(after: Option<Duration>) -> SendError {
    SendError::Again {
        after,
        reason: "busy".to_owned(),
    }
}

/// Returns a message as the ledger has it, with files of these references.
pub(super) fn record(files: &[&str]) -> MessageRecord {
    let id = MessageId::new();
    let attachment = |reference: &&str| Attachment {
        reference: (*reference).to_owned(),
        name: (*reference).to_owned(),
        mime: None,
        bytes: None,
        path: None,
    };
    MessageRecord {
        id,
        channel: ChannelId::new("team"),
        dispatcher: DispatcherId::new("a"),
        lane: LaneId::new("a"),
        key: EventKey {
            kind: EventKind::Message,
            id: id.to_string(),
        },
        message: Message {
            id: WireId::new("1731.2"),
            conversation: Conversation {
                chat: ChatId::new("C1"),
                thread: Some(ThreadKey::new("1730.1")),
            },
            chat_kind: ChatKind::Group,
            chat_name: None,
            sender: Sender {
                id: UserId::new("U1"),
                name: None,
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::now(),
            body: vec![Segment::Text("look".to_owned())],
            addressed: true,
            in_thread: true,
            quote: None,
            attachments: files.iter().map(attachment).collect(),
        },
        received_at: SystemTime::now(),
        urgent: false,
        first_here: true,
        state: MessageState::InTurn,
        changed_at: SystemTime::now(),
        turn: None,
    }
}

#[async_trait]
impl Channel for FakeChannel {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        watch::Sender::new(Health::connecting(SystemTime::UNIX_EPOCH)).subscribe()
    }

    async fn run(&self, _: Arc<dyn Intake>, _: CancellationToken) -> Result<(), RunError> {
        unreachable!("nothing comes in")
    }

    async fn post(&self, _: &Post) -> Result<Posted, SendError> {
        unreachable!("nothing goes out")
    }

    async fn find(&self, _: &Post, _: SystemTime) -> Result<Option<Posted>, SendError> {
        unreachable!("nothing goes out")
    }

    async fn edit(&self, _: &Conversation, _: &WireId, _: &str) -> Result<(), SendError> {
        unreachable!("nothing goes out")
    }

    async fn delete(&self, _: &Conversation, _: &WireId) -> Result<(), SendError> {
        unreachable!("nothing goes out")
    }

    async fn show_status(&self, _: &Conversation, _: &WireId, _: &Status) -> Result<(), SendError> {
        Ok(())
    }

    async fn react(&self, _: &Conversation, _: &WireId, _: Emoji) -> Result<(), SendError> {
        unreachable!("nothing goes out")
    }

    async fn fetch(
        &self,
        attachment: &Attachment,
        to: &Path,
        _max_bytes: u64,
    ) -> Result<(), SendError> {
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.fetches.push(attachment.reference.clone());
            seen.at_once += 1;
            seen.most_at_once = seen.most_at_once.max(seen.at_once);
            seen.fetches.len()
        };
        if let Some((calls, meeting)) = &self.meeting
            && number <= *calls
        {
            meeting.wait().await;
        }
        let answer = {
            let mut files = self.files.lock().unwrap();
            files.get_mut(&attachment.reference).and_then(next)
        };
        let answer = answer.unwrap_or(Answer::Fails(SendError::Never {
            reason: "no such file".to_owned(),
        }));
        let outcome = self.answer(answer, to).await;
        self.seen.lock().unwrap().at_once -= 1;
        outcome
    }

    async fn earlier(&self, _: &Message, limit: usize) -> Result<Vec<Said>, SendError> {
        assert!(limit > 0);
        self.seen.lock().unwrap().earlier += 1;
        let answer = next(&mut self.earlier.lock().unwrap());
        match answer {
            Some(Some(answer)) => answer,
            Some(None) => std::future::pending().await,
            None => Ok(Vec::new()),
        }
    }

    async fn catch_up(
        &self,
        _: SystemTime,
        _: &[Conversation],
        _: &dyn Intake,
    ) -> Result<CaughtUp, SendError> {
        unreachable!("nothing was missed")
    }

    fn reconnect(&self, _: &str) {}
}
