//! `tieline check`: whether the configuration can be used, and what it means.

use anyhow::anyhow;
use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, count};
use crate::cli::output;
use crate::codex;
use crate::config::{Access, Config, DispatcherConfig, Transport};
use crate::daemon;
use crate::id::DispatcherId;

/// Check the configuration and say what would run
///
/// Tells every mistake at once and exits with 78 if there is one. Starts and changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Checks the configuration.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let mut summary = summarise(&config);
    for (id, dispatcher) in &config.dispatchers {
        let codex = find_codex(&config, id, dispatcher).await?;
        summary.push('\n');
        summary.push_str(&describe(id.as_str(), dispatcher, &codex));
    }
    output::print(&summary)
}

/// Says which Codex a dispatcher has. Without a program there is nothing to run; what else is not
/// in order may be by the time it is started, so it is only warned of.
async fn find_codex(
    config: &Config,
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
) -> Result<String, Failure> {
    let launch = daemon::launch_config(config, id, dispatcher).map_err(Failure::of)?;
    let (mut program, mut version) = (String::new(), String::new());
    for check in codex::diagnose(&launch).await {
        match check.name {
            "bin" | "version" if !check.is_ok => {
                let error = anyhow!(check.detail);
                let error = error.context(format!("dispatcher `{id}` cannot run Codex"));
                return Err(Failure::new(Exit::Config, error)
                    .hint("`bin` in [codex] names the program; the rest of the file is valid"));
            }
            "bin" => program = check.detail,
            "version" => version = check.detail,
            name if !check.is_ok => {
                output::warn(&format!("dispatcher `{id}`: {name}: {}", check.detail));
            }
            _ => {}
        }
    }
    Ok(match &dispatcher.codex.transport {
        Transport::Endpoint(endpoint) => format!("runs elsewhere, at {endpoint}"),
        transport => format!("{program} {version}, over {transport}"),
    })
}

fn summarise(config: &Config) -> String {
    let mut rows = rows();
    let state = config.daemon.state_dir.display().to_string();
    rows.add_row(["state", &state]);
    rows.add_row(["log", &config.daemon.log]);
    for (id, channel) in &config.channels {
        let socket = config
            .console_socket(id)
            .map(|socket| format!(", {}", socket.display()))
            .unwrap_or_default();
        rows.add_row([
            &format!("channel {id}"),
            &format!("{}{socket}", channel.kind()),
        ]);
    }
    let path = config.path.display();
    format!("{path} is valid\n{}", indented(&rows))
}

fn describe(id: &str, dispatcher: &DispatcherConfig, codex: &str) -> String {
    let channels: Vec<_> = dispatcher.channels.iter().map(|id| id.as_str()).collect();
    let duration = |duration| humantime::format_duration(duration).to_string();
    let mut rows = rows();
    let mut row = |key: &str, value: &str| {
        rows.add_row([key, value]);
    };
    row("workspace", &dispatcher.workspace.display().to_string());
    row("channels", &channels.join(", "));
    row("access", &describe_access(&dispatcher.access));
    row("sessions", dispatcher.sessions.as_str());
    row("sandbox", dispatcher.sandbox.as_str());
    row("approvals", dispatcher.approvals.as_str());
    row("reply", dispatcher.reply.as_str());
    row("on_busy", dispatcher.on_busy.as_str());
    row("on_interrupted", dispatcher.on_interrupted.as_str());
    row("on_lost_thread", dispatcher.on_lost_thread.as_str());
    row("turn_idle_timeout", &duration(dispatcher.turn_idle_timeout));
    row("stale_after", &duration(dispatcher.stale_after));
    row(
        "restart",
        &format!(
            "{} to {}",
            duration(dispatcher.restart.base),
            duration(dispatcher.restart.max)
        ),
    );
    row(
        "model",
        dispatcher.model.as_deref().unwrap_or("as Codex chooses"),
    );
    row(
        "effort",
        dispatcher.effort.as_deref().unwrap_or("as Codex chooses"),
    );
    row("codex", codex);
    row("codex home", &dispatcher.codex.home.display().to_string());
    format!("dispatcher {id}\n{}", indented(&rows))
}

fn describe_access(access: &Access) -> String {
    format!(
        "direct {}, groups {}{}; {}, {}, {}{}{}",
        access.direct,
        access.groups,
        if access.mention {
            " when mentioned"
        } else {
            ""
        },
        count(access.users.len(), "user"),
        count(access.chats.len(), "chat"),
        count(access.admins.len(), "admin"),
        match access.bots.len() {
            0 => String::new(),
            n => format!(", {}", count(n, "bot")),
        },
        access.max_per_minute.map_or(String::new(), |n| format!(
            "; at most {} a minute each",
            count(n, "message")
        )),
    )
}

fn rows() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn indented(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("  {}\n", line.trim()))
        .collect()
}
