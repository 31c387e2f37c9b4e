//! The names of people and chats.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use tieline_channel::lookups::{Lookups, NoAnswer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::directory::{Directory, Person};
use crate::web::{CallError, Method, Web};

/// The names of people and chats, remembered for a while.
#[derive(Debug)]
pub(crate) struct Names {
    web: Web,
    lookups: Lookups<Key, Person>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Chat(String),
}

impl Names {
    pub(crate) fn new(web: Web) -> Self {
        Self {
            web,
            lookups: Lookups::new(),
        }
    }

    /// Returns the name of somebody, if it is known or quickly told.
    pub(crate) async fn user(&self, id: &str) -> Option<String> {
        self.learn_user(id).await;
        self.person(id)?.name
    }

    /// Finds out who somebody is, if that is quick, and tells whether it brought anything new.
    pub(super) async fn learn_user(&self, id: &str) -> bool {
        self.lookups.learn(Key::User(id.to_owned())).await
    }

    /// Finds out the name of a chat, if that is quick, and tells whether it brought anything new.
    pub(super) async fn learn_chat(&self, id: &str) -> bool {
        self.lookups.learn(Key::Chat(id.to_owned())).await
    }

    /// Has somebody's name looked up for the next time.
    pub(super) fn want_user(&self, id: &str) {
        self.lookups.want(&Key::User(id.to_owned()));
    }

    /// Takes a chat's name that came by the way.
    pub(crate) fn heard_of_chat(&self, id: &str, name: &str) {
        self.heard_of(Key::Chat(id.to_owned()), name, None);
    }

    /// Takes somebody's name and workspace that came by the way.
    pub(crate) fn heard_of_user(&self, id: &str, name: &str, team: &str) {
        self.heard_of(Key::User(id.to_owned()), name, Some(team.to_owned()));
    }

    fn heard_of(&self, key: Key, name: &str, team: Option<String>) {
        let found = Person {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            team,
        };
        self.lookups.heard(key, found);
    }

    /// Looks up what is asked for, until `stop` is cancelled.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        self.lookups.run(|key| self.look_up(key), stop).await;
    }

    async fn look_up(&self, key: Key) -> Result<Person, NoAnswer> {
        let answer = match &key {
            Key::User(id) => self.ask_for_user(id).await,
            Key::Chat(id) => self.ask_for_chat(id).await,
        };
        answer.map_err(|error| {
            debug!(?key, %error, "no name");
            match error {
                CallError::Refused { .. } => NoAnswer::Absent,
                CallError::Limited { after } => NoAnswer::Limited(after),
                CallError::NotSent { .. } | CallError::Lost { .. } => NoAnswer::Failed,
            }
        })
    }

    async fn ask_for_user(&self, id: &str) -> Result<Person, CallError> {
        let answer: UserAnswer = self
            .web
            .call(Method::UsersInfo, vec![("user", id.to_owned())])
            .await?;
        let UserAnswer { user } = answer;
        let names = [
            user.profile.display_name,
            user.profile.real_name,
            user.real_name,
            user.name,
        ];
        Ok(Person {
            name: names.into_iter().flatten().find(|name| !name.is_empty()),
            team: user.team_id,
        })
    }

    async fn ask_for_chat(&self, id: &str) -> Result<Person, CallError> {
        let answer: ChatAnswer = self
            .web
            .call(Method::ConversationsInfo, vec![("channel", id.to_owned())])
            .await?;
        Ok(Person {
            name: answer.channel.name.filter(|name| !name.is_empty()),
            team: None,
        })
    }
}

impl Directory for Names {
    fn person(&self, id: &str) -> Option<Person> {
        self.lookups.known(&Key::User(id.to_owned()))
    }

    fn chat_name(&self, id: &str) -> Option<String> {
        self.lookups.known(&Key::Chat(id.to_owned()))?.name
    }
}

#[derive(Deserialize)]
struct UserAnswer {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    real_name: Option<String>,
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    profile: Profile,
}

#[derive(Default, Deserialize)]
struct Profile {
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    real_name: Option<String>,
}

#[derive(Deserialize)]
struct ChatAnswer {
    channel: Chat,
}

#[derive(Deserialize)]
struct Chat {
    #[serde(default)]
    name: Option<String>,
}
