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
    #[arg(long, value_name = "FILE", global = true)]
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

    /// Returns what to add to a command so that it finds the same file.
    pub(crate) fn flags(&self) -> String {
        self.config.as_deref().map_or(String::new(), |path| {
            format!(" --config {}", path.display())
        })
    }

    /// Finds where the configuration is, or where one would be looked for: `--config`,
    /// `$TIELINE_CONFIG`, or the XDG configuration directory, which is found from everywhere.
    pub(crate) fn place(&self, surroundings: &Surroundings) -> Result<Place, Failure> {
        let path = match discover(self.config.as_deref(), surroundings) {
            Ok(path) => path,
            Err(not_found) => match surroundings.config_directory() {
                Some(directory) => directory.join("tieline.toml"),
                None => return Err(not_found.into()),
            },
        };
        if path.try_exists().unwrap_or(true) {
            return Ok(Place::Taken(Box::new(Config::load(&path)?.config)));
        }
        Ok(Place::Free(std::path::absolute(&path).unwrap_or(path)))
    }

    /// As [`load`](Self::load), for a verb that only looks for the daemon: warnings were seen by
    /// who started that.
    pub(crate) fn load_quietly(&self) -> Result<Config, Failure> {
        let path = discover(self.config.as_deref(), &Surroundings::of_this_process())?;
        Ok(Config::load(&path)?.config)
    }
}

/// Where the configuration is, or would be.
pub(crate) enum Place {
    /// There is one, and it has no mistakes.
    Taken(Box<Config>),
    /// There is none; one would be found here.
    Free(PathBuf),
}
