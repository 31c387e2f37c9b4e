//! `tieline lane`: what runs on a lane, and which thread it goes on in.

use std::time::SystemTime;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, count};
use crate::cli::output::{self, plain};
use crate::cli::table::{right_align, since, table, write};
use crate::control::{
    Client, LaneAction, LaneOrderTaken, LaneStopped, LaneThreadsStatus, NewLaneOrder, lane_route,
};

/// Stop what runs on a lane, or have it go on in another thread
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Print the daemon's answer as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the threads that a lane has or can go back to
    Threads {
        #[command(flatten)]
        lane: LaneArg,
    },
    /// Have a lane end its turn
    Stop {
        #[command(flatten)]
        lane: LaneArg,

        /// Withdraw what waits as well; whoever wrote it is told
        #[arg(long)]
        all: bool,
    },
    /// Have the next turn begin in a new thread; the present one is kept
    New {
        #[command(flatten)]
        lane: LaneArg,
    },
    /// Have a lane go back to an earlier thread
    Resume {
        #[command(flatten)]
        lane: LaneArg,

        /// Its number, as `tieline lane threads` lists it, or Codex's name of it
        #[arg(value_name = "THREAD")]
        thread: String,
    },
    /// Have a lane go on in a copy of its thread
    Fork {
        #[command(flatten)]
        lane: LaneArg,
    },
    /// Have the history of a lane's thread shortened
    Compact {
        #[command(flatten)]
        lane: LaneArg,
    },
    /// Have a lane's turns run by another model, from the next one on
    Model {
        #[command(flatten)]
        lane: LaneArg,

        /// Which; `default` goes back to the one of the configuration
        #[arg(value_name = "MODEL")]
        model: String,
    },
}

#[derive(Debug, clap::Args)]
struct LaneArg {
    /// The lane, as `tieline status` names it
    #[arg(value_name = "LANE")]
    lane: String,
}

/// Orders, or asks, and prints what the daemon says.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let json = args.json;
    let order = |action, thread, model| NewLaneOrder {
        action,
        thread,
        model,
    };
    let (LaneArg { lane }, order, effect) = match args.action {
        Action::Threads { lane } => {
            let route = format!("{}/threads", lane_route(&lane.lane));
            let text = if json {
                let answer = client.get(&route).await;
                output::json(&answer.map_err(Failure::of_request)?)?
            } else {
                let found = client.get(&route).await.map_err(Failure::of_request)?;
                threads(&found, SystemTime::now())
            };
            return output::print(&text);
        }
        Action::Stop { lane, all } => {
            let stopped = client.stop_lane(&lane.lane, all).await;
            let stopped = stopped.map_err(Failure::of_request)?;
            return output::print(&written(json, &stopped, self::stopped)?);
        }
        Action::New { lane } => (
            lane,
            order(LaneAction::New, None, None),
            "the next turn begins in a new thread".to_owned(),
        ),
        Action::Resume { lane, thread } => {
            let effect = format!("it goes back to thread {}", plain(&thread));
            let order = order(LaneAction::Resume, Some(thread), None);
            (lane, order, effect)
        }
        Action::Fork { lane } => (
            lane,
            order(LaneAction::Fork, None, None),
            "it goes on in a copy of its thread".to_owned(),
        ),
        Action::Compact { lane } => (
            lane,
            order(LaneAction::Compact, None, None),
            "the history of its thread is shortened".to_owned(),
        ),
        Action::Model { lane, model } => {
            let effect = format!("its turns are run by {}", plain(&model));
            let order = order(LaneAction::Model, None, Some(model));
            (lane, order, effect)
        }
    };
    let taken = client.order_lane(&lane, &order).await;
    let taken = taken.map_err(Failure::of_request)?;
    output::print(&written(json, &taken, |taken| ordered(taken, &effect))?)
}

/// Writes an answer, as JSON or for people.
fn written<T: Serialize>(
    json: bool,
    answer: &T,
    describe: impl FnOnce(&T) -> String,
) -> Result<String, Failure> {
    if !json {
        return Ok(describe(answer));
    }
    let answer = serde_json::to_value(answer);
    output::json(&answer.map_err(|error| Failure::new(Exit::Internal, error))?)
}

fn ordered(taken: &LaneOrderTaken, effect: &str) -> String {
    let lane = plain(taken.lane.as_str());
    let when = if taken.waits_for_turn {
        "when the turn that runs is over"
    } else {
        "now"
    };
    format!(
        "ordered of lane {lane}, to be done {when}: {effect}\n\
         `tieline lane threads {lane}` shows how it is\n"
    )
}

fn stopped(stopped: &LaneStopped) -> String {
    let turn = match stopped.turn.as_str() {
        "stopping" => "its turn ends",
        "stopping_already" => "its turn was stopped before, and ends",
        _ => "no turn runs",
    };
    let mut text = format!("{turn}\n");
    if stopped.withdrawn > 0 {
        text += &format!("{} withdrawn\n", count(stopped.withdrawn, "message"));
    }
    if stopped.waiting > 0 {
        let waiting = count(stopped.waiting, "message");
        text += &format!(
            "{waiting} still waiting, to be worked on next (--all withdraws what waits)\n"
        );
    }
    text
}

fn threads(found: &LaneThreadsStatus, now: SystemTime) -> String {
    let mut text = if found.threads.is_empty() {
        "no threads yet\n".to_owned()
    } else {
        let mut table = table([
            "NUMBER",
            "STATE",
            "USED",
            "BEGUN",
            "COPY OF",
            "BEGINNING",
            "THREAD",
        ]);
        right_align(&mut table, &[4]);
        for thread in &found.threads {
            table.add_row([
                thread.number.to_string(),
                if thread.present { "present" } else { "kept" }.to_owned(),
                format!("{} ago", since(thread.used_at, now)),
                format!("{} ago", since(thread.begun_at, now)),
                thread.copy_of.map_or("-".to_owned(), |it| it.to_string()),
                plain(&thread.beginning),
                plain(thread.thread.as_str()),
            ]);
        }
        write(&table)
    };
    if !found.threads.is_empty() && !found.threads.iter().any(|thread| thread.present) {
        text += "the next turn begins in a new one\n";
    }
    if let Some(model) = &found.model {
        text += &format!("model: {}\n", plain(model));
    }
    if found.orders > 0 {
        text += &format!("{} waiting\n", count(found.orders, "order"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::ThreadStatus;
    use crate::id::{LaneId, ThreadId};

    fn thread(number: u32, present: bool) -> ThreadStatus {
        let at = SystemTime::UNIX_EPOCH;
        ThreadStatus {
            number,
            thread: ThreadId::new(format!("0-{number}")),
            present,
            copy_of: (number == 3).then_some(1),
            beginning: format!("remember\u{1b}[2J {number}"),
            begun_at: at,
            used_at: at + Duration::from_secs(3_600 * u64::from(number)),
        }
    }

    #[test]
    fn threads_are_listed_with_the_one_that_goes_on() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(5 * 3_600);
        let mut found = LaneThreadsStatus {
            threads: vec![thread(3, true), thread(1, false)],
            model: Some("o9-mini".to_owned()),
            orders: 1,
        };
        insta::assert_snapshot!(threads(&found, now), @r"
        NUMBER  STATE    USED       BEGUN      COPY OF  BEGINNING       THREAD
        3       present  2h 0m ago  5h 0m ago        1  remember [2J 3  0-3
        1       kept     4h 0m ago  5h 0m ago        -  remember [2J 1  0-1
        model: o9-mini
        1 order waiting
        ");
        found.threads.remove(0);
        insta::assert_snapshot!(threads(&found, now), @r"
        NUMBER  STATE  USED       BEGUN      COPY OF  BEGINNING       THREAD
        1       kept   4h 0m ago  5h 0m ago        -  remember [2J 1  0-1
        the next turn begins in a new one
        model: o9-mini
        1 order waiting
        ");
        let none = LaneThreadsStatus {
            threads: Vec::new(),
            model: None,
            orders: 0,
        };
        assert_eq!(threads(&none, now), "no threads yet\n");
    }

    #[test]
    fn orders_and_stops_say_what_comes_of_them() {
        let taken = |waits_for_turn| LaneOrderTaken {
            order: "1".to_owned(),
            lane: LaneId::new("flow/term/a"),
            waits_for_turn,
        };
        insta::assert_snapshot!(ordered(&taken(true), "it goes back to thread 2"), @r"
        ordered of lane flow/term/a, to be done when the turn that runs is over: it goes back to thread 2
        `tieline lane threads flow/term/a` shows how it is
        ");
        insta::assert_snapshot!(ordered(&taken(false), "it goes back to thread 2"), @r"
        ordered of lane flow/term/a, to be done now: it goes back to thread 2
        `tieline lane threads flow/term/a` shows how it is
        ");
        let stop = |turn: &str, waiting, withdrawn| LaneStopped {
            turn: turn.to_owned(),
            waiting,
            withdrawn,
        };
        insta::assert_snapshot!(stopped(&stop("stopping", 1, 0)), @r"
        its turn ends
        1 message still waiting, to be worked on next (--all withdraws what waits)
        ");
        insta::assert_snapshot!(stopped(&stop("none", 0, 2)), @r"
        no turn runs
        2 messages withdrawn
        ");
    }
}
