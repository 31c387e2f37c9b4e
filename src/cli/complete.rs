//! `tieline complete`: reports the result of some work to a dispatcher.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output;
use crate::config::Config;
use crate::control::{Client, CompletionReceipt, CompletionReport, MAX_BODY};
use crate::id::LaneId;
use crate::ledger::CompletionStatus;

/// Report the result of some work: the agent is told, once, and people hear from it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// The dispatcher that waits for it; else $TIELINE_DISPATCHER, or the only one there is
    #[arg(long, value_name = "NAME")]
    dispatcher: Option<String>,

    /// Who did the work
    #[arg(long, value_name = "NAME")]
    from: String,

    /// Your name of this one result; to report it again under the same changes nothing
    #[arg(long, value_name = "ID")]
    id: String,

    /// How the work ended
    #[arg(long, value_enum, default_value_t = Ended::Ok)]
    status: Ended,

    /// The file that says what came of it; `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    /// The lane that is told, as `tieline status` names it; else the one that was used last
    #[arg(long, value_name = "LANE")]
    lane: Option<String>,

    /// Print the daemon's answer as it is
    #[arg(long)]
    json: bool,
}

/// How some work ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ended {
    /// It is done
    Ok,
    /// It could not be done
    Failed,
    /// It was stopped
    Stopped,
}

impl From<Ended> for CompletionStatus {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Ok => Self::Ok,
            Ended::Failed => Self::Failed,
            Ended::Stopped => Self::Stopped,
        }
    }
}

/// Reports the result and prints what became of it.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let dispatcher = dispatcher(args.dispatcher, &config)?;
    let report = CompletionReport {
        id: args.id,
        from: args.from,
        status: args.status.into(),
        body: read(&args.file).map_err(|error| Failure::new(Exit::Io, error))?,
        lane: args.lane.map(LaneId::new),
    };
    let client = Client::new(&config.control_socket());
    let receipt = client.complete(&dispatcher, &report).await;
    let receipt = receipt.map_err(Failure::of_request)?;
    let text = if args.json {
        output::json(
            &serde_json::to_value(&receipt).map_err(|error| Failure::new(Exit::Internal, error))?,
        )?
    } else {
        describe(&receipt, &dispatcher)
    };
    output::print(&text)
}

/// Returns who the result is for.
fn dispatcher(named: Option<String>, config: &Config) -> Result<String, Failure> {
    let inherited = || std::env::var("TIELINE_DISPATCHER").ok();
    if let Some(name) = named.or_else(inherited) {
        return Ok(name);
    }
    let mut all = config.dispatchers.keys();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.to_string()),
        _ => {
            let names: Vec<&str> = config.dispatchers.keys().map(|id| id.as_str()).collect();
            let error = anyhow!("which dispatcher is it for? There are {}", names.join(", "));
            Err(Failure::new(Exit::Usage, error).hint("name it with --dispatcher"))
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let limit = MAX_BODY as u64;
    let mut bytes = Vec::new();
    let (name, read) = if file == Path::new("-") {
        let stdin = std::io::stdin().lock();
        (
            "standard input".to_owned(),
            stdin.take(limit + 1).read_to_end(&mut bytes),
        )
    } else {
        let read =
            std::fs::File::open(file).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
        (file.display().to_string(), read)
    };
    read.with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > limit {
        return Err(anyhow!(
            "{name} is larger than {} MiB; report where it lies instead",
            MAX_BODY >> 20
        ));
    }
    // The output of programs is text, but for what they echo.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn describe(receipt: &CompletionReceipt, dispatcher: &str) -> String {
    let state = match receipt.state.as_str() {
        "waiting" => format!("it waits for {dispatcher}"),
        "in_turn" => format!("{dispatcher} is dealing with it"),
        "delivered" => format!("{dispatcher} has dealt with it"),
        "failed" => format!("{dispatcher} could not be made to deal with it; see its log"),
        "unclear" => format!("whether {dispatcher} has dealt with it is not known"),
        other => other.to_owned(),
    };
    if receipt.repeated {
        format!("reported before: {state}\n")
    } else {
        format!("recorded: {state}\n")
    }
}
