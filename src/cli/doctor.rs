//! `tieline doctor`: whether everything that the daemon depends on is in order.
//!
//! - `machine`: the state directory, limits, git
//! - `running`: the daemon that runs, or the ledger of one that does not, and the service
//! - `turn`: a turn on a scratch thread
//!
//! What codex needs, `codex::diagnose` looks at; what a platform says, `platform` asks.

mod machine;
mod running;
mod turn;

use tieline_channel::ChannelId;
use tieline_channel::setup::Problem;

use crate::cli::checks::{Checks, Outcome};
use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Failure, usage};
use crate::cli::platform;
use crate::codex;
use crate::config::{ChannelConfig, Config, DispatcherConfig, Sandbox};
use crate::daemon::{self, Secrets};
use crate::id::DispatcherId;

/// Look at everything tieline depends on, and say how to mend what is not in order
///
/// Works with and without a running daemon and changes nothing. Ends with a real turn of each
/// dispatcher on a scratch thread, which costs what a short question costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Leave out the turn
    #[arg(long)]
    no_turn: bool,

    /// Ask no platform and leave out the turn
    #[arg(long)]
    offline: bool,

    /// Look at this dispatcher and its channels only
    #[arg(long, value_name = "NAME")]
    dispatcher: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks at everything, the cheap things first.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut checks = Checks::new(args.json);
    let config = match args.config.load() {
        Ok(config) => config,
        Err(failure) => {
            // Without it nobody knows what else to look at.
            let remedy = "mend the file, then look again";
            checks.tell("configuration", Outcome::failed(failure.text(), remedy))?;
            checks.close()?;
            return Err(failure);
        }
    };
    let examined = Examined::choose(&config, args.dispatcher.as_deref())?;
    let (secrets, missing) = Secrets::gather(&config).await;

    let path = config.path.display().to_string();
    checks.tell("configuration", Outcome::Ok(path))?;
    machine::check(&mut checks, &config, &examined)?;
    running::check(&mut checks, &config, &args.config).await?;
    for (id, channel) in &examined.channels {
        let outcome = if args.offline {
            Outcome::Skipped("--offline".to_owned())
        } else {
            match missing.of_channel(id).as_slice() {
                [] => check_channel(id, channel, &secrets).await,
                told => Outcome::failed(
                    told.join("; "),
                    "put it where the configuration says; a variable is set where tieline is started, \
                     for a service in the file of its environment",
                ),
            }
        };
        checks.tell(format!("{id}: {}", channel.kind()), outcome)?;
    }
    for (id, dispatcher) in &examined.dispatchers {
        let can_start = check_codex(&mut checks, &config, id, dispatcher).await?;
        let reason = match (args.no_turn, args.offline, can_start) {
            (true, _, _) => Some("--no-turn"),
            (_, true, _) => Some("--offline"),
            (_, _, false) => Some("codex cannot be started, see above"),
            (false, false, true) => None,
        };
        let name = format!("{id}: turn");
        match reason {
            Some(reason) => checks.tell(name, Outcome::Skipped(reason.to_owned()))?,
            None => {
                let (outcome, took) = turn::try_one(&config, id, dispatcher).await;
                checks.tell_timed(name, outcome, took)?;
            }
        }
    }
    checks.finish()
}

/// What is looked at.
struct Examined<'a> {
    dispatchers: Vec<(&'a DispatcherId, &'a DispatcherConfig)>,
    channels: Vec<(&'a ChannelId, &'a ChannelConfig)>,
}

impl<'a> Examined<'a> {
    /// Chooses the dispatcher of that name with its channels, or all.
    fn choose(config: &'a Config, name: Option<&str>) -> Result<Self, Failure> {
        let is_chosen = |id: &DispatcherId| name.is_none_or(|name| id.as_str() == name);
        let dispatchers: Vec<_> = config
            .dispatchers
            .iter()
            .filter(|(id, _)| is_chosen(id))
            .collect();
        if dispatchers.is_empty() {
            let known: Vec<_> = config.dispatchers.keys().map(|id| id.as_str()).collect();
            let name = name.unwrap_or_default();
            return Err(usage(format!("there is no dispatcher `{name}`"))
                .hint(format!("one of {}", known.join(", "))));
        }
        let channels = config.channels.iter();
        let channels = channels
            .filter(|(id, _)| config.dispatcher_of(id).is_some_and(is_chosen))
            .collect();
        Ok(Self {
            dispatchers,
            channels,
        })
    }
}

/// Asks the platform of a channel.
async fn check_channel(id: &ChannelId, channel: &ChannelConfig, secrets: &Secrets) -> Outcome {
    match platform::ask(id, channel, secrets).await {
        Ok(None) => Outcome::Ok("needs no platform".to_owned()),
        Ok(Some((problems, _))) => judge(problems),
        Err(failure) => Outcome::failed(failure.text(), "look again"),
    }
}

/// Returns what the problems of one channel come to.
fn judge(problems: Vec<Problem>) -> Outcome {
    let Some(severity) = problems.iter().map(|it| it.severity).min() else {
        return Outcome::Ok("the platform accepts it, and lacks nothing".to_owned());
    };
    let join = |of: fn(&Problem) -> &str| {
        let mut texts: Vec<_> = problems.iter().map(of).collect();
        texts.dedup();
        texts.join("; ")
    };
    Outcome::Problem(Problem {
        severity,
        what: join(|problem| &problem.what),
        remedy: join(|problem| &problem.remedy),
    })
}

/// Looks at what a dispatcher needs of codex; returns whether that could be started.
async fn check_codex(
    checks: &mut Checks,
    config: &Config,
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
) -> Result<bool, Failure> {
    let launch = daemon::launch_config(config, id, dispatcher).map_err(Failure::of)?;
    let mut can_start = true;
    let sandboxed = dispatcher.sandbox != Sandbox::DangerFullAccess;
    let mut found = codex::diagnose(&launch).await;
    let is_missing = |check: &codex::Check| check.failed().is_some() && check.name != "login";
    if !found.iter().any(is_missing) {
        found.extend(codex::try_out(&launch, sandboxed).await);
    }
    for check in found {
        can_start &= check.failed().is_none() || check.name == "sandbox";
        checks.tell(format!("{id}: {}", check.name), check.found)?;
    }
    if !sandboxed {
        let why = "sandbox = \"danger-full-access\": commands may do anything".to_owned();
        checks.tell(format!("{id}: sandbox"), Outcome::Skipped(why))?;
    }
    Ok(can_start)
}

#[cfg(test)]
mod tests {
    use tieline_channel::setup::Severity;

    use super::*;

    #[test]
    fn the_worst_problem_of_a_channel_decides_and_all_are_told() {
        let problem = |severity, what: &str| Problem {
            severity,
            what: what.to_owned(),
            remedy: "click there".to_owned(),
        };
        let outcome = judge(vec![
            problem(Severity::Warning, "a scope is missing"),
            problem(Severity::Error, "the token was revoked"),
        ]);
        assert_eq!(
            outcome,
            Outcome::failed("a scope is missing; the token was revoked", "click there")
        );
        assert!(matches!(judge(Vec::new()), Outcome::Ok(_)));
    }
}
