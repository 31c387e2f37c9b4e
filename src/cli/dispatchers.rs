//! `tieline dispatchers`: how they are, how they are set up, and switching one off and on.

use std::time::SystemTime;

use clap::Subcommand;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{self, plain};
use crate::cli::table::{indented, right_align, rows, since, table, write};
use crate::control::{
    Client, DispatcherDetails, DispatcherOverview, Dispatchers, dispatcher_route,
};

/// Show how the dispatchers are, and switch them off and on
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Print the daemon's answer as it is
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them (what is done without an action)
    List,
    /// Say how one is, how it is set up and what it can do
    Show {
        /// Its name
        name: String,
    },
    /// Have one work that was stopped
    Start {
        /// Its name
        name: String,
    },
    /// Have one end its Codex and take no more turns; what is written to it waits
    Stop {
        /// Its name
        name: String,
    },
    /// Stop one and start it again
    Restart {
        /// Its name
        name: String,
    },
}

/// Asks, or orders, and prints what the daemon says.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let now = SystemTime::now();
    let (name, order) = match args.action {
        None | Some(Action::List) => {
            let route = "/v1/dispatchers";
            let text = if args.json {
                output::json(&client.get(route).await?)?
            } else {
                let Dispatchers { dispatchers } = client.get(route).await?;
                list(&dispatchers, now)
            };
            return output::print(&text);
        }
        Some(Action::Show { name }) => (name, None),
        Some(Action::Start { name }) => (name, Some("start")),
        Some(Action::Stop { name }) => (name, Some("stop")),
        Some(Action::Restart { name }) => (name, Some("restart")),
    };
    let answer = match order {
        None => client.get(&dispatcher_route(&name)).await,
        Some(order) => client.switch(&name, order).await,
    };
    let answer: DispatcherDetails = answer.map_err(Failure::of_request)?;
    let text = if args.json {
        let answer = serde_json::to_value(&answer);
        output::json(&answer.map_err(|error| Failure::new(Exit::Internal, error))?)?
    } else if order.is_some() {
        switched(&answer.dispatcher)
    } else {
        details(&answer, now)
    };
    output::print(&text)
}

fn switched(dispatcher: &DispatcherOverview) -> String {
    let state = dispatcher.state.as_str();
    let waiting = match dispatcher.waiting {
        0 => String::new(),
        waiting => format!("; {waiting} waiting"),
    };
    format!("{} is {state}{waiting}\n", dispatcher.id)
}

fn list(dispatchers: &[DispatcherOverview], now: SystemTime) -> String {
    let mut table = table([
        "DISPATCHER",
        "STATE",
        "FOR",
        "IN TURN",
        "WAITING",
        "RESTARTS",
        "LAST ERROR",
    ]);
    right_align(&mut table, &[3, 4, 5]);
    for dispatcher in dispatchers {
        table.add_row([
            dispatcher.id.to_string(),
            dispatcher.state.as_str().to_owned(),
            since(dispatcher.since, now),
            dispatcher.lanes.in_turn.to_string(),
            dispatcher.waiting.to_string(),
            dispatcher.restarts.to_string(),
            plain(dispatcher.last_error.as_deref().unwrap_or("-")),
        ]);
    }
    write(&table)
}

fn details(details: &DispatcherDetails, now: SystemTime) -> String {
    let DispatcherDetails {
        dispatcher,
        workspace,
        channels,
        sessions,
        approvals,
        sandbox,
        profile,
        model,
        capabilities,
    } = details;
    let mut facts = rows();
    let mut fact = |name: &str, value: String| {
        facts.add_row([name.to_owned(), plain(&value)]);
    };
    if let Some(error) = &dispatcher.last_error {
        fact("last error", error.clone());
    }
    if let Some(problem) = &dispatcher.login_problem {
        fact("cannot sign in", problem.message.clone());
        fact("what mends it", problem.remedy.clone());
    }
    for warning in &dispatcher.warnings {
        fact("warning", warning.clone());
    }
    if let Some(child) = &dispatcher.child {
        let pid = child.pid.map(|pid| format!(" (process {pid})"));
        fact(
            "codex",
            format!("{}{}", child.state, pid.unwrap_or_default()),
        );
    }
    let version = capabilities.codex_version.as_deref();
    fact(
        "codex version",
        version.unwrap_or("not known yet").to_owned(),
    );
    fact("transport", capabilities.transport.clone());
    let lanes = [
        (dispatcher.lanes.in_turn, "in turn"),
        (dispatcher.lanes.waiting, "waiting"),
        (dispatcher.lanes.idle, "idle"),
    ];
    let lanes = lanes.map(|(count, state)| format!("{count} {state}"));
    fact("lanes", lanes.join(", "));
    fact("waiting", dispatcher.waiting.to_string());
    fact("workspace", workspace.display().to_string());
    let channels: Vec<&str> = channels.iter().map(|channel| channel.as_str()).collect();
    fact("channels", channels.join(", "));
    fact("sessions", sessions.clone());
    let codex = |value: Option<&String>| match value {
        Some(value) => format!("; Codex says {value}"),
        None => String::new(),
    };
    if let Some(sandbox) = sandbox {
        let source = match sandbox.source.as_str() {
            "configuration" => "by the configuration".to_owned(),
            "default" => "by default".to_owned(),
            variable => format!("narrowed from {} by {variable}", sandbox.requested),
        };
        let observed = codex(sandbox.observed.as_ref());
        fact(
            "sandbox",
            format!("{} {source}{observed}", sandbox.effective),
        );
    }
    fact("approvals", approvals.clone());
    if let Some(profile) = profile {
        let provider = profile.provider.as_deref().unwrap_or("Codex's own choice");
        fact("profile", format!("{}; provider {provider}", profile.name));
    }
    let requested = model.requested.as_deref().unwrap_or("Codex's own choice");
    fact(
        "model",
        format!("{requested}{}", codex(model.effective.as_ref())),
    );
    if let Some(effort) = &model.effort {
        fact("effort", effort.clone());
    }
    fact("tools", capabilities.tools.join(", "));
    let (id, state) = (&dispatcher.id, dispatcher.state.as_str());
    let since = since(dispatcher.since, now);
    format!("{id} is {state}, for {since}\n\n{}", indented(&facts))
}
