//! People and chats, and what is said.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::state::{Chat, Message, Person, StoredFile, ms_ago};
use super::{BOT, Knowledge as _, MockFeishu, OTHER_TENANT, State, TENANT};

/// Encloses the id of whoever a draft mentions. People do not type it.
const MENTION: char = '\u{1}';

/// The kinds of chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChatMode {
    /// One person and the bot.
    P2p,
    /// A group, in which some messages have topics.
    Group,
    /// A group in which every message begins a topic.
    Topic,
}

/// A message that somebody is about to write.
#[must_use = "it is not sent"]
pub(crate) struct Draft<'a> {
    feishu: &'a MockFeishu,
    message: Message,
    age: Duration,
    is_heard: bool,
}

impl Draft<'_> {
    /// Plain text, in which [`MockFeishu::mention_of`] mentions somebody.
    pub(crate) fn text(mut self, text: &str) -> Self {
        let (text, mentions) = self.feishu.shared.look(|state| state.mentions(text));
        self.message.mentions = mentions;
        self.message.content = json!({ "text": text }).to_string();
        self
    }

    /// Of any type, with this content.
    pub(crate) fn content(mut self, kind: &str, content: &Value) -> Self {
        kind.clone_into(&mut self.message.kind);
        self.message.content = content.to_string();
        self
    }

    /// An image or a file that [`MockFeishu::file`] has made.
    pub(crate) fn file(self, key: &str) -> Self {
        let file = self.feishu.shared.look(|state| state.files[key].clone());
        match file.kind.as_str() {
            "image" => self.content("image", &json!({"image_key": key})),
            _ => self.content("file", &json!({"file_key": key, "file_name": file.name})),
        }
    }

    /// A quoting reply, in no topic.
    pub(crate) fn quoting(mut self, message: &str) -> Self {
        let quoted = self
            .feishu
            .shared
            .look(|state| state.messages[message].clone());
        self.message.root_id = quoted.root_id.or(Some(message.to_owned()));
        self.message.parent_id = Some(message.to_owned());
        self.message.thread_id = quoted.thread_id;
        self
    }

    /// In the topic that begins with a message.
    pub(crate) fn in_topic(mut self, root: &str) -> Self {
        let topic = self.feishu.topic_of(root);
        self.message.root_id = Some(root.to_owned());
        self.message.parent_id = Some(root.to_owned());
        self.message.thread_id = Some(topic);
        self
    }

    /// The event does not tell the topic.
    pub(crate) fn hiding_topic(mut self) -> Self {
        self.message.hides_thread = true;
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

    /// Writes it and returns its id.
    pub(crate) fn send(self) -> String {
        let Self {
            feishu,
            mut message,
            age,
            is_heard,
        } = self;
        feishu.shared.update(|state| {
            message.at_ms = if age.is_zero() {
                state.tick()
            } else {
                ms_ago(age)
            };
            let id = state.keep(message);
            if is_heard {
                state.announce(&id);
            }
            id
        })
    }
}

impl MockFeishu {
    /// Makes a person of this organisation and returns their id.
    pub(crate) fn person(&self, name: &str) -> String {
        self.add_person(name, TENANT, false)
    }

    /// Makes a person of another organisation.
    pub(crate) fn outsider(&self, name: &str) -> String {
        self.add_person(name, OTHER_TENANT, false)
    }

    /// Makes another bot and returns its id.
    pub(crate) fn other_bot(&self, name: &str) -> String {
        self.add_person(name, TENANT, true)
    }

    fn add_person(&self, name: &str, tenant: &str, is_bot: bool) -> String {
        self.shared.update(|state| {
            let id = state.name("ou_");
            let person = Person {
                id: id.clone(),
                name: name.to_owned(),
                tenant: tenant.to_owned(),
                is_bot,
            };
            state.people.insert(id.clone(), person);
            id
        })
    }

    /// Makes a group with the bot in it; people join when they write.
    pub(crate) fn group(&self, name: &str) -> String {
        self.add_chat(ChatMode::Group, name, [BOT.to_owned()].into())
    }

    /// Makes a group in which every message begins a topic.
    pub(crate) fn topic_group(&self, name: &str) -> String {
        self.add_chat(ChatMode::Topic, name, [BOT.to_owned()].into())
    }

    /// Returns the direct messages of a person and the bot.
    pub(crate) fn p2p(&self, person: &str) -> String {
        self.shared.update(|state| state.open_p2p(person))
    }

    fn add_chat(&self, mode: ChatMode, name: &str, members: BTreeSet<String>) -> String {
        self.shared
            .update(|state| state.add_chat(mode, name, members))
    }

    /// Takes the bot out of a group.
    pub(crate) fn remove_bot(&self, chat: &str) {
        self.change_chat(chat, |chat| {
            chat.members.remove(BOT);
        });
    }

    /// Lets the bot into a group again.
    pub(crate) fn invite_bot(&self, chat: &str) {
        self.change_chat(chat, |chat| {
            chat.members.insert(BOT.to_owned());
        });
    }

    /// Shares a group with another organisation.
    pub(crate) fn share_chat(&self, chat: &str) {
        self.change_chat(chat, |chat| chat.is_external = true);
    }

    fn change_chat(&self, id: &str, change: impl FnOnce(&mut Chat)) {
        self.shared
            .update(|state| change(state.chats.get_mut(id).expect("a chat")));
    }

    /// Returns the topic that begins with a message; it is made if there is none.
    pub(crate) fn topic_of(&self, root: &str) -> String {
        self.shared.update(|state| state.topic_of(root))
    }

    /// Begins a message.
    pub(crate) fn write(&self, person: &str, chat: &str) -> Draft<'_> {
        self.change_chat(chat, |chat| {
            chat.members.insert(person.to_owned());
        });
        Draft {
            feishu: self,
            message: Message::new(chat, person, "text", json!({"text": ""}).to_string()),
            age: Duration::ZERO,
            is_heard: true,
        }
    }

    /// Somebody writes at the top of a chat.
    pub(crate) fn say(&self, person: &str, chat: &str, text: &str) -> String {
        self.write(person, chat).text(text).send()
    }

    /// Somebody writes in the topic that begins with a message.
    pub(crate) fn reply(&self, person: &str, chat: &str, root: &str, text: &str) -> String {
        self.write(person, chat).text(text).in_topic(root).send()
    }

    /// Somebody writes what no event ever tells of.
    pub(crate) fn say_unheard(&self, person: &str, chat: &str, text: &str) -> String {
        self.write(person, chat).text(text).unheard().send()
    }

    /// Somebody forwards messages merged into one: each of a type and with a content.
    pub(crate) fn forward(&self, person: &str, chat: &str, children: &[(&str, Value)]) -> String {
        let content = json!({"content": "Merged and Forwarded Message"});
        let draft = self.write(person, chat);
        let merged = draft.content("merge_forward", &content).unheard().send();
        self.shared.update(|state| {
            for (kind, content) in children {
                let mut child = Message::new(chat, person, kind, content.to_string());
                child.upper = Some(merged.clone());
                child.at_ms = state.tick();
                state.keep(child);
            }
            state.announce(&merged);
        });
        merged
    }

    /// Makes a file, or an image, that a message of a person can carry.
    pub(crate) fn file(&self, person: &str, name: &str, content: &[u8]) -> String {
        let is_image = [".png", ".jpg"].iter().any(|it| name.ends_with(it));
        self.shared.update(|state| {
            let (prefix, kind) = if is_image {
                ("img_v3_", "image")
            } else {
                ("file_v3_", "stream")
            };
            let key = state.name(prefix);
            let file = StoredFile {
                name: name.to_owned(),
                kind: kind.to_owned(),
                by: person.to_owned(),
                content: content.to_vec(),
            };
            state.files.insert(key.clone(), file);
            key
        })
    }

    /// A file is no longer there.
    pub(crate) fn lose_file(&self, key: &str) {
        self.shared.update(|state| state.files.remove(key));
    }

    /// Returns what mentions somebody in a draft.
    pub(crate) fn mention_of(&self, person: &str) -> String {
        format!("{MENTION}{person}{MENTION}")
    }

    /// Returns a text that mentions the bot.
    pub(crate) fn mention(&self, text: &str) -> String {
        format!("{} {text}", self.mention_of(BOT))
    }

    /// All tokens are invalid from now on.
    pub(crate) fn expire_tokens(&self) {
        self.shared.update(|state| state.tokens.clear());
    }
}

impl Message {
    pub(super) fn new(chat: &str, sender: &str, kind: &str, content: String) -> Self {
        Self {
            id: String::new(),
            chat: chat.to_owned(),
            root_id: None,
            parent_id: None,
            thread_id: None,
            hides_thread: false,
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            content,
            mentions: Vec::new(),
            at_ms: 0,
            updated_ms: None,
            n_edits: 0,
            is_deleted: false,
            reactions: Vec::new(),
            upper: None,
            uuid: None,
        }
    }
}

impl State {
    fn add_chat(&mut self, mode: ChatMode, name: &str, members: BTreeSet<String>) -> String {
        let id = self.name("oc_");
        let chat = Chat {
            id: id.clone(),
            name: name.to_owned(),
            mode,
            members,
            is_external: false,
        };
        self.chats.insert(id.clone(), chat);
        id
    }

    /// Returns the direct messages of a person and the bot.
    pub(super) fn open_p2p(&mut self, person: &str) -> String {
        let members = BTreeSet::from([person.to_owned(), BOT.to_owned()]);
        let is_it = |it: &&Chat| it.mode == ChatMode::P2p && it.members == members;
        if let Some(chat) = self.chats.values().find(is_it) {
            return chat.id.clone();
        }
        self.add_chat(ChatMode::P2p, "", members)
    }

    /// Keeps a message, under a name that it gets.
    pub(super) fn keep(&mut self, mut message: Message) -> String {
        message.id = self.name("om_");
        let is_root = message.root_id.is_none() && message.upper.is_none();
        if is_root && self.chats[&message.chat].mode == ChatMode::Topic {
            message.thread_id = Some(self.name("omt_"));
        }
        let id = message.id.clone();
        self.messages.insert(id.clone(), message);
        id
    }

    /// Returns the topic that begins with a message; it is made if there is none.
    pub(super) fn topic_of(&mut self, root: &str) -> String {
        if let Some(topic) = &self.messages[root].thread_id {
            return topic.clone();
        }
        let topic = self.name("omt_");
        let message = self.messages.get_mut(root).expect("a message");
        message.thread_id = Some(topic.clone());
        topic
    }

    /// Makes placeholders of mentions, as events have them.
    fn mentions(&self, text: &str) -> (String, Vec<Value>) {
        let mut mentions = Vec::new();
        let mut out = String::new();
        for (number, part) in text.split(MENTION).enumerate() {
            let person = (number % 2 == 1).then(|| self.people.get(part)).flatten();
            let Some(person) = person else {
                out.push_str(part);
                continue;
            };
            let key = format!("@_user_{}", mentions.len() + 1);
            out.push_str(&key);
            mentions.push(json!({
                "key": key, "name": person.name, "tenant_key": person.tenant,
                "mentioned_type": if person.is_bot { "bot" } else { "user" },
                "id": {
                    "open_id": person.id, "user_id": null,
                    "union_id": super::events::union_id(&person.id),
                },
            }));
        }
        (out, mentions)
    }
}
