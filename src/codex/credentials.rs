//! What codex signs in with: where it is, what to do when it is no good, and telling it to the
//! redactor, for a model that prints its environment or its login must not show it to a chat.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::failure::{Failure, FailureKind};
use super::home::{self, Home};
use super::launch::LaunchConfig;
use super::profile::Profile;
use crate::redact::redactor;

/// The tokens of a login, in `auth.json`.
const TOKENS: [&str; 3] = ["id_token", "access_token", "refresh_token"];

/// What the name of a variable has in it whose value is not for everybody.
const TELLING: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// Has everything blanked from now on that a child of these settings signs in with.
pub(super) fn hide(config: &LaunchConfig, home: &Home) {
    let inherited = home
        .key_variables
        .iter()
        .filter_map(|name| config.inherited.get(name)?.to_str());
    let given = config
        .env
        .iter()
        .filter(|(name, _)| home.key_variables.contains(name) || is_telling(name))
        .map(|(_, value)| value.as_str());
    for value in inherited.chain(given) {
        redactor().learn(value);
    }
    for value in login(&config.home) {
        redactor().learn(&value);
    }
}

/// Where the credentials of a child come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The files, there or not.
    pub files: Vec<PathBuf>,
    home: PathBuf,
    model_provider: Option<String>,
    /// The variables that hold keys.
    variables: Vec<String>,
}

/// Looks where a child of these settings takes its credentials from.
pub fn credentials_of(config: &LaunchConfig) -> Credentials {
    let home = home::look(&config.home, &config.config);
    let profile = config.profile.iter().flat_map(Profile::files);
    let own = ["auth.json", "config.toml"].map(|name| config.home.join(name));
    Credentials {
        files: own.into_iter().chain(profile).collect(),
        home: config.home.clone(),
        model_provider: home.model_provider,
        variables: home.key_variables,
    }
}

impl Credentials {
    /// Returns what the operator does about a failure to sign in.
    pub fn remedy(&self, failure: &Failure) -> String {
        let home = self.home.display();
        let provider = match &self.model_provider {
            Some(provider) => provider.as_str(),
            None if failure.kind == FailureKind::SecretUnavailable => "openai",
            None => {
                return format!(
                    "run `CODEX_HOME={home} codex login` as the user that runs tieline"
                );
            }
        };
        // Codex names the variable that it misses.
        let missing = failure.message.split('`').nth(1);
        match (failure.kind, missing, self.variables.as_slice()) {
            (FailureKind::SecretUnavailable, Some(variable), _)
                if failure.message.starts_with("Missing environment variable") =>
            {
                format!(
                    "set {variable} where tieline is started and start it again, or give it in a \
                     profile: [profiles.NAME.credentials] {variable} = {{ file = \"…\" }}"
                )
            }
            (FailureKind::SecretUnavailable, _, _) => {
                "see that it is where the profile in the configuration says".to_owned()
            }
            (_, _, []) => format!(
                "see how the model provider `{provider}` is signed in to in {home}/config.toml"
            ),
            (_, _, variables) => format!(
                "see that the model provider `{provider}` takes the key in {}",
                variables.join(", ")
            ),
        }
    }
}

fn is_telling(name: &str) -> bool {
    let name = name.to_uppercase();
    TELLING.iter().any(|word| name.contains(word))
}

/// Returns what a login consists of; nothing for one that is not there or is kept elsewhere.
fn login(home: &Path) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(home.join("auth.json")) else {
        return Vec::new();
    };
    let Ok(login) = serde_json::from_str::<Value>(&text) else {
        return Vec::new();
    };
    let tokens = TOKENS.iter().map(|name| &login["tokens"][name]);
    tokens
        .chain([&login["OPENAI_API_KEY"]])
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codex::Environment;
    use crate::redact::MARK;

    #[test]
    fn what_codex_signs_in_with_is_hidden_wherever_it_comes_from() {
        let home = tempfile::tempdir().unwrap();
        let login = r#"{"OPENAI_API_KEY":"sk-credentials-1","tokens":{"access_token":"at-credentials-2",
            "account_id":"not-hidden-credentials"},"last_refresh":"2026-11-20T08:00:00Z"}"#;
        std::fs::write(home.path().join("auth.json"), login).unwrap();
        let mut config = LaunchConfig::new("flow", home.path(), "/w", "/run/t", "/log");
        config.inherited = Environment::from_iter([("GW", "gw-credentials-3")]);
        config
            .env
            .insert("API_TOKEN".into(), "credentials-4".into());
        config.env.insert("EDITOR".into(), "credentials-vim".into());
        let found = Home {
            model_provider: None,
            key_variables: vec!["GW".to_owned()],
            key_variable: None,
        };
        hide(&config, &found);
        for hidden in [
            "sk-credentials-1",
            "at-credentials-2",
            "gw-credentials-3",
            "credentials-4",
        ] {
            assert_eq!(redactor().redact(hidden), MARK);
        }
        for shown in [
            "not-hidden-credentials",
            "2026-11-20T08:00:00Z",
            "credentials-vim",
        ] {
            assert_eq!(redactor().redact(shown), shown);
        }
    }
}
