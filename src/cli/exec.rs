//! `tieline exec`: one-off runs beside the conversations.

mod render;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use tokio::time::{Instant, sleep};

use self::render::{cancelled, details, list, outcome, progress, queued};
use crate::cli::config_args::ConfigArgs;
use crate::cli::dispatcher_args::DispatcherArgs;
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::{input, output};
use crate::config::words::nearest;
use crate::control::{Client, ClientError, NewRun, RunDetails, RunsPage, run_route, with_query};
use crate::id::{LaneId, ThreadId};
use crate::ledger::RunEnvironment;
use crate::runs::request::MAX_PROMPT;

/// How long the daemon is asked to wait at a time.
const WAIT: &str = "5s";

/// How long a daemon may be away while a run is waited for: it may be restarted.
const AWAY_FOR: Duration = Duration::from_secs(60);

/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The words of [`Action`].
const ACTIONS: &[&str] = &["list", "show", "cancel"];

/// Have Codex do one thing beside the conversations
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    dispatcher: DispatcherArgs,

    /// Print the daemon's answer as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    order: OrderArgs,

    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List runs, newest first
    List {
        /// Only those: queued, running, completed, failed, blocked, cancelled, unclear
        #[arg(long, value_name = "STATE")]
        state: Option<String>,

        /// Only those that are for this
        #[arg(long, value_name = "PURPOSE")]
        purpose: Option<String>,

        /// How many to list
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        limit: u64,

        /// Go on behind the list that named this
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
    },
    /// Say how one is, and what came of it
    Show {
        /// The run
        id: String,

        /// Wait for its end first
        #[arg(long)]
        wait: bool,
    },
    /// Have one end, or not begin
    Cancel {
        /// The run
        id: String,
    },
}

/// What is to be done.
#[derive(Debug, Default, clap::Args)]
struct OrderArgs {
    /// What it is asked; `-` reads it from standard input
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,

    /// The same, when it begins with a dash or looks like an action
    #[arg(last = true, value_name = "PROMPT", conflicts_with = "prompt")]
    verbatim: Option<String>,

    /// Wait for its end and print the reply
    #[arg(long)]
    wait: bool,

    /// What it is for: task, review, check, research, maintenance, other
    #[arg(long, value_name = "PURPOSE")]
    purpose: Option<String>,

    /// Where it works; else the dispatcher's workspace
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,

    /// Its model, if not the dispatcher's
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// Its profile of Codex's configuration, if not the dispatcher's
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// What its commands may do, if less than those of the dispatcher
    #[arg(long, value_name = "SANDBOX")]
    sandbox: Option<String>,

    /// An image that it is shown; may be repeated
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,

    /// A directory that it may write to beside its own; may be repeated
    #[arg(long = "add-dir", value_name = "DIR")]
    writable_dirs: Vec<PathBuf>,

    /// A variable of its environment; without a value, as it is here; may be repeated
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// A setting of Codex; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Refuse to work where there is no git repository
    #[arg(long)]
    git_check: bool,

    /// Do not keep its thread
    #[arg(long)]
    ephemeral: bool,

    /// A file with the JSON Schema of its answer
    #[arg(long, value_name = "FILE")]
    output_schema: Option<PathBuf>,

    /// How long it may take, such as 90s, 10m or 2h; else 30m
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,

    /// The Codex thread that it goes on with
    #[arg(long, value_name = "THREAD")]
    resume: Option<String>,

    /// The lane that is told what came of it, as `tieline status` names it
    #[arg(long, value_name = "LANE")]
    report_to: Option<String>,

    /// Something to find again; may be repeated
    #[arg(long = "meta", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

impl OrderArgs {
    /// Returns the order.
    fn read(self) -> Result<NewRun, Failure> {
        if let Some(word) = &self.prompt
            && let Some(action) = meant(word)
        {
            return Err(mistyped(word, action));
        }
        let prompt = match self.prompt.as_deref().or(self.verbatim.as_deref()) {
            None => {
                return Err(usage(
                    "what is to be done? Give a prompt, or `-` for standard input",
                ));
            }
            Some("-") => input::read(
                "-".as_ref(),
                MAX_PROMPT,
                "put it into a file in the workspace, and name that in a shorter prompt",
            )?,
            Some(prompt) => prompt.to_owned(),
        };
        let output_schema = self.output_schema.map(|file| {
            let text = input::read(&file, 64 << 10, "a schema is shorter")?;
            let schema = serde_json::from_str(&text)
                .with_context(|| format!("{} is not JSON", file.display()));
            schema.map_err(|error| Failure::new(Exit::Usage, error))
        });
        Ok(NewRun {
            prompt,
            purpose: self.purpose,
            cwd: self.cwd.map(absolute).transpose()?,
            model: self.model,
            profile: self.profile,
            sandbox: self.sandbox,
            images: all_absolute(self.images)?,
            writable_dirs: all_absolute(self.writable_dirs)?,
            env: RunEnvironment(environment(&self.env)?),
            config: self.settings,
            skip_git_check: self.git_check.then_some(false),
            ephemeral: self.ephemeral,
            output_schema: output_schema.transpose()?,
            timeout: self.timeout,
            session: None,
            resume: self.resume.map(ThreadId::new),
            report_to: self.report_to.map(LaneId::new),
            metadata: pairs("--meta", &self.metadata)?,
        })
    }
}

/// Returns the action that was probably meant by a prompt of one word.
fn meant(prompt: &str) -> Option<&'static str> {
    let one_word = !prompt.trim().contains(char::is_whitespace);
    one_word.then(|| nearest(prompt, ACTIONS)).flatten()
}

/// Says that an action was probably mistyped: as a prompt it would cost a turn.
fn mistyped(word: &str, action: &str) -> Failure {
    usage(format!("`{word}` is no action; did you mean `{action}`?"))
        .hint(format!("to ask Codex just that: `tieline exec -- {word}`"))
}

/// Returns a path as the daemon, which is somewhere else, understands it.
fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(&path).context("the working directory cannot be found");
    absolute.map_err(|error| Failure::new(Exit::Io, error))
}

fn all_absolute(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    paths.into_iter().map(absolute).collect()
}

fn environment(variables: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for variable in variables {
        let (name, value) = match variable.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = std::env::var(variable).map_err(|_| {
                    usage(format!(
                        "--env {variable}: there is no such variable here, or it is not UTF-8"
                    ))
                })?;
                (variable.as_str(), value)
            }
        };
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

fn pairs(flag: &str, given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |it: &String| match it.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(usage(format!("{flag} {it}: it is to be KEY=VALUE"))),
    };
    given.iter().map(pair).collect()
}

/// Orders, or asks, and prints what the daemon says.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let now = SystemTime::now();
    let Some(action) = args.action else {
        let wait = args.order.wait;
        let dispatcher = args.dispatcher.choose(&config)?;
        let order = args.order.read()?;
        let run = client.exec(&dispatcher, &order).await;
        let run = run.map_err(Failure::of_request)?;
        if !wait {
            let flags = args.config.flags();
            return print(args.json, &run, |it| queued(it, &flags));
        }
        let run = ended(&client, run).await?;
        return print_end(args.json, &run);
    };
    if args.order.prompt.is_some() || args.order.verbatim.is_some() {
        let problem = "a prompt and an action do not go together; a prompt that is the word of an action \
                       goes behind `--`";
        return Err(usage(problem));
    }
    match action {
        Action::List {
            state,
            purpose,
            limit,
            cursor,
        } => {
            let wanted = [
                ("dispatcher", args.dispatcher.named()),
                ("state", state),
                ("purpose", purpose),
                ("limit", Some(limit.to_string())),
                ("cursor", cursor),
            ];
            let route = with_query("/v1/runs", &wanted);
            if args.json {
                return output::print(&output::json(&ask(&client, &route).await?)?);
            }
            let page: RunsPage = ask(&client, &route).await?;
            output::print(&list(&page, now))
        }
        Action::Show { id, wait } => {
            let route = run_route(&id, "0s");
            if wait {
                let run = ask(&client, &route).await?;
                ended(&client, run).await?;
            }
            if args.json {
                return output::print(&output::json(&ask(&client, &route).await?)?);
            }
            output::print(&details(&ask(&client, &route).await?, now))
        }
        Action::Cancel { id } => {
            let run = client.cancel_run(&id).await.map_err(Failure::of_request)?;
            print(args.json, &run, cancelled)
        }
    }
}

async fn ask<T: serde::de::DeserializeOwned>(client: &Client, route: &str) -> Result<T, Failure> {
    client.get(route).await.map_err(Failure::of_request)
}

fn print<T: serde::Serialize>(
    json: bool,
    answer: &T,
    describe: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    if !json {
        return output::print(&describe(answer));
    }
    let answer = serde_json::to_value(answer);
    let answer = answer.map_err(|error| Failure::new(Exit::Internal, error))?;
    output::print(&output::json(&answer)?)
}

/// Prints what came of a run: the reply alone, so that a program can take it. Fails if it was not done.
fn print_end(json: bool, run: &RunDetails) -> Result<(), Failure> {
    if json || run.run.completed {
        print(json, run, |run| {
            let reply = run.reply.as_deref().unwrap_or_default();
            format!("{}\n", reply.trim_end())
        })?;
    }
    if run.run.completed {
        return Ok(());
    }
    let problem = run.run.failure_message.as_deref();
    let error = anyhow!(
        "{}: {}",
        outcome(&run.run),
        output::plain(problem.unwrap_or("it was not done"))
    );
    let hint = format!("`tieline exec show {}` tells all of it", run.run.id);
    Err(Failure::new(Exit::Unanswered, error).hint(hint))
}

/// Waits for the end of a run, and says meanwhile how far it is. A daemon that is restarted is waited for.
async fn ended(client: &Client, mut run: RunDetails) -> Result<RunDetails, Failure> {
    let id = run.run.id.to_string();
    let mut said = String::new();
    let mut away_since = None;
    while !run.run.terminal {
        let line = progress(&run);
        if line != said {
            // Nobody is left to be told when standard error is closed.
            drop(writeln!(std::io::stderr().lock(), "{line}"));
            said = line;
        }
        match client.get(&run_route(&id, WAIT)).await {
            Ok(read) => {
                run = read;
                away_since = None;
            }
            Err(
                error @ (ClientError::NotRunning { .. }
                | ClientError::Broken { .. }
                | ClientError::Connect { .. }
                | ClientError::Slow { .. }),
            ) => {
                if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_FOR {
                    return Err(error.into());
                }
                sleep(LOOK_EVERY).await;
            }
            Err(error) => return Err(Failure::of_request(error)),
        }
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use clap::Subcommand as _;

    use super::*;

    #[test]
    fn the_actions_are_those_that_there_are() {
        let command = Action::augment_subcommands(clap::Command::new("exec"));
        let names: Vec<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(names, ACTIONS);
    }

    #[test]
    fn one_word_close_to_an_action_is_taken_for_it() {
        for (word, action) in [("lst", "list"), ("shwo", "show"), ("cancle", "cancel")] {
            assert_eq!(meant(word), Some(action));
        }
        for prompt in [
            "-",
            "summarize",
            "hello",
            "lst the files",
            "show me the log",
        ] {
            assert_eq!(meant(prompt), None, "{prompt}");
        }
    }
}
