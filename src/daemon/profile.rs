//! What a profile of the configuration means for Codex.

use std::path::PathBuf;

use toml::Value;

use crate::codex::{Catalog, Profile};
use crate::config::{DispatcherConfig, ProfileConfig};

/// Returns the model that codex is asked for; none where its own configuration is to decide.
pub(super) fn model(
    dispatcher: &DispatcherConfig,
    profile: Option<&ProfileConfig>,
) -> Option<String> {
    let own = dispatcher.model.as_ref();
    own.or(profile.and_then(|it| it.model.as_ref())).cloned()
}

/// Returns the description of the model that is written for codex, if one is.
pub(super) fn catalog(
    dispatcher: &DispatcherConfig,
    profile: &ProfileConfig,
    path: PathBuf,
) -> Option<Catalog> {
    let (Some(model), Some(context_window), true) = (
        model(dispatcher, Some(profile)),
        profile.context_window,
        profile.describes_model,
    ) else {
        return None;
    };
    Some(Catalog {
        path,
        model,
        context_window,
        instructions: dispatcher.prompts.model.clone(),
    })
}

/// Returns what is made ready before each start.
pub(super) fn of(name: &str, profile: &ProfileConfig, catalog: Option<Catalog>) -> Profile {
    Profile {
        name: name.to_owned(),
        credentials: profile.credentials.clone(),
        has_private_home: profile.has_private_home(),
        home: profile.home.clone(),
        storage: profile.storage.clone(),
        catalog,
    }
}

/// Returns what codex is told of it, as `key=value`. No secret is among it: it can be seen in the list
/// of processes.
pub(super) fn settings(profile: &ProfileConfig, catalog: Option<&Catalog>) -> Vec<String> {
    let mut settings = Vec::new();
    let mut set = |key: &str, value: Value| settings.push(format!("{key}={value}"));
    if let Some(provider) = &profile.provider {
        let id = provider.id.as_str();
        let base_url = provider.base_url.as_str().trim_end_matches('/');
        set("model_provider", id.into());
        let key = |name: &str| format!("model_providers.{id}.{name}");
        set(&key("name"), provider.name.as_str().into());
        set(&key("base_url"), base_url.into());
        set(&key("wire_api"), "responses".into());
        if let Some(variable) = &provider.env_key {
            set(&key("env_key"), variable.as_str().into());
        }
    }
    if let Some(tokens) = profile.context_window {
        // It is bounded where it is read.
        set("model_context_window", Value::Integer(tokens as i64));
    }
    let path = profile.model_catalog.as_ref();
    if let Some(path) = path.or(catalog.map(|it| &it.path)) {
        set("model_catalog_json", path.display().to_string().into());
    }
    settings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pretty_assertions::assert_eq;

    use super::*;
    use crate::config::Config;

    fn config(profile: &str) -> Config {
        let text = format!(
            "[channels.t]\nkind = \"console\"\n[profiles.p]\n{profile}\n\
             [dispatchers.a]\nworkspace = \"/\"\nchannels = [\"t\"]\nprofile = \"p\"\n"
        );
        let home = Some(Path::new("/home/mei"));
        match Config::parse(&text, Path::new("/etc/tieline.toml"), home) {
            Ok(loaded) => loaded.config,
            Err(report) => panic!("{report}"),
        }
    }

    /// Returns what codex is told of a profile, and the model that it is asked for.
    fn told(profile: &str) -> (Vec<String>, Option<String>, Option<Catalog>) {
        let config = config(profile);
        let dispatcher = config.dispatchers.values().next().unwrap();
        let (_, profile) = config.profile_of(dispatcher).unwrap();
        let catalog = catalog(dispatcher, profile, "/state/homes/p.models.json".into());
        let settings = settings(profile, catalog.as_ref());
        (settings, model(dispatcher, Some(profile)), catalog)
    }

    #[test]
    fn a_model_is_asked_for_only_where_one_is_named() {
        assert_eq!(told("preset = \"codex\""), (Vec::new(), None, None));
        let (settings, model, _) = told("model = \"m-1\"");
        assert_eq!((settings, model.as_deref()), (Vec::new(), Some("m-1")));
    }

    #[test]
    fn presets_bring_what_is_certain_and_the_file_replaces_it() {
        let provider = |name: &str, env_key: &str| {
            vec![
                "model_provider=\"tieline-p\"".to_owned(),
                format!("model_providers.tieline-p.name=\"{name}\""),
                "model_providers.tieline-p.base_url=\"https://gw.example/v1\"".to_owned(),
                "model_providers.tieline-p.wire_api=\"responses\"".to_owned(),
                format!("model_providers.tieline-p.env_key=\"{env_key}\""),
            ]
        };
        let at = "provider = { base_url = \"https://gw.example/v1\" }";
        let (settings, model, catalog) = told(&format!("preset = \"deepseek\"\n{at}"));
        assert_eq!(settings, provider("DeepSeek", "DEEPSEEK_API_KEY"));
        assert_eq!((model, catalog), (None, None));
        let (settings, ..) = told(&format!("preset = \"minimax-m3\"\n{at}"));
        assert_eq!(settings, provider("MiniMax M3", "MINIMAX_API_KEY"));

        let (settings, model, catalog) =
            told(&format!("preset = \"dsflash-go\"\nmodel = \"flash\"\n{at}"));
        let mut expected = provider("DeepSeek Flash (Go)", "OPENCODE_API_KEY");
        expected.push("model_context_window=1000000".to_owned());
        expected.push("model_catalog_json=\"/state/homes/p.models.json\"".to_owned());
        assert_eq!((settings, model.as_deref()), (expected, Some("flash")));
        assert_eq!(catalog.unwrap().context_window, 1_000_000);

        let (settings, ..) = told(
            "preset = \"dsflash-go\"\nmodel = \"flash\"\ncontext_window = 200_000\n\
             model_catalog = \"/m.json\"\n\
             provider = { base_url = \"https://gw.example/v1/\", name = \"Own\", env_key = \"OWN\" }",
        );
        let mut expected = provider("Own", "OWN");
        expected.push("model_context_window=200000".to_owned());
        expected.push("model_catalog_json=\"/m.json\"".to_owned());
        assert_eq!(settings, expected);
    }
}
