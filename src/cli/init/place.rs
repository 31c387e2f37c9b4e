//! Where a channel stands in the configuration, and what is written there: only what is not there.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tieline_channel::ChannelId;

use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::output;
use crate::config::{Config, Surroundings};

/// Where the channel stands.
pub(super) enum Standing {
    /// In a configuration that is there.
    Declared(Box<Config>),
    /// Not in the configuration that is there.
    Undeclared(Box<Config>),
    /// There is no configuration; it would be here.
    Nowhere(PathBuf),
}

/// Sees to it that the channel stands in the configuration, or says what belongs into it: its
/// `table`, or the whole `file` where there is none.
pub(super) fn stand(
    id: &ChannelId,
    standing: &Standing,
    surroundings: &Surroundings,
    table: &str,
    file: impl FnOnce(&Path) -> String,
) -> Result<String, Failure> {
    match standing {
        Standing::Declared(config) if config.dispatcher_of(id).is_some() => Ok(String::new()),
        Standing::Declared(config) => Ok(format!(
            "No dispatcher in {} has channel `{id}` yet: add \"{id}\" to the `channels` of one.\n",
            config.path.display()
        )),
        Standing::Undeclared(config) => Ok(format!(
            "{} is there already and is left as it is. Add to it\n\n{}\nand \"{id}\" to the \
             `channels` of a dispatcher, such as [dispatchers.{}].\n",
            config.path.display(),
            indent(table),
            config
                .dispatchers
                .keys()
                .next()
                .map_or("main", |dispatcher| dispatcher.as_str()),
        )),
        Standing::Nowhere(path) => {
            let workspace = &surroundings.directory;
            match write_new(path, &file(workspace))? {
                Written::New | Written::SameBefore => {
                    if surroundings.home.as_ref() == Some(workspace) {
                        output::warn(
                            "Codex is going to work in your whole home directory: change \
                             `workspace` in the configuration",
                        );
                    }
                    Ok(format!(
                        "Wrote {}\n  channel `{id}`, with Codex working in {}\n",
                        path.display(),
                        workspace.display()
                    ))
                }
                Written::OtherBefore => Err(usage(format!(
                    "{} has come up meanwhile; run this again",
                    path.display()
                ))),
            }
        }
    }
}

/// Numbers steps and indents what they say.
pub(super) fn numbered(steps: &[String]) -> String {
    let mut text = String::new();
    for (index, step) in steps.iter().enumerate() {
        let mut lines = step.lines();
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("\n{:>2}. {first}\n", index + 1));
        for line in lines {
            let indent = if line.is_empty() { "" } else { "    " };
            text.push_str(&format!("{indent}{line}\n"));
        }
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// What became of a file that was to be written.
pub(super) enum Written {
    /// It was not there.
    New,
    /// It is there with the same content.
    SameBefore,
    /// It is there with another content, and is left as it is.
    OtherBefore,
}

/// Writes a file unless there is one.
pub(super) fn write_new(path: &Path, text: &str) -> Result<Written, Failure> {
    try_write_new(path, text)
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(|error| Failure::new(Exit::Io, error))
}

fn try_write_new(path: &Path, text: &str) -> io::Result<Written> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes())?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read(path)? == text.as_bytes() {
                Ok(Written::SameBefore)
            } else {
                Ok(Written::OtherBefore)
            }
        }
        Err(error) => Err(error),
    }
}
