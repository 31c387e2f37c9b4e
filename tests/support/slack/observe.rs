//! What people see, and waiting for it.

use std::time::Instant;

use serde_json::Value;

use super::state::{Message, State};
use super::{BOT, BOT_USER, MockSlack, limits};

/// A message of the bot, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Post {
    pub(crate) channel: String,
    pub(crate) ts: String,
    pub(crate) thread_ts: Option<String>,
    /// The fallback and notification.
    pub(crate) text: String,
    /// As they were sent.
    pub(crate) blocks: Vec<Value>,
    pub(crate) metadata: Option<Value>,
    pub(crate) is_edited: bool,
    /// Names and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Post {
    /// Returns what people read: the blocks, or the text where there are none.
    pub(crate) fn visible(&self) -> String {
        match limits::visible(&self.blocks) {
            visible if visible.is_empty() => self.text.clone(),
            visible => visible,
        }
    }

    /// Returns our own name of it, from the metadata.
    pub(crate) fn key(&self) -> Option<&str> {
        self.metadata.as_ref()?["event_payload"]["key"].as_str()
    }
}

impl MockSlack {
    /// Returns the bot's messages, in order of their `ts`.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.look(posts)
    }

    /// Returns the bot's messages in a thread.
    pub(crate) fn posts_in(&self, channel: &str, thread_ts: Option<&str>) -> Vec<Post> {
        let mut posts = self.posts();
        posts.retain(|it| it.channel == channel && it.thread_ts.as_deref() == thread_ts);
        posts
    }

    /// Returns how many messages the bot has.
    pub(crate) fn count_posts(&self) -> usize {
        self.shared.look(|state| own(state).count())
    }

    /// Returns the bot's reactions on a message.
    pub(crate) fn reactions(&self, channel: &str, ts: &str) -> Vec<String> {
        self.shared.look(|state| reactions(state, channel, ts))
    }

    /// Returns the native status that a thread shows now.
    pub(crate) fn status(&self, channel: &str, thread_ts: &str) -> Option<String> {
        self.shared.look(|state| {
            let status = state
                .statuses
                .get(&(channel.to_owned(), thread_ts.to_owned()))?;
            (status.until > Instant::now()).then(|| status.text.clone())
        })
    }

    /// Returns the threads that show a native status.
    pub(crate) fn statuses(&self) -> Vec<(String, String)> {
        self.shared.look(|state| statuses(state).cloned().collect())
    }

    /// Returns every status that was set in a thread, in order; empty is a cleared one.
    pub(crate) fn status_log(&self, channel: &str, thread_ts: &str) -> Vec<String> {
        self.shared.look(|state| {
            let log = state.status_log.iter();
            let here = log.filter(|(it, thread, _)| it == channel && thread == thread_ts);
            here.map(|(_, _, text)| text.clone()).collect()
        })
    }

    /// Returns what was sent to response URLs.
    pub(crate) fn responses(&self) -> Vec<Value> {
        self.shared
            .look(|state| state.responses.iter().map(|(_, it)| it.clone()).collect())
    }

    /// Waits for a message of the bot.
    pub(crate) async fn wait_for_post(&self, what: &str, is_it: impl Fn(&Post) -> bool) -> Post {
        self.until(what, |slack| slack.posts().into_iter().find(&is_it))
            .await
    }

    /// Waits until the bot has so many messages.
    pub(crate) async fn wait_for_posts(&self, n: usize) -> Vec<Post> {
        self.until(&format!("{n} posts"), |slack| {
            (slack.count_posts() >= n).then_some(())
        })
        .await;
        self.posts()
    }
}

/// Returns the bot's messages, in order of their `ts`.
pub(super) fn posts(state: &State) -> Vec<Post> {
    let own = own(state);
    let mut posts: Vec<Post> = own.map(|(it, message)| post(state, it, message)).collect();
    posts.sort_by(|a, b| a.ts.cmp(&b.ts));
    posts
}

pub(super) fn own(state: &State) -> impl Iterator<Item = (&str, &Message)> {
    let channels = state.channels.values();
    let messages = channels.flat_map(|it| {
        it.messages
            .values()
            .map(move |message| (it.id.as_str(), message))
    });
    messages.filter(|(_, it)| it.bot_id.as_deref() == Some(BOT) && !it.tombstone)
}

/// Returns the bot's reactions on a message.
pub(super) fn reactions(state: &State, channel: &str, ts: &str) -> Vec<String> {
    let message = state.channels[channel].messages.get(ts);
    let reactions = message.into_iter().flat_map(|it| &it.reactions);
    let ours = reactions.filter(|(_, user)| user == BOT_USER);
    ours.map(|(name, _)| name.clone()).collect()
}

/// Returns the threads that show a native status.
pub(super) fn statuses(state: &State) -> impl Iterator<Item = &(String, String)> {
    let statuses = state.statuses.iter();
    let shown = statuses.filter(|(_, it)| it.until > Instant::now());
    shown.map(|(thread, _)| thread)
}

fn post(state: &State, channel: &str, message: &Message) -> Post {
    let files = message.files.iter().filter_map(|id| state.files.get(id));
    Post {
        channel: channel.to_owned(),
        ts: message.ts.clone(),
        thread_ts: message.thread_ts.clone(),
        text: message.text.clone(),
        blocks: message.blocks.clone(),
        metadata: message.metadata.clone(),
        is_edited: message.edited.is_some(),
        files: files
            .map(|it| (it.name.clone(), it.content.clone()))
            .collect(),
    }
}
