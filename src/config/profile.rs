//! `[profiles.NAME]`: what a dispatcher's Codex signs in to, and where it keeps what it writes.
//!
//! A profile may begin with a preset, whose values each key of the table replaces. A preset says only
//! what is certain: where its provider is reached, the operator says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use url::Url;

use crate::config::choice::{Choice as _, choice};
use crate::config::document::{Named, Table, Value};
use crate::config::id;
use crate::config::problem::Problem;
use crate::config::secret::SecretSource;

/// How many tokens a model may have in view, as the operator may say.
const CONTEXT_WINDOWS: std::ops::RangeInclusive<usize> = 1_000..=100_000_000;

choice! {
    /// What a profile begins with.
    Preset {
        /// Codex's own provider and login.
        Codex = "codex",
        /// DeepSeek, behind an endpoint that speaks the Responses API.
        DeepSeek = "deepseek",
        /// MiniMax M3, behind one.
        MinimaxM3 = "minimax-m3",
        /// DeepSeek Flash of an OpenCode Go subscription, behind one.
        DsflashGo = "dsflash-go",
    }
}

/// What is certain of a preset with a provider of its own.
struct PresetValues {
    /// What the provider is called.
    name: &'static str,
    /// The variable that has its key.
    env_key: &'static str,
    /// How many tokens its model may have in view, if that is not Codex's guess.
    context_window: Option<usize>,
}

impl Preset {
    fn values(self) -> Option<PresetValues> {
        match self {
            Self::Codex => None,
            Self::DeepSeek => Some(PresetValues {
                name: "DeepSeek",
                env_key: "DEEPSEEK_API_KEY",
                context_window: None,
            }),
            Self::MinimaxM3 => Some(PresetValues {
                name: "MiniMax M3",
                env_key: "MINIMAX_API_KEY",
                context_window: None,
            }),
            Self::DsflashGo => Some(PresetValues {
                name: "DeepSeek Flash (Go)",
                env_key: "OPENCODE_API_KEY",
                context_window: Some(1_000_000),
            }),
        }
    }
}

/// The configuration of one profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileConfig {
    /// What it began with.
    pub preset: Option<Preset>,
    /// The model. When absent, the one of Codex's own configuration holds and none is asked for.
    pub model: Option<String>,
    /// The model provider; Codex's own configuration decides when absent.
    pub provider: Option<ProviderConfig>,
    /// How many tokens the model may have in view.
    pub context_window: Option<usize>,
    /// A file that describes models, as Codex reads it: an absolute path.
    pub model_catalog: Option<PathBuf>,
    /// Whether tieline describes the model to Codex itself, as one with that context window.
    pub describes_model: bool,
    /// What Codex is given in its environment, by the variable's name; commands are not.
    pub credentials: BTreeMap<String, SecretSource>,
    /// What the profile's private home is made of.
    pub home: Option<HomeConfig>,
    /// Where rollouts are kept, if not in the home.
    pub storage: Option<StorageConfig>,
}

/// A provider of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name in Codex's configuration.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where its Responses API is.
    pub base_url: Url,
    /// The variable that has its key, if it needs one.
    pub env_key: Option<String>,
}

/// What a private home is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeConfig {
    /// A directory that is only read: an absolute path. It need not be there yet.
    pub from: PathBuf,
    /// The files that are copied out of it.
    pub files: Vec<String>,
}

/// Where rollouts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// What it is called in reports.
    pub name: String,
    /// A directory, such as where a volume is mounted: an absolute path. It need not be there yet.
    pub path: PathBuf,
    /// The directory below it that is the profile's own.
    pub subdir: Option<PathBuf>,
}

impl StorageConfig {
    /// Returns the directory that has the rollouts.
    pub fn directory(&self) -> PathBuf {
        match &self.subdir {
            Some(subdir) => self.path.join(subdir),
            None => self.path.clone(),
        }
    }
}

impl ProfileConfig {
    /// Returns whether Codex has a home of its own with it, below the state directory.
    pub fn has_private_home(&self) -> bool {
        self.home.is_some() || self.storage.is_some()
    }

    fn read(name: &str, value: &Value<'_>) -> Option<Self> {
        let mut table = value.table("a table of settings")?;
        let preset: Option<Preset> = table.get("preset").and_then(|value| value.choice());
        let values = preset.and_then(Preset::values);
        let model = table
            .get("model")
            .and_then(|value| value.text("the name of a model"))
            .map(str::to_owned);
        let provider = read_provider(name, &mut table, preset, values.as_ref());
        let context_window = table
            .get("context_window")
            .and_then(|value| value.count(CONTEXT_WINDOWS, "it is a number of tokens"))
            .or(values.as_ref().and_then(|it| it.context_window));
        let model_catalog = table
            .get("model_catalog")
            .and_then(|value| value.path("the path of a file that describes models"));
        let describes_model = model_catalog.is_none()
            && values
                .as_ref()
                .is_some_and(|it| it.context_window.is_some());
        if describes_model && model.is_none() {
            let message =
                format!("profile `{name}` has no `model`, which its preset describes to Codex");
            table.reading().note(
                Problem::error(value.name_span(), message)
                    .hint("`model` is the name that its provider knows it by"),
            );
        }
        let credentials = table
            .get("credentials")
            .and_then(|value| read_credentials(&value))
            .unwrap_or_default();
        let home = table.get("home").and_then(|value| read_home(&value));
        let storage = table
            .get("storage")
            .and_then(|value| read_storage(name, &value));
        table.finish();
        Some(Self {
            preset,
            model,
            provider,
            context_window,
            model_catalog,
            describes_model,
            credentials,
            home,
            storage,
        })
    }
}

/// Reads `[profiles]`; also returns the names of those that have mistakes.
pub(crate) fn read_all(
    value: Option<Value<'_>>,
) -> (BTreeMap<String, ProfileConfig>, BTreeSet<String>) {
    let Some(table) = value.and_then(|value| value.table("tables [profiles.NAME]")) else {
        return Default::default();
    };
    let mut profiles = BTreeMap::new();
    let mut names = BTreeSet::new();
    for Named { name, value } in table.named() {
        id::check(name, &value);
        names.insert(name.to_owned());
        if let Some(profile) = ProfileConfig::read(name, &value) {
            profiles.insert(name.to_owned(), profile);
        }
    }
    (profiles, names)
}

fn read_provider(
    profile: &str,
    table: &mut Table<'_>,
    preset: Option<Preset>,
    values: Option<&PresetValues>,
) -> Option<ProviderConfig> {
    const EXPECTED: &str = "a table such as { base_url = \"https://…/v1\", env_key = \"API_KEY\" }";
    let Some(value) = table.get("provider") else {
        if let (Some(preset), Some(_)) = (preset, values) {
            let message = format!(
                "profile `{profile}` does not say where `{}` is reached",
                preset.word()
            );
            table
                .reading()
                .note(Problem::error(table.name_span(), message).hint(
                    "provider = { base_url = \"…\" }: an endpoint that speaks the Responses API",
                ));
        }
        return None;
    };
    let mut table = value.table(EXPECTED)?;
    let mut text = |key, expected: &str| {
        let value = table.get(key)?;
        value.text(expected).map(str::to_owned)
    };
    let name = text("name", "what the provider is called");
    let env_key = text("env_key", "the name of a variable");
    if let Some(value) = table.get("wire_api")
        && let Some(api) = value.text("\"responses\"")
        && api != "responses"
    {
        let problem = value.mistake("\"responses\"");
        value
            .reading()
            .note(problem.hint("Codex speaks no other; a gateway can translate"));
    }
    let base_url = table
        .require("base_url", "where the provider's Responses API is")
        .and_then(|value| read_url(&value));
    table.finish();
    Some(ProviderConfig {
        // Never one that Codex has built in.
        id: format!("tieline-{profile}"),
        name: name
            .or(values.map(|it| it.name.to_owned()))
            .unwrap_or_else(|| profile.to_owned()),
        base_url: base_url?,
        env_key: env_key.or(values.map(|it| it.env_key.to_owned())),
    })
}

fn read_url(value: &Value<'_>) -> Option<Url> {
    const EXPECTED: &str = "a URL that begins with https:// or http://";
    let url = Url::parse(value.text(EXPECTED)?).ok();
    let is_good = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let url = url.filter(is_good);
    if url.is_none() {
        let problem = value.clone().secret().mistake(EXPECTED);
        value
            .reading()
            .note(problem.hint("without a name and a password, which belong into `credentials`"));
    }
    url
}

fn read_credentials(value: &Value<'_>) -> Option<BTreeMap<String, SecretSource>> {
    let table = value.table("a table such as { API_KEY = { file = \"path\" } }")?;
    let mut credentials = BTreeMap::new();
    for Named { name, value } in table.named() {
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_')
            && !name.as_bytes()[0].is_ascii_digit();
        if !is_name {
            value
                .reading()
                .note(value.objection("this cannot be the name of a variable"));
        }
        if let Some(source) = SecretSource::read(value) {
            credentials.insert(name.to_owned(), source);
        }
    }
    Some(credentials)
}

fn read_home(value: &Value<'_>) -> Option<HomeConfig> {
    let mut table = value.table("a table such as { from = \"/run/secrets/codex\" }")?;
    let from = table
        .require("from", "the directory that is read")
        .and_then(|value| value.path("the path of a directory"));
    let files = match table.get("files") {
        None => vec!["auth.json".to_owned(), "config.toml".to_owned()],
        Some(value) => value
            .list("a list of names of files")?
            .iter()
            .filter_map(|item| {
                let name = item.text("the name of a file")?;
                if name.contains('/') || name.starts_with('.') {
                    item.reading()
                        .note(item.objection("this is not the name of a file in the directory"));
                }
                Some(name.to_owned())
            })
            .collect(),
    };
    table.finish();
    Some(HomeConfig { from: from?, files })
}

fn read_storage(profile: &str, value: &Value<'_>) -> Option<StorageConfig> {
    let mut table = value.table("a table such as { path = \"/mnt/rollouts\" }")?;
    let path = table
        .require("path", "the directory that keeps rollouts")
        .and_then(|value| value.path("the path of a directory"));
    let name = table
        .get("name")
        .and_then(|value| value.text("what the storage is called"))
        .unwrap_or(profile)
        .to_owned();
    let subdir = table.get("subdir").and_then(|value| {
        let text = value.text("a directory below `path`")?;
        let subdir = PathBuf::from(text);
        let stays = subdir
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !stays {
            value
                .reading()
                .note(value.objection("this leads out of `path`"));
        }
        Some(subdir)
    });
    table.finish();
    Some(StorageConfig {
        name,
        path: path?,
        subdir,
    })
}
