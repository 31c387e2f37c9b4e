//! `tieline lanes`: how the lanes are, and what waits in one.

use std::time::SystemTime;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::Failure;
use crate::cli::output::{self, plain};
use crate::cli::table::{indented, right_align, rows, since, table, write};
use crate::control::{Client, LaneDetails, LaneOverview, Lanes, LastTurn, lane_route, with_query};

/// Show how the lanes are, or what waits in one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lane, by its name
    #[arg(value_name = "LANE", conflicts_with_all = ["dispatcher", "state"])]
    lane: Option<String>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Those of this dispatcher
    #[arg(long, value_name = "NAME")]
    dispatcher: Option<String>,

    /// Those in this state
    #[arg(long, value_name = "STATE", value_parser = ["in_turn", "waiting", "idle"])]
    state: Option<String>,

    /// Print the daemon's answer as it is
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints its answer.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let now = SystemTime::now();
    let route = match &args.lane {
        Some(lane) => lane_route(lane),
        None => with_query(
            "/v1/lanes",
            &[("dispatcher", args.dispatcher), ("state", args.state)],
        ),
    };
    let text = if args.json {
        let answer = client.get(&route).await;
        output::json(&answer.map_err(Failure::of_request)?)?
    } else if args.lane.is_some() {
        let lane = client.get::<LaneDetails>(&route).await;
        details(&lane.map_err(Failure::of_request)?, now)
    } else {
        let lanes = client.get::<Lanes>(&route).await;
        list(&lanes.map_err(Failure::of_request)?.lanes, now)
    };
    output::print(&text)
}

fn list(lanes: &[LaneOverview], now: SystemTime) -> String {
    if lanes.is_empty() {
        return "no such lanes\n".to_owned();
    }
    let mut table = table(["LANE", "STATE", "WAITING", "USED", "LAST TURN", "THREAD"]);
    right_align(&mut table, &[2]);
    for LaneOverview { lane, used_at, .. } in lanes {
        let thread = lane.thread.as_ref().map(ToString::to_string);
        table.add_row([
            plain(lane.id.as_str()),
            lane.state.clone(),
            lane.waiting.to_string(),
            format!("{} ago", since(*used_at, now)),
            last_turn(lane.last_turn.as_ref()),
            thread.unwrap_or_else(|| "none yet".to_owned()),
        ]);
    }
    write(&table)
}

fn last_turn(last: Option<&LastTurn>) -> String {
    match last {
        None => "none yet".to_owned(),
        Some(last) => match &last.failure {
            Some(failure) => format!("{}: {failure}", last.outcome),
            None => last.outcome.clone(),
        },
    }
}

fn details(lane: &LaneDetails, now: SystemTime) -> String {
    let status = &lane.lane.lane;
    let mut text = format!(
        "{} is {}\n\n{}",
        plain(status.id.as_str()),
        status.state,
        facts_of(lane, now)
    );
    if lane.waiting_messages > 0 {
        text.push_str(&format!("\n{} waiting:\n", lane.waiting_messages));
        let mut queue = rows();
        for message in &lane.queue {
            let sender = message.sender_name.as_deref();
            queue.add_row([
                message.place.to_string(),
                format!("{} ago", since(message.received_at, now)),
                plain(sender.unwrap_or(message.sender.as_str())),
                plain(&message.text),
            ]);
        }
        text.push_str(&indented(&queue));
    }
    if !lane.lost_threads.is_empty() {
        text.push_str("\nthreads that it has lost:\n");
        let mut lost = rows();
        for thread in &lane.lost_threads {
            lost.add_row([
                thread.thread.to_string(),
                format!("{} ago", since(thread.at, now)),
                plain(&thread.reason),
            ]);
        }
        text.push_str(&indented(&lost));
    }
    text
}

fn facts_of(lane: &LaneDetails, now: SystemTime) -> String {
    let LaneOverview {
        dispatcher,
        lane: status,
        used_at,
    } = &lane.lane;
    let mut facts = rows();
    let mut fact = |name: &str, value: String| {
        facts.add_row([name.to_owned(), plain(&value)]);
    };
    fact("dispatcher", dispatcher.to_string());
    if let Some(teammate) = &status.teammate {
        fact("teammate", teammate.clone());
    }
    let thread = status.thread.as_ref().map(ToString::to_string);
    fact("thread", thread.unwrap_or_else(|| "none yet".to_owned()));
    fact("used", format!("{} ago", since(*used_at, now)));
    if let Some(from) = &lane.last_from {
        let thread = from.thread.as_ref().map(|it| format!(" {it}"));
        let thread = thread.unwrap_or_default();
        fact(
            "last from",
            format!("{} {}{thread}", from.channel, from.chat),
        );
    }
    if let Some(turn) = &status.open_turn {
        fact("turn runs for", since(turn.started_at, now));
    }
    fact("last turn", last_turn(status.last_turn.as_ref()));
    if let Some(cause) = status.last_turn.as_ref().and_then(|it| it.cause.as_ref()) {
        fact("cause", cause.clone());
    }
    for (what, count) in [
        ("results waiting", lane.waiting_completions),
        ("tasks waiting", lane.waiting_tasks),
    ] {
        if count > 0 {
            fact(what, count.to_string());
        }
    }
    if let Some(until) = lane.held_until {
        let until = humantime::format_rfc3339_seconds(until);
        fact(
            "results held",
            format!("until {until}: turns for them have failed"),
        );
    }
    indented(&facts)
}
