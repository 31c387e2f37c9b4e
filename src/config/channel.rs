//! `[channels.NAME]`: a connection to one platform account.
//!
//! A kind of channel is a line in [`KINDS`] and a variant of [`ChannelConfig`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use tieline_channel::{ChannelId, Language};

use crate::config::document::{Named, Table, Value};
use crate::config::feishu::FeishuConfig;
use crate::config::secret::SecretSource;
use crate::config::slack::SlackConfig;
use crate::config::words::{one_of, suggest};
use crate::config::{id, language, socket_path};

/// The configuration of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelConfig {
    /// A terminal, or any local program.
    Console(ConsoleConfig),
    /// A Slack app in one workspace.
    Slack(SlackConfig),
    /// A Feishu or Lark app in one organisation.
    Feishu(FeishuConfig),
}

/// Every kind: its word in the file, and who reads the rest of the table.
const KINDS: &[(&str, ReadKind)] = &[
    ("console", |table| {
        ConsoleConfig::read(table).map(ChannelConfig::Console)
    }),
    ("slack", |table| {
        SlackConfig::read(table).map(ChannelConfig::Slack)
    }),
    ("feishu", |table| {
        FeishuConfig::read(table).map(ChannelConfig::Feishu)
    }),
];

type ReadKind = fn(&mut Table<'_>) -> Option<ChannelConfig>;

impl ChannelConfig {
    /// Returns the word that stands for its kind in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Console(_) => "console",
            Self::Slack(_) => "slack",
            Self::Feishu(_) => "feishu",
        }
    }

    /// Returns where its secrets come from, each with the key it stands under.
    pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
        match self {
            Self::Console(_) => Vec::new(),
            Self::Slack(slack) => vec![
                ("app_token", &slack.app_token),
                ("bot_token", &slack.bot_token),
            ],
            Self::Feishu(feishu) => vec![("app_secret", &feishu.app_secret)],
        }
    }

    /// Returns what its people are spoken to in.
    pub fn language(&self) -> Language {
        match self {
            Self::Console(console) => console.language,
            Self::Slack(slack) => slack.language,
            Self::Feishu(feishu) => feishu.language,
        }
    }

    fn read(named: &Value<'_>) -> Option<Self> {
        let mut table = named.table("a table such as { kind = \"console\" }")?;
        let words: Vec<_> = KINDS.iter().map(|(word, _)| *word).collect();
        let kind = table.require("kind", &one_of(&words))?;
        let word = kind.text("the kind of channel")?;
        let Some((_, read)) = KINDS.iter().find(|(known, _)| *known == word) else {
            // What belongs into the rest of the table is anybody's guess: say nothing of it.
            let problem = kind.mistake("a known kind of channel");
            kind.reading()
                .note(problem.hint(suggest(word, &words, "kinds")));
            return None;
        };
        let config = read(&mut table);
        table.finish();
        config
    }
}

/// The configuration of a console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// The socket it listens on, an absolute path;
    /// [`Config::console_socket`](crate::config::Config::console_socket) knows the default.
    pub socket: Option<PathBuf>,
    /// What its people are spoken to in.
    pub language: Language,
}

impl ConsoleConfig {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let socket = match table.get("socket") {
            None => Some(None),
            Some(value) => value.path("the path of a socket").map(|path| {
                socket_path::check(&value, &path);
                Some(path)
            }),
        };
        let language = language::read(table);
        Some(Self {
            socket: socket?,
            language: language?,
        })
    }
}

/// The channels that a file declares.
#[derive(Default)]
pub(crate) struct Declared {
    /// Those that can be used.
    pub(crate) channels: BTreeMap<ChannelId, ChannelConfig>,
    /// Where each name stands, also of those that are wrong in themselves.
    pub(crate) spans: BTreeMap<ChannelId, Range<usize>>,
}

impl Declared {
    /// Reads `[channels]`.
    pub(crate) fn read(value: Option<Value<'_>>) -> Self {
        let mut declared = Self::default();
        let Some(table) = value.and_then(|value| value.table("tables [channels.NAME]")) else {
            return declared;
        };
        for Named { name, value } in table.named() {
            let id = ChannelId::new(name);
            id::check(name, &value);
            declared.spans.insert(id.clone(), value.name_span());
            if let Some(config) = ChannelConfig::read(&value) {
                declared.channels.insert(id, config);
            }
        }
        declared
    }

    /// Returns the names, for suggestions.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.spans.keys().map(ChannelId::as_str).collect()
    }
}
