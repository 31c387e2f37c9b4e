//! `--dispatcher`, which every verb that speaks to one dispatcher has.

use anyhow::anyhow;

use crate::cli::failure::{Exit, Failure};
use crate::config::Config;

/// Which dispatcher is meant
#[derive(Debug, clap::Args)]
pub(crate) struct DispatcherArgs {
    /// The dispatcher; else $TIELINE_DISPATCHER, or the only one there is
    #[arg(long, value_name = "NAME", global = true)]
    dispatcher: Option<String>,
}

impl DispatcherArgs {
    /// Returns the dispatcher that is meant.
    pub(crate) fn choose(&self, config: &Config) -> Result<String, Failure> {
        choose(self.dispatcher.as_deref(), config)
    }

    /// Returns the one that is named on the command line.
    pub(crate) fn named(&self) -> Option<String> {
        self.dispatcher.clone()
    }

    /// Returns what to add to a command so that it means the same one.
    pub(crate) fn flags(&self) -> String {
        let name = self.dispatcher.as_deref();
        name.map_or(String::new(), |name| format!(" --dispatcher {name}"))
    }
}

/// Returns the dispatcher of that name, else the one that is inherited, else the only one there is.
fn choose(name: Option<&str>, config: &Config) -> Result<String, Failure> {
    let inherited = || std::env::var("TIELINE_DISPATCHER").ok();
    if let Some(name) = name.map(str::to_owned).or_else(inherited) {
        return Ok(name);
    }
    let mut all = config.dispatchers.keys();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.to_string()),
        _ => {
            let names: Vec<&str> = config.dispatchers.keys().map(|id| id.as_str()).collect();
            let error = anyhow!("which dispatcher is meant? There are {}", names.join(", "));
            Err(Failure::new(Exit::Usage, error).hint("name it with --dispatcher"))
        }
    }
}

/// As [`choose`], of those that are in this configuration.
pub(crate) fn choose_dispatcher(name: Option<&str>, config: &Config) -> Result<String, Failure> {
    let name = choose(name, config)?;
    if config.dispatchers.keys().any(|id| id.as_str() == name) {
        return Ok(name);
    }
    let known: Vec<_> = config.dispatchers.keys().map(|id| id.as_str()).collect();
    let error = anyhow!("there is no dispatcher `{name}`");
    Err(Failure::new(Exit::Usage, error).hint(format!("one of {}", known.join(", "))))
}
