//! What people see, and waiting for it.

use serde_json::Value;

use super::state::{Message, State};
use super::{BOT, MockFeishu, content};

/// A message of the bot, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Post {
    pub(crate) chat: String,
    pub(crate) id: String,
    pub(crate) root: Option<String>,
    /// The message that it answers to.
    pub(crate) parent: Option<String>,
    pub(crate) thread: Option<String>,
    /// Its `msg_type`.
    pub(crate) kind: String,
    /// As it was sent.
    pub(crate) content: Value,
    /// What people read.
    pub(crate) text: String,
    pub(crate) uuid: Option<String>,
    /// Whom it pings: ids, or `all`.
    pub(crate) pings: Vec<String>,
    pub(crate) is_edited: bool,
    /// Names and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl MockFeishu {
    /// Returns the bot's messages, in order.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.look(posts)
    }

    /// Returns the bot's messages in a chat: in one of its topics, or in none.
    pub(crate) fn posts_in(&self, chat: &str, thread: Option<&str>) -> Vec<Post> {
        let mut posts = self.posts();
        posts.retain(|it| it.chat == chat && it.thread.as_deref() == thread);
        posts
    }

    /// Returns how many messages the bot has.
    pub(crate) fn count_posts(&self) -> usize {
        self.shared.look(|state| own(state).count())
    }

    /// Returns the bot's reactions on a message.
    pub(crate) fn reactions(&self, message: &str) -> Vec<String> {
        self.shared.look(|state| reactions(state, message))
    }

    /// Waits for a message of the bot.
    pub(crate) async fn wait_for_post(&self, what: &str, is_it: impl Fn(&Post) -> bool) -> Post {
        self.until(what, |feishu| feishu.posts().into_iter().find(&is_it))
            .await
    }

    /// Waits until the bot has so many messages.
    pub(crate) async fn wait_for_posts(&self, n: usize) -> Vec<Post> {
        self.until(&format!("{n} posts"), |feishu| {
            (feishu.count_posts() >= n).then_some(())
        })
        .await;
        self.posts()
    }
}

/// Returns the bot's messages, in order.
pub(super) fn posts(state: &State) -> Vec<Post> {
    own(state).map(|message| post(state, message)).collect()
}

pub(super) fn own(state: &State) -> impl Iterator<Item = &Message> {
    let messages = state.messages.values();
    messages.filter(|it| it.sender == BOT && !it.is_deleted)
}

/// Returns the bot's reactions on a message.
pub(super) fn reactions(state: &State, message: &str) -> Vec<String> {
    let reactions = state.messages[message].reactions.iter();
    let ours = reactions.filter(|it| it.by == BOT);
    ours.map(|it| it.emoji.clone()).collect()
}

fn post(state: &State, message: &Message) -> Post {
    let content: Value = serde_json::from_str(&message.content).unwrap_or_default();
    let keys = [&content["file_key"], &content["image_key"]];
    let files = keys.into_iter().filter_map(Value::as_str);
    let files = files.filter_map(|key| state.files.get(key));
    Post {
        chat: message.chat.clone(),
        id: message.id.clone(),
        root: message.root_id.clone(),
        parent: message.parent_id.clone(),
        thread: message.thread_id.clone(),
        kind: message.kind.clone(),
        text: content::visible(&message.kind, &content),
        uuid: message.uuid.clone(),
        pings: state.pings(&message.kind, &content),
        is_edited: message.n_edits > 0,
        files: files
            .map(|it| (it.name.clone(), it.content.clone()))
            .collect(),
        content,
    }
}
