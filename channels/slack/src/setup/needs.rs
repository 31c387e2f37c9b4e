//! What the app may do and is told, and why.

/// A scope of the bot token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name, as in `chat:write`.
    pub name: &'static str,
    /// How much it is needed.
    pub need: Need,
    /// What it is for; without it, this does not work.
    pub purpose: &'static str,
}

/// How much a scope is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Without it the app is of no use.
    Essential,
    /// Without it something is missing.
    Useful,
    /// Nothing uses it yet. In the manifest all the same: a scope that is added later takes a new
    /// installation in every workspace.
    Later,
}

/// A kind of event that the app subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, as in `message.im`.
    pub name: &'static str,
    /// What arrives by it.
    pub purpose: &'static str,
}

/// Every scope of the manifest, in its order.
pub const SCOPES: &[Scope] = &[
    essential("app_mentions:read", "hearing mentions"),
    essential(
        "channels:history",
        "hearing what is said in public channels, and reading back what was missed",
    ),
    useful("channels:read", "the names of public channels"),
    essential("chat:write", "answering"),
    useful("commands", "the slash command"),
    useful("files:read", "reading files that people send"),
    useful(
        "files:write",
        "sending files, as which very long answers come",
    ),
    useful(
        "groups:history",
        "hearing what is said in private channels, and reading back what was missed",
    ),
    useful("groups:read", "the names of private channels"),
    essential(
        "im:history",
        "hearing direct messages, and reading back what was missed",
    ),
    useful("im:read", "finding direct chats after an interruption"),
    later("im:write", "writing to somebody first"),
    useful(
        "mpim:history",
        "hearing what is said in group chats, and reading back what was missed",
    ),
    useful("mpim:read", "the names of group chats"),
    later("reactions:read", "understanding reactions"),
    useful(
        "reactions:write",
        "reactions: how far a message is, and those of the model",
    ),
    useful("users:read", "the names of people"),
];

/// Every event of the manifest, in its order.
pub const EVENTS: &[Event] = &[
    event("app_mention", "mentions"),
    event("message.channels", "messages in public channels"),
    event("message.groups", "messages in private channels"),
    event("message.im", "direct messages"),
    event("message.mpim", "messages in group chats"),
    event("reaction_added", "reactions"),
];

const fn essential(name: &'static str, purpose: &'static str) -> Scope {
    let need = Need::Essential;
    Scope {
        name,
        need,
        purpose,
    }
}

const fn useful(name: &'static str, purpose: &'static str) -> Scope {
    let need = Need::Useful;
    Scope {
        name,
        need,
        purpose,
    }
}

const fn later(name: &'static str, purpose: &'static str) -> Scope {
    let need = Need::Later;
    Scope {
        name,
        need,
        purpose,
    }
}

const fn event(name: &'static str, purpose: &'static str) -> Event {
    Event { name, purpose }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::setup::MANIFEST;

    /// Returns the items of a list of the manifest.
    fn items(key: &str) -> Vec<&'static str> {
        MANIFEST
            .lines()
            .skip_while(|line| line.trim() != format!("{key}:"))
            .skip(1)
            .map_while(|line| line.trim_start().strip_prefix("- "))
            .collect()
    }

    #[test]
    fn manifest_has_every_scope_and_event_and_no_other() {
        let scopes: Vec<_> = SCOPES.iter().map(|scope| scope.name).collect();
        assert_eq!(items("bot"), scopes);
        let events: Vec<_> = EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(items("bot_events"), events);
    }

    #[test]
    fn manifest_lets_people_write_to_the_bot_and_needs_no_address_of_ours() {
        for line in [
            "messages_tab_enabled: true",
            "messages_tab_read_only_enabled: false",
            "is_enabled: true",
            "socket_mode_enabled: true",
            "token_rotation_enabled: false",
        ] {
            assert!(MANIFEST.contains(line), "{line}");
        }
        assert!(!MANIFEST.contains("url"));
        assert!(!MANIFEST.contains('\t'));
    }
}
