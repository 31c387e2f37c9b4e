//! The chats that are read back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tieline_channel::{ChatKind, Conversation, SendError};

use super::{Page, patiently};
use crate::account::Account;
use crate::inbound::chat_kind;
use crate::inbound::fields::text;
use crate::web::{CallError, Form, Method};

/// How many chats are asked for at once. A workspace may have thousands that we are not in, and few
/// calls are allowed: as many as Slack gives.
const LIST_PAGE: &str = "999";

/// How many pages of chats are read.
const MAX_LIST_PAGES: usize = 50;

/// A kind of chats: as Slack names it, as people do, and what it takes to find and to read them.
struct Kind {
    name: &'static str,
    shown: &'static str,
    list_scope: &'static str,
    read_scope: &'static str,
}

const PUBLIC: Kind = Kind {
    name: "public_channel",
    shown: "public channels",
    list_scope: "channels:read",
    read_scope: "channels:history",
};
const PRIVATE: Kind = Kind {
    name: "private_channel",
    shown: "private channels",
    list_scope: "groups:read",
    read_scope: "groups:history",
};
const DIRECT: Kind = Kind {
    name: "im",
    shown: "direct messages",
    list_scope: "im:read",
    read_scope: "im:history",
};
const GROUP_DIRECT: Kind = Kind {
    name: "mpim",
    shown: "group direct messages",
    list_scope: "mpim:read",
    read_scope: "mpim:history",
};
const KINDS: [&Kind; 4] = [&PUBLIC, &PRIVATE, &DIRECT, &GROUP_DIRECT];

/// A chat that is read back.
pub(super) struct Chat {
    pub(super) id: String,
    pub(super) kind: ChatKind,
    pub(super) shared: bool,
    /// Among [`KINDS`], if known.
    of: Option<&'static Kind>,
    /// Whether the daemon asks for it: something was said there lately.
    is_asked_for: bool,
    /// The roots of threads that may have something new.
    pub(super) threads: BTreeSet<String>,
}

/// The chats of the workspace, by id.
#[derive(Default)]
struct Listed {
    /// Those we are in.
    chats: BTreeMap<String, Chat>,
    /// Those we are not in.
    elsewhere: BTreeSet<String>,
}

impl Chat {
    /// Returns the scope that reads its history, with what else that reads.
    pub(super) fn read_scope(&self) -> Option<(&'static str, &'static str)> {
        self.of.map(|kind| (kind.shown, kind.read_scope))
    }
}

/// Returns the chats we are in, with the `threads` that the daemon asks for; those first. What
/// cannot be listed is added to `unreadable`.
pub(super) async fn chats(
    account: &Account,
    threads: &[Conversation],
    unreadable: &mut Vec<String>,
) -> Result<Vec<Chat>, SendError> {
    let Listed {
        mut chats,
        elsewhere,
    } = listed(account, unreadable)
        .await
        .map_err(|error| error.into_send_error(Method::ConversationsList))?;
    for conversation in threads {
        let id = conversation.chat.as_str();
        if !elsewhere.contains(id) {
            let chat = chats
                .entry(id.to_owned())
                .or_insert_with(|| unlisted_chat(id));
            let thread = conversation.thread.as_ref();
            chat.is_asked_for = true;
            chat.threads
                .extend(thread.map(|thread| thread.as_str().to_owned()));
        }
    }
    let mut chats: Vec<_> = chats.into_values().collect();
    // It may take minutes: where somebody waits comes first.
    chats.sort_by_key(|chat| !chat.is_asked_for);
    Ok(chats)
}

/// Says that something needs a scope to be read.
pub(super) fn needs_scope(what: &str, scope: &str) -> String {
    format!(
        "{what} cannot be read back: add the bot scope {scope} to the Slack app (OAuth & \
         Permissions) and install the app again"
    )
}

async fn listed(account: &Account, unreadable: &mut Vec<String>) -> Result<Listed, CallError> {
    let mut listed = Listed::default();
    let all = KINDS.map(|kind| kind.name).join(",");
    match list(account, &all, &mut listed).await {
        Err(error) if is_missing_scope(&error) => {}
        outcome => return outcome.map(|()| listed),
    }
    // One kind is forbidden, and the others may not be.
    for kind in KINDS {
        match list(account, kind.name, &mut listed).await {
            Err(error) if is_missing_scope(&error) => {
                unreadable.push(needs_scope(kind.shown, kind.list_scope));
            }
            outcome => outcome?,
        }
    }
    Ok(listed)
}

async fn list(account: &Account, types: &str, listed: &mut Listed) -> Result<(), CallError> {
    let mut cursor = None;
    for _ in 0..MAX_LIST_PAGES {
        let mut form: Form = vec![
            ("types", types.to_owned()),
            ("exclude_archived", "true".to_owned()),
            ("limit", LIST_PAGE.to_owned()),
        ];
        form.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer = patiently(&account.web, Method::ConversationsList, &form).await?;
        let page = Page::read(&answer, "channels");
        for raw in &page.items {
            let Some(id) = text(&raw["id"]) else {
                continue;
            };
            // Chats with one person do not say it.
            if raw["is_member"] == false {
                listed.elsewhere.insert(id.to_owned());
                continue;
            }
            listed.chats.insert(id.to_owned(), listed_chat(id, raw));
            if let Some(name) = text(&raw["name"]) {
                account.names.heard_of_chat(id, name);
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

/// Makes a chat of what `conversations.list` says of it.
fn listed_chat(id: &str, raw: &Value) -> Chat {
    let is = |field: &str| raw[field] == true;
    let of = if is("is_im") {
        &DIRECT
    } else if is("is_mpim") {
        &GROUP_DIRECT
    } else if is("is_private") || is("is_group") {
        &PRIVATE
    } else {
        &PUBLIC
    };
    Chat {
        kind: if is("is_im") {
            ChatKind::Direct
        } else {
            ChatKind::Group
        },
        shared: is("is_ext_shared"),
        of: Some(of),
        ..unlisted_chat(id)
    }
}

/// Makes a chat of its name alone.
fn unlisted_chat(id: &str) -> Chat {
    Chat {
        id: id.to_owned(),
        kind: chat_kind(id, None),
        shared: false,
        of: None,
        is_asked_for: false,
        threads: BTreeSet::new(),
    }
}

fn is_missing_scope(error: &CallError) -> bool {
    error.refusal() == Some("missing_scope")
}
