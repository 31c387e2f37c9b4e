//! `tieline sessions`: conversations of programs with Codex.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::anyhow;
use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::config_args::ConfigArgs;
use crate::cli::dispatcher_args::DispatcherArgs;
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::output::plain;
use crate::cli::table::{rows, since, table, write};
use crate::cli::{input, output};
use crate::codex::protocol::SandboxMode;
use crate::config::Sandbox;
use crate::control::{
    Client, Mode, NewSession, NewTurn, SessionEnded, SessionStatus, Sessions, TurnReceipt,
    TurnResult, Turns, session_route, session_turn_route,
};
use crate::id::ThreadId;
use crate::sessions::{Input, MAX_INPUT, SessionOptions, TurnOptions};

/// How much of a text has place in a table, in characters.
const TEXT: usize = 50;

/// How long one request waits for the end of a turn: less than a client waits for an answer.
const LOOK_FOR: &str = "8s";

/// Have conversations with Codex from scripts
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
    /// List them, the newest first; so does no action at all, for those of all dispatchers
    List {
        /// Those in this state alone: opening, active, failed or closed
        #[arg(long, value_name = "STATE")]
        state: Option<String>,

        /// Those for this purpose alone
        #[arg(long, value_name = "TEXT")]
        purpose: Option<String>,
    },
    /// Open one, and print its name
    New(NewArgs),
    /// Say how one is, and what its turns came to
    Show {
        /// Its name
        session: String,
    },
    /// Give one a turn, and print its name
    Turn {
        /// The session
        session: String,

        #[command(flatten)]
        text: TextArgs,

        /// Wait for its end, and print what the model says
        #[arg(long)]
        wait: bool,

        /// The model, for this turn
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,

        /// The reasoning effort, for this turn
        #[arg(long, value_name = "EFFORT")]
        effort: Option<String>,

        /// Where commands begin, for this turn
        #[arg(long, value_name = "DIRECTORY")]
        cwd: Option<PathBuf>,
    },
    /// Add to the turn that runs
    Steer {
        /// The session
        session: String,

        /// The turn that is to run; another one is not added to
        turn: String,

        #[command(flatten)]
        text: TextArgs,
    },
    /// Have a turn end, or not begin
    Interrupt {
        /// The session
        session: String,

        /// The turn
        turn: String,
    },
    /// Close one: its turn ends, and it takes no more
    Close {
        /// Its name
        session: String,
    },
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// Take up this Codex thread
    #[arg(long, value_name = "THREAD")]
    thread: Option<String>,

    /// Only note the thread, which somebody else works with
    #[arg(long, requires = "thread")]
    registered: bool,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,

    /// Something to remember with it; can be given more than once
    #[arg(long = "metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,

    /// The model, if not the dispatcher's
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// What the model is told beside the turns
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    instructions: Option<String>,

    /// What its commands may do, if less than those of the dispatcher
    #[arg(long, value_name = "SANDBOX")]
    sandbox: Option<String>,

    /// Where its commands begin
    #[arg(long, value_name = "DIRECTORY")]
    cwd: Option<PathBuf>,

    /// Leave nothing on disk: it ends with Codex
    #[arg(long)]
    ephemeral: bool,
}

/// What goes in.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TextArgs {
    /// What goes in
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,

    /// The file with what goes in; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl TextArgs {
    fn read(self) -> Result<Input, Failure> {
        const INSTEAD: &str = "put it where the session works, and name that in a shorter text";
        let text = match self.file {
            Some(file) => input::read(&file, 4 * MAX_INPUT, INSTEAD)?,
            // One of them is there: the command line was checked.
            None => self.text.unwrap_or_default(),
        };
        Ok(Input::Text(text))
    }
}

impl NewArgs {
    fn wanted(self) -> Result<NewSession, Failure> {
        let sandbox = self.sandbox.as_deref().map(sandbox).transpose()?;
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(usage(format!("{text:?} is not KEY=VALUE"))),
        };
        Ok(NewSession {
            mode: self.registered.then_some(Mode::Registered),
            thread: self.thread.map(ThreadId::new),
            purpose: self.purpose,
            metadata: self.metadata.iter().map(pair).collect::<Result<_, _>>()?,
            options: SessionOptions {
                developer_instructions: self.instructions,
                sandbox,
                model: self.model,
                ephemeral: self.ephemeral,
                cwd: self.cwd,
                ..SessionOptions::default()
            },
        })
    }
}

/// Orders, or asks, and prints what the daemon says.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let now = SystemTime::now();
    let json = args.json;
    let action = args.action.unwrap_or(Action::List {
        state: None,
        purpose: None,
    });
    let text = match action {
        Action::List { state, purpose } => {
            let dispatcher = args.dispatcher.named();
            let query = [
                ("dispatcher", dispatcher),
                ("state", state),
                ("purpose", purpose),
            ];
            let route = listing(&query);
            let answer: serde_json::Value = ask(&client, &route).await?;
            written(json, answer, |it: &Sessions| list(&it.sessions, now))?
        }
        Action::New(new) => {
            let dispatcher = args.dispatcher.choose(&config)?;
            let session = client.open_session(&dispatcher, &new.wanted()?).await;
            let session = session.map_err(Failure::of_request)?;
            output::print(&shown(json, &session, |it| format!("{}\n", it.id))?)?;
            return unless_failed(&session);
        }
        Action::Show { session } => {
            let route = session_route(&session);
            let turns = format!("{route}/turns");
            let answer: serde_json::Value = ask(&client, &route).await?;
            let turns: serde_json::Value = ask(&client, &turns).await?;
            if json {
                output::json(&serde_json::json!({ "session": answer, "turns": turns["turns"] }))?
            } else {
                let turns: Turns = understood(turns)?;
                show(&understood(answer)?, &turns.turns, now)
            }
        }
        Action::Turn {
            session,
            text,
            wait,
            model,
            effort,
            cwd,
        } => {
            let turn = NewTurn {
                input: text.read()?,
                expected_turn: None,
                options: TurnOptions {
                    model,
                    effort,
                    cwd,
                    ..TurnOptions::default()
                },
            };
            let receipt = client.give_turn(&session, &turn).await;
            let receipt = receipt.map_err(Failure::of_request)?;
            if wait {
                return end(&client, &receipt, json).await;
            }
            shown(json, &receipt, |it| format!("{}\n", it.turn))?
        }
        Action::Steer {
            session,
            turn,
            text,
        } => {
            let turn = NewTurn {
                input: text.read()?,
                expected_turn: Some(turn),
                options: TurnOptions::default(),
            };
            let receipt = client.steer(&session, &turn).await;
            let receipt = receipt.map_err(Failure::of_request)?;
            shown(json, &receipt, |it| format!("added to turn {}\n", it.turn))?
        }
        Action::Interrupt { session, turn } => {
            let interrupted = client.interrupt(&session, &turn).await;
            let interrupted = interrupted.map_err(Failure::of_request)?;
            shown(json, &interrupted, |it| {
                let what = match it.outcome.as_str() {
                    "ends" => "ends",
                    "withdrawn" => "had not begun, and will not be",
                    _ => "was over already",
                };
                format!("the turn {what}\n")
            })?
        }
        Action::Close { session } => {
            let closed = client.close_session(&session).await;
            let closed = closed.map_err(Failure::of_request)?;
            shown(json, &closed, describe_end)?
        }
    };
    output::print(&text)
}

async fn ask<T: DeserializeOwned>(client: &Client, route: &str) -> Result<T, Failure> {
    client.get(route).await.map_err(Failure::of_request)
}

/// Waits for the end of a turn, and prints what the model says.
async fn end(client: &Client, receipt: &TurnReceipt, json: bool) -> Result<(), Failure> {
    let (session, turn) = (receipt.session.to_string(), receipt.turn.to_string());
    let route = format!("{}?wait={LOOK_FOR}", session_turn_route(&session, &turn));
    let (answer, turn) = loop {
        let answer: serde_json::Value = ask(client, &route).await?;
        let turn: TurnResult = understood(answer.clone())?;
        if turn.terminal_status.is_some() {
            break (answer, turn);
        }
    };
    if json {
        output::print(&output::json(&answer)?)?;
    } else if let Some(reply) = &turn.reply {
        output::print(&format!("{}\n", reply.trim_end()))?;
    }
    if turn.completed {
        return Ok(());
    }
    let why = turn.failure_message.unwrap_or_default();
    let kind = turn.failure_kind.map(|kind| format!(" ({kind})"));
    let what = format!("the turn is {}{}", turn.status, kind.unwrap_or_default());
    let error = match why.as_str() {
        "" => anyhow!(what),
        why => anyhow!("{what}: {}", plain(why)),
    };
    Err(Failure::new(Exit::Unanswered, error)
        .hint("the session goes on: `tieline sessions show` says how it is"))
}

/// Fails when codex did not take what was asked for.
fn unless_failed(session: &SessionStatus) -> Result<(), Failure> {
    let Some(failure) = &session.failure else {
        return Ok(());
    };
    let why = plain(&failure.message);
    let error = anyhow!("the session has no thread ({}): {why}", failure.kind);
    Err(Failure::new(Exit::Unanswered, error).hint("open another one that codex takes"))
}

fn understood<T: DeserializeOwned>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure::new(Exit::Internal, error))
}

/// Writes an answer, as it is or for people.
fn written<T: DeserializeOwned>(
    json: bool,
    answer: serde_json::Value,
    describe: impl FnOnce(&T) -> String,
) -> Result<String, Failure> {
    if json {
        return output::json(&answer);
    }
    Ok(describe(&understood(answer)?))
}

fn shown<T: Serialize>(
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

fn sandbox(name: &str) -> Result<SandboxMode, Failure> {
    let named = Sandbox::named(name).map(crate::dispatcher::sandbox_mode);
    named.ok_or_else(|| {
        usage(format!(
            "there is no sandbox {name:?}: read-only, workspace-write or danger-full-access"
        ))
    })
}

fn listing(query: &[(&str, Option<String>)]) -> String {
    const ROUTE: &str = "/v1/sessions?";
    let mut route = url::form_urlencoded::Serializer::for_suffix(ROUTE.to_owned(), ROUTE.len());
    for (name, value) in query {
        if let Some(value) = value {
            route.append_pair(name, value);
        }
    }
    route.finish().trim_end_matches('?').to_owned()
}

fn list(sessions: &[SessionStatus], now: SystemTime) -> String {
    if sessions.is_empty() {
        return "no sessions\n".to_owned();
    }
    let mut table = table(["SESSION", "STATE", "FOR", "DISPATCHER", "BEGAN", "PURPOSE"]);
    for session in sessions {
        let purpose = session.purpose.as_deref();
        table.add_row([
            session.id.to_string(),
            plain(&session.state),
            since(session.changed_at, now),
            plain(session.dispatcher.as_str()),
            plain(&session.began),
            purpose.map_or("-".to_owned(), |it| plain(&cut(it))),
        ]);
    }
    write(&table)
}

fn show(session: &SessionStatus, turns: &[TurnResult], now: SystemTime) -> String {
    let mut about = rows();
    let state = format!(
        "{} for {}",
        plain(&session.state),
        since(session.changed_at, now)
    );
    about.add_row([session.id.to_string(), state]);
    if let Some(failure) = &session.failure {
        let why = format!("{}: {}", failure.kind, plain(&failure.message));
        about.add_row(["failed".to_owned(), why]);
    }
    let mut add = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            about.add_row([what.to_owned(), plain(&value)]);
        }
    };
    add("purpose", session.purpose.clone());
    add("dispatcher", Some(session.dispatcher.to_string()));
    add("thread", session.thread.as_ref().map(ToString::to_string));
    add("model", session.model.clone());
    add("ephemeral", session.ephemeral.then(|| "yes".to_owned()));
    for (key, value) in &session.metadata {
        add(key, Some(value.clone()));
    }
    let mut text = write(&about);
    if turns.is_empty() {
        return text;
    }
    let mut table = table(["TURN", "STATUS", "FOR", "INPUT"]);
    for turn in turns {
        let status = match turn.failure_kind {
            Some(kind) => format!("{}: {kind}", plain(&turn.status)),
            None => plain(&turn.status),
        };
        table.add_row([
            turn.turn.to_string(),
            status,
            since(turn.changed_at, now),
            plain(&cut(&turn.beginning)),
        ]);
    }
    text.push('\n');
    text.push_str(&write(&table));
    text
}

fn describe_end(closed: &SessionEnded) -> String {
    let mut text = "closed".to_owned();
    if closed.was_running {
        text.push_str("; its turn ends");
    }
    if closed.withdrawn > 0 {
        let plural = if closed.withdrawn == 1 { "" } else { "s" };
        let withdrawn = closed.withdrawn;
        text.push_str(&format!("; {withdrawn} waiting turn{plural} will not be"));
    }
    text + "\n"
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
