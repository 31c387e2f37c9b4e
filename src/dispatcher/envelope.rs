//! How a message reads for the model: a `<channel …>` block.
//!
//! ```text
//! <channel source="slack" channel="team" chat="C123" message="1731.2" sender="U42" sent_at="2026-11-20T08:15:00Z" age="3s">
//! <earlier message="1730.1" sender="U7" sent_at="2026-11-20T08:00:00Z">what was said before it</earlier>
//! body, escaped once
//! </channel>
//! ```
//!
//! The opening tag is one line, starts its line, and is also the marker by which recovery finds
//! the message in a thread ([`is_marked`]). Nothing that a sender writes, in any field, can close
//! a tag or begin one: every `<` outside our own tags is escaped.

mod completion;
mod task;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use tieline_channel::{Attachment, ChannelId, ChatId, Message, Quote, Said, Segment, WireId};

pub use self::completion::{
    CompletionBody, is_completion, is_trigger, render_completion, render_trigger,
};

pub use self::task::{is_task, render_task};

/// How many earlier messages of a thread are asked for: more than are told, so that it is known how
/// many are left out.
pub const MAX_EARLIER_KNOWN: usize = 200;

/// How many earlier messages of a thread are told.
const MAX_EARLIER_TOLD: usize = 20;

/// How many characters what was said earlier may take, as the model gets it.
pub const MAX_EARLIER_CHARS: usize = 20_000;

/// How much of one earlier message is told.
const MAX_SAID_CHARS: usize = 3_000;

/// What a rendering needs beside the message.
#[derive(Clone, Copy, Debug)]
pub struct RenderContext<'a> {
    /// The channel's name in the configuration.
    pub channel: &'a ChannelId,
    /// The kind of platform: `slack`, `feishu`, `console`.
    pub source: &'a str,
    /// The time that ages are counted to.
    pub now: SystemTime,
    /// The age beyond which a message is marked `stale="true"`.
    pub stale_after: Duration,
}

/// What was found out for a message before it is rendered.
#[derive(Clone, Debug, Default)]
pub struct Supplement {
    /// Why attachments without a path are missing, by their place.
    pub missing: BTreeMap<usize, String>,
    /// What was said in the thread before it, if that was asked for.
    pub earlier: Option<Earlier>,
}

/// What was said in a thread before a message.
#[derive(Clone, Debug)]
pub enum Earlier {
    /// This, oldest first.
    Said(Vec<Said>),
    /// It could not be read.
    Unreadable,
}

/// Returns the block of one message, without a line break at its end.
///
/// Line ends become `\n`; other control characters of the body, which a model cannot read and a
/// log should not hold, become U+FFFD. In attributes they become character references.
pub fn render(context: &RenderContext<'_>, message: &Message, supplement: &Supplement) -> String {
    let mut block = Block::default();
    block.opening_tag(context, message);
    block.0.push('\n');
    match &supplement.earlier {
        Some(Earlier::Said(said)) => block.earlier(said),
        Some(Earlier::Unreadable) => block.0.push_str(
            "<earlier missing=\"the earlier messages of this thread could not be read\"/>\n",
        ),
        None => {}
    }
    if let Some(quote) = &message.quote {
        block.quote(quote);
        block.0.push('\n');
    }
    if !message.body.is_empty() {
        for segment in &message.body {
            block.segment(segment);
        }
        block.0.push('\n');
    }
    for (index, attachment) in message.attachments.iter().enumerate() {
        let missing = supplement.missing.get(&index).map(String::as_str);
        block.attachment(
            attachment,
            missing.unwrap_or("the file could not be fetched"),
        );
        block.0.push('\n');
    }
    block.0.push_str("</channel>");
    block.0
}

/// Returns a block by which tieline itself says something to the model.
pub fn render_notice(kind: &str, text: &str) -> String {
    let mut block = Block::default();
    block.0.push_str("<notice");
    block.attribute("source", "tieline");
    block.attribute("kind", kind);
    block.0.push('>');
    block.text(text);
    block.0.push_str("</notice>");
    block.0
}

/// Returns whether `text` holds the block of this very message.
///
/// Only what tells messages apart is compared: age, staleness and names may differ between two
/// renderings of the same message.
pub fn is_marked(text: &str, channel: &ChannelId, chat: &ChatId, message: &WireId) -> bool {
    text.lines().filter_map(Marker::parse).any(|marker| {
        marker.channel == channel.as_str()
            && marker.chat == chat.as_str()
            && marker.message == message.as_str()
    })
}

/// What an opening tag says about which message it opens.
struct Marker {
    channel: String,
    chat: String,
    message: String,
}

impl Marker {
    /// Reads the opening tag at the start of `line`; `None` when there is none of ours.
    fn parse(line: &str) -> Option<Self> {
        let mut rest = line.strip_prefix("<channel ")?;
        let (mut channel, mut chat, mut message) = (None, None, None);
        loop {
            let (name, after_name) = rest.split_once("=\"")?;
            let (value, after_value) = after_name.split_once('"')?;
            match name {
                "channel" => channel = Some(unescape(value)?),
                "chat" => chat = Some(unescape(value)?),
                "message" => message = Some(unescape(value)?),
                _ => {}
            }
            match after_value.strip_prefix(' ') {
                Some(next) => rest = next,
                None if after_value.starts_with('>') => break,
                None => return None,
            }
        }
        Some(Self {
            channel: channel?,
            chat: chat?,
            message: message?,
        })
    }
}

/// Undoes [`Block::attribute`]'s escaping; `None` when a reference is none of ours.
fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let (reference, after) = after.split_once(';')?;
        plain.push(match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            _ => char::from_u32(u32::from_str_radix(reference.strip_prefix("#x")?, 16).ok()?)?,
        });
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

/// A block in the making.
#[derive(Default)]
struct Block(String);

impl Block {
    fn opening_tag(&mut self, context: &RenderContext<'_>, message: &Message) {
        let age = context
            .now
            .duration_since(message.sent_at)
            .unwrap_or(Duration::ZERO); // a platform's clock may run ahead of ours
        self.0.push_str("<channel");
        self.attribute("source", context.source);
        self.attribute("channel", context.channel);
        self.attribute("chat", &message.conversation.chat);
        self.optional("chat_name", message.chat_name.as_ref());
        self.optional("thread", message.conversation.thread.as_ref());
        self.attribute("message", &message.id);
        self.attribute("sender", &message.sender.id);
        self.optional("sender_name", message.sender.name.as_ref());
        self.optional("sent_at", timestamp(message.sent_at));
        self.attribute("age", Age(age));
        if age > context.stale_after {
            self.attribute("stale", "true");
        }
        self.0.push('>');
    }

    /// Adds what was said earlier, within [`MAX_EARLIER_TOLD`] and [`MAX_EARLIER_CHARS`]: the first
    /// message, for it says what the thread is about, and the latest ones. What is left out between
    /// them is counted.
    fn earlier(&mut self, said: &[Said]) {
        let mut room = MAX_EARLIER_CHARS - Self::omitted(usize::MAX, true).0.chars().count();
        let mut fitting = |block: Self| {
            room = room.checked_sub(block.0.chars().count())?;
            Some(block)
        };
        let Some((first, others)) = said.split_first() else {
            return;
        };
        let first = fitting(Self::said(first));
        let latest = others.iter().rev().take(MAX_EARLIER_TOLD - 1);
        let latest = latest.map(Self::said);
        let mut latest: Vec<Self> = latest.map_while(fitting).collect();
        let told = latest.len() + usize::from(first.is_some());
        if told < said.len() {
            let is_cut_off = said.len() >= MAX_EARLIER_KNOWN;
            latest.push(Self::omitted(said.len() - told, is_cut_off));
        }
        for block in first.into_iter().chain(latest.into_iter().rev()) {
            self.0.push_str(&block.0);
        }
    }

    fn said(said: &Said) -> Self {
        let mut block = Self::default();
        block.0.push_str("<earlier");
        block.attribute("message", &said.message);
        block.attribute("sender", &said.sender.id);
        block.optional("sender_name", said.sender.name.as_ref());
        block.optional("sent_at", timestamp(said.sent_at));
        block.0.push('>');
        match said.text.char_indices().nth(MAX_SAID_CHARS) {
            Some((end, _)) => {
                block.text(&said.text[..end]);
                block.0.push('…');
            }
            None => block.text(&said.text),
        }
        block.0.push_str("</earlier>\n");
        block
    }

    fn omitted(count: usize, or_more: bool) -> Self {
        let mut block = Self::default();
        block.0.push_str("<earlier");
        let or_more = if or_more { " or more" } else { "" };
        block.attribute("omitted", format_args!("{count}{or_more}"));
        block.0.push_str("/>\n");
        block
    }

    fn quote(&mut self, quote: &Quote) {
        self.0.push_str("<quote");
        self.attribute("message", &quote.message);
        self.optional("sender", quote.sender.as_ref());
        self.0.push('>');
        self.text(&quote.text);
        self.0.push_str("</quote>");
    }

    fn segment(&mut self, segment: &Segment) {
        match segment {
            Segment::Text(text) => self.text(text),
            Segment::Mention { user, name } => {
                self.0.push_str("<mention");
                self.attribute("user", user);
                match name {
                    Some(name) => {
                        self.0.push('>');
                        self.text(name);
                        self.0.push_str("</mention>");
                    }
                    None => self.0.push_str("/>"),
                }
            }
        }
    }

    fn attachment(&mut self, attachment: &Attachment, missing: &str) {
        self.0.push_str("<attachment");
        self.optional("path", attachment.path.as_ref().map(|path| path.display()));
        self.attribute("name", &attachment.name);
        self.optional("mime", attachment.mime.as_ref());
        self.optional("bytes", attachment.bytes);
        if attachment.path.is_none() {
            self.attribute("missing", missing);
        }
        self.0.push_str("/>");
    }

    fn optional(&mut self, name: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.attribute(name, value);
        }
    }

    fn attribute(&mut self, name: &str, value: impl fmt::Display) {
        self.0.push(' ');
        self.0.push_str(name);
        self.0.push_str("=\"");
        for c in value.to_string().chars() {
            match c {
                '"' => self.0.push_str("&quot;"),
                c if c.is_control() || is_line_separator(c) => self.reference(c),
                c => self.character(c),
            }
        }
        self.0.push('"');
    }

    fn text(&mut self, text: &str) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' => {
                    chars.next_if_eq(&'\n');
                    self.0.push('\n');
                }
                '\n' | '\t' => self.0.push(c),
                c if c.is_control() => self.0.push(char::REPLACEMENT_CHARACTER),
                c => self.character(c),
            }
        }
    }

    fn character(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            c => self.0.push(c),
        }
    }

    fn reference(&mut self, c: char) {
        write!(self.0, "&#x{:X};", u32::from(c)).expect("writing to a string succeeds");
    }
}

/// Returns whether `c` ends a line for some readers although it is no control character.
fn is_line_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns RFC 3339 in UTC with seconds, or `None` for a time that it cannot express.
fn timestamp(at: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since_epoch < YEAR_10000).then(|| humantime::format_rfc3339_seconds(at).to_string())
}

/// An age in its greatest whole unit: `3s`, `17m`, `5h`, `2d`.
pub(super) struct Age(pub(super) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..60 => write!(f, "{seconds}s"),
            seconds @ 60..3_600 => write!(f, "{}m", seconds / 60),
            seconds @ 3_600..86_400 => write!(f, "{}h", seconds / 3_600),
            seconds => write!(f, "{}d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests;
