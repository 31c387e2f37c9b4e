//! People and channels, and what they do.

use std::collections::BTreeSet;
use std::time::Duration;

use super::files::StoredFile;
use super::state::{Channel, Message, User};
use super::{BOT_USER, Knowledge as _, MockSlack, OTHER_TEAM, State, TEAM};

/// The kinds of chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    Public,
    Private,
    /// Direct messages of one person and the bot.
    Direct,
    /// Direct messages of several people.
    Group,
}

/// Where a download is redirected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// To the same host.
    Here,
    /// To a host that is not Slack's.
    Elsewhere,
}

impl ChannelKind {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "public_channel" => Some(Self::Public),
            "private_channel" => Some(Self::Private),
            "im" => Some(Self::Direct),
            "mpim" => Some(Self::Group),
            _ => None,
        }
    }

    pub(super) fn channel_type(self) -> &'static str {
        match self {
            Self::Public => "channel",
            Self::Private => "group",
            Self::Direct => "im",
            Self::Group => "mpim",
        }
    }

    pub(super) fn read_scope(self) -> &'static str {
        match self {
            Self::Public => "channels:read",
            Self::Private => "groups:read",
            Self::Direct => "im:read",
            Self::Group => "mpim:read",
        }
    }

    pub(super) fn history_scope(self) -> &'static str {
        match self {
            Self::Public => "channels:history",
            Self::Private => "groups:history",
            Self::Direct => "im:history",
            Self::Group => "mpim:history",
        }
    }
}

/// A message that somebody is about to write.
#[must_use = "it is not sent"]
pub(crate) struct Draft<'a> {
    slack: &'a MockSlack,
    channel: String,
    message: Message,
    age: Duration,
    is_heard: bool,
}

impl Draft<'_> {
    /// In a thread.
    pub(crate) fn in_thread(mut self, root: &str) -> Self {
        self.message.thread_ts = Some(root.to_owned());
        self
    }

    /// As Slack carries it: mrkdwn, escaped.
    pub(crate) fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.message.text);
        self
    }

    /// With a file that [`MockSlack::file`] has made.
    pub(crate) fn file(mut self, id: &str) -> Self {
        self.message.subtype = Some("file_share");
        self.message.files.push(id.to_owned());
        self
    }

    /// Under a subtype: `thread_broadcast`, `me_message`, `bot_message`, `channel_join`.
    pub(crate) fn subtype(mut self, subtype: &'static str) -> Self {
        self.message.subtype = Some(subtype);
        self
    }

    /// Written a while ago.
    pub(crate) fn ago(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Only history knows of it: no event is ever delivered.
    pub(crate) fn unheard(mut self) -> Self {
        self.is_heard = false;
        self
    }

    /// Writes it and returns its `ts`.
    pub(crate) fn send(self) -> String {
        let Self {
            slack,
            channel,
            mut message,
            age,
            is_heard,
        } = self;
        slack.shared.update(|state| {
            message.ts = if age.is_zero() {
                state.tick()
            } else {
                state.tick_ago(&channel, age)
            };
            let ts = message.ts.clone();
            if is_heard {
                state.store(&channel, message);
            } else {
                state.keep(&channel, message);
            }
            ts
        })
    }
}

/// Returns text as Slack carries it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl MockSlack {
    /// Makes a person of this workspace and returns their id.
    pub(crate) fn person(&self, name: &str) -> String {
        self.add_user(name, TEAM, false)
    }

    /// Makes a person of another workspace.
    pub(crate) fn outsider(&self, name: &str) -> String {
        self.add_user(name, OTHER_TEAM, false)
    }

    /// Makes another bot and returns its user id.
    pub(crate) fn other_bot(&self, name: &str) -> String {
        self.add_user(name, TEAM, true)
    }

    fn add_user(&self, name: &str, team: &str, is_bot: bool) -> String {
        self.shared.update(|state| {
            let id = state.name("U0");
            let user = User {
                id: id.clone(),
                name: name.to_owned(),
                team: team.to_owned(),
                bot_id: is_bot.then(|| state.name("B0")),
            };
            state.users.insert(id.clone(), user);
            id
        })
    }

    /// Makes a public channel with the bot in it.
    pub(crate) fn public(&self, name: &str) -> String {
        self.channel(ChannelKind::Public, name, &[])
    }

    /// Makes a channel with the bot and others in it; people join when they write.
    pub(crate) fn channel(&self, kind: ChannelKind, name: &str, members: &[&str]) -> String {
        self.shared.update(|state| {
            let members = members.iter().map(|it| (*it).to_owned());
            state.add_channel(kind, name, members.chain([BOT_USER.to_owned()]).collect())
        })
    }

    /// Returns the direct messages of a person and the bot.
    pub(crate) fn direct(&self, person: &str) -> String {
        self.shared.update(|state| state.open_direct(person))
    }

    /// Takes the bot out of a channel.
    pub(crate) fn remove_bot(&self, channel: &str) {
        self.change_channel(channel, |channel| {
            channel.members.remove(BOT_USER);
        });
    }

    /// Lets the bot into a channel again.
    pub(crate) fn invite_bot(&self, channel: &str) {
        self.change_channel(channel, |channel| {
            channel.members.insert(BOT_USER.to_owned());
        });
    }

    /// Archives a channel.
    pub(crate) fn archive(&self, channel: &str) {
        self.change_channel(channel, |channel| channel.archived = true);
    }

    /// Shares a channel with another workspace.
    pub(crate) fn share_channel(&self, channel: &str) {
        self.change_channel(channel, |channel| channel.shared = true);
    }

    fn change_channel(&self, name: &str, change: impl FnOnce(&mut Channel)) {
        self.shared
            .update(|state| change(state.channels.get_mut(name).expect("a channel")));
    }

    /// Begins a message.
    pub(crate) fn write(&self, user: &str, channel: &str) -> Draft<'_> {
        let bot_id = self.shared.update(|state| {
            let members = &mut state.channels.get_mut(channel).expect("a channel").members;
            members.insert(user.to_owned());
            state.users[user].bot_id.clone()
        });
        Draft {
            slack: self,
            channel: channel.to_owned(),
            message: Message {
                ts: String::new(),
                thread_ts: None,
                user: user.to_owned(),
                bot_id,
                subtype: None,
                text: String::new(),
                blocks: Vec::new(),
                attachments: Vec::new(),
                metadata: None,
                files: Vec::new(),
                edited: None,
                reactions: Vec::new(),
                tombstone: false,
            },
            age: Duration::ZERO,
            is_heard: true,
        }
    }

    /// Somebody writes at the top of a chat; the text is as Slack carries it.
    pub(crate) fn say(&self, user: &str, channel: &str, text: &str) -> String {
        self.write(user, channel).text(text).send()
    }

    /// Somebody writes in a thread.
    pub(crate) fn reply(&self, user: &str, channel: &str, root: &str, text: &str) -> String {
        self.write(user, channel).text(text).in_thread(root).send()
    }

    /// Somebody writes what no event ever tells of.
    pub(crate) fn say_unheard(&self, user: &str, channel: &str, text: &str) -> String {
        self.write(user, channel).text(text).unheard().send()
    }

    /// Makes a file that a message can carry.
    pub(crate) fn file(&self, user: &str, name: &str, mime: &str, content: &[u8]) -> String {
        self.shared.update(|state| {
            let id = state.name("F0");
            let file = StoredFile {
                id: id.clone(),
                name: name.to_owned(),
                title: name.to_owned(),
                mime: mime.to_owned(),
                user: user.to_owned(),
                content: content.to_vec(),
                is_complete: true,
                is_stub: false,
                redirect: None,
            };
            state.files.insert(id.clone(), file);
            id
        })
    }

    /// Downloads of a file are redirected.
    pub(crate) fn redirect_file(&self, id: &str, to: Redirect) {
        self.change_file(id, |file| file.redirect = Some(to));
    }

    /// Events say of a file only that it must be asked for.
    pub(crate) fn stub_file(&self, id: &str) {
        self.change_file(id, |file| file.is_stub = true);
    }

    /// A file is no longer there.
    pub(crate) fn lose_file(&self, id: &str) {
        self.shared.update(|state| state.files.remove(id));
    }

    fn change_file(&self, id: &str, change: impl FnOnce(&mut StoredFile)) {
        self.shared
            .update(|state| change(state.files.get_mut(id).expect("a file")));
    }

    /// Returns a text that mentions the bot.
    pub(crate) fn mention(&self, text: &str) -> String {
        format!("<@{BOT_USER}> {text}")
    }
}

impl State {
    fn add_channel(&mut self, kind: ChannelKind, name: &str, members: BTreeSet<String>) -> String {
        let id = self.name(match kind {
            ChannelKind::Public | ChannelKind::Private => "C0",
            ChannelKind::Direct => "D0",
            ChannelKind::Group => "G0",
        });
        let channel = Channel {
            id: id.clone(),
            name: name.to_owned(),
            kind,
            members,
            archived: false,
            shared: false,
            messages: std::collections::BTreeMap::new(),
        };
        self.channels.insert(id.clone(), channel);
        id
    }

    /// Returns the direct messages of a person and the bot.
    pub(super) fn open_direct(&mut self, person: &str) -> String {
        let members = BTreeSet::from([person.to_owned(), BOT_USER.to_owned()]);
        let is_it = |it: &&Channel| it.kind == ChannelKind::Direct && it.members == members;
        if let Some(channel) = self.channels.values().find(is_it) {
            return channel.id.clone();
        }
        self.add_channel(ChannelKind::Direct, "directmessage", members)
    }
}
