//! `tieline messages`: what became of the messages, and the whole story of one.

use std::time::SystemTime;

use anyhow::anyhow;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, plain};
use crate::cli::table::{since, table, write};
use crate::control::messages::STATES;
use crate::control::{Client, MAX_MESSAGES, MessageStatus, MessageStory, Messages, with_query};

mod story;

/// How much of a text is shown.
const TEXT: usize = 40;

/// How much of an id is shown: its end, for ids begin with the time.
const SHORT_ID: usize = 8;

/// How short the end of an id may be that is asked for.
const MIN_SHORT_ID: usize = 4;

/// Show what became of the newest messages, or the whole story of one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The message, by its id, or by the end of it that the list shows
    #[arg(value_name = "ID")]
    id: Option<String>,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    filters: Filters,

    /// Print the daemon's answer as it is
    #[arg(long)]
    json: bool,
}

/// Which messages are listed.
#[derive(Debug, clap::Args)]
struct Filters {
    /// How many to list
    #[arg(
        short = 'n', long, default_value_t = 20, value_name = "N", conflicts_with = "id",
        value_parser = clap::value_parser!(u64).range(1..=MAX_MESSAGES as u64)
    )]
    limit: u64,

    /// Those for this dispatcher
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    dispatcher: Option<String>,

    /// Those of this lane
    #[arg(long, value_name = "LANE", conflicts_with = "id")]
    lane: Option<String>,

    /// Those that came in on this channel
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    channel: Option<String>,

    /// Those of this chat, by the platform's name of it
    #[arg(long, value_name = "CHAT", conflicts_with = "id")]
    chat: Option<String>,

    /// Those in this state
    #[arg(long, value_name = "STATE", value_parser = STATES, conflicts_with = "id")]
    state: Option<String>,

    /// Those that failed in this way, such as provider-rate-limited
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    failure: Option<String>,

    /// Those of this person, by name or the platform's id
    #[arg(long, value_name = "WHO", conflicts_with = "id")]
    sender: Option<String>,

    /// Those whose text has this, in any case
    #[arg(long, value_name = "TEXT", conflicts_with = "id")]
    text: Option<String>,

    /// Those that arrived then or later: a time such as 2026-11-20T09:15:00Z, or how long ago: 2h
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "id")]
    since: Option<SystemTime>,

    /// Those that arrived before then
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "id")]
    until: Option<SystemTime>,
}

impl Filters {
    fn route(self) -> String {
        let time = |at: SystemTime| humantime::format_rfc3339_millis(at).to_string();
        with_query(
            "/v1/messages",
            &[
                ("limit", Some(self.limit.to_string())),
                ("dispatcher", self.dispatcher),
                ("lane", self.lane),
                ("channel", self.channel),
                ("chat", self.chat),
                ("state", self.state),
                ("failure", self.failure),
                ("sender", self.sender),
                ("text", self.text),
                ("since", self.since.map(time)),
                ("until", self.until.map(time)),
            ],
        )
    }
}

/// Reads a time, or how long ago it was.
fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(at) = humantime::parse_rfc3339_weak(text) {
        return Ok(at);
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_error| "neither a time such as 2026-11-20T09:15:00Z nor an age such as 2h")?;
    SystemTime::now()
        .checked_sub(ago)
        .ok_or_else(|| "that is too long ago".to_owned())
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let now = SystemTime::now();
    let text = match args.id {
        Some(id) => {
            let route = format!("/v1/messages/{}", whole_id(&client, &id).await?);
            if args.json {
                let story = client.get(&route).await;
                output::json(&story.map_err(Failure::of_request)?)?
            } else {
                let story = client.get::<MessageStory>(&route).await;
                story::render(&story.map_err(Failure::of_request)?, now)
            }
        }
        None => {
            let route = args.filters.route();
            if args.json {
                output::json(&client.get(&route).await?)?
            } else {
                let Messages { messages, next: _ } = client.get(&route).await?;
                render(&messages, now)
            }
        }
    };
    output::print(&text)
}

/// Returns the id that is meant: as it is, or the one of the newest messages that ends so.
async fn whole_id(client: &Client, id: &str) -> Result<String, Failure> {
    if id.contains('-') {
        return Ok(id.to_owned());
    }
    if id.len() < MIN_SHORT_ID || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        let problem = anyhow!("{id:?} is not the id of a message, nor the end of one");
        let hint = "`tieline messages` lists the newest ones with the ends of their ids";
        return Err(Failure::new(Exit::Usage, problem).hint(hint));
    }
    let route = format!("/v1/messages?limit={MAX_MESSAGES}");
    let Messages { messages, next: _ } = client.get(&route).await?;
    let end = id.to_ascii_lowercase();
    let ids = messages.iter().map(|message| message.id.to_string());
    let mut found = ids.filter(|known| known.ends_with(&end));
    let problem = match (found.next(), found.next()) {
        (Some(found), None) => return Ok(found),
        (None, _) => {
            anyhow!("none of the newest {MAX_MESSAGES} messages has an id that ends in {id}")
        }
        (Some(_), Some(_)) => anyhow!("several messages have ids that end in {id}"),
    };
    let hint = "`tieline messages --json` has the whole ids";
    Err(Failure::new(Exit::Unanswered, problem).hint(hint))
}

/// Writes messages for people, oldest first as in a chat, as of `now`.
fn render(messages: &[MessageStatus], now: SystemTime) -> String {
    if messages.is_empty() {
        return "no messages\n".to_owned();
    }
    let mut table = table([
        "ID", "RECEIVED", "CHANNEL", "CHAT", "FROM", "STATE", "FOR", "TEXT",
    ]);
    for message in messages.iter().rev() {
        let id = message.id.to_string();
        let chat = match &message.thread {
            Some(thread) => format!("{} {thread}", message.chat),
            None => message.chat.to_string(),
        };
        let sender = message.sender_name.as_deref();
        table.add_row([
            id[id.len() - SHORT_ID..].to_owned(),
            format!("{} ago", since(message.received_at, now)),
            message.channel.to_string(),
            plain(&chat),
            plain(sender.unwrap_or(message.sender.as_str())),
            plain(&describe(message)),
            since(message.changed_at, now),
            plain(&shortened(&message.text)),
        ]);
    }
    write(&table)
}

fn describe(message: &MessageStatus) -> String {
    let state = message.state.replace('_', " ");
    match (message.place, &message.failure, message.refusal) {
        (Some(1), _, _) => format!("{state}, next"),
        (Some(place), _, _) => format!("{state}, place {place}"),
        (None, Some(failure), _) => format!("{state}: {failure}"),
        (None, None, Some(refusal)) => format!("{state}: {refusal}"),
        (None, None, None) if message.approvals > 0 => format!("{state}, waits for approval"),
        (None, None, None) => state,
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TEXT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(TEXT - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tieline_channel::{ChannelId, ChatId, RefusalReason, ThreadKey, UserId, WireId};

    use super::*;
    use crate::id::{LaneId, MessageId};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100)
    }

    fn message(seconds: u64, state: &str) -> MessageStatus {
        let at = now() - Duration::from_secs(seconds);
        MessageStatus {
            id: MessageId::from_bytes([1; 16]),
            channel: ChannelId::new("team"),
            chat: ChatId::new("C1"),
            thread: None,
            message: WireId::new("1795166000.000100"),
            sender: UserId::new("U1"),
            sender_name: None,
            text: "fix it".into(),
            lane: LaneId::new("flow"),
            state: state.into(),
            place: None,
            approvals: 0,
            failure: None,
            refusal: None,
            sent_at: at,
            received_at: at,
            changed_at: at,
        }
    }

    #[test]
    fn every_state_is_told_with_what_belongs_to_it() {
        let messages = [
            MessageStatus {
                place: Some(2),
                text: "and then tell the others about it, please do\nso".into(),
                ..message(3, "queued")
            },
            MessageStatus {
                place: Some(1),
                sender_name: Some("Mei \u{1b}[31m".into()),
                ..message(4, "queued")
            },
            MessageStatus {
                thread: Some(ThreadKey::new("1795166000.000100")),
                ..message(70, "in_turn")
            },
            message(80, "answered"),
            MessageStatus {
                failure: Some("provider-rate-limited".into()),
                ..message(90, "failed")
            },
            message(100, "cancelled"),
            message(4_000, "unclear"),
            MessageStatus {
                refusal: Some(RefusalReason::NotPaired),
                text: String::new(),
                ..message(90_000, "refused")
            },
        ];
        insta::assert_snapshot!(render(&messages, now()));
    }

    #[test]
    fn no_messages_are_said_to_be_none() {
        assert_eq!(render(&[], now()), "no messages\n");
    }
}
