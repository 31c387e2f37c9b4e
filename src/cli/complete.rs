//! `tieline complete`: reports the result of some work to a dispatcher.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::config_args::ConfigArgs;
use crate::cli::dispatcher_args::DispatcherArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{input, output};
use crate::control::{Client, CompletionReceipt, CompletionReport, MAX_BODY};
use crate::id::LaneId;
use crate::ledger::CompletionStatus;

/// Report the result of some work to a dispatcher
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    dispatcher: DispatcherArgs,

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
    let dispatcher = args.dispatcher.choose(&config)?;
    let report = CompletionReport {
        id: args.id,
        from: args.from,
        status: args.status.into(),
        body: input::read(&args.file, MAX_BODY, "report where it lies instead")?,
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

fn describe(receipt: &CompletionReceipt, dispatcher: &str) -> String {
    let state = match receipt.state.as_str() {
        "waiting" => format!("it waits for {dispatcher}"),
        "in_turn" => format!("{dispatcher} is dealing with it"),
        "delivered" => format!("{dispatcher} has dealt with it"),
        "failed" => format!("{dispatcher} could not be made to deal with it; see its log"),
        "unclear" => format!("whether {dispatcher} has dealt with it is not known"),
        "withdrawn" => format!("{dispatcher} is not told of it any more"),
        other => other.to_owned(),
    };
    if receipt.repeated {
        format!("reported before: {state}\n")
    } else {
        format!("recorded: {state}\n")
    }
}
