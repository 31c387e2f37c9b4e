//! A message as Slack has it, live or read back, as a message of ours.

use serde_json::{Value, json};
use tieline_channel::{
    Attachment, ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Message,
    Quote, Segment, Sender, SenderKind, ThreadKey, UserId, WireId, cut, plain_text,
};

use super::blocks;
use super::body::Body;
use super::directory::Directory;
use super::fields::{items, text};
use super::mrkdwn;
use super::ts::Ts;
use crate::account::Identity;

/// The longest quote, in characters.
const MAX_QUOTE: usize = 2_000;

/// Slack's own bot, which has no bot id.
const SLACKBOT: &str = "USLACKBOT";

/// Why something means nothing to us, for the log.
pub(crate) type Meaningless = String;

/// What is needed to read anything.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// Who we are.
    pub(crate) us: &'a Identity,
    /// As in [`Settings::thread_direct`](crate::Settings::thread_direct).
    pub(crate) thread_direct: bool,
    /// The names that are known right now.
    pub(crate) directory: &'a dyn Directory,
}

/// Where a message is, which it does not say itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) chat: &'a str,
    pub(crate) kind: ChatKind,
    /// Whether people of other organisations are there, too.
    pub(crate) shared: bool,
}

impl Reader<'_> {
    /// Reads a message that somebody wrote, as an event. `mentions_us` when Slack says so.
    ///
    /// # Errors
    ///
    /// When it is ours, or nothing that somebody wrote.
    pub(crate) fn written(
        &self,
        place: Place<'_>,
        raw: &Value,
        mentions_us: bool,
    ) -> Result<Event, Meaningless> {
        let mut message = self.message(place, raw)?;
        message.addressed |= mentions_us;
        Ok(Event {
            key: self.message_key(place.chat, message.id.as_str()),
            happening: Happening::Message(message),
        })
    }

    /// Reads a message that somebody wrote.
    ///
    /// # Errors
    ///
    /// When it is ours, or nothing that somebody wrote.
    pub(super) fn message(&self, place: Place<'_>, raw: &Value) -> Result<Message, Meaningless> {
        if self.is_ours(raw) {
            return Err("our own message".to_owned());
        }
        is_written(raw)?;
        let sender = self
            .sender(place, raw)
            .ok_or("a message that nobody wrote")?;
        let id = text(&raw["ts"]).ok_or("a message without ts")?;
        let ts = Ts::parse(id).ok_or("a message whose ts cannot be read")?;
        let (body, quote) = self.content(raw);
        Ok(Message {
            id: WireId::new(id),
            conversation: self.conversation(place, id, text(&raw["thread_ts"])),
            chat_kind: place.kind,
            chat_name: self.chat_name(place),
            sender,
            sent_at: ts.time(),
            addressed: place.kind == ChatKind::Direct || self.mentions_us(raw, &body),
            body,
            in_thread: text(&raw["thread_ts"]).is_some_and(|thread| thread != id),
            quote,
            attachments: items(&raw["files"]).iter().filter_map(attachment).collect(),
        })
    }

    /// Tells whether we wrote it.
    pub(crate) fn is_ours(&self, raw: &Value) -> bool {
        let us = self.us;
        text(&raw["user"]) == Some(&us.user_id)
            || us.bot_id.is_some() && text(&raw["bot_id"]) == us.bot_id.as_deref()
    }

    /// Returns who wrote it. It is not asked whether that is us.
    pub(crate) fn sender(&self, place: Place<'_>, raw: &Value) -> Option<Sender> {
        let user = text(&raw["user"]);
        let bot = text(&raw["bot_id"]);
        let id = user.or(bot)?;
        let known = self.directory.person(id).unwrap_or_default();
        if bot.is_some() || raw["subtype"] == "bot_message" || id == SLACKBOT {
            let shown = text(&raw["username"]).or_else(|| text(&raw["bot_profile"]["name"]));
            return Some(Sender {
                id: UserId::new(id),
                name: shown.map(mrkdwn::decode).or(known.name),
                kind: SenderKind::Bot,
            });
        }
        let told = [
            &raw["user_team"],
            &raw["team"],
            &raw["source_team"],
            &raw["user_profile"]["team"],
        ];
        let mut teams = told.into_iter().filter_map(text).peekable();
        let outsider = match teams.peek() {
            Some(_) => teams.any(|team| team != self.us.team_id),
            None => known
                .team
                .map_or(place.shared, |team| team != self.us.team_id),
        };
        Some(Sender {
            id: UserId::new(id),
            name: known.name,
            kind: if outsider {
                SenderKind::Outsider
            } else {
                SenderKind::Person
            },
        })
    }

    /// Returns the conversation of a message.
    pub(super) fn conversation(
        &self,
        place: Place<'_>,
        ts: &str,
        thread_ts: Option<&str>,
    ) -> Conversation {
        let opens_thread = place.kind == ChatKind::Group || self.thread_direct;
        Conversation {
            chat: ChatId::new(place.chat),
            thread: thread_ts.or(opens_thread.then_some(ts)).map(ThreadKey::new),
        }
    }

    /// Returns the key of the event that brings, or brought, a message.
    pub(super) fn message_key(&self, chat: &str, ts: &str) -> EventKey {
        self.key(EventKind::Message, &[chat, ts])
    }

    /// Returns the key of something in our workspace.
    pub(super) fn key(&self, kind: EventKind, parts: &[&str]) -> EventKey {
        EventKey {
            kind,
            id: format!("{}/{}", self.us.team_id, parts.join("/")),
        }
    }

    /// Returns the chat's name; one with a single person has none.
    pub(super) fn chat_name(&self, place: Place<'_>) -> Option<String> {
        match place.kind {
            ChatKind::Direct => None,
            ChatKind::Group => self.directory.chat_name(place.chat),
        }
    }

    /// Returns the text, and the first message that is shared with it.
    pub(crate) fn content(&self, raw: &Value) -> (Vec<Segment>, Option<Quote>) {
        let mut body = Body::default();
        match text(&raw["text"]) {
            Some(text) => mrkdwn::read(text, self.directory, &mut body),
            None => blocks::read(&raw["blocks"], self.directory, &mut body),
        }
        let mut quote = None;
        for attached in items(&raw["attachments"]) {
            if attached["is_share"] == true || attached["is_msg_unfurl"] == true {
                match (&quote, self.quote(attached)) {
                    (None, Some(first)) => quote = Some(first),
                    _ => self.quoted_text(attached, &mut body),
                }
            } else if !is_preview(attached) {
                body.new_line();
                body.append(blocks::attachment(attached, self.directory));
            }
        }
        for file in items(&raw["files"])
            .iter()
            .filter(|file| is_elsewhere(file))
        {
            let name = text(&file["title"]).or_else(|| text(&file["name"]));
            if let Some(url) = text(&file["external_url"]).or_else(|| text(&file["url_private"])) {
                body.new_line();
                body.push_str(&mrkdwn::link(url, name));
            }
        }
        (body.finish(), quote)
    }

    fn quote(&self, attached: &Value) -> Option<Quote> {
        let shared = blocks::attachment(attached, self.directory).finish();
        Some(Quote {
            message: WireId::new(text(&attached["ts"])?),
            sender: text(&attached["author_id"]).map(UserId::new),
            text: cut(&plain_text(&shared), MAX_QUOTE),
        })
    }

    fn quoted_text(&self, attached: &Value, body: &mut Body) {
        let shared = blocks::attachment(attached, self.directory).finish();
        let author = text(&attached["author_name"]).map(mrkdwn::decode);
        body.new_line();
        body.push_str("> ");
        if let Some(author) = author {
            body.push_str(&format!("{author}: "));
        }
        let shared = cut(&plain_text(&shared), MAX_QUOTE);
        body.push_str(&shared.replace('\n', "\n> "));
    }

    fn mentions_us(&self, raw: &Value, body: &[Segment]) -> bool {
        let us = &self.us.user_id;
        // In code a mention is no segment, but Slack may count it.
        let written = text(&raw["text"]).is_some_and(|text| {
            text.split("<@")
                .skip(1)
                .filter_map(|rest| rest.strip_prefix(us.as_str()))
                .any(|rest| rest.starts_with(['>', '|']))
        });
        written
            || body.iter().any(|segment| match segment {
                Segment::Mention { user, .. } => user.as_str() == us,
                Segment::Text(_) => false,
            })
    }
}

/// Tells whether it is something that somebody wrote, or why not.
///
/// # Errors
///
/// When Slack says by it that something has happened.
pub(crate) fn is_written(raw: &Value) -> Result<(), Meaningless> {
    match text(&raw["subtype"]) {
        None | Some("file_share" | "thread_broadcast" | "me_message" | "bot_message") => Ok(()),
        Some(subtype) => Err(format!("a message of subtype {subtype}")),
    }
}

/// Tells whether it is the preview of a link, which nobody wrote. Live it comes after the message
/// and means nothing; read back it stands in it.
fn is_preview(attached: &Value) -> bool {
    ["from_url", "original_url", "app_unfurl_url"]
        .iter()
        .any(|field| text(&attached[*field]).is_some())
}

/// Tells whether Slack has only the address of the file: a document of another service.
fn is_elsewhere(file: &Value) -> bool {
    file["is_external"] == true || file["mode"] == "external"
}

fn attachment(file: &Value) -> Option<Attachment> {
    let gone = ["tombstone", "hidden_by_limit"]
        .iter()
        .any(|mode| file["mode"] == *mode);
    if gone || is_elsewhere(file) {
        return None;
    }
    let id = text(&file["id"])?;
    let url = text(&file["url_private_download"]).or_else(|| text(&file["url_private"]));
    let stub = file["file_access"] == "check_file_info";
    let name = text(&file["name"]).or_else(|| text(&file["title"]));
    Some(Attachment {
        reference: json!({ "id": id, "url": url.filter(|_| !stub) }).to_string(),
        name: mrkdwn::decode(name.unwrap_or(id)),
        mime: text(&file["mimetype"]).map(str::to_owned),
        bytes: file["size"].as_u64(),
        path: None,
    })
}
