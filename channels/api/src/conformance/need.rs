//! What a check needs of the platform or its mock.

use super::{Abilities, PostFailure};
use crate::{Capabilities, Repeat};

/// Something that a check needs of the platform or its mock.
pub(super) enum Need {
    Redelivery,
    Disconnection,
    Failure(PostFailure),
    Repeat(Repeat),
    Edit,
    Delete,
    Status,
    Reactions,
    Buttons,
    Files,
    History,
    Connections,
    Edits,
    Deletions,
    Presses,
    Attachments,
    Misses,
}

/// What there is.
pub(super) struct Needs<'a> {
    pub(super) abilities: &'a Abilities,
    pub(super) capabilities: &'a Capabilities,
}

impl Need {
    /// Returns the name of what is missing.
    pub(super) fn missing(&self, there_is: &Needs<'_>) -> Option<&'static str> {
        let abilities = there_is.abilities;
        let capabilities = there_is.capabilities;
        let (is_there, name) = match self {
            Self::Redelivery => (abilities.redeliver, "redelivery"),
            Self::Disconnection => (abilities.disconnect, "disconnection"),
            Self::Failure(failure) => (
                abilities.failures.contains(failure),
                match failure {
                    PostFailure::Again => "refusal for now",
                    PostFailure::Never => "refusal for good",
                    PostFailure::Operator => "refusal until the operator acts",
                    PostFailure::AnswerLost => "lost answer",
                },
            ),
            Self::Repeat(repeat) => (
                // As long as a check takes, every platform knows its keys.
                match capabilities.repeat {
                    Repeat::IdempotentFor(_) => Repeat::Idempotent,
                    other => other,
                } == *repeat,
                match repeat {
                    Repeat::Idempotent | Repeat::IdempotentFor(_) => "idempotent repeat",
                    Repeat::Findable => "findable repeat",
                    Repeat::Blind => "blind repeat",
                },
            ),
            Self::Edit => (capabilities.edit, "edit"),
            Self::Delete => (capabilities.delete, "delete"),
            Self::Status => (capabilities.status, "status"),
            Self::Reactions => (capabilities.reactions, "reactions"),
            Self::Buttons => (capabilities.buttons, "buttons"),
            Self::Files => (capabilities.files, "files"),
            Self::History => (capabilities.history, "history"),
            Self::Connections => (abilities.connections, "count of connections"),
            Self::Edits => (abilities.edits, "edits by people"),
            Self::Deletions => (abilities.deletions, "deletions by people"),
            Self::Presses => (abilities.presses, "presses"),
            Self::Attachments => (abilities.attachments, "attachments"),
            Self::Misses => (abilities.misses, "missed messages"),
        };
        (!is_there).then_some(name)
    }
}
