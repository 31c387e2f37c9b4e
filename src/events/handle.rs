//! The handle: tells, and lets listen.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tieline_channel::ChannelId;
use tokio::sync::{broadcast, oneshot};
use tracing::{error, warn};

use super::event::Event;
use super::log::{BATCH, Line, Place, Seen, Writer};
use super::record::{About, EventRecord};
use crate::id::{
    CompletionId, DispatcherId, LaneId, MessageId, OutboxId, RunId, SessionId, TaskId, ThreadId,
    TurnKey,
};

/// How many events are in memory.
const RECENT: usize = 2_000;

/// How many wait for the disk; fewer than are in memory, so that whatever is no longer there is on disk,
/// or missed.
const WAITING: usize = 1_024;
const _: () = assert!(WAITING + BATCH < RECENT);

/// How far a subscriber may be behind.
const BEHIND: usize = 1_024;

/// How long a text in an event may be, in characters.
const MAX_TEXT: usize = 2_000;

/// After a run that did not come to its end, numbers go on at the next multiple of this: what was told
/// live and is not on disk had numbers, too.
const UNCLEAN_STEP: u64 = 10_000;

/// How long the last events may take to reach the disk.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// What is done to a text before anybody sees it.
type Redact = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Who is told of every event at once, before anybody else: it must not wait.
type Observe = Box<dyn Fn(&About, &Event) + Send + Sync>;

/// Tells what happens: a cheap handle that also says what it is about.
///
/// `events.lane(&lane).turn(key).emit(Event::TurnStarted { … })`
#[derive(Clone)]
pub struct Events {
    shared: Option<Arc<Shared>>,
    about: Arc<About>,
}

/// How events are kept.
pub struct EventsSettings {
    /// How large a file becomes, in bytes.
    pub file_size: u64,
    /// How many full files are kept, beside the one that is written to.
    pub files: usize,
    /// Blanks what nobody may see; `None` when there is nothing of that in it.
    pub redact: Redact,
    /// Is told of every event, where it is emitted.
    pub observe: Observe,
}

/// The thread that writes. It ends when it is closed, or when the last [`Events`] is dropped.
#[derive(Debug)]
#[must_use = "close it at shutdown, or the last events do not reach the disk"]
pub struct EventsThread {
    events: Events,
    ended: oneshot::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

/// Hears what happens from now on.
#[derive(Debug)]
pub struct Subscriber {
    live: broadcast::Receiver<Arc<EventRecord>>,
    /// The number of the last event that was heard.
    last: u64,
    /// What it hears after it was told what it has missed.
    held: Option<Arc<EventRecord>>,
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// An event.
    Event(Arc<EventRecord>),
    /// It was too slow: so many events are missing before the next one. They can be read as pages.
    Missed(u64),
}

struct Shared {
    inner: Mutex<Inner>,
    place: Place,
    seen: Arc<Seen>,
    redact: Redact,
    observe: Observe,
    after_clean_end: bool,
}

struct Inner {
    /// The number of the next event.
    next: u64,
    recent: VecDeque<Arc<EventRecord>>,
    /// None when closed.
    live: Option<broadcast::Sender<Arc<EventRecord>>>,
    /// None when closed.
    to_disk: Option<SyncSender<Line>>,
    /// Events in a row that found no place in the queue.
    unqueued: u64,
}

impl EventsSettings {
    /// Eight files of 8 MiB, and the one that is written to.
    pub fn standard() -> Self {
        Self {
            file_size: 8 * 1024 * 1024,
            files: 8,
            redact: Box::new(|_| None),
            observe: Box::new(|_, _| {}),
        }
    }
}

impl fmt::Debug for EventsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventsSettings")
            .field("file_size", &self.file_size)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

// === impl Events ===

impl Events {
    /// Goes on with what is in `directory`, which is private and there. What is wrong with its files
    /// costs events, not the start.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn open(directory: &Path, settings: EventsSettings) -> io::Result<(Self, EventsThread)> {
        let place = Place {
            directory: directory.to_owned(),
            file_size: settings.file_size,
            files: settings.files,
        };
        let left = place.read_left(RECENT);
        let next = if left.is_clean {
            left.last + 1
        } else {
            (left.last / UNCLEAN_STEP + 1) * UNCLEAN_STEP
        };
        let seen = Arc::new(Seen::default());
        seen.oldest.store(left.oldest, Ordering::Relaxed);
        let (to_disk, lines) = sync_channel(WAITING);
        let (ended_sender, ended) = oneshot::channel();
        let writer = Writer::new(place.clone(), Arc::clone(&seen));
        let thread = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || {
                writer.run(&lines);
                drop(ended_sender);
            })?;
        let shared = Shared {
            inner: Mutex::new(Inner {
                next,
                recent: left.recent.into_iter().map(Arc::new).collect(),
                live: Some(broadcast::channel(BEHIND).0),
                to_disk: Some(to_disk),
                unqueued: 0,
            }),
            place,
            seen,
            redact: settings.redact,
            observe: settings.observe,
            after_clean_end: left.is_clean,
        };
        let events = Self {
            shared: Some(Arc::new(shared)),
            about: Arc::default(),
        };
        let thread = EventsThread {
            events: events.clone(),
            ended,
            thread,
        };
        Ok((events, thread))
    }

    /// Makes a handle that tells nobody, for parts that are used by themselves.
    pub fn none() -> Self {
        Self {
            shared: None,
            about: Arc::default(),
        }
    }

    /// Returns whether the run before this one had come to its end.
    pub fn after_clean_end(&self) -> bool {
        self.shared.as_ref().is_none_or(|it| it.after_clean_end)
    }

    /// Tells what happened. Never waits, never fails: where there is no room it is counted.
    pub fn emit(&self, event: Event) {
        let Some(shared) = &self.shared else {
            return;
        };
        (shared.observe)(&self.about, &event);
        let is_passing = event.is_passing();
        if is_passing && !self.has_listeners() {
            return;
        }
        let mut record = EventRecord {
            seq: None,
            at: SystemTime::now(),
            level: event.level(),
            kind: String::new(),
            message: event.to_string(),
            about: About::clone(&self.about),
            detail: Value::Null,
            missed: 0,
        };
        // It is made of text and numbers, which can always be told.
        if let Ok(Value::Object(mut told)) = serde_json::to_value(&event) {
            if let Some(Value::String(kind)) = told.remove("type") {
                record.kind = kind;
            }
            record.detail = told.remove("detail").unwrap_or_default();
        }
        shared.clean(&mut record.message);
        shared.clean_all(&mut record.detail);
        let mut inner = shared.lock();
        if is_passing {
            inner.tell(Arc::new(record));
            return;
        }
        // A number and its place in every queue are given together.
        record.seq = Some(inner.next);
        inner.next += 1;
        let record = Arc::new(record);
        if inner.recent.len() >= RECENT {
            inner.recent.pop_front();
        }
        inner.recent.push_back(Arc::clone(&record));
        if !inner.queue(Arc::clone(&record)) {
            shared.seen.missed.fetch_add(1, Ordering::Relaxed);
        }
        inner.tell(record);
    }

    /// Returns whether anybody listens.
    pub fn has_listeners(&self) -> bool {
        self.n_listeners() > 0
    }

    /// Returns how many listen.
    pub fn n_listeners(&self) -> usize {
        let shared = self.shared.as_ref();
        shared
            .and_then(|shared| {
                shared
                    .lock()
                    .live
                    .as_ref()
                    .map(broadcast::Sender::receiver_count)
            })
            .unwrap_or(0)
    }

    /// Returns how many events found no place on disk since the start.
    pub fn missed(&self) -> u64 {
        let shared = self.shared.as_ref();
        shared.map_or(0, |shared| shared.seen.missed.load(Ordering::Relaxed))
    }

    /// Begins to listen. Whoever is slow is told how many it has missed; whoever stops drops it.
    pub fn subscribe(&self) -> Subscriber {
        let shared = self.shared.as_ref();
        let listening = shared.and_then(|shared| {
            let inner = shared.lock();
            let live = inner.live.as_ref()?.subscribe();
            Some((live, inner.next - 1))
        });
        // Without anybody who tells, there is nothing to hear.
        let (live, last) = listening.unwrap_or_else(|| (broadcast::channel(1).1, 0));
        Subscriber {
            live,
            last,
            held: None,
        }
    }

    /// Returns the events in memory, oldest first, and the number of the last one.
    pub(super) fn recent(&self) -> (Vec<Arc<EventRecord>>, u64) {
        match &self.shared {
            Some(shared) => {
                let inner = shared.lock();
                (inner.recent.iter().cloned().collect(), inner.next - 1)
            }
            None => (Vec::new(), 0),
        }
    }

    /// Returns the number of the first event that is still there.
    pub(super) fn oldest(&self) -> Option<u64> {
        let oldest = self.shared.as_ref()?.seen.oldest.load(Ordering::Relaxed);
        (oldest > 0).then_some(oldest)
    }

    pub(super) fn place(&self) -> Option<&Place> {
        self.shared.as_ref().map(|shared| &shared.place)
    }
}

/// What the events that are told with a handle are about.
impl Events {
    fn about(&self, add: impl FnOnce(&mut About)) -> Self {
        let mut about = About::clone(&self.about);
        add(&mut about);
        Self {
            shared: self.shared.clone(),
            about: Arc::new(about),
        }
    }

    /// About a dispatcher.
    pub fn dispatcher(&self, id: &DispatcherId) -> Self {
        self.about(|about| about.dispatcher = Some(id.clone()))
    }

    /// About a lane.
    pub fn lane(&self, id: &LaneId) -> Self {
        self.about(|about| about.lane = Some(id.clone()))
    }

    /// About a turn.
    pub fn turn(&self, key: TurnKey) -> Self {
        self.about(|about| about.turn = Some(key))
    }

    /// About a Codex thread.
    pub fn thread(&self, id: &ThreadId) -> Self {
        self.about(|about| about.thread = Some(id.clone()))
    }

    /// About a message of a person.
    pub fn message(&self, id: MessageId) -> Self {
        self.about(|about| about.message_id = Some(id))
    }

    /// About a teammate.
    pub fn teammate(&self, name: &str) -> Self {
        self.about(|about| about.teammate = Some(name.to_owned()))
    }

    /// About a task.
    pub fn task(&self, id: TaskId) -> Self {
        self.about(|about| about.task = Some(id))
    }

    /// About a session.
    pub fn session(&self, id: SessionId) -> Self {
        self.about(|about| about.session = Some(id))
    }

    /// About a channel.
    pub fn channel(&self, id: &ChannelId) -> Self {
        self.about(|about| about.channel = Some(id.clone()))
    }

    /// About a result that was reported.
    pub fn completion(&self, id: CompletionId) -> Self {
        self.about(|about| about.completion = Some(id))
    }

    /// About a one-off run.
    pub fn run(&self, id: RunId) -> Self {
        self.about(|about| about.run = Some(id))
    }

    /// About an entry of the outbox.
    pub fn post(&self, id: OutboxId) -> Self {
        self.about(|about| about.post = Some(id))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blanks what nobody may see, and cuts what is too long.
    fn clean(&self, text: &mut String) {
        if let Some(redacted) = (self.redact)(text) {
            *text = redacted;
        }
        if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
            text.truncate(end);
            text.push('…');
        }
    }

    fn clean_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.clean(text),
            Value::Array(values) => values.iter_mut().for_each(|it| self.clean_all(it)),
            Value::Object(fields) => fields.values_mut().for_each(|it| self.clean_all(it)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl Inner {
    fn tell(&self, record: Arc<EventRecord>) {
        if let Some(live) = &self.live {
            // It fails when nobody listens.
            live.send(record).ok();
        }
    }

    /// Returns whether there was room.
    fn queue(&mut self, record: Arc<EventRecord>) -> bool {
        let Some(to_disk) = &self.to_disk else {
            return false;
        };
        let line = Line {
            record,
            missed: self.unqueued,
        };
        match to_disk.try_send(line) {
            Ok(()) => {
                self.unqueued = 0;
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.unqueued += 1;
                false
            }
        }
    }
}

// === impl EventsThread ===

impl EventsThread {
    /// Writes what waits, within a deadline, and ends. Whoever listens hears that it is over; what is
    /// told later is not heard.
    pub async fn close(self) {
        let Self {
            events,
            ended,
            thread,
        } = self;
        if let Some(shared) = &events.shared {
            let mut inner = shared.lock();
            inner.live = None;
            inner.to_disk = None;
        }
        // It ends by the other side being dropped.
        if tokio::time::timeout(CLOSE_DEADLINE, ended).await.is_err() {
            warn!("the last events are not on disk: it takes too long");
            return;
        }
        if thread.join().is_err() {
            error!("the thread that writes events panicked");
        }
    }
}

// === impl Subscriber ===

impl Subscriber {
    /// Returns the number of the last event before those that are heard.
    pub fn begins_after(&self) -> u64 {
        self.last
    }

    /// Returns what is heard next; `None` when there will be nothing more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        if let Some(event) = self.held.take() {
            return Some(Heard::Event(event));
        }
        loop {
            let event = match self.live.recv().await {
                Ok(event) => event,
                // The number of the next one says how many there were.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            let Some(seq) = event.seq else {
                return Some(Heard::Event(event));
            };
            let Some(missed) = seq.checked_sub(self.last + 1) else {
                continue;
            };
            self.last = seq;
            if missed > 0 {
                self.held = Some(event);
                return Some(Heard::Missed(missed));
            }
            return Some(Heard::Event(event));
        }
    }

    /// Takes note that everything up to this number was read otherwise.
    pub fn skip_to(&mut self, seq: u64) {
        self.last = self.last.max(seq);
    }
}
