//! Reading back.
//!
//! - `thread`: what a topic or a chain of replies said before a message
//! - `backfill`: what was written while nothing arrived

mod backfill;
#[cfg(test)]
mod tests;
mod thread;

use serde_json::Value;
use tieline_net::pace::Urgency;

pub(crate) use self::backfill::catch_up;
pub(crate) use self::thread::earlier;
use crate::api::{Api, Failure};
use crate::get::{Query, get};
use crate::inbound::fields::Fields as _;

/// How many messages are asked for at once, the most that Feishu gives.
const PAGE: &str = "50";

/// A page of messages.
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    /// What the next page is asked for with.
    token: Option<String>,
}

/// What messages are listed of.
pub(crate) enum Container<'a> {
    /// A chat: all in it, but for what was answered in topics of ordinary groups.
    Chat(&'a str),
    /// A topic.
    Topic(&'a str),
}

impl Container<'_> {
    /// Asks for a page, the one after `token`.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn page(
        &self,
        api: &Api,
        urgency: Urgency,
        mut query: Query,
        token: Option<&str>,
    ) -> Result<Page, Failure> {
        let (kind, id) = match self {
            Self::Chat(id) => ("chat", *id),
            Self::Topic(id) => ("thread", *id),
        };
        query.extend([
            ("container_id_type", kind.to_owned()),
            ("container_id", id.to_owned()),
            ("page_size", PAGE.to_owned()),
        ]);
        query.extend(token.map(|token| ("page_token", token.to_owned())));
        let path = "/open-apis/im/v1/messages".to_owned();
        let answer = get(api, urgency, "im/v1/messages/list", path, query).await?;
        let has_more = answer.pointer("/data/has_more") == Some(&Value::Bool(true));
        let token = answer.text("/data/page_token").filter(|_| has_more);
        Ok(Page {
            items: answer.list("/data/items").to_vec(),
            token: token.map(str::to_owned),
        })
    }
}
