//! One client's connection, on the daemon's side.
//!
//! Three loops in one task: one reads, one hands messages in, one writes. So a slow disk does not
//! keep a `posted` from being read, and a client that does not read does not keep a message from
//! being taken.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Intake,
    Message, Segment, Sender, SenderKind, ThreadKey, UserId, WireId,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::hub::{ClientHandle, ClientId, Hub, QUEUE};
use crate::lines::{Line, Lines};
use crate::protocol::{ClientLine, DaemonLine, MAX_LINE, MAX_NAME, PROTOCOL, encode};

/// How many messages may wait to be handed in. When it is full, nothing more is read.
const BACKLOG: usize = 64;

/// How long the last lines may take at the end of a connection.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves one connection until it ends or `stop` is cancelled.
pub(crate) async fn serve(
    stream: UnixStream,
    channel: &ChannelId,
    hub: &Hub,
    intake: Arc<dyn Intake>,
    stop: &CancellationToken,
) {
    let (read_half, write_half) = stream.into_split();
    let (lines, to_write) = mpsc::channel(QUEUE);
    let (messages, to_hand_in) = mpsc::channel(BACKLOG);
    let dropped = stop.child_token();
    let session = Session {
        channel,
        hub,
        handle: ClientHandle {
            lines: lines.clone(),
            dropped: dropped.clone(),
        },
        messages,
        attached: None,
        n_lines: 0,
    };
    let listening = async {
        tokio::join!(
            dropped.run_until_cancelled(session.read(read_half)),
            dropped.run_until_cancelled(hand_in(to_hand_in, intake, lines)),
        );
        dropped.cancel();
    };
    tokio::join!(listening, write(to_write, write_half, &dropped));
}

/// The reading side of a connection.
struct Session<'a> {
    channel: &'a ChannelId,
    hub: &'a Hub,
    handle: ClientHandle,
    messages: mpsc::Sender<Message>,
    attached: Option<Attached>,
    n_lines: u64,
}

/// What `hello` said.
struct Attached {
    client: ClientId,
    chat: ChatId,
    name: String,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(attached) = &self.attached {
            self.hub.detach(attached.client);
        }
    }
}

impl Session<'_> {
    async fn read(mut self, read_half: OwnedReadHalf) {
        let mut lines = Lines::new(read_half, MAX_LINE);
        // An error of the connection is its end: the client comes again and says the rest.
        while let Ok(Some(line)) = lines.next().await {
            self.n_lines += 1;
            self.hub.heard();
            if let Err(reason) = self.take(line).await {
                self.say(DaemonLine::Error {
                    line: self.n_lines,
                    reason,
                })
                .await;
            }
        }
    }

    async fn take(&mut self, line: Line) -> Result<(), String> {
        match decode(line)? {
            ClientLine::Hello { chat, name } => self.hello(chat, name).await,
            ClientLine::Message { id, text, thread } => self.message(id, text, thread).await,
            ClientLine::Posted { key } => {
                let attached = self.attached()?;
                self.hub.shown(attached.client, &key);
                Ok(())
            }
        }
    }

    async fn hello(&mut self, chat: ChatId, name: String) -> Result<(), String> {
        check_name("chat", chat.as_str())?;
        check_name("name", &name)?;
        if self.attached.is_some() {
            return Err("hello was said before; open another connection for another chat".into());
        }
        // Before anything that the hub may send.
        self.say(DaemonLine::Welcome {
            protocol: PROTOCOL,
            channel: self.channel.to_string(),
            chat: chat.clone(),
        })
        .await;
        self.attached = Some(Attached {
            client: self.hub.attach(chat.clone(), self.handle.clone()),
            chat,
            name,
        });
        Ok(())
    }

    async fn message(
        &mut self,
        id: WireId,
        text: String,
        thread: Option<ThreadKey>,
    ) -> Result<(), String> {
        check_name("id", id.as_str())?;
        if let Some(thread) = &thread {
            check_name("thread", thread.as_str())?;
        }
        let attached = self.attached()?;
        let message = Message {
            id,
            conversation: Conversation {
                chat: attached.chat.clone(),
                thread,
            },
            chat_kind: ChatKind::Direct,
            chat_name: None,
            sender: Sender {
                id: UserId::new(attached.name.clone()),
                name: Some(attached.name.clone()),
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::now(),
            body: vec![Segment::Text(text)],
            addressed: true,
            in_thread: false,
            quote: None,
            attachments: Vec::new(),
        };
        // The other end is gone only when the connection is.
        drop(self.messages.send(message).await);
        Ok(())
    }

    fn attached(&self) -> Result<&Attached, String> {
        self.attached
            .as_ref()
            .ok_or_else(|| "the first line must be a hello".into())
    }

    async fn say(&self, line: DaemonLine) {
        // As above.
        drop(self.handle.lines.send(line).await);
    }
}

fn check_name(what: &str, value: &str) -> Result<(), String> {
    match value.len() {
        0 => Err(format!("`{what}` is empty")),
        1..=MAX_NAME => Ok(()),
        length => Err(format!(
            "`{what}` has {length} bytes; at most {MAX_NAME} are allowed"
        )),
    }
}

fn decode<T: DeserializeOwned>(line: Line) -> Result<T, String> {
    let bytes = match line {
        Line::Bytes(bytes) => bytes,
        Line::TooLong { bytes } => {
            return Err(format!(
                "the line has {bytes} bytes; at most {MAX_LINE} are allowed"
            ));
        }
    };
    let text = str::from_utf8(&bytes)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
    // Its own words name the line and column, of which the line is always the first.
    serde_json::from_str(text)
        .map_err(|error| error.to_string().replace(" at line 1 column ", ", column "))
}

/// Hands messages in, one after the other, and says what became of each.
async fn hand_in(
    mut messages: mpsc::Receiver<Message>,
    intake: Arc<dyn Intake>,
    lines: mpsc::Sender<DaemonLine>,
) {
    while let Some(message) = messages.recv().await {
        let id = message.id.clone();
        let line = match intake.accept(event(message)).await {
            Ok(receipt) => DaemonLine::ack(id, &receipt),
            Err(error) => DaemonLine::Nack {
                id,
                reason: error.to_string(),
            },
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// Names the event so that no other pair of chat and message has the same name.
fn event(message: Message) -> Event {
    let chat = message.conversation.chat.as_str();
    Event {
        key: EventKey {
            kind: EventKind::Message,
            id: format!("{}:{chat}:{}", chat.len(), message.id),
        },
        happening: Happening::Message(message),
    }
}

/// Writes until nobody can say anything more; after `dropped`, only for as long as a farewell.
async fn write(
    mut lines: mpsc::Receiver<DaemonLine>,
    mut write_half: OwnedWriteHalf,
    dropped: &CancellationToken,
) {
    let writing = async {
        while let Some(line) = lines.recv().await {
            write_half.write_all(&encode(&line)).await?;
        }
        io::Result::Ok(())
    };
    tokio::pin!(writing);
    tokio::select! {
        // An error is the client's end; the other loops need not go on for it.
        _ = &mut writing => dropped.cancel(),
        () = dropped.cancelled() => {
            // Best effort: whoever misses a line comes again and asks.
            drop(time::timeout(FAREWELL, writing).await);
        }
    }
}
