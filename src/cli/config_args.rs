//! `--config`, which every verb that needs the configuration has.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::config::{Config, Surroundings, discover};

/// Which configuration file to use.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Use this configuration file
    ///
    /// Otherwise it is $TIELINE_CONFIG, ./tieline.toml, or tieline/tieline.toml in the XDG
    /// configuration directory, whichever comes first.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Finds, reads and checks the file. Warnings go to standard error.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        let path = discover(self.config.as_deref(), &Surroundings::of_this_process())?;
        let loaded = Config::load(&path)?;
        let warnings = loaded.warnings.to_string();
        drop(std::io::stderr().lock().write_all(warnings.as_bytes()));
        Ok(loaded.config)
    }

    /// As [`load`](Self::load), for a verb that only looks for the daemon: warnings were seen by
    /// who started that.
    pub(crate) fn load_quietly(&self) -> Result<Config, Failure> {
        let path = discover(self.config.as_deref(), &Surroundings::of_this_process())?;
        Ok(Config::load(&path)?.config)
    }
}
