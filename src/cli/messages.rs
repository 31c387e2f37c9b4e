//! `tieline messages`: what became of the messages.

use std::time::SystemTime;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, plain};
use crate::cli::table::{since, table, write};
use crate::control::{Client, MAX_MESSAGES, MessageStatus, Messages};

/// How much of a text is shown.
const TEXT: usize = 40;

/// Say what became of the newest messages
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// How many to show
    #[arg(
        short = 'n', long, default_value_t = 20, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=MAX_MESSAGES as u64)
    )]
    limit: u64,

    /// Print the daemon's answer to `GET /v1/messages` as it is
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let route = format!("/v1/messages?limit={}", args.limit);
    let text = if args.json {
        output::json(&client.get(&route).await?)?
    } else {
        let Messages { messages } = client.get(&route).await?;
        render(&messages, SystemTime::now())
    };
    output::print(&text)
}

/// Writes messages for people, oldest first as in a chat, as of `now`.
fn render(messages: &[MessageStatus], now: SystemTime) -> String {
    if messages.is_empty() {
        return "no messages yet\n".to_owned();
    }
    let mut table = table([
        "RECEIVED", "CHANNEL", "CHAT", "FROM", "STATE", "FOR", "TEXT",
    ]);
    for message in messages.iter().rev() {
        let chat = match &message.thread {
            Some(thread) => format!("{} {thread}", message.chat),
            None => message.chat.to_string(),
        };
        let sender = message.sender_name.as_deref();
        table.add_row([
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
        assert_eq!(render(&[], now()), "no messages yet\n");
    }
}
