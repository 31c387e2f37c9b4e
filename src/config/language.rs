//! `language`: what the people of a channel are spoken to in.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_channel::{ChannelId, Language};

use crate::config::choice::Choice;
use crate::config::document::Table;

/// What the people of each channel are spoken to in. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Languages(Arc<BTreeMap<ChannelId, Language>>);

impl Languages {
    /// Returns what the people of a channel are spoken to in; English where it is not configured.
    pub fn of(&self, channel: &ChannelId) -> Language {
        self.0.get(channel).copied().unwrap_or_default()
    }
}

impl FromIterator<(ChannelId, Language)> for Languages {
    fn from_iter<T: IntoIterator<Item = (ChannelId, Language)>>(languages: T) -> Self {
        Self(Arc::new(languages.into_iter().collect()))
    }
}

impl Choice for Language {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }
}

/// Reads `language` of a channel; `None` when it is a mistake.
pub(super) fn read(table: &mut Table<'_>) -> Option<Language> {
    table
        .get("language")
        .map_or(Some(Language::default()), |value| value.choice())
}
