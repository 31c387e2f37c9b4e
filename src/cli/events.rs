//! `tieline events`: what happened, and what happens.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tieline_channel::retry::RetryPolicy;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, plain};
use crate::control::{Client, ClientError, EventStream, Streamed};
use crate::events::{EventRecord, Level, MAX_PAGE, Page};

/// How long it takes until somebody is told that the daemon is waited for.
const TELL_AFTER: Duration = Duration::from_millis(500);

/// Show what happened, and with -f go on with what happens
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Go on with what happens, also over restarts of the daemon
    #[arg(short, long)]
    follow: bool,

    /// Begin after the event of this number; else with the newest ones
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,

    /// How many to show, before what happens
    #[arg(
        short = 'n', long, default_value_t = 20, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=MAX_PAGE as u64)
    )]
    limit: u64,

    /// Only those of this dispatcher
    #[arg(long, value_name = "NAME")]
    dispatcher: Option<String>,

    /// Only those of this lane
    #[arg(long, value_name = "LANE")]
    lane: Option<String>,

    /// Only those of this type, or whose type begins with it: `turn`, `turn.failed`
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    /// Only those of this level and above: info, warn, error
    #[arg(long, value_name = "LEVEL", value_parser = ["info", "warn", "error"])]
    level: Option<String>,

    /// Print the daemon's answer as it is; with -f, a line of JSON for each event
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let route = args.route("/v1/events", args.after, Some(args.limit));
    if args.json && !args.follow {
        return output::print(&output::json(&client.get(&route).await?)?);
    }
    let page: Page = client.get(&route).await?;
    let printer = Printer::new(args.json);
    if page.gone {
        note("older events were removed");
    }
    for event in &page.events {
        if !printer.print(event)? {
            return Ok(());
        }
    }
    if args.follow {
        return follow(&client, &args, &printer, page.next_after).await;
    }
    if page.more {
        note(&format!("there are more: --after {}", page.next_after));
    } else if page.events.is_empty() {
        note("no such events");
    }
    Ok(())
}

/// Prints what comes after the event of this number, for ever: a daemon that is gone is waited for.
async fn follow(
    client: &Client,
    args: &Args,
    printer: &Printer,
    mut after: u64,
) -> Result<(), Failure> {
    let mut stream = Some(open(client, args, after).await?);
    loop {
        let mut open_stream = match stream.take() {
            Some(stream) => stream,
            None => wait(client, args, after).await?,
        };
        loop {
            match open_stream.next().await {
                Ok(Some(Streamed::Event(event))) => {
                    after = event.seq.unwrap_or(after);
                    if !printer.print(&event)? {
                        return Ok(());
                    }
                }
                Ok(Some(Streamed::Missed(count))) => {
                    note(&format!(
                        "{count} events were missed: this reads too slowly"
                    ));
                }
                Ok(Some(Streamed::Gone)) => note("some events were removed before they were read"),
                Ok(None) => {
                    note("the daemon has ended the stream; waiting for it");
                    break;
                }
                Err(failure) => {
                    note(&format!("{failure}; waiting for the daemon"));
                    break;
                }
            }
        }
    }
}

async fn open(client: &Client, args: &Args, after: u64) -> Result<EventStream, ClientError> {
    let route = args.route("/v1/events/stream", Some(after), None);
    client.stream(&route).await
}

/// Waits until a daemon is there again.
async fn wait(client: &Client, args: &Args, after: u64) -> Result<EventStream, Failure> {
    let mut retry = RetryPolicy::new();
    let mut delay = TELL_AFTER;
    loop {
        tokio::time::sleep(delay).await;
        match open(client, args, after).await {
            Ok(stream) => {
                note("connected again");
                return Ok(stream);
            }
            // It is there, and will not have us.
            Err(failure @ ClientError::Refused { .. }) => return Err(failure.into()),
            Err(_) => delay = retry.next_delay().min(Duration::from_secs(2)),
        }
    }
}

impl Args {
    fn route(&self, path: &str, after: Option<u64>, limit: Option<u64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, number) in [("after", after), ("limit", limit)] {
            if let Some(number) = number {
                query.append_pair(name, &number.to_string());
            }
        }
        for (name, text) in [
            ("dispatcher", &self.dispatcher),
            ("lane", &self.lane),
            ("type", &self.kind),
            ("level", &self.level),
        ] {
            if let Some(text) = text {
                query.append_pair(name, text);
            }
        }
        format!("{path}?{}", query.finish())
    }
}

/// Writes events, one on a line.
struct Printer {
    json: bool,
    has_colour: bool,
}

impl Printer {
    fn new(json: bool) -> Self {
        let wants = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            has_colour: wants && io::stdout().is_terminal(),
        }
    }

    /// Returns whether anybody reads on.
    fn print(&self, event: &EventRecord) -> Result<bool, Failure> {
        let line = if self.json {
            serde_json::to_string(event).unwrap_or_default()
        } else {
            render(event, self.has_colour)
        };
        output::print_line(&line)
    }
}

/// Says something that is no event.
fn note(text: &str) {
    // Nobody is left to be told when standard error is closed.
    drop(writeln!(io::stderr().lock(), "tieline: {text}"));
}

/// Writes an event for people.
fn render(event: &EventRecord, has_colour: bool) -> String {
    let about = &event.about;
    let whose = match (&about.lane, &about.dispatcher, &about.channel) {
        (Some(lane), _, _) => lane.as_str(),
        (None, _, Some(channel)) => channel.as_str(),
        (None, Some(dispatcher), None) => dispatcher.as_str(),
        (None, None, None) => "daemon",
    };
    let level = format!("{:<5}", event.level.as_str());
    let level = match event.level {
        _ if !has_colour => level,
        Level::Info => format!("\u{1b}[2m{level}\u{1b}[0m"),
        Level::Warn => format!("\u{1b}[33m{level}\u{1b}[0m"),
        Level::Error => format!("\u{1b}[31m{level}\u{1b}[0m"),
    };
    let at = humantime::format_rfc3339_seconds(event.at);
    let message = plain(&event.message);
    let missed = match event.missed {
        0 => String::new(),
        missed => format!(" (before it, {missed} found no place on disk)"),
    };
    format!("{at}  {level}  {}  {message}{missed}", plain(whose))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::Value;

    use super::*;
    use crate::events::About;
    use crate::id::LaneId;

    fn event(level: Level, lane: Option<&str>, message: &str) -> EventRecord {
        EventRecord {
            seq: Some(7),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100),
            level,
            kind: "turn.started".to_owned(),
            message: message.to_owned(),
            about: About {
                lane: lane.map(LaneId::new),
                ..About::default()
            },
            detail: Value::Null,
            missed: 0,
        }
    }

    #[test]
    fn an_event_is_one_line_that_moves_no_cursor() {
        let calm = event(Level::Info, Some("flow/team/C1"), "two\nlines\u{1b}[2J");
        assert_eq!(
            render(&calm, false),
            "2026-11-20T09:15:00Z  info   flow/team/C1  two lines [2J"
        );
        let after_gap = EventRecord {
            missed: 3,
            ..event(Level::Error, None, "it failed")
        };
        assert_eq!(
            render(&after_gap, true),
            "2026-11-20T09:15:00Z  \u{1b}[31merror\u{1b}[0m  daemon  it failed (before it, 3 found no \
             place on disk)"
        );
    }
}
