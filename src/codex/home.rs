//! What has to be in order in codex's home before codex is started.
//!
//! Codex starts in a home without a login and fails with the first turn; here it is found earlier,
//! and said what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The home cannot be used. What is shown says what to do as well.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is none.
    Missing(PathBuf),
    /// It is something else.
    NotADirectory(PathBuf),
    /// Codex has to write there.
    NotWritable {
        /// The home.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody is logged in, and the built-in provider needs it.
    NoLogin(PathBuf),
}

/// What the home tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The configured model provider, unless it is the built-in one.
    pub model_provider: Option<String>,
    /// The variables that hold keys of model providers. Codex has to be given them.
    pub key_variables: Vec<String>,
    /// The one that holds the key of the model provider, if it takes one from a variable.
    pub key_variable: Option<String>,
}

impl HomeError {
    /// Returns what is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::Missing(home) => format!("the codex home {} does not exist", home.display()),
            Self::NotADirectory(home) => {
                format!("the codex home {} is not a directory", home.display())
            }
            Self::NotWritable { path, .. } => format!(
                "the codex home {} is not writable for this user",
                path.display()
            ),
            Self::NoLogin(home) => format!("nobody is logged in at {}", home.display()),
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Missing(_) => "create it, or set `home` under [codex]".to_owned(),
            Self::NotADirectory(_) => "set `home` under [codex]".to_owned(),
            Self::NotWritable { .. } => {
                "give it to the user that runs tieline, or set `home` under [codex]".to_owned()
            }
            Self::NoLogin(home) => format!(
                "run `CODEX_HOME={} codex login`, or configure a model provider that needs no login",
                home.display()
            ),
        }
    }
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.remedy())
    }
}

/// Looks whether codex can work in a home. `overrides` are the `-c key=value` it will be given.
///
/// # Errors
/// It cannot; the error says what to do.
pub fn check(home: &Path, overrides: &[String]) -> Result<Home, HomeError> {
    let metadata = std::fs::metadata(home).map_err(|_error| HomeError::Missing(home.to_owned()))?;
    if !metadata.is_dir() {
        return Err(HomeError::NotADirectory(home.to_owned()));
    }
    access(home, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        HomeError::NotWritable {
            path: home.to_owned(),
            source: error.into(),
        }
    })?;
    let found = look(home, overrides);
    let config = effective_config(home, overrides);
    // With a keyring, or when we are not told, only codex itself can know.
    let login_is_a_file =
        text_at(&config, "cli_auth_credentials_store").is_none_or(|kind| kind == "file");
    if found.model_provider.is_none() && login_is_a_file && !home.join("auth.json").is_file() {
        return Err(HomeError::NoLogin(home.to_owned()));
    }
    Ok(found)
}

/// Returns what a home tells, whether codex can work in it or not.
pub(super) fn look(home: &Path, overrides: &[String]) -> Home {
    let config = effective_config(home, overrides);
    let model_provider = text_at(&config, "model_provider").filter(|name| name != "openai");
    let providers = config
        .get("model_providers")
        .and_then(toml::Value::as_table);
    let key_variable = model_provider
        .as_deref()
        .and_then(|name| providers?.get(name)?.get("env_key")?.as_str())
        .map(str::to_owned);
    let key_variables = providers
        .into_iter()
        .flat_map(toml::Table::values)
        .filter_map(|provider| provider.get("env_key")?.as_str())
        .map(str::to_owned)
        .collect();
    Home {
        model_provider,
        key_variables,
        key_variable,
    }
}

/// Returns the setting that keeps variables from the commands of the model, beside those that the
/// configuration keeps from them; none for no variable.
pub(super) fn kept_from_commands<'a>(
    home: &Path,
    overrides: &[String],
    variables: impl Iterator<Item = &'a String>,
) -> Option<String> {
    const KEY: &str = "shell_environment_policy.exclude";
    let config = effective_config(home, overrides);
    let policy = config.get("shell_environment_policy");
    let mut kept: Vec<toml::Value> = policy
        .and_then(|policy| policy.get("exclude")?.as_array().cloned())
        .unwrap_or_default();
    let before = kept.len();
    kept.extend(variables.map(|name| toml::Value::from(name.as_str())));
    (kept.len() > before).then(|| format!("{KEY}={}", toml::Value::from(kept)))
}

/// Returns a text of the configuration, or of the profile that it chooses.
fn text_at(config: &toml::Table, key: &str) -> Option<String> {
    let profile = config.get("profile").and_then(toml::Value::as_str);
    let profile = profile.and_then(|name| config.get("profiles")?.get(name));
    profile
        .and_then(|profile| profile.get(key))
        .or_else(|| config.get(key))
        .and_then(toml::Value::as_str)
        .map(str::to_owned)
}

/// Reads `config.toml` with the overrides on top. What cannot be read counts as empty: codex
/// itself reports it, with line and column.
fn effective_config(home: &Path, overrides: &[String]) -> toml::Table {
    let text = std::fs::read_to_string(home.join("config.toml")).unwrap_or_default();
    let mut config: toml::Table = text.parse().unwrap_or_default();
    for assignment in overrides {
        let Some((key, value)) = assignment.split_once('=') else {
            continue;
        };
        // As codex does: what is no TOML value is text.
        let value = format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.trim().to_owned()));
        insert(&mut config, key.trim(), value);
    }
    config
}

/// Sets the value at a dotted path; what stands in its way and is no table is replaced.
fn insert(table: &mut toml::Table, path: &str, value: toml::Value) {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return;
    };
    let mut inner = match table.remove(first) {
        Some(toml::Value::Table(inner)) => inner,
        _ => toml::Table::new(),
    };
    insert(&mut inner, rest, value);
    table.insert(first.to_owned(), toml::Value::Table(inner));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(config: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        dir
    }

    #[test]
    fn without_a_login_the_error_names_the_command() {
        let dir = home("");
        let error = check(dir.path(), &[]).unwrap_err();
        assert!(matches!(error, HomeError::NoLogin(_)));
        assert!(error.to_string().contains("codex login"));
    }

    #[test]
    fn a_login_is_enough() {
        let dir = home("");
        std::fs::write(dir.path().join("auth.json"), "{}").unwrap();
        assert_eq!(check(dir.path(), &[]).unwrap(), Home::default());
    }

    #[test]
    fn a_provider_of_its_own_needs_no_login_and_names_its_key() {
        let dir = home("model_provider = \"gw\"\n[model_providers.gw]\nenv_key = \"GW_KEY\"\n");
        let found = check(dir.path(), &[]).unwrap();
        assert_eq!(found.model_provider.as_deref(), Some("gw"));
        assert_eq!(found.key_variables, ["GW_KEY"]);
        assert_eq!(found.key_variable.as_deref(), Some("GW_KEY"));
    }

    #[test]
    fn overrides_and_profiles_count() {
        let dir = home("profile = \"work\"\n[profiles.work]\nmodel_provider = \"gw\"\n");
        assert!(check(dir.path(), &[]).is_ok());
        let dir = home("");
        let overrides = [
            "model_provider=\"mock\"".to_owned(),
            "model_providers.mock.env_key=K".to_owned(),
        ];
        assert_eq!(check(dir.path(), &overrides).unwrap().key_variables, ["K"]);
    }

    #[test]
    fn a_keyring_cannot_be_looked_into() {
        let dir = home("cli_auth_credentials_store = \"keyring\"");
        assert!(check(dir.path(), &[]).is_ok());
    }

    #[test]
    fn a_missing_home_and_a_file_are_told_apart() {
        let dir = home("");
        let missing = check(&dir.path().join("none"), &[]).unwrap_err();
        assert!(matches!(missing, HomeError::Missing(_)));
        let file = check(&dir.path().join("config.toml"), &[]).unwrap_err();
        assert!(matches!(file, HomeError::NotADirectory(_)));
    }
}
