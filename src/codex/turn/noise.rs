//! What codex says during a turn that leads to nothing: counted, never kept.

use std::collections::BTreeMap;

use crate::codex::protocol::{Item, Notification, NotificationBody};

/// How many methods, and types of items, are told apart; the rest is counted together.
const MAX_NAMES: usize = 64;

/// The name of the rest.
const REST: &str = "others";

/// How often what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// Notifications that became no event, by method.
    pub methods: BTreeMap<String, u64>,
    /// Items that became no event, by type, counted when they are complete.
    pub items: BTreeMap<String, u64>,
}

impl Noise {
    /// Returns whether there was none.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.items.is_empty()
    }

    /// Adds what was counted otherwise.
    pub fn add(&mut self, other: &Self) {
        for (all, more) in [
            (&mut self.methods, &other.methods),
            (&mut self.items, &other.items),
        ] {
            for (name, count) in more {
                add(all, name, *count);
            }
        }
    }

    /// Counts a notification, if it leads to nothing. What the model says to people, and what people
    /// said to it, is no noise.
    pub(super) fn take(&mut self, notification: &Notification) {
        let is_over = match &notification.body {
            NotificationBody::PlanDelta { .. }
            | NotificationBody::PlanUpdated { .. }
            | NotificationBody::DiffUpdated
            | NotificationBody::ThreadStatusChanged(_)
            | NotificationBody::ThreadNameUpdated(_)
            | NotificationBody::Warning { .. }
            | NotificationBody::Activity
            | NotificationBody::Unknown => false,
            NotificationBody::ItemStarted(Item::Reasoning { .. } | Item::Other) => false,
            NotificationBody::ItemCompleted(Item::Reasoning { .. } | Item::Other) => true,
            NotificationBody::TurnStarted(_)
            | NotificationBody::TurnCompleted(_)
            | NotificationBody::ItemStarted(_)
            | NotificationBody::ItemCompleted(_)
            | NotificationBody::AgentMessageDelta { .. }
            | NotificationBody::CommandOutputDelta { .. }
            | NotificationBody::Error { .. }
            | NotificationBody::RequestResolved { .. }
            | NotificationBody::ThreadClosed => return,
        };
        add(&mut self.methods, &notification.method, 1);
        if let Some(item) = &notification.item_type
            && is_over
        {
            add(&mut self.items, item, 1);
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    let is_known = counts.contains_key(name) || counts.len() < MAX_NAMES;
    let name = if is_known { name } else { REST };
    *counts.entry(name.to_owned()).or_default() += count;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_leads_to_nothing_is_counted_exactly_and_what_the_model_says_is_not() {
        let item = |kind: &str| {
            json!({ "threadId": "T", "turnId": "1", "item":
                { "type": kind, "id": "i", "text": "secret thought", "status": "completed" } })
        };
        let of_turn = json!({ "threadId": "T", "turnId": "1", "delta": "d", "itemId": "i" });
        let said: [(&str, Value, u64); 8] = [
            ("thread/tokenUsage/updated", of_turn.clone(), 3),
            ("item/reasoning/textDelta", of_turn.clone(), 5),
            ("item/started", item("reasoning"), 2),
            ("item/completed", item("reasoning"), 2),
            ("item/completed", item("brandNew"), 1),
            ("item/completed", item("agentMessage"), 4),
            ("item/started", item("agentMessage"), 4),
            ("item/agentMessage/delta", of_turn, 9),
        ];
        let mut noise = Noise::default();
        for (method, params, count) in said {
            for _ in 0..count {
                let params = params.clone();
                noise.take(&Notification::parse(method.to_owned(), params).unwrap());
            }
        }
        let counts = |list: &[(&str, u64)]| {
            let named = list
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count));
            named.collect::<BTreeMap<_, _>>()
        };
        let expected = Noise {
            methods: counts(&[
                ("thread/tokenUsage/updated", 3),
                ("item/reasoning/textDelta", 5),
                ("item/started", 2),
                ("item/completed", 3),
            ]),
            items: counts(&[("reasoning", 2), ("brandNew", 1)]),
        };
        assert_eq!(noise, expected);
    }

    #[test]
    fn names_are_bounded() {
        let mut noise = Noise::default();
        for number in 0..1_000 {
            add(&mut noise.methods, &format!("method/{number}"), 1);
        }
        assert_eq!(noise.methods.len(), MAX_NAMES + 1);
        assert_eq!(noise.methods[REST], 1_000 - MAX_NAMES as u64);
    }
}
