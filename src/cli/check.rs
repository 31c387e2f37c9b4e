//! `tieline check`: whether the configuration can be used, and what it means.

use std::path::Path;

use anyhow::anyhow;
use tieline_channel::setup::Problem;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, count};
use crate::cli::{findings, output, platform, table};
use crate::codex::{self, LaunchConfig};
use crate::config::{Access, ChannelConfig, Config, DispatcherConfig, Sandbox, Transport};
use crate::daemon::{self, Sandboxed, Secrets};
use crate::id::DispatcherId;

/// Check the configuration and say what would run
///
/// Tells every mistake at once and exits with 78 if there is one. Fetches the secrets, and asks Slack
/// and Feishu whether they are good and what the app lacks. Starts no daemon and changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Look at the file only: fetch no secret and ask no platform
    #[arg(long)]
    offline: bool,
}

/// Checks the configuration.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let mut summary = summarise(&config);
    if !args.offline {
        summary.push_str(&ask_platforms(&config).await?);
    }
    for (id, dispatcher) in &config.dispatchers {
        let launch = daemon::launch_config(&config, id, dispatcher).map_err(Failure::of)?;
        let codex = find_codex(&launch, id, dispatcher).await?;
        summary.push('\n');
        summary.push_str(&describe(id.as_str(), dispatcher, &codex, &launch.home)?);
    }
    output::print(&summary)
}

/// Asks the platform of each channel that is connected, and says what it told.
async fn ask_platforms(config: &Config) -> Result<String, Failure> {
    let secrets = Secrets::fetch(config).await?;
    let mut told = String::new();
    let mut broken = None;
    for (id, channel) in &config.channels {
        let Some((problems, described)) = platform::ask(id, channel, &secrets).await? else {
            continue;
        };
        findings::warn(id, &problems);
        // Each is told; the first is what the verb fails with.
        if let Some(failure) = findings::failure(id, &problems)
            && let Some(earlier) = broken.replace(failure)
        {
            earlier.print();
        }
        if !described.is_empty() {
            told.push_str(&format!("\n{described}"));
        }
    }
    match broken {
        Some(failure) => Err(failure),
        None => Ok(told),
    }
}

/// Says which Codex a dispatcher has. Without a program there is nothing to run; what else is not
/// in order may be by the time it is started, so it is only warned of.
async fn find_codex(
    launch: &LaunchConfig,
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
) -> Result<String, Failure> {
    let (mut program, mut version) = (String::new(), String::new());
    for check in codex::diagnose(launch).await {
        let is_failed = check.failed().is_some();
        match (check.name, check.found) {
            ("bin" | "version", Err(problem)) if is_failed => {
                let error = anyhow!("{}: {}", problem.what, problem.remedy);
                let error = error.context(format!("dispatcher `{id}` cannot run Codex"));
                return Err(Failure::new(Exit::Config, error)
                    .hint("`bin` in [codex] names the program; the rest of the file is valid"));
            }
            ("bin", Ok(found)) => program = found,
            ("version", Ok(found)) => version = found,
            (name, Err(Problem { what, remedy, .. })) => {
                if name == "version" {
                    version.clone_from(&what);
                }
                output::warn(&format!(
                    "dispatcher `{id}`: {name}: {what}\n  hint: {remedy}"
                ));
            }
            (_, Ok(_)) => {}
        }
    }
    Ok(match &dispatcher.codex.transport {
        Transport::Endpoint(endpoint) => format!("runs elsewhere, at {endpoint}"),
        transport => format!("{program} {version}, over {transport}"),
    })
}

fn summarise(config: &Config) -> String {
    let mut rows = table::rows();
    let state = config.daemon.state_dir.display().to_string();
    rows.add_row(["state", &state]);
    rows.add_row(["log", &config.daemon.log]);
    for (id, channel) in &config.channels {
        let place = match channel {
            ChannelConfig::Console(_) => config
                .console_socket(id)
                .map(|socket| socket.display().to_string()),
            ChannelConfig::Slack(slack) => Some(slack.api_url.to_string()),
            ChannelConfig::Feishu(feishu) => Some(feishu.base_url.to_string()),
        };
        let kind = channel.kind();
        rows.add_row([
            format!("channel {id}"),
            place.map_or(kind.to_owned(), |place| format!("{kind}, {place}")),
        ]);
    }
    let path = config.path.display();
    format!("{path} is valid\n{}", table::indented(&rows))
}

fn describe(
    id: &str,
    dispatcher: &DispatcherConfig,
    codex: &str,
    home: &Path,
) -> Result<String, Failure> {
    let channels: Vec<_> = dispatcher.channels.iter().map(|id| id.as_str()).collect();
    let duration = |duration| humantime::format_duration(duration).to_string();
    let mut rows = table::rows();
    let mut row = |key: &str, value: &str| {
        rows.add_row([key, value]);
    };
    row("workspace", &dispatcher.workspace.display().to_string());
    row("channels", &channels.join(", "));
    row("access", &describe_access(&dispatcher.access));
    row("sessions", dispatcher.sessions.as_str());
    row("sandbox", &describe_sandbox(dispatcher.sandbox)?);
    if let Some(profile) = &dispatcher.profile {
        row("profile", profile);
    }
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
    row("codex home", &home.display().to_string());
    Ok(format!("dispatcher {id}\n{}", table::indented(&rows)))
}

/// Says what holds, and who said so where that is not the configuration.
fn describe_sandbox(requested: Sandbox) -> Result<String, Failure> {
    let sandboxed = Sandboxed::of(requested).map_err(|error| Failure::new(Exit::Config, error))?;
    let Sandboxed {
        requested,
        effective,
    } = sandboxed;
    Ok(if requested == effective {
        effective.to_string()
    } else {
        format!(
            "{effective}, narrowed from {requested} by {}",
            sandboxed.source()
        )
    })
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
