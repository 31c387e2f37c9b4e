//! What other messages tell of the ones that answer to them, remembered for a while: in a chain of
//! replies each one names the same first message.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tieline_channel::{ThreadKey, UserId, WireId, cut};
use tieline_net::pace::Urgency;
use tokio::sync::OnceCell;

use super::fields::Fields as _;
use super::forward::forwarded;
use super::readback::said;
use crate::api::{Api, Failure};
use crate::get;

/// How many are remembered.
const MAX_KNOWN: usize = 1_000;

/// The longest text, in characters.
const MAX_TEXT: usize = 2_000;

/// What is seen of a message by looking at it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glimpse {
    /// The topic that it is in.
    pub(crate) topic: Option<ThreadKey>,
    /// The first message of the chain of replies that it is in.
    pub(crate) root: Option<ThreadKey>,
    pub(crate) sender: Option<UserId>,
    /// What it says, cut to what is useful.
    pub(crate) text: String,
}

/// The messages that were looked at lately.
#[derive(Debug)]
pub(crate) struct Glimpses {
    api: Api,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<WireId, Arc<OnceCell<Glimpse>>>,
    /// The oldest first.
    order: VecDeque<WireId>,
}

impl Glimpses {
    pub(crate) fn new(api: Api) -> Self {
        Self {
            api,
            known: Mutex::default(),
        }
    }

    /// Looks at a message, if nobody has; at the same one only one looks at a time.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn of(&self, id: &WireId) -> Result<Glimpse, Failure> {
        let cell = self.cell(id);
        let glimpse = cell.get_or_try_init(async || {
            let items = get::message(&self.api, Urgency::Answer, id.as_str()).await?;
            Ok(seen(&items))
        });
        glimpse.await.cloned()
    }

    fn cell(&self, id: &WireId) -> Arc<OnceCell<Glimpse>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = known.by_id.get(id) {
            return Arc::clone(cell);
        }
        if known.order.len() >= MAX_KNOWN
            && let Some(oldest) = known.order.pop_front()
        {
            known.by_id.remove(&oldest);
        }
        let cell = Arc::<OnceCell<_>>::default();
        known.by_id.insert(id.clone(), Arc::clone(&cell));
        known.order.push_back(id.clone());
        cell
    }
}

fn seen(items: &[Value]) -> Glimpse {
    let Some(item) = items.first() else {
        return Glimpse::default();
    };
    let text = match items {
        [item] => said(item),
        items => forwarded(items, |_id| None),
    };
    Glimpse {
        topic: item.text("/thread_id").map(ThreadKey::new),
        root: item.text("/root_id").map(ThreadKey::new),
        sender: item.text("/sender/id").map(UserId::new),
        text: cut(&text, MAX_TEXT),
    }
}

#[cfg(test)]
mod tests {
    use crate::scripted::{Feishu, refused_with};

    use super::*;

    #[tokio::test]
    async fn a_failure_is_not_remembered_and_memory_is_bounded() {
        let server = Feishu::of_bot(|_| refused_with(230_027, "no")).await;
        let glimpses = server.account().glimpses;
        let id = |number: usize| WireId::new(format!("om_{number}"));
        for _ in 0..2 {
            assert!(glimpses.of(&id(0)).await.is_err());
        }
        assert_eq!(server.asked().len(), 2);
        for number in 0..2 * MAX_KNOWN {
            let _cell = glimpses.cell(&id(number));
        }
        let known = glimpses.known.lock().unwrap();
        assert_eq!(
            (known.by_id.len(), known.order.len()),
            (MAX_KNOWN, MAX_KNOWN)
        );
        assert!(known.by_id.contains_key(&id(2 * MAX_KNOWN - 1)));
    }
}
