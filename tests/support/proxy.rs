//! A go-between on the socket of an app-server, which breaks the connection on demand while the
//! app-server lives on.
//!
//! It knows frames, so that a fault can hit one that says something in particular: before it is
//! passed on, in the middle of it, or right after it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::model::within;

/// Who a frame is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Server,
    Daemon,
}

/// What happens to the connection at a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Nothing; it is only noticed.
    None,
    /// It breaks before the frame is passed on.
    Before,
    /// It breaks in the middle of the frame.
    Halfway,
    /// It breaks when the frame was passed on.
    After,
    /// Neither it nor anything else is passed on until that is allowed again.
    Hold,
}

/// A listener between the daemon and an app-server.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// A frame that is waited for.
#[derive(Debug)]
pub(crate) struct Sighting(watch::Receiver<Option<String>>);

#[derive(Debug)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    /// Counts connections that were upgraded.
    connections: watch::Sender<u64>,
    /// Bumped to break all connections of the moment.
    broken: watch::Sender<u64>,
    /// While set, nothing is passed on.
    held: watch::Sender<bool>,
    /// Frames that are slipped in on the way to the daemon.
    slipped: broadcast::Sender<Vec<u8>>,
}

#[derive(Debug)]
struct Rule {
    to: To,
    text: String,
    mishap: Mishap,
    seen: watch::Sender<Option<String>>,
}

impl Proxy {
    /// Listens at `path` for an app-server that listens at `server`.
    pub(crate) fn listen(path: &Path, server: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let shared = Arc::new(Shared {
            rules: Mutex::default(),
            connections: watch::Sender::default(),
            broken: watch::Sender::default(),
            held: watch::Sender::default(),
            slipped: broadcast::Sender::new(64),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, server.to_owned(), Arc::clone(&shared)));
        Self {
            shared,
            _tasks: tasks,
        }
    }

    /// Breaks the connections there are at this moment.
    pub(crate) fn break_now(&self) {
        self.shared.broken.send_modify(|count| *count += 1);
    }

    /// Has `mishap` happen at the next frame to `to` that contains `text`, once.
    pub(crate) fn at_frame(&self, to: To, text: &str, mishap: Mishap) -> Sighting {
        let (seen, sighting) = watch::channel(None);
        self.shared.rules().push(Rule {
            to,
            text: text.to_owned(),
            mishap,
            seen,
        });
        Sighting(sighting)
    }

    /// While held, nothing is passed on in either direction, and connections stay.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Slips a text frame in on the way to the daemon.
    pub(crate) fn say_to_daemon(&self, text: &str) {
        self.slip(0x1, text.as_bytes());
    }

    /// Slips a frame of any kind in on the way to the daemon.
    pub(crate) fn slip(&self, opcode: u8, payload: &[u8]) {
        let frame = server_frame(opcode, payload);
        self.shared.slipped.send(frame).expect("a connection");
    }

    /// Returns how many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        *self.shared.connections.borrow()
    }

    /// Waits until there have been more than `so_far` connections.
    pub(crate) async fn connected_again(&self, so_far: u64) {
        let mut connections = self.shared.connections.subscribe();
        within(
            "a new connection",
            connections.wait_for(|count| *count > so_far),
        )
        .await
        .expect("the proxy lives");
    }
}

impl Sighting {
    /// Waits for the frame and returns its text.
    pub(crate) async fn seen(&mut self) -> String {
        within("a frame", self.0.wait_for(Option::is_some))
            .await
            .expect("the proxy lives")
            .clone()
            .expect("waited for")
    }
}

impl Shared {
    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is to happen at a frame. A rule that only looks does not use up another.
    fn judge(&self, to: To, payload: &[u8]) -> Mishap {
        let text = String::from_utf8_lossy(payload);
        let mut judgement = Mishap::None;
        self.rules().retain(|rule| {
            let fits = rule.to == to && text.contains(&rule.text);
            if !fits || (rule.mishap != Mishap::None && judgement != Mishap::None) {
                return true;
            }
            if rule.mishap != Mishap::None {
                judgement = rule.mishap;
            }
            rule.seen.send_replace(Some(text.to_string()));
            false
        });
        judgement
    }
}

async fn serve(listener: UnixListener, server: PathBuf, shared: Arc<Shared>) {
    let mut carried = JoinSet::new();
    while let Ok((daemon, _)) = listener.accept().await {
        carried.spawn(carry(daemon, server.clone(), Arc::clone(&shared)));
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(daemon: UnixStream, server: PathBuf, shared: Arc<Shared>) {
    let server = loop {
        match UnixStream::connect(&server).await {
            Ok(server) => break server,
            // It is about to listen; nothing tells but trying. Aborted with the test.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let mut broken = shared.broken.subscribe();
    broken.mark_unchanged();
    let slipped = shared.slipped.subscribe();
    let (from_daemon, to_daemon) = daemon.into_split();
    let (from_server, to_server) = server.into_split();
    let to_server = pump(To::Server, from_daemon, to_server, None, &shared);
    let to_daemon = pump(To::Daemon, from_server, to_daemon, Some(slipped), &shared);
    // Whatever ends first ends both directions.
    tokio::select! {
        _ended = to_server => {}
        _ended = to_daemon => {}
        _ = broken.changed() => {}
    }
}

/// Passes frames on until the connection ends, by itself or by a rule.
async fn pump(
    to: To,
    from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + Unpin,
    mut slipped: Option<broadcast::Receiver<Vec<u8>>>,
    shared: &Shared,
) -> io::Result<()> {
    let mut frames = Frames {
        from,
        buffer: Vec::new(),
    };
    let Some(upgrade) = frames.upgrade().await? else {
        return Ok(());
    };
    released(shared).await;
    into.write_all(&upgrade).await?;
    if to == To::Daemon {
        shared.connections.send_modify(|count| *count += 1);
    }
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame?,
            slipped = next_slipped(&mut slipped) => {
                into.write_all(&slipped).await?;
                continue;
            }
        };
        let Some(frame) = frame else {
            return Ok(());
        };
        released(shared).await;
        match shared.judge(to, &frame.payload) {
            Mishap::None => into.write_all(&frame.raw).await?,
            Mishap::Hold => {
                shared.held.send_replace(true);
                released(shared).await;
                into.write_all(&frame.raw).await?;
            }
            Mishap::Before => return Ok(()),
            Mishap::Halfway => {
                return into.write_all(&frame.raw[..frame.raw.len() / 2]).await;
            }
            Mishap::After => {
                into.write_all(&frame.raw).await?;
                return into.flush().await;
            }
        }
    }
}

async fn released(shared: &Shared) {
    let mut held = shared.held.subscribe();
    // An error would mean that the proxy is gone, and this task with it.
    drop(held.wait_for(|held| !held).await);
}

async fn next_slipped(slipped: &mut Option<broadcast::Receiver<Vec<u8>>>) -> Vec<u8> {
    match slipped {
        Some(slipped) => match slipped.recv().await {
            Ok(frame) => frame,
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Cuts a stream into WebSocket frames.
struct Frames<R> {
    from: R,
    buffer: Vec<u8>,
}

struct Frame {
    raw: Vec<u8>,
    /// Unmasked.
    payload: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Returns the HTTP header that comes before all frames.
    async fn upgrade(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let end = self.buffer.windows(4).position(|at| at == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok(Some(self.buffer.drain(..end + 4).collect()));
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Returns the next frame. Cancel-safe.
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((head, mask, length)) = header(&self.buffer)
                && self.buffer.len() >= head + length
            {
                let raw: Vec<u8> = self.buffer.drain(..head + length).collect();
                let mut payload = raw[head..].to_vec();
                if let Some(mask) = mask {
                    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
                        *byte ^= key;
                    }
                }
                return Ok(Some(Frame { raw, payload }));
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Reads a frame's header: its own length, the mask, and the length of the payload.
fn header(bytes: &[u8]) -> Option<(usize, Option<[u8; 4]>, usize)> {
    let second = *bytes.get(1)?;
    let (mut head, length) = match second & 0x7f {
        126 => {
            let length = bytes.get(2..4)?.try_into().ok()?;
            (4, usize::from(u16::from_be_bytes(length)))
        }
        127 => {
            let length = bytes.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(length)).ok()?)
        }
        length => (2, usize::from(length)),
    };
    let mask = match second & 0x80 {
        0 => None,
        _ => {
            head += 4;
            Some(bytes.get(head - 4..head)?.try_into().ok()?)
        }
    };
    Some((head, mask, length))
}

/// Returns a frame as servers send them: whole and without a mask.
fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ ..126 => frame.push(length as u8),
        length @ 126..=0xffff => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
