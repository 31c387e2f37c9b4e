//! A terminal and its way to the daemon.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tieline_channel::ChatId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::{self, Instant};

use super::exchange::{Exchange, Placement};
use super::screen::Screen;
use super::{ClientError, ClientOptions, Outcome};
use crate::lines::{Line, Lines};
use crate::protocol::{ClientLine, DaemonLine, MAX_LINE, PROTOCOL, StatusWord, encode};

/// How long to be silent about a daemon that is not there.
const SILENCE: Duration = Duration::from_secs(1);

/// The pauses between attempts to connect, and to hand in a message that was not taken.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The greatest length of a line of the daemon: a post, its text escaped.
const MAX_DAEMON_LINE: usize = 4 * MAX_LINE;

/// A terminal and its way to the daemon.
pub(super) struct Terminal<'a, I, O, E> {
    socket: &'a Path,
    options: ClientOptions,
    input: Input<I>,
    screen: Screen<O, E>,
    exchange: Exchange,
    pause: Duration,
}

struct Input<I> {
    lines: Lines<I>,
    number: u64,
    is_over: bool,
}

/// How a connection ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// There is nothing more to do.
    Done,
    /// The other side is gone.
    Lost,
}

impl<'a, I, O, E> Terminal<'a, I, O, E>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    pub(super) fn new(
        socket: &'a Path,
        options: ClientOptions,
        input: I,
        output: O,
        aside: E,
    ) -> Self {
        Self {
            socket,
            input: Input {
                lines: Lines::new(input, MAX_LINE),
                number: 0,
                is_over: false,
            },
            screen: Screen::new(&options, output, aside),
            exchange: Exchange::default(),
            options,
            pause: FIRST_PAUSE,
        }
    }

    /// Carries lines both ways until there is nothing more to do.
    pub(super) async fn run(&mut self) -> Result<(), ClientError> {
        if self.options.is_interactive() {
            if let Some(greeting) = self.options.greeting.take() {
                self.screen.answer(&greeting).await?;
            }
            self.screen.prompt().await?;
        }
        loop {
            let stream = self.connect().await?;
            if self.converse(stream).await? == Ended::Done {
                return Ok(());
            }
            time::sleep(self.next_pause()).await;
        }
    }

    /// Leaves the screen as a shell wants it, and says how it went.
    pub(super) async fn leave(mut self) -> Outcome {
        self.screen.end_prompt().await;
        if self.exchange.in_flight().is_some() {
            let remark = "The last message was not taken.";
            self.screen.remark(remark).await;
        }
        self.exchange.outcome()
    }

    async fn connect(&mut self) -> Result<UnixStream, ClientError> {
        let begun = Instant::now();
        let mut has_told = false;
        loop {
            let source = match UnixStream::connect(self.socket).await {
                Ok(stream) => {
                    if has_told {
                        self.screen.remark("Connected.").await;
                    }
                    return Ok(stream);
                }
                Err(error) => error,
            };
            let socket = self.socket.to_owned();
            if !is_worth_waiting(&source) {
                return Err(ClientError::Connect { socket, source });
            }
            let waited = begun.elapsed();
            if self
                .options
                .patience
                .is_some_and(|patience| waited >= patience)
            {
                return Err(ClientError::NoDaemon { socket, source });
            }
            if waited >= SILENCE && !has_told {
                has_told = true;
                let remark = format!("Waiting for tieline at {} …", socket.display());
                self.screen.remark(&remark).await;
            }
            time::sleep(self.next_pause()).await;
        }
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (2 * pause).min(LONGEST_PAUSE);
        pause
    }

    async fn converse(&mut self, stream: UnixStream) -> Result<Ended, ClientError> {
        let (read_half, write_half) = stream.into_split();
        let mut daemon = Lines::new(read_half, MAX_DAEMON_LINE);
        let mut link = Link {
            write_half,
            is_welcome: false,
            again_at: None,
        };
        let hello = ClientLine::Hello {
            chat: ChatId::new(self.options.chat.clone()),
            name: self.options.name.clone(),
        };
        if link.say(&hello).await.is_err() {
            return Ok(Ended::Lost);
        }
        loop {
            if self.is_done() {
                return Ok(Ended::Done);
            }
            let is_ready = link.is_welcome && self.exchange.may_send() && !self.input.is_over;
            let kept = tokio::select! {
                line = daemon.next() => match line {
                    Ok(Some(line)) => self.hear(line, &mut link).await?,
                    Ok(None) | Err(_) => return Ok(Ended::Lost),
                },
                line = self.input.lines.next(), if is_ready => self.type_in(line, &mut link).await?,
                () = link.wait_to_repeat() => self.send(&mut link).await,
            };
            if kept.is_err() {
                return Ok(Ended::Lost);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.input.is_over
            && self.exchange.in_flight().is_none()
            && (self.options.is_interactive() || self.exchange.all_settled())
    }

    /// Takes what was typed. The inner result is the connection's.
    async fn type_in(
        &mut self,
        line: io::Result<Option<Line>>,
        link: &mut Link,
    ) -> Result<io::Result<()>, ClientError> {
        self.input.number += 1;
        let number = self.input.number;
        match line {
            Ok(Some(Line::Bytes(bytes))) => {
                let text = match String::from_utf8(bytes) {
                    Ok(text) => text,
                    Err(error) => {
                        let remark =
                            format!("Line {number} is not UTF-8; what is not was replaced.");
                        self.screen.remark(&remark).await;
                        String::from_utf8_lossy(error.as_bytes()).into_owned()
                    }
                };
                if !text.trim().is_empty()
                    && let Err(bytes) = self.exchange.compose(text)
                {
                    self.too_long(bytes).await;
                }
            }
            Ok(Some(Line::TooLong { bytes })) => {
                self.exchange.refuse_unsent();
                self.too_long(bytes).await;
            }
            Ok(None) => self.input.is_over = true,
            Err(error) => {
                self.input.is_over = true;
                let remark = format!("Stdin cannot be read any further: {error}.");
                self.screen.remark(&remark).await;
            }
        }
        if self.options.is_interactive() && !self.input.is_over {
            self.screen.prompt().await?;
        }
        Ok(self.send(link).await)
    }

    async fn too_long(&mut self, bytes: usize) {
        let number = self.input.number;
        let remark = format!(
            "Line {number} was not sent: it has {bytes} bytes as it would travel, and {MAX_LINE} \
             are allowed."
        );
        self.screen.remark(&remark).await;
    }

    /// Sends the message in flight, if there is one, for the first time or again.
    async fn send(&mut self, link: &mut Link) -> io::Result<()> {
        link.again_at = None;
        match self.exchange.in_flight() {
            Some(message) => link.say(message).await,
            None => Ok(()),
        }
    }

    /// Takes a line of the daemon. The inner result is the connection's.
    async fn hear(&mut self, line: Line, link: &mut Link) -> Result<io::Result<()>, ClientError> {
        let Line::Bytes(bytes) = line else {
            self.screen
                .remark("The daemon said something too long to be shown.")
                .await;
            return Ok(Ok(()));
        };
        let Ok(line) = serde_json::from_slice(&bytes) else {
            return Ok(Ok(())); // of a later version
        };
        match line {
            DaemonLine::Welcome { protocol, .. } if protocol != PROTOCOL => {
                return Err(ClientError::Version { theirs: protocol });
            }
            DaemonLine::Welcome { .. } => {
                link.is_welcome = true;
                self.pause = FIRST_PAUSE;
                return Ok(self.send(link).await);
            }
            DaemonLine::Ack {
                id,
                outcome,
                reason,
            } => {
                self.pause = FIRST_PAUSE;
                if let Some(why) = self.exchange.acknowledged(&id, outcome, reason) {
                    self.screen.remark(&format!("Not taken: {why}.")).await;
                }
            }
            DaemonLine::Nack { id, reason } => {
                if self.exchange.is_in_flight(&id) {
                    let pause = self.next_pause();
                    if pause >= SILENCE {
                        let remark = format!("Not taken yet, trying again: {reason}.");
                        self.screen.remark(&remark).await;
                    }
                    link.again_at = Some(Instant::now() + pause);
                }
            }
            DaemonLine::Post {
                key,
                reply_to,
                settles,
                kind,
                text,
                ..
            } => {
                match self.exchange.place(&key, reply_to.as_ref(), &settles, kind) {
                    // It only settles: what there was to say has been said.
                    _ if text.is_empty() => {}
                    Placement::Reply => self.screen.answer(&text).await?,
                    Placement::ReplyToOthers if self.options.is_interactive() => {
                        self.screen.answer(&text).await?;
                    }
                    Placement::ReplyToOthers | Placement::Aside => {
                        self.screen.remark(&text).await;
                    }
                    Placement::Nowhere => {}
                }
                self.exchange.shown(&key, &settles, kind);
                return Ok(link.say(&ClientLine::Posted { key }).await);
            }
            DaemonLine::Status {
                status: StatusWord::Working,
                progress: Some(progress),
                ..
            } => self.screen.progress(&progress).await,
            DaemonLine::Status { .. } => {}
            DaemonLine::Error { reason, .. } if !link.is_welcome => {
                return Err(ClientError::TurnedAway { reason });
            }
            DaemonLine::Error { reason, .. } => {
                let remark = format!("The daemon did not understand this client: {reason}.");
                self.screen.remark(&remark).await;
            }
        }
        Ok(Ok(()))
    }
}

/// A connection to the daemon.
struct Link {
    write_half: OwnedWriteHalf,
    is_welcome: bool,
    /// When to send the message in flight again.
    again_at: Option<Instant>,
}

impl Link {
    async fn say(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.write_half.write_all(&encode(line)).await
    }

    async fn wait_to_repeat(&self) {
        match self.again_at {
            Some(at) => time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns whether the daemon may be there in a moment.
fn is_worth_waiting(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::WouldBlock
    )
}
