//! What a profile makes ready before each start of a child: its credentials, its private home, where
//! rollouts are kept, and the description of its model.
//!
//! The home is made from a directory that is only read. A file is copied when it has changed since it
//! was copied last, and not otherwise: a login that codex itself has renewed meanwhile is newer than
//! the one it was made from.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;
use thiserror::Error;

use super::launch::Environment;
use crate::config::{HomeConfig, Secret, SecretError, SecretSource, StorageConfig};

/// Where the files are kept as they were copied last, in the private home.
const ORIGINALS: &str = ".tieline-originals";

/// Where codex keeps rollouts, in its home.
const SESSIONS: &str = "sessions";

/// What is made ready before each start.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Its name in the configuration.
    pub name: String,
    /// What codex is given in its environment.
    pub credentials: BTreeMap<String, SecretSource>,
    /// The home is ours to make.
    pub has_private_home: bool,
    /// What it is made of.
    pub home: Option<HomeConfig>,
    /// Where rollouts are kept, if not in the home.
    pub storage: Option<StorageConfig>,
    /// The description of its model that codex reads.
    pub catalog: Option<Catalog>,
}

/// The description of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// The file that is written.
    pub path: PathBuf,
    /// The model.
    pub model: String,
    /// How many tokens it may have in view.
    pub context_window: usize,
    /// What it is told first.
    pub instructions: String,
}

/// Why a profile cannot be used now.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// A credential is missing.
    #[error("profile `{profile}` has no {variable}; nothing is run until it is there")]
    Credential {
        /// The profile.
        profile: String,
        /// The variable that was to have it.
        variable: String,
        /// Why not.
        source: SecretError,
    },
    /// A file that the home is made of is missing.
    #[error(
        "profile `{profile}` has no {}: put it there, or take it out of `files`; nothing is run until \
         then", path.display()
    )]
    File {
        /// The profile.
        profile: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The home cannot be made.
    #[error("the home of profile `{profile}` cannot be made at {}", path.display())]
    Home {
        /// The profile.
        profile: String,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage of rollouts is not there.
    #[error(
        "the storage `{name}` of profile `{profile}` is not at {}: mount the volume, or mend `storage`; \
         nothing is run until it is there, for threads would begin anew", path.display()
    )]
    Storage {
        /// The profile.
        profile: String,
        /// What the storage is called.
        name: String,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are rollouts in the home already.
    #[error(
        "profile `{profile}` keeps rollouts in its storage, and {} has some as well: move what is in \
         there to {} and remove the directory", sessions.display(), storage.display()
    )]
    Sessions {
        /// The profile.
        profile: String,
        /// The directory of the home.
        sessions: PathBuf,
        /// The storage.
        storage: PathBuf,
    },
}

/// What a child is given beside what the configuration says.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Its credentials, by the variable's name.
    pub(super) credentials: BTreeMap<String, Secret>,
}

impl Profile {
    /// Returns the files that it depends on.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let credentials = self.credentials.values().filter_map(|it| match it {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Env(_) | SecretSource::Command(_) => None,
        });
        let home = self.home.iter();
        let copied = home.flat_map(|it| it.files.iter().map(|name| it.from.join(name)));
        credentials.chain(copied).collect()
    }

    /// Makes everything ready for a child whose home is at `home`. Nothing was started when this
    /// fails.
    pub(super) async fn prepare(&self, home: &Path) -> Result<Prepared, ProfileError> {
        let credentials = self.credentials().await?;
        // What is read and written is a few small files.
        if self.has_private_home {
            self.make_home(home)?;
        }
        if let Some(storage) = &self.storage {
            self.link_storage(storage, home)?;
        }
        if let Some(catalog) = &self.catalog {
            let written = catalog.write();
            written.map_err(self.home_error(&catalog.path))?;
        }
        Ok(Prepared { credentials })
    }

    /// Looks whether it could be used, and makes nothing.
    pub(super) async fn check(&self) -> Result<(), ProfileError> {
        self.credentials().await?;
        if let Some(HomeConfig { from, files }) = &self.home {
            for path in files.iter().map(|name| from.join(name)) {
                self.read(path)?;
            }
        }
        match &self.storage {
            Some(storage) => self.find_storage(storage),
            None => Ok(()),
        }
    }

    async fn credentials(&self) -> Result<BTreeMap<String, Secret>, ProfileError> {
        let mut credentials = BTreeMap::new();
        for (variable, source) in &self.credentials {
            let secret = source.resolve().await;
            let secret = secret.map_err(|source| ProfileError::Credential {
                profile: self.name.clone(),
                variable: variable.clone(),
                source,
            })?;
            credentials.insert(variable.clone(), secret);
        }
        Ok(credentials)
    }

    /// Reads a file that the home is made of.
    fn read(&self, path: PathBuf) -> Result<Vec<u8>, ProfileError> {
        fs::read(&path).map_err(|source| ProfileError::File {
            profile: self.name.clone(),
            path,
            source,
        })
    }

    /// Looks whether the storage is there. It is not made: that would be in place of what is not
    /// mounted.
    fn find_storage(&self, storage: &StorageConfig) -> Result<(), ProfileError> {
        let found = match fs::metadata(&storage.path) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => io::ErrorKind::NotADirectory.into(),
            Err(source) => source,
        };
        Err(self.storage_error(storage)(found))
    }

    fn storage_error(&self, storage: &StorageConfig) -> impl Fn(io::Error) -> ProfileError + use<> {
        let (profile, name, path) = (
            self.name.clone(),
            storage.name.clone(),
            storage.path.clone(),
        );
        move |source| ProfileError::Storage {
            profile: profile.clone(),
            name: name.clone(),
            path: path.clone(),
            source,
        }
    }

    fn make_home(&self, home: &Path) -> Result<(), ProfileError> {
        let originals = home.join(ORIGINALS);
        make_private(home).map_err(self.home_error(home))?;
        make_private(&originals).map_err(self.home_error(&originals))?;
        let Some(HomeConfig { from, files }) = &self.home else {
            return Ok(());
        };
        for name in files {
            let now = self.read(from.join(name))?;
            let (copy, original) = (home.join(name), originals.join(name));
            let is_known = fs::read(&original).is_ok_and(|before| before == now);
            if !is_known || !copy.exists() {
                // The copy first: what is in between is copied once more.
                write_private(&copy, &now).map_err(self.home_error(&copy))?;
                write_private(&original, &now).map_err(self.home_error(&original))?;
                tracing::info!(
                    profile = self.name,
                    file = name,
                    "copied into the home of codex"
                );
            }
        }
        Ok(())
    }

    /// Has codex keep its rollouts in the storage.
    fn link_storage(&self, storage: &StorageConfig, home: &Path) -> Result<(), ProfileError> {
        let (directory, sessions) = (storage.directory(), home.join(SESSIONS));
        self.find_storage(storage)?;
        make_private(&directory).map_err(self.storage_error(storage))?;
        match fs::symlink_metadata(&sessions) {
            Ok(metadata) if metadata.is_symlink() => {
                let is_right = fs::read_link(&sessions).is_ok_and(|it| it == directory);
                if !is_right {
                    fs::remove_file(&sessions).map_err(self.home_error(&sessions))?;
                    symlink(&directory, &sessions).map_err(self.home_error(&sessions))?;
                }
            }
            // One that is empty is codex's own doing.
            Ok(_) if fs::remove_dir(&sessions).is_ok() => {
                symlink(&directory, &sessions).map_err(self.home_error(&sessions))?;
            }
            Ok(_) => {
                return Err(ProfileError::Sessions {
                    profile: self.name.clone(),
                    sessions,
                    storage: directory,
                });
            }
            Err(_none) => symlink(&directory, &sessions).map_err(self.home_error(&sessions))?,
        }
        tracing::info!(
            profile = self.name,
            storage = storage.name,
            path = %storage.path.display(),
            subdir = %storage.subdir.as_deref().unwrap_or(Path::new("")).display(),
            values_printed = false,
            "rollouts are kept in a storage"
        );
        Ok(())
    }

    fn home_error(&self, path: &Path) -> impl Fn(io::Error) -> ProfileError + use<> {
        let (profile, path) = (self.name.clone(), path.to_owned());
        move |source| ProfileError::Home {
            profile: profile.clone(),
            path: path.clone(),
            source,
        }
    }
}

impl Prepared {
    /// Adds the credentials to the environment of a child.
    pub(super) fn add_to(&self, mut environment: Environment) -> Environment {
        for (variable, secret) in &self.credentials {
            environment.set(variable, secret.expose());
        }
        environment
    }
}

impl Catalog {
    /// Writes the file. What codex offers for its own models, such as other tools, is not there.
    fn write(&self) -> io::Result<()> {
        let model = json!({
            "slug": self.model,
            "display_name": self.model,
            "base_instructions": self.instructions,
            "context_window": self.context_window,
            "max_context_window": self.context_window,
            "supported_reasoning_levels": [],
            "shell_type": "shell_command",
            "visibility": "list",
            "supported_in_api": true,
            "priority": 1,
            "support_verbosity": false,
            "truncation_policy": { "mode": "tokens", "limit": 10_000 },
            "experimental_supported_tools": [],
        });
        let text = json!({ "models": [model] }).to_string();
        if let Some(directory) = self.path.parent() {
            make_private(directory)?;
        }
        write_private(&self.path, text.as_bytes())
    }
}

/// Makes a directory that only we may enter, with those above it.
fn make_private(directory: &Path) -> io::Result<()> {
    if !directory.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Writes a file that only we may read; whole or not at all.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // One that was left half written.
    drop(fs::remove_file(&new));
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(from: &Path) -> Profile {
        Profile {
            name: "work".to_owned(),
            has_private_home: true,
            home: Some(HomeConfig {
                from: from.to_owned(),
                files: vec!["auth.json".to_owned(), "config.toml".to_owned()],
            }),
            ..Profile::default()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_home_is_made_private_and_a_login_that_codex_has_renewed_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (from, home) = (
            directory.path().join("from"),
            directory.path().join("h/work"),
        );
        fs::create_dir(&from).unwrap();
        let read = |name: &str| fs::read_to_string(home.join(name)).unwrap();
        fs::write(from.join("auth.json"), "login 1").unwrap();
        fs::write(from.join("config.toml"), "model = \"a\"").unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o500)).unwrap();
        let profile = profile(&from);
        profile.prepare(&home).await.unwrap();
        assert_eq!((mode(&home), mode(&home.join("auth.json"))), (0o700, 0o600));
        assert_eq!(read("auth.json"), "login 1");

        fs::write(home.join("auth.json"), "renewed by codex").unwrap();
        profile.prepare(&home).await.unwrap();
        assert_eq!(read("auth.json"), "renewed by codex");

        fs::write(from.join("auth.json"), "login 2").unwrap();
        profile.prepare(&home).await.unwrap();
        assert_eq!(read("auth.json"), "login 2");
        assert_eq!(read("config.toml"), "model = \"a\"");

        fs::remove_file(from.join("auth.json")).unwrap();
        let error = profile.prepare(&home).await.unwrap_err();
        assert!(matches!(&error, ProfileError::File { path, .. } if path.ends_with("auth.json")));
    }

    #[tokio::test]
    async fn a_storage_that_is_not_mounted_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let (volume, home) = (
            directory.path().join("volume"),
            directory.path().join("home"),
        );
        let profile = Profile {
            name: "work".to_owned(),
            has_private_home: true,
            storage: Some(StorageConfig {
                name: "team".to_owned(),
                path: volume.clone(),
                subdir: Some("a/b".into()),
            }),
            ..Profile::default()
        };
        let error = profile.prepare(&home).await.unwrap_err();
        assert!(matches!(error, ProfileError::Storage { .. }), "{error}");
        assert!(!volume.exists());
        fs::create_dir(&volume).unwrap();
        for _ in 0..2 {
            profile.prepare(&home).await.unwrap();
            let leads_to = fs::read_link(home.join(SESSIONS)).unwrap();
            assert_eq!(leads_to, volume.join("a/b"));
        }
        fs::remove_file(home.join(SESSIONS)).unwrap();
        fs::create_dir_all(home.join(SESSIONS).join("2026")).unwrap();
        let error = profile.prepare(&home).await.unwrap_err();
        assert!(matches!(error, ProfileError::Sessions { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_credential_that_is_missing_is_told_before_anything_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let source = SecretSource::File(directory.path().join("none"));
        let profile = Profile {
            name: "work".to_owned(),
            credentials: [("GW_KEY".to_owned(), source)].into(),
            has_private_home: true,
            ..Profile::default()
        };
        let error = profile.prepare(&home).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "profile `work` has no GW_KEY; nothing is run until it is there"
        );
        assert!(!home.exists());
    }
}
