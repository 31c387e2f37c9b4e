//! `tieline teammates`: who works for a dispatcher, and giving them work.

mod render;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::render::{closed, details, given, joined, list, stopped};
use crate::cli::config_args::ConfigArgs;
use crate::cli::dispatcher_args::DispatcherArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{input, output};
use crate::control::{
    Client, FurtherTask, NewTeammate, TeammateDetails, TeammateHalted, Teammates, teammate_route,
    teammates_route,
};
use crate::id::LaneId;
use crate::teammates::{MAX_READ, MAX_TASK};

/// How long is waited for what becomes of a worktree.
const LOOK_FOR: Duration = Duration::from_secs(5);

/// How often is looked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Show who works for a dispatcher, give work, and see what came of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    dispatcher: DispatcherArgs,

    /// Print the daemon's answer as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them; so does no action at all
    List,
    /// Have a new one join, and give it its first task
    Spawn {
        /// Its name: lower-case letters, digits and hyphens
        name: String,

        #[command(flatten)]
        task: TaskArgs,

        /// Where it works: `shared`, `worktree` (a git worktree of its own), or a directory
        #[arg(long, value_name = "WHERE", default_value = "shared")]
        workspace: String,

        /// What it is told beside its tasks
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        instructions: Option<String>,

        /// Its model, if not the dispatcher's
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,

        /// What its commands may do, if less than those of the dispatcher
        #[arg(long, value_name = "SANDBOX")]
        sandbox: Option<String>,

        #[command(flatten)]
        told: LaneArgs,
    },
    /// Give one a further task, in the same conversation
    Send {
        /// Its name
        name: String,

        #[command(flatten)]
        task: TaskArgs,

        #[command(flatten)]
        told: LaneArgs,
    },
    /// Say what one does, and what came of its last tasks
    Read {
        /// Its name
        name: String,

        /// How many tasks to show
        #[arg(
            long, default_value_t = 3, value_name = "N",
            value_parser = clap::value_parser!(u64).range(1..=MAX_READ as u64)
        )]
        tasks: u64,
    },
    /// Have one end what it does and forget what waits
    Stop {
        /// Its name
        name: String,
    },
    /// Have one leave: it stops, can still be read, and its worktree goes if nothing is lost by that
    Close {
        /// Its name
        name: String,

        /// Remove its worktree also when something is lost by that; also later, when it was kept
        #[arg(long)]
        discard: bool,
    },
}

/// What is to be done.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TaskArgs {
    /// What is to be done
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    task: Option<String>,

    /// The file that says what is to be done; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Who is told what comes of it.
#[derive(Debug, clap::Args)]
struct LaneArgs {
    /// The lane that is told, as `tieline status` names it; else the one that was used last
    #[arg(long, value_name = "LANE")]
    lane: Option<String>,
}

impl TaskArgs {
    fn read(self) -> Result<String, Failure> {
        const INSTEAD: &str = "put it where the teammate works, and name that in a shorter task";
        match self.file {
            Some(file) => input::read(&file, 4 * MAX_TASK, INSTEAD),
            // One of them is there: the command line was checked.
            None => Ok(self.task.unwrap_or_default()),
        }
    }
}

/// Orders, or asks, and prints what the daemon says.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let dispatcher = args.dispatcher.choose(&config)?;
    let client = Client::new(&config.control_socket());
    let now = SystemTime::now();
    let text = match args.action.unwrap_or(Action::List) {
        Action::List => {
            let route = teammates_route(&dispatcher);
            if args.json {
                output::json(&ask(&client, &route).await?)?
            } else {
                let Teammates { teammates } = ask(&client, &route).await?;
                list(&teammates, now)
            }
        }
        Action::Read { name, tasks } => {
            let route = format!("{}?tasks={tasks}", teammate_route(&dispatcher, &name));
            if args.json {
                output::json(&ask(&client, &route).await?)?
            } else {
                details(&ask(&client, &route).await?, now)
            }
        }
        Action::Spawn {
            name,
            task,
            workspace,
            instructions,
            model,
            sandbox,
            told,
        } => {
            let wanted = NewTeammate {
                name,
                task: task.read()?,
                workspace: Some(workspace),
                instructions,
                model,
                sandbox,
                lane: told.lane.map(LaneId::new),
            };
            let teammate = client.spawn(&dispatcher, &wanted).await;
            let teammate = teammate.map_err(Failure::of_request)?;
            written(args.json, &teammate, |it| joined(it, &dispatcher))?
        }
        Action::Send { name, task, told } => {
            let task = FurtherTask {
                task: task.read()?,
                lane: told.lane.map(LaneId::new),
            };
            let teammate = client.assign(&dispatcher, &name, &task).await;
            let teammate = teammate.map_err(Failure::of_request)?;
            written(args.json, &teammate, given)?
        }
        Action::Stop { name } => {
            let halted = client.stop(&dispatcher, &name).await;
            let halted = halted.map_err(Failure::of_request)?;
            written(args.json, &halted, stopped)?
        }
        Action::Close { name, discard } => {
            let halted = client.close(&dispatcher, &name, discard).await;
            let halted = halted.map_err(Failure::of_request)?;
            let halted = settled(&client, &dispatcher, halted).await;
            let flags = args.config.flags() + &args.dispatcher.flags();
            written(args.json, &halted, |it| closed(it, &flags))?
        }
    };
    output::print(&text)
}

async fn ask<T: serde::de::DeserializeOwned>(client: &Client, route: &str) -> Result<T, Failure> {
    client.get(route).await.map_err(Failure::of_request)
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

/// Waits a moment until it is known what becomes of the worktree of one that has left.
async fn settled(client: &Client, dispatcher: &str, mut halted: TeammateHalted) -> TeammateHalted {
    let route = format!(
        "{}?tasks=1",
        teammate_route(dispatcher, &halted.teammate.name)
    );
    let until = Instant::now() + LOOK_FOR;
    while halted.teammate.workspace.fate.as_deref() == Some("leaving") && Instant::now() < until {
        sleep(LOOK_EVERY).await;
        // It has left, whatever the daemon says now: then it is not known what became of the worktree.
        match client.get::<TeammateDetails>(&route).await {
            Ok(details) => halted.teammate = details.teammate,
            Err(_) => break,
        }
    }
    halted
}
