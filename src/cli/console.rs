//! `tieline console`: a terminal at a running daemon.

use std::io;
use std::path::PathBuf;

use anyhow::anyhow;
use tieline_channel::ChannelId;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::seams;
use crate::config::{ChannelConfig, Config};

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
    let shown = socket.display().to_string();
    seams::attach_console(socket, args.chat)
        .await
        .map_err(|error| {
            let is_absent = error.downcast_ref::<io::Error>().is_some_and(|error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                )
            });
            if is_absent {
                let error = anyhow!("no daemon is running: nobody listens on {shown}");
                return Failure::new(Exit::Unreachable, error).hint("start it with `tieline run`");
            }
            Failure::of(error)
        })
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
