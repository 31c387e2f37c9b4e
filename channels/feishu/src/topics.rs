//! Where topics begin: Feishu takes only a message for something to reply to, never a topic. It is
//! the first one of a topic whenever that is there, so that a repeated post goes to the same place,
//! also after a restart.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tieline_channel::{ThreadKey, WireId};
use tieline_net::pace::Urgency;
use tracing::{debug, warn};

use crate::api::{Api, Failure};
use crate::history::Container;
use crate::inbound::fields::Fields as _;
use crate::inbound::is_topic;

/// How many topics are remembered.
const MAX_KNOWN: usize = 5_000;

/// The first messages of the topics that were heard of lately.
#[derive(Debug)]
pub(crate) struct Topics {
    api: Api,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_topic: HashMap<ThreadKey, WireId>,
    /// The oldest first.
    order: VecDeque<ThreadKey>,
}

impl Topics {
    pub(crate) fn new(api: Api) -> Self {
        Self {
            api,
            known: Mutex::default(),
        }
    }

    /// Takes note of the first message of a thread, if that is a topic.
    pub(crate) fn learn(&self, thread: &ThreadKey, first: &WireId) {
        let mut known = self.known();
        if !is_topic(thread) || known.by_topic.contains_key(thread) {
            return;
        }
        if known.order.len() >= MAX_KNOWN
            && let Some(oldest) = known.order.pop_front()
        {
            known.by_topic.remove(&oldest);
        }
        known.order.push_back(thread.clone());
        known.by_topic.insert(thread.clone(), first.clone());
    }

    /// Forgets a message that is gone.
    pub(crate) fn forget(&self, message: &WireId) {
        let mut known = self.known();
        let Known { by_topic, order } = &mut *known;
        by_topic.retain(|_, it| it != message);
        order.retain(|topic| by_topic.contains_key(topic));
    }

    /// Returns the first message of a topic, if it is known.
    pub(crate) fn known_first_of(&self, topic: &ThreadKey) -> Option<WireId> {
        self.known().by_topic.get(topic).cloned()
    }

    /// Returns the first message of a topic that is still there, asking for it when it is not known.
    /// None is told where the app may not read.
    ///
    /// # Errors
    ///
    /// When that cannot be told now.
    pub(crate) async fn first_of(&self, topic: &ThreadKey) -> Result<Option<WireId>, Failure> {
        if let Some(message) = self.known_first_of(topic) {
            return Ok(Some(message));
        }
        let container = Container::Topic(topic.as_str());
        let query = vec![("sort_type", "ByCreateTimeAsc".to_owned())];
        let page = match container
            .page(&self.api, Urgency::Answer, query, None)
            .await
        {
            Ok(page) => page,
            Err(failure @ Failure::Never { .. }) => {
                debug!(%topic, error = %failure, "no message of a topic is told");
                return Ok(None);
            }
            Err(failure @ Failure::Operator { .. }) => {
                warn!(%topic, error = %failure, "a message of a topic cannot be asked for");
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let is_there = |item: &&Value| item.get("deleted") != Some(&Value::Bool(true));
        let mut there = page.items.iter().filter(is_there);
        let first = there.find_map(|item| item.text("/message_id"));
        if let Some(first) = first {
            self.learn(topic, &WireId::new(first));
        }
        Ok(first.map(WireId::new))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;
    use crate::scripted::{Feishu, ok, parameter, refused};

    fn topic(number: usize) -> ThreadKey {
        ThreadKey::new(format!("omt_{number}"))
    }

    fn message(number: usize) -> WireId {
        WireId::new(format!("om_{number}"))
    }

    #[tokio::test]
    async fn what_is_gone_is_forgotten_and_memory_is_bounded() {
        let server = Feishu::of_bot(|_| refused(230_027)).await;
        let topics = server.account().topics;
        topics.learn(&ThreadKey::new("om_0"), &message(0));
        assert_eq!(topics.known_first_of(&ThreadKey::new("om_0")), None);
        topics.learn(&topic(1), &message(1));
        topics.learn(&topic(1), &message(2));
        assert_eq!(topics.known_first_of(&topic(1)), Some(message(1)));
        topics.forget(&message(1));
        assert_eq!(topics.known_first_of(&topic(1)), None);
        for number in 0..2 * MAX_KNOWN {
            topics.learn(&topic(number), &message(number));
        }
        assert_eq!(topics.known_first_of(&topic(0)), None);
        let last = 2 * MAX_KNOWN - 1;
        assert_eq!(topics.known_first_of(&topic(last)), Some(message(last)));
        let known = topics.known();
        assert_eq!(
            (known.by_topic.len(), known.order.len()),
            (MAX_KNOWN, MAX_KNOWN)
        );
    }

    #[tokio::test]
    async fn a_topic_that_nobody_knows_is_asked_for_once() {
        let server = Feishu::of_bot(|call| {
            assert_eq!(parameter(call, "container_id_type"), "thread");
            assert_eq!(parameter(call, "container_id"), "omt_1");
            ok(&json!({"items": [
                {"message_id": "om_1", "deleted": true},
                {"message_id": "om_2", "deleted": false},
                {"message_id": "om_3"},
            ]}))
        })
        .await;
        let topics = server.account().topics;
        for _ in 0..2 {
            assert_eq!(topics.first_of(&topic(1)).await, Ok(Some(message(2))));
        }
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn where_nothing_may_be_read_there_is_none_and_a_failure_is_one() {
        for (code, is_known) in [(230_027, true), (99_991_672, true), (99_991_400, false)] {
            let server = Feishu::of_bot(move |_| refused(code)).await;
            let answer = server.account().topics.first_of(&topic(1)).await;
            assert_eq!(answer == Ok(None), is_known, "{code}: {answer:?}");
        }
    }
}
