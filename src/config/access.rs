//! `[dispatchers.NAME.access]`: who may speak to a dispatcher.

use std::collections::BTreeSet;

use tieline_channel::{ChannelId, ChatId, UserId};

use crate::config::choice::choice;
use crate::config::defaults;
use crate::config::document::Value;
use crate::config::words::suggest;

choice! {
    /// Who may write to a dispatcher directly.
    Direct {
        /// Who is listed, and who was let in by an administrator with a one-time code.
        Pairing = "pairing",
        /// Who is listed.
        Listed = "listed",
        /// Everyone on the platform who finds it.
        Everyone = "everyone",
        /// Nobody.
        Off = "off",
    }
}

choice! {
    /// Which group chats a dispatcher listens to.
    Groups {
        /// Those that are listed.
        Listed = "listed",
        /// Every one it is in.
        Everyone = "everyone",
        /// None.
        Off = "off",
    }
}

/// What somebody who is let in may do: each everything that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Asks how things are, and has nothing done.
    Viewer,
    /// Has turns, and orders what concerns their own conversation.
    User,
    /// Decides what the model may do beyond its sandbox, and about threads that several chats share.
    Approver,
    /// May do everything.
    Admin,
}

/// The greatest `max_per_minute`; whoever is allowed more may as well have no limit.
const MAX_PER_MINUTE: usize = 240;

/// Who may speak to a dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who may write to it directly.
    pub direct: Direct,
    /// Which group chats it listens to.
    pub groups: Groups,
    /// Whether it must be mentioned in group chats.
    pub mention: bool,
    /// The people who are listed.
    pub users: BTreeSet<(ChannelId, UserId)>,
    /// The group chats that are listed.
    pub chats: BTreeSet<(ChannelId, ChatId)>,
    /// The people who may let others in, approve, and use every command.
    pub admins: BTreeSet<(ChannelId, UserId)>,
    /// The people who may approve, and change threads that several chats share.
    pub approvers: BTreeSet<(ChannelId, UserId)>,
    /// The people who may ask how things are, and have no turns.
    pub viewers: BTreeSet<(ChannelId, UserId)>,
    /// The programs that may speak, each time with a mention.
    pub bots: BTreeSet<(ChannelId, UserId)>,
    /// How many messages one sender may write in a minute; as many as they like without.
    pub max_per_minute: Option<usize>,
}

impl Access {
    fn default_for_all() -> Self {
        Self {
            direct: defaults::DIRECT,
            groups: defaults::GROUPS,
            mention: defaults::MENTION,
            users: BTreeSet::new(),
            chats: BTreeSet::new(),
            admins: BTreeSet::new(),
            approvers: BTreeSet::new(),
            viewers: BTreeSet::new(),
            bots: BTreeSet::new(),
            max_per_minute: None,
        }
    }

    /// Returns what somebody may do who is let in. Of several lists that name them the one that gives
    /// most counts, but for this: whoever is a viewer is no user, for being named as one would say
    /// nothing else.
    pub fn role(&self, channel: &ChannelId, user: &UserId) -> Role {
        let who = (channel.clone(), user.clone());
        if self.admins.contains(&who) {
            Role::Admin
        } else if self.approvers.contains(&who) {
            Role::Approver
        } else if self.viewers.contains(&who) {
            Role::Viewer
        } else {
            Role::User
        }
    }

    /// Returns whether somebody is let in by name.
    pub fn is_listed(&self, channel: &ChannelId, user: &UserId) -> bool {
        let who = (channel.clone(), user.clone());
        [&self.users, &self.admins, &self.approvers, &self.viewers]
            .iter()
            .any(|list| list.contains(&who))
    }

    /// Reads the table; `channels` are those of its dispatcher, `declared` those of the file.
    pub(crate) fn read(
        value: Option<Value<'_>>,
        channels: &[ChannelId],
        declared: &[&str],
    ) -> Self {
        let Some(mut table) = value.and_then(|value| value.table("a table of access rules")) else {
            return Self::default_for_all();
        };
        let default = Self::default_for_all();
        let access = Self {
            direct: table
                .get("direct")
                .and_then(|value| value.choice())
                .unwrap_or(default.direct),
            groups: table
                .get("groups")
                .and_then(|value| value.choice())
                .unwrap_or(default.groups),
            mention: table
                .get("mention")
                .and_then(|value| value.boolean())
                .unwrap_or(default.mention),
            users: read_entries(table.get("users"), channels, declared, UserId::new),
            chats: read_entries(table.get("chats"), channels, declared, ChatId::new),
            admins: read_entries(table.get("admins"), channels, declared, UserId::new),
            approvers: read_entries(table.get("approvers"), channels, declared, UserId::new),
            viewers: read_entries(table.get("viewers"), channels, declared, UserId::new),
            bots: read_entries(table.get("bots"), channels, declared, UserId::new),
            max_per_minute: table.get("max_per_minute").as_ref().and_then(read_rate),
        };
        table.finish();
        access
    }
}

/// Reads how many messages one sender may write in a minute.
fn read_rate(value: &Value<'_>) -> Option<usize> {
    value.count(1..=MAX_PER_MINUTE, "leave it out for no limit")
}

/// Reads a list of `"channel:id"`.
fn read_entries<T: Ord>(
    value: Option<Value<'_>>,
    channels: &[ChannelId],
    declared: &[&str],
    wrap: fn(String) -> T,
) -> BTreeSet<(ChannelId, T)> {
    let items = value.and_then(|value| value.list("a list of \"channel:id\""));
    items
        .unwrap_or_default()
        .iter()
        .filter_map(|item| read_entry(item, channels, declared))
        .map(|(channel, id)| (channel, wrap(id)))
        .collect()
}

fn read_entry(
    item: &Value<'_>,
    channels: &[ChannelId],
    declared: &[&str],
) -> Option<(ChannelId, String)> {
    const EXPECTED: &str = "\"channel:id\"";
    let text = item.text(EXPECTED)?;
    let (channel, id) = match text.split_once(':') {
        Some((channel, id)) if !channel.is_empty() && !id.trim().is_empty() => (channel, id),
        Some(_) | None => {
            let mut problem = item.mistake(EXPECTED);
            if let ([only], false) = (channels, text.contains(':')) {
                problem = problem.hint(format!("write {:?}", format!("{only}:{text}")));
            } else {
                problem =
                    problem.hint("the channel is its name in this file, the id the platform's");
            }
            item.reading().note(problem);
            return None;
        }
    };
    if channels.iter().any(|known| known.as_str() == channel) {
        return Some((ChannelId::new(channel), id.to_owned()));
    }
    let problem = if declared.contains(&channel) {
        item.objection(&format!(
            "this dispatcher does not have channel `{channel}`"
        ))
        .hint("its `channels` must name it too")
    } else {
        item.objection(&format!("there is no channel `{channel}`"))
            .hint(suggest(channel, declared, "channels"))
    };
    item.reading().note(problem);
    None
}
