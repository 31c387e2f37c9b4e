//! Looking, without starting anything, whether an app-server could be started.

use serde::Serialize;
use tieline_channel::WithCauses;
use tieline_channel::socket::MAX_PATH;

use super::binary;
use super::connect::connect;
use super::home;
use super::launch::{LaunchConfig, Transport};
use super::profile::Profile;
use super::registry;

/// How long the name of a socket in the run directory is: a slash, the mark and its ending.
const SOCKET_NAME: usize = 1 + 32 + 5;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `bin`, `version`, `profile`, `home`, `socket` or `endpoint`.
    pub name: &'static str,
    /// Whether it is in order.
    pub is_ok: bool,
    /// What was found, or what is wrong and what to do about it.
    pub detail: String,
}

/// Looks at everything a start depends on. An external server is only connected to.
pub async fn diagnose(config: &LaunchConfig) -> Vec<Check> {
    if let Transport::External(endpoint) = &config.transport {
        let found = connect(endpoint)
            .await
            .map(|_| format!("{endpoint} accepts"));
        return vec![Check::of("endpoint", found)];
    }
    let found = binary::find(config.bin.as_deref(), &config.inherited);
    let mut checks = Vec::new();
    if let Ok(path) = &found {
        let version = binary::version(path, &config.inherited.minimal()).await;
        let version = version.and_then(|version| version.check().map(|()| version.to_string()));
        checks.push(Check::of("version", version));
    }
    let bin = found.map(|path| path.display().to_string());
    checks.insert(0, Check::of("bin", bin));
    if let Some(profile) = &config.profile {
        let found = profile.check().await;
        checks.push(Check::of("profile", found.map(|()| profile.name.clone())));
    }
    let is_made_later = |profile: &Profile| profile.has_private_home && !config.home.exists();
    // Looking makes nothing: a private home is made at the start.
    if !config.profile.as_ref().is_some_and(is_made_later) {
        let home = home::check(&config.home, &config.config).map(|home| {
            let provider = home.model_provider.as_deref().unwrap_or("openai");
            format!("{}, model provider {provider}", config.home.display())
        });
        checks.push(Check::of("home", home));
    }
    checks.push(socket(config));
    checks
}

fn socket(config: &LaunchConfig) -> Check {
    let length = config.run_dir.as_os_str().len() + SOCKET_NAME;
    if config.transport == Transport::Unix && length > MAX_PATH {
        return Check {
            name: "socket",
            is_ok: false,
            detail: format!(
                "{} is too long: a socket there has {length} bytes, and {MAX_PATH} are \
                 possible: set `state_dir` under [daemon] to a shorter path",
                config.run_dir.display()
            ),
        };
    }
    // Looking makes nothing: a directory that is not there yet is made at the start.
    let usable = if config.run_dir.exists() {
        registry::prepare(&config.run_dir)
    } else {
        Ok(())
    };
    Check::of(
        "socket",
        usable.map(|()| config.run_dir.display().to_string()),
    )
}

impl Check {
    fn of(name: &'static str, found: Result<String, impl std::error::Error>) -> Self {
        match found {
            Ok(detail) => Self {
                name,
                is_ok: true,
                detail,
            },
            Err(error) => Self {
                name,
                is_ok: false,
                detail: WithCauses(&error).to_string(),
            },
        }
    }
}
