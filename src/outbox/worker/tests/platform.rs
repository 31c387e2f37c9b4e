//! A platform in memory that does what a test tells it to.

use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tieline_channel::{
    Attachment, Capabilities, CaughtUp, Channel, ChannelId, Conversation, Emoji, File, Health,
    Intake, Link, Message, Post, PostKey, PostKind, Posted, Repeat, RunError, Said, SendError,
    Status, TextLimit, TextUnit, WireId,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// What the platform does with a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// Takes the post, or looks it up.
    Take,
    /// Takes it once [`Platform::gate`] has a permit.
    TakeAtGate,
    Again(Option<Duration>),
    Never,
    Operator,
    Unclear {
        taken: bool,
    },
    Hang {
        taken: bool,
    },
    Panic {
        taken: bool,
    },
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Post,
    Find,
    React,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) at: SystemTime,
}

/// A post that people see.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) key: PostKey,
    pub(super) to: Conversation,
    pub(super) text: String,
    pub(super) file: Option<File>,
    pub(super) settles: Vec<WireId>,
    pub(super) wire: WireId,
}

type Script = Box<dyn FnMut(Kind, &Post) -> Answer + Send>;

pub(super) struct Platform {
    id: ChannelId,
    capabilities: Capabilities,
    health: watch::Sender<Health>,
    pub(super) gate: Semaphore,
    seen: watch::Sender<Seen>,
    script: Mutex<Script>,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) calls: Vec<Call>,
    pub(super) shown: Vec<Shown>,
    busy: HashMap<Conversation, PostKey>,
    /// Conversations that had two calls at once.
    pub(super) overlaps: HashSet<Conversation>,
}

impl Seen {
    pub(super) fn texts(&self) -> Vec<&str> {
        self.shown.iter().map(|shown| shown.text.as_str()).collect()
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.calls.iter().map(|call| call.kind).collect()
    }
}

impl Platform {
    pub(super) fn new(
        repeat: Repeat,
        script: impl FnMut(Kind, &Post) -> Answer + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self::made(repeat, script))
    }

    /// Makes a platform that takes no reactions.
    pub(super) fn without_reactions() -> Arc<Self> {
        let mut platform = Self::made(Repeat::Findable, |_, _| Answer::Take);
        platform.capabilities.reactions = false;
        Arc::new(platform)
    }

    /// Makes a platform that takes files.
    pub(super) fn with_files(
        repeat: Repeat,
        script: impl FnMut(Kind, &Post) -> Answer + Send + 'static,
    ) -> Arc<Self> {
        let mut platform = Self::made(repeat, script);
        platform.capabilities.files = true;
        Arc::new(platform)
    }

    fn made(repeat: Repeat, script: impl FnMut(Kind, &Post) -> Answer + Send + 'static) -> Self {
        let mut health = Health::connecting(SystemTime::UNIX_EPOCH);
        health.link = Link::Up;
        Self {
            id: ChannelId::new("team"),
            capabilities: Capabilities {
                text: TextLimit {
                    max: 200,
                    unit: TextUnit::Chars,
                },
                repeat,
                edit: false,
                delete: false,
                status: false,
                reactions: true,
                buttons: false,
                files: false,
                max_file_bytes: 0,
                settles: false,
                history: false,
                operator_only: false,
            },
            health: watch::Sender::new(health),
            gate: Semaphore::new(0),
            seen: watch::Sender::default(),
            script: Mutex::new(Box::new(script)),
        }
    }

    /// Gives the answers of a list, then takes everything.
    pub(super) fn answering<const N: usize>(repeat: Repeat, answers: [Answer; N]) -> Arc<Self> {
        let mut answers = answers.into_iter();
        Self::new(repeat, move |_, _| answers.next().unwrap_or(Answer::Take))
    }

    /// Replaces what decides about the answers.
    pub(super) fn replace_script(
        &self,
        script: impl FnMut(Kind, &Post) -> Answer + Send + 'static,
    ) {
        *self.script() = Box::new(script);
    }

    /// Changes the connection; a change to [`Link::Up`] is another connection.
    pub(super) fn set_link(&self, link: Link) {
        self.health.send_modify(|health| {
            health.link = link;
            health.since += Duration::from_secs(1);
        });
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Returns what has happened once `enough` holds.
    pub(super) async fn until(&self, enough: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let found =
            tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|seen| enough(seen)));
        match found.await {
            Ok(seen) => seen.unwrap().clone(),
            Err(_elapsed) => panic!("it never happened, only {:#?}", self.seen()),
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Begins a call: it ends when what is returned is dropped, also when it is cut off.
    fn begin(&self, kind: Kind, post: &Post) -> (Answer, InCall<'_>) {
        let answer = (self.script())(kind, post);
        self.seen.send_modify(|seen| {
            seen.calls.push(Call {
                kind,
                at: SystemTime::now(),
            });
            if seen
                .busy
                .insert(post.to.clone(), post.key.clone())
                .is_some()
            {
                seen.overlaps.insert(post.to.clone());
            }
        });
        let call = InCall {
            platform: self,
            to: post.to.clone(),
        };
        (answer, call)
    }

    fn take(&self, post: &Post) -> Posted {
        let mut id = None;
        self.seen.send_modify(|seen| {
            let known = seen.shown.iter().find(|shown| shown.key == post.key);
            id = known
                .filter(|_| self.capabilities.repeat == Repeat::Idempotent)
                .map(|shown| shown.wire.clone());
            if id.is_none() {
                let wire = WireId::new(format!("wire-{}", seen.shown.len()));
                seen.shown.push(Shown {
                    key: post.key.clone(),
                    to: post.to.clone(),
                    text: post.text.clone(),
                    file: post.file.clone(),
                    settles: post.settles.clone(),
                    wire: wire.clone(),
                });
                id = Some(wire);
            }
        });
        Posted { id: id.unwrap() }
    }

    fn find_shown(&self, post: &Post) -> Option<Posted> {
        let seen = self.seen.borrow();
        let found = seen.shown.iter().find(|shown| shown.key == post.key)?;
        Some(Posted {
            id: found.wire.clone(),
        })
    }

    /// Does what an answer means; `work` is what the platform does when it does something.
    async fn give<T>(&self, answer: Answer, work: impl FnOnce() -> T) -> Result<T, SendError> {
        tokio::task::yield_now().await;
        let reason = "so it was told".to_owned();
        match answer {
            Answer::Take => Ok(work()),
            Answer::TakeAtGate => {
                self.gate.acquire().await.unwrap().forget();
                Ok(work())
            }
            Answer::Again(after) => Err(SendError::Again { after, reason }),
            Answer::Never => Err(SendError::Never { reason }),
            Answer::Operator => Err(SendError::Operator {
                remedy: "invite the bot".to_owned(),
                reason,
            }),
            Answer::Unclear { taken } => {
                taken.then(work);
                Err(SendError::Unclear { reason })
            }
            Answer::Hang { taken } => {
                taken.then(work);
                std::future::pending().await
            }
            Answer::Panic { taken } => {
                taken.then(work);
                resume_unwind(Box::new(reason)) // a panic that prints nothing
            }
        }
    }
}

struct InCall<'a> {
    platform: &'a Platform,
    to: Conversation,
}

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.platform.seen.send_modify(|seen| {
            seen.busy.remove(&self.to);
        });
    }
}

#[async_trait]
impl Channel for Platform {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn run(&self, _: Arc<dyn Intake>, _: CancellationToken) -> Result<(), RunError> {
        unreachable!("a worker does not run the channel")
    }

    async fn post(&self, post: &Post) -> Result<Posted, SendError> {
        assert!(self.capabilities.text.allows(&post.text), "too long");
        assert!(
            self.capabilities.files || post.file.is_none(),
            "it takes no files"
        );
        let (answer, _in_call) = self.begin(Kind::Post, post);
        self.give(answer, || self.take(post)).await
    }

    async fn find(&self, post: &Post, _: SystemTime) -> Result<Option<Posted>, SendError> {
        assert_eq!(self.capabilities.repeat, Repeat::Findable);
        let (answer, _in_call) = self.begin(Kind::Find, post);
        self.give(answer, || self.find_shown(post)).await
    }

    async fn edit(&self, _: &Conversation, _: &WireId, _: &str) -> Result<(), SendError> {
        unreachable!("a worker only posts")
    }

    async fn delete(&self, _: &Conversation, _: &WireId) -> Result<(), SendError> {
        unreachable!("a worker only posts")
    }

    async fn show_status(&self, _: &Conversation, _: &WireId, _: &Status) -> Result<(), SendError> {
        unreachable!("a worker only posts")
    }

    /// One that is there is not put there again, whatever happens to a repeated post.
    async fn react(&self, at: &Conversation, on: &WireId, emoji: Emoji) -> Result<(), SendError> {
        assert!(self.capabilities.reactions, "it takes no reactions");
        let text = format!("{} on {on}", emoji.symbol());
        let reaction = Post {
            key: PostKey::new(text.clone()),
            to: at.clone(),
            reply_to: None,
            settles: Vec::new(),
            kind: PostKind::Notice,
            text,
            buttons: Vec::new(),
            file: None,
        };
        let (answer, _in_call) = self.begin(Kind::React, &reaction);
        let put = || {
            if self.find_shown(&reaction).is_none() {
                self.take(&reaction);
            }
        };
        self.give(answer, put).await
    }

    async fn fetch(&self, _: &Attachment, _: &Path, _: u64) -> Result<(), SendError> {
        unreachable!("a worker only posts")
    }

    async fn earlier(&self, _: &Message, _: usize) -> Result<Vec<Said>, SendError> {
        unreachable!("a worker only posts")
    }

    async fn catch_up(
        &self,
        _: SystemTime,
        _: &[Conversation],
        _: &dyn Intake,
    ) -> Result<CaughtUp, SendError> {
        unreachable!("a worker only posts")
    }

    fn reconnect(&self, _: &str) {
        unreachable!("a worker only posts")
    }
}
