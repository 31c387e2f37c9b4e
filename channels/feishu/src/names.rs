//! The names of people and chats, and which chats are with one person.

use serde_json::Value;
use tieline_channel::ChatKind;
use tieline_channel::lookups::{Lookups, NoAnswer};
use tieline_net::pace::Urgency;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::api::{Api, Failure};
use crate::get::get;
use crate::inbound::fields::Fields as _;

/// The names of people and chats, remembered for a while.
#[derive(Debug)]
pub(crate) struct Names {
    api: Api,
    lookups: Lookups<Key, Option<String>>,
}

/// An id is the platform's, and never one of the other kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Chat(String),
}

/// What Feishu tells of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) name: Option<String>,
    pub(crate) kind: ChatKind,
    /// Whether people of other organisations may be in it.
    pub(crate) is_external: bool,
}

impl Names {
    pub(crate) fn new(api: Api) -> Self {
        Self {
            api,
            lookups: Lookups::new(),
        }
    }

    /// Looks names up until `stop` is cancelled.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        self.lookups.run(|key| self.look_up(key), stop).await;
    }

    /// Returns the name of a person, if it is known or quickly told.
    pub(crate) async fn user(&self, id: &str) -> Option<String> {
        self.learn(Key::User(id.to_owned())).await
    }

    /// Returns the name of a chat, if it is known or quickly told.
    pub(crate) async fn chat(&self, id: &str) -> Option<String> {
        self.learn(Key::Chat(id.to_owned())).await
    }

    /// Returns the name of a person if it is known, and else has it looked up for the next time.
    pub(crate) fn user_if_known(&self, id: &str) -> Option<String> {
        let key = Key::User(id.to_owned());
        self.lookups.want(&key);
        self.lookups.known(&key)?
    }

    /// Returns the name of a chat if it is known.
    pub(crate) fn chat_if_known(&self, id: &str) -> Option<String> {
        self.lookups.known(&Key::Chat(id.to_owned()))?
    }

    /// Asks for a chat, now.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn ask_for_chat(&self, urgency: Urgency, id: &str) -> Result<Chat, Failure> {
        let path = format!("/open-apis/im/v1/chats/{id}");
        let answer = get(&self.api, urgency, "im/v1/chats/get", path, Vec::new()).await?;
        let chat = Chat {
            name: answer.text("/data/name").map(str::to_owned),
            kind: match answer.text("/data/chat_mode") {
                Some("p2p") => ChatKind::Direct,
                _ => ChatKind::Group,
            },
            is_external: answer.pointer("/data/external") == Some(&Value::Bool(true)),
        };
        self.lookups
            .heard(Key::Chat(id.to_owned()), chat.name.clone());
        Ok(chat)
    }

    /// Returns when nothing is still to be looked up.
    #[cfg(test)]
    pub(crate) async fn settled(&self) {
        self.lookups.settled().await;
    }

    async fn learn(&self, key: Key) -> Option<String> {
        self.lookups.learn(key.clone()).await;
        self.lookups.known(&key)?
    }

    async fn look_up(&self, key: Key) -> Result<Option<String>, NoAnswer> {
        let answer = match &key {
            Key::User(id) => self.ask_for_user(id).await,
            Key::Chat(id) => {
                let chat = self.ask_for_chat(Urgency::Low, id).await;
                chat.map(|chat| chat.name)
            }
        };
        answer.map_err(|failure| {
            debug!(?key, error = %failure, "no name");
            match failure {
                Failure::Again { after, reason: _ } => NoAnswer::Limited(after),
                Failure::Never { .. } | Failure::Operator { .. } => NoAnswer::Absent,
                Failure::TokenInvalid { .. } | Failure::Unclear { .. } => NoAnswer::Failed,
            }
        })
    }

    /// Asks for the name of a person; without the permission, it is missing from the answer.
    async fn ask_for_user(&self, id: &str) -> Result<Option<String>, Failure> {
        let path = format!("/open-apis/contact/v3/users/{id}");
        let query = vec![("user_id_type", kind_of(id).to_owned())];
        let answer = get(&self.api, Urgency::Low, "contact/v3/users/get", path, query).await?;
        Ok(answer.text("/data/user/name").map(str::to_owned))
    }
}

/// Returns how Feishu calls this kind of id of a person.
fn kind_of(user: &str) -> &'static str {
    if user.starts_with("ou_") {
        "open_id"
    } else if user.starts_with("on_") {
        "union_id"
    } else {
        "user_id"
    }
}
