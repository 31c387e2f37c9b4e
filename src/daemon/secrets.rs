//! The secrets of the channels, fetched where the configuration says.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::join_all;
use thiserror::Error;
use tieline_channel::{ChannelId, WithCauses};

use crate::config::{Config, Secret, SecretError};

/// The secrets of the channels that are connected.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<(ChannelId, &'static str), Secret>);

/// Secrets that cannot be had: all of them.
#[derive(Debug, Error)]
pub struct MissingSecrets(Vec<Missing>);

#[derive(Debug)]
struct Missing {
    channel: ChannelId,
    key: &'static str,
    error: SecretError,
}

impl Secrets {
    /// Fetches the secrets of every channel that a dispatcher has.
    ///
    /// # Errors
    ///
    /// When one or more cannot be had.
    pub async fn fetch(config: &Config) -> Result<Self, MissingSecrets> {
        match Self::gather(config).await {
            (secrets, missing) if missing.0.is_empty() => Ok(secrets),
            (_, missing) => Err(missing),
        }
    }

    /// Fetches those that can be had, and tells which cannot.
    pub async fn gather(config: &Config) -> (Self, MissingSecrets) {
        let connected = config
            .channels
            .iter()
            .filter(|(id, _)| config.dispatcher_of(id).is_some());
        let fetching = connected.flat_map(|(id, channel)| {
            channel
                .secrets()
                .into_iter()
                .map(move |(key, source)| async move {
                    source
                        .resolve()
                        .await
                        .map_err(|error| Missing {
                            channel: id.clone(),
                            key,
                            error,
                        })
                        .map(|secret| ((id.clone(), key), secret))
                })
        });
        let mut secrets = BTreeMap::new();
        let mut missing = Vec::new();
        for outcome in join_all(fetching).await {
            match outcome {
                Ok((name, secret)) => {
                    secrets.insert(name, secret);
                }
                Err(error) => missing.push(error),
            }
        }
        (Self(secrets), MissingSecrets(missing))
    }

    /// Returns the secret that stands under `key` of a channel.
    pub fn get(&self, channel: &ChannelId, key: &'static str) -> Option<&Secret> {
        self.0.get(&(channel.clone(), key))
    }
}

impl MissingSecrets {
    /// Returns which secrets of a channel are missing, and why, a sentence each.
    pub fn of_channel(&self, channel: &ChannelId) -> Vec<String> {
        let of_it = self.0.iter().filter(|missing| missing.channel == *channel);
        of_it
            .map(|Missing { key, error, .. }| format!("{key}: {}", WithCauses(error)))
            .collect()
    }
}

impl fmt::Display for MissingSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.as_slice() {
            [_] => "a secret is missing:",
            _ => "secrets are missing:",
        })?;
        for Missing {
            channel,
            key,
            error,
        } in &self.0
        {
            write!(f, "\n  channels.{channel}.{key}: {}", WithCauses(error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn write(path: &Path, secret: &str) {
        fs::write(path, secret).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn config(directory: &Path) -> Config {
        let text = "
[channels.team]
kind = \"slack\"
app_token = { file = \"app\" }
bot_token = { file = \"bot\" }

[channels.spare]
kind = \"slack\"
app_token = { file = \"nowhere\" }
bot_token = { file = \"nowhere\" }

[daemon]
state_dir = \"state\"

[dispatchers.flow]
workspace = \"/\"
channels = [\"team\"]
";
        let path = directory.join("tieline.toml");
        Config::parse(text, &path, Some(directory)).unwrap().config
    }

    #[tokio::test]
    async fn secrets_of_connected_channels_are_fetched() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("app"), "xapp-1\n");
        write(&directory.path().join("bot"), "xoxb-1\n");
        let secrets = Secrets::fetch(&config(directory.path())).await.unwrap();
        let team = ChannelId::new("team");
        let get = |key| secrets.get(&team, key).map(Secret::expose);
        assert_eq!(get("app_token"), Some("xapp-1"));
        assert_eq!(get("bot_token"), Some("xoxb-1"));
        assert_eq!(secrets.0.len(), 2);
        let shown = format!("{secrets:?}");
        assert!(!shown.contains("xapp-1"), "{shown}");
    }

    #[tokio::test]
    async fn all_that_are_missing_are_told_at_once() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("app"), "\n");
        let missing = Secrets::fetch(&config(directory.path())).await.unwrap_err();
        let shown = missing.to_string();
        let shown = shown.replace(&directory.path().display().to_string(), "$DIR");
        insta::assert_snapshot!(shown, @r"
        secrets are missing:
          channels.team.app_token: secret unavailable: file $DIR/app is empty
          channels.team.bot_token: secret unavailable: cannot read $DIR/bot: No such file or directory (os error 2)
        ");
    }
}
