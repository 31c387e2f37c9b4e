//! Where a message goes: the best place first, and then those where it is read all the same. Does no
//! IO.

use std::collections::VecDeque;

use tieline_channel::{Post, WireId};

use crate::inbound::is_topic;

/// Where a message goes within its chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into the topic of this message.
    Topic(WireId),
    /// Below this message, as a reply to it.
    Reply(WireId),
    /// To the end of the chat.
    Chat,
}

/// The places of a post that have not refused it, the best one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    place: Place,
    others: VecDeque<Place>,
}

impl Route {
    /// Returns the places of a post.
    ///
    /// Feishu takes only a message for something to reply to: in a topic it is the one that is
    /// answered or settled, else the `first` one of the topic.
    pub(super) fn of(post: &Post, first: Option<WireId>) -> Self {
        let thread = post.to.thread.as_ref();
        let message = answered(post);
        let mut others = VecDeque::new();
        match (message, thread) {
            (message, Some(thread)) if is_topic(thread) => {
                let first = first.as_ref().filter(|first| Some(*first) != message);
                for message in message.into_iter().chain(first) {
                    others.push_back(Place::Topic(message.clone()));
                    others.push_back(Place::Reply(message.clone()));
                }
            }
            (message, thread) => {
                let root = thread.map(|thread| WireId::new(thread.as_str()));
                let root = root.filter(|root| is_message(&root));
                // What a post settles is not shown as what it answers, but for the sake of a topic.
                let message = message.filter(|message| post.reply_to.as_ref() == Some(*message));
                others.extend(message.cloned().map(Place::Reply));
                others.extend(root.map(Place::Reply));
            }
        }
        others.push_back(Place::Chat);
        let place = others.pop_front().unwrap_or(Place::Chat);
        Self { place, others }
    }

    /// Returns the best place that is left.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Passes over the place, which is refused. Returns whether another one is left.
    pub(super) fn refused(&mut self) -> bool {
        match self.others.pop_front() {
            Some(place) => {
                self.place = place;
                true
            }
            None => false,
        }
    }

    /// Passes over all places at the message that is gone. Returns whether another one is left.
    pub(super) fn gone(&mut self) -> bool {
        let gone = self.place.message().cloned();
        self.others.retain(|place| place.message() != gone.as_ref());
        self.refused()
    }
}

impl Place {
    /// Returns the message that is replied to.
    pub(super) fn message(&self) -> Option<&WireId> {
        match self {
            Self::Topic(message) | Self::Reply(message) => Some(message),
            Self::Chat => None,
        }
    }
}

/// Returns the message that a post answers or settles.
pub(super) fn answered(post: &Post) -> Option<&WireId> {
    let answered = [&post.reply_to].into_iter().flatten();
    answered.chain(post.settles.last()).find(is_message)
}

/// Returns whether this is a message's name: not that of a press or of a topic.
fn is_message(id: &&WireId) -> bool {
    id.as_str().starts_with("om_")
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use tieline_channel::{ChatId, Conversation, PostKey, PostKind, ThreadKey};

    use super::*;

    fn route(thread: Option<&str>, reply_to: Option<&str>, settles: &[&str]) -> Route {
        Route::of(&post(thread, reply_to, settles), None)
    }

    fn post(thread: Option<&str>, reply_to: Option<&str>, settles: &[&str]) -> Post {
        Post {
            key: PostKey::new("k"),
            to: Conversation {
                chat: ChatId::new("oc_1"),
                thread: thread.map(ThreadKey::new),
            },
            reply_to: reply_to.map(WireId::new),
            settles: settles.iter().map(|id| WireId::new(*id)).collect(),
            kind: PostKind::Answer,
            text: String::new(),
            buttons: Vec::new(),
            file: None,
        }
    }

    fn all(mut route: Route) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            all.push(match route.place() {
                Place::Topic(message) => format!("topic {message}"),
                Place::Reply(message) => format!("reply {message}"),
                Place::Chat => "chat".to_owned(),
            });
            if !route.refused() {
                return all;
            }
        }
    }

    #[test]
    fn each_post_has_its_places() {
        let table = [
            ((None, None, &[][..]), vec!["chat"]),
            (
                (None, Some("om_1"), &["om_1"][..]),
                vec!["reply om_1", "chat"],
            ),
            ((None, None, &["om_1"][..]), vec!["chat"]),
            ((None, Some("press-1"), &[][..]), vec!["chat"]),
            (
                (Some("omt_1"), Some("om_1"), &[][..]),
                vec!["topic om_1", "reply om_1", "chat"],
            ),
            (
                (Some("omt_1"), None, &["om_1", "om_2"][..]),
                vec!["topic om_2", "reply om_2", "chat"],
            ),
            (
                (Some("omt_1"), Some("press-1"), &["om_1"][..]),
                vec!["topic om_1", "reply om_1", "chat"],
            ),
            ((Some("omt_1"), None, &[][..]), vec!["chat"]),
            (
                (Some("om_0"), Some("om_1"), &[][..]),
                vec!["reply om_1", "reply om_0", "chat"],
            ),
            (
                (Some("om_0"), None, &["om_1"][..]),
                vec!["reply om_0", "chat"],
            ),
        ];
        for ((thread, reply_to, settles), expected) in table {
            assert_eq!(all(route(thread, reply_to, settles)), expected);
        }
    }

    #[test]
    fn a_topic_is_found_by_its_first_message() {
        let table = [
            (
                (Some("omt_1"), None),
                vec!["topic om_7", "reply om_7", "chat"],
            ),
            (
                (Some("omt_1"), Some("om_1")),
                vec![
                    "topic om_1",
                    "reply om_1",
                    "topic om_7",
                    "reply om_7",
                    "chat",
                ],
            ),
            (
                (Some("omt_1"), Some("om_7")),
                vec!["topic om_7", "reply om_7", "chat"],
            ),
            ((Some("om_0"), None), vec!["reply om_0", "chat"]),
            ((None, None), vec!["chat"]),
        ];
        for ((thread, reply_to), expected) in table {
            let first = Some(WireId::new("om_7"));
            assert_eq!(
                all(Route::of(&post(thread, reply_to, &[]), first)),
                expected
            );
        }
        let first = Some(WireId::new("om_7"));
        let mut route = Route::of(&post(Some("omt_1"), Some("om_1"), &[]), first);
        assert!(route.gone());
        assert_eq!(route.place(), &Place::Topic(WireId::new("om_7")));
    }

    #[test]
    fn a_message_that_is_gone_takes_all_its_places_with_it() {
        let mut topic = route(Some("omt_1"), Some("om_1"), &[]);
        assert!(topic.gone());
        assert_eq!(topic.place(), &Place::Chat);
        assert!(!topic.gone());
        let mut chain = route(Some("om_0"), Some("om_1"), &[]);
        assert!(chain.gone());
        assert_eq!(chain.place(), &Place::Reply(WireId::new("om_0")));
        let mut own = route(Some("om_0"), Some("om_0"), &[]);
        assert!(own.gone());
        assert_eq!(own.place(), &Place::Chat);
    }
}
