//! `tieline restart`: the running daemon, started again.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output;
use crate::control::{Client, RestartOrder, Status};

/// How long the new one may take to answer: the old one may take 20 s to end.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After how long people are told again that they wait.
const REMIND_EVERY: Duration = Duration::from_secs(5);

/// Restart the running daemon and wait until it is back
///
/// Turns in flight get a while to end, and what is left goes on afterwards. Chats that wait or were
/// lately used are told before and after. The configuration is read anew, and a program that was
/// updated is the new one; when a new start would fail, nothing happens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// What chats and models are told beside that there is a restart
    #[arg(long, value_name = "TEXT")]
    notice: Option<String>,
}

/// Orders the restart and waits for its end.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let client = Client::new(&config.control_socket());
    let order = RestartOrder {
        notice: args.notice,
    };
    let ordered = client.restart(&order).await.map_err(Failure::of_request)?;
    say(&format!(
        "process {} is restarting: turns in flight may take a few seconds to end",
        ordered.pid
    ));
    let status = next(&client, ordered.started_at).await?;
    output::print(&format!(
        "tieline {} is back, process {}\n",
        status.version, status.pid
    ))
}

/// Waits for a daemon that was not started then.
async fn next(client: &Client, earlier: SystemTime) -> Result<Status, Failure> {
    let begun = Instant::now();
    let mut remind_at = begun + REMIND_EVERY;
    loop {
        if let Ok(status) = client.status().await
            && status.started_at != earlier
        {
            return Ok(status);
        }
        let now = Instant::now();
        if now - begun > PATIENCE {
            let seconds = PATIENCE.as_secs();
            let error = anyhow!("the daemon did not come back within {seconds} s");
            return Err(Failure::new(Exit::Unreachable, error)
                .hint("`tieline logs` shows why, and `tieline doctor` what is not in order")
                .hint("what was accepted is kept; `tieline run` goes on with it"));
        }
        if now > remind_at {
            remind_at = now + REMIND_EVERY;
            say(&format!("still waiting, for {} s", (now - begun).as_secs()));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Tells whoever waits.
fn say(text: &str) {
    // Nobody is left to be told when standard error is closed.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
