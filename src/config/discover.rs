//! Finding the configuration file.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

const FILE: &str = "tieline.toml";

/// What decides where the configuration is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `$TIELINE_CONFIG`.
    pub variable: Option<PathBuf>,
    /// The working directory.
    pub directory: PathBuf,
    /// `$XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// The home directory.
    pub home: Option<PathBuf>,
}

impl Surroundings {
    /// Returns those of this process.
    pub fn of_this_process() -> Self {
        let path_in = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            variable: path_in("TIELINE_CONFIG"),
            directory: std::env::current_dir().unwrap_or_default(),
            xdg_config_home: path_in("XDG_CONFIG_HOME").filter(|path| path.is_absolute()),
            home: std::env::home_dir(),
        }
    }

    /// Returns tieline's directory in the XDG configuration directory; `None` when neither
    /// `$XDG_CONFIG_HOME` nor the home directory is known.
    pub fn config_directory(&self) -> Option<PathBuf> {
        let base = match &self.xdg_config_home {
            Some(directory) => directory.clone(),
            None => self.home.as_ref()?.join(".config"),
        };
        Some(base.join("tieline"))
    }
}

/// Finds the configuration file: `named` (`--config`), `$TIELINE_CONFIG`, the working directory,
/// the XDG configuration directory. One that was named is returned whether or not it is there.
///
/// # Errors
///
/// When there is none; the error tells where it was looked for.
pub fn discover(named: Option<&Path>, surroundings: &Surroundings) -> Result<PathBuf, NotFound> {
    if let Some(path) = named.or(surroundings.variable.as_deref()) {
        return Ok(path.to_owned());
    }
    if surroundings.directory.join(FILE).exists() {
        // Relative to the working directory: that is how its mistakes read best.
        return Ok(PathBuf::from(FILE));
    }
    let mut looked = vec![
        Looked {
            place: "--config",
            outcome: "not given".to_owned(),
        },
        Looked {
            place: "$TIELINE_CONFIG",
            outcome: "not set".to_owned(),
        },
        Looked {
            place: "working directory",
            outcome: format!("no {}", surroundings.directory.join(FILE).display()),
        },
    ];
    let place = "configuration directory";
    match surroundings.config_directory() {
        Some(directory) => {
            let path = directory.join(FILE);
            if path.exists() {
                return Ok(path);
            }
            looked.push(Looked {
                place,
                outcome: format!("no {}", path.display()),
            });
        }
        None => looked.push(Looked {
            place,
            outcome: "neither $XDG_CONFIG_HOME nor $HOME is set".to_owned(),
        }),
    }
    Err(NotFound { looked })
}

/// A place that was looked at in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it is.
    pub place: &'static str,
    /// Why it gave nothing.
    pub outcome: String,
}

/// There is no configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct NotFound {
    /// The places, in the order in which they were looked at.
    pub looked: Vec<Looked>,
}

impl NotFound {
    /// Returns how to begin, a paragraph each.
    pub fn hints(&self) -> Vec<String> {
        vec![
            "`tieline demo` needs no configuration".to_owned(),
            "`tieline init slack` and `tieline init feishu` write one".to_owned(),
            format!(
                "the smallest {FILE} is\n\n    [channels.terminal]\n    kind = \"console\"\n\n    \
                 [dispatchers.flow]\n    workspace = \"/path/to/your/project\"\n    \
                 channels = [\"terminal\"]\n"
            ),
        ]
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no configuration file; looked for it in this order:")?;
        for Looked { place, outcome } in &self.looked {
            write!(f, "\n  {:<24} {outcome}", format!("{place}:"))?;
        }
        Ok(())
    }
}
