//! `tieline console`: a terminal at a running daemon.

use std::path::PathBuf;

use anyhow::anyhow;
use tieline_channel::ChannelId;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, unless_answered, usage};
use crate::config::{ChannelConfig, Config};
use crate::terminal;

/// Talk to a running daemon from this terminal
///
/// Lines on standard input are messages, answers go to standard output; it ends with the input,
/// once all is answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Use this console channel of the configuration, if there are several
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,

    /// Speak in the chat of this name
    #[arg(long, value_name = "NAME")]
    chat: Option<String>,
}

/// Attaches the terminal.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let socket = choose(&config, args.channel.as_deref())?;
    if let Err(error) = UnixStream::connect(&socket).await {
        let shown = socket.display();
        let error = anyhow!(error).context(format!("no daemon listens on {shown}"));
        return Err(Failure::new(Exit::Unreachable, error).hint("start it with `tieline run`"));
    }
    // From here on a daemon that restarts is waited for.
    let chat = args.chat.as_deref().unwrap_or("main");
    let stop = CancellationToken::new();
    let outcome = terminal::converse(&socket, chat, None, &stop)
        .await
        .map_err(Failure::of)?;
    unless_answered(&outcome)
}

/// Returns the socket of the console that was named, or of the only one.
fn choose(config: &Config, named: Option<&str>) -> Result<PathBuf, Failure> {
    let consoles: Vec<_> = config
        .channels
        .iter()
        .filter(|(_, channel)| matches!(channel, ChannelConfig::Console(_)))
        .map(|(id, _)| id)
        .collect();
    let names = || {
        let names: Vec<_> = consoles.iter().map(|id| id.as_str()).collect();
        names.join(", ")
    };
    let id = match (named, consoles.as_slice()) {
        (_, []) => {
            let error = anyhow!("{} has no console channel", config.path.display());
            return Err(Failure::new(Exit::Config, error).hint(
                "add one and name it in the `channels` of a dispatcher:\n\n    \
                 [channels.terminal]\n    kind = \"console\"\n",
            ));
        }
        (None, [only]) => (*only).clone(),
        (None, _) => {
            return Err(
                usage("there are several consoles: --channel must say which")
                    .hint(format!("one of {}", names())),
            );
        }
        (Some(name), _) => ChannelId::new(name),
    };
    config.console_socket(&id).ok_or_else(|| {
        usage(format!("there is no console channel `{id}`")).hint(format!("one of {}", names()))
    })
}
