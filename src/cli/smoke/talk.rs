//! A client of the console that asks and waits.

use std::path::Path;

use anyhow::{Context as _, bail};
use tieline_channel::{ChatId, PostKind, WireId};
use tieline_console::protocol::{ClientLine, DaemonLine};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A conversation.
pub(super) struct Talk {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Talk {
    /// Begins one.
    pub(super) async fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        let (reader, writer) = stream.into_split();
        let mut talk = Self {
            lines: BufReader::new(reader).lines(),
            writer,
        };
        talk.say(&ClientLine::Hello {
            chat: ChatId::new("smoke"),
            name: "smoke".to_owned(),
        })
        .await?;
        match talk.hear().await? {
            DaemonLine::Welcome { .. } => Ok(talk),
            other => bail!("no welcome, but {other:?}"),
        }
    }

    /// Asks, and returns the beginning of the answer once nothing more comes for it.
    pub(super) async fn ask(&mut self, id: &str, text: &str) -> anyhow::Result<String> {
        let id = WireId::new(id);
        self.say(&ClientLine::Message {
            id: id.clone(),
            text: text.to_owned(),
            thread: None,
        })
        .await?;
        loop {
            match self.hear().await? {
                DaemonLine::Post {
                    key,
                    settles,
                    kind,
                    text,
                    ..
                } => {
                    self.say(&ClientLine::Posted { key }).await?;
                    if !settles.contains(&id) {
                        continue;
                    }
                    let beginning: String = text.chars().take(60).collect();
                    if kind == PostKind::Answer {
                        return Ok(format!("answered: {beginning}"));
                    }
                    bail!("{text}");
                }
                DaemonLine::Nack { reason, .. } => bail!("the message was not recorded: {reason}"),
                _ => {}
            }
        }
    }

    async fn say(&mut self, line: &ClientLine) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let written = self.writer.write_all(text.as_bytes()).await;
        written.context("the daemon does not listen any more")
    }

    async fn hear(&mut self) -> anyhow::Result<DaemonLine> {
        let line = self.lines.next_line().await?;
        let line = line.context("the daemon has ended the conversation")?;
        serde_json::from_str(&line).with_context(|| format!("not understood: {line}"))
    }
}
