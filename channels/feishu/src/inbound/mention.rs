//! Who is meant: text holds placeholders, and a list beside it says for whom.

use serde_json::Value;
use tieline_channel::{Segment, UserId};

use super::body::Body;
use super::fields::Fields as _;

/// The placeholder of everybody, which has no entry in the list.
const EVERYBODY: &str = "@_all";

/// The people whom a message mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mentions(Vec<Mention>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention {
    key: String,
    user: UserId,
    name: Option<String>,
}

impl Mentions {
    /// Reads the list of a message.
    pub(super) fn read(list: &[Value]) -> Self {
        let mut mentions: Vec<_> = list.iter().filter_map(mention).collect();
        // `@_user_1` also begins `@_user_10`.
        mentions.sort_by_key(|mention| std::cmp::Reverse(mention.key.len()));
        Self(mentions)
    }

    /// Returns whether somebody is among them.
    pub(super) fn has(&self, open_id: &str) -> bool {
        self.0
            .iter()
            .any(|mention| mention.user.as_str() == open_id)
    }

    /// Adds a text to a body, its placeholders resolved. A placeholder of nobody stays as it is.
    pub(super) fn resolve_into(&self, body: &mut Body, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find('@') {
            let (before, placeholder) = rest.split_at(at);
            body.text(before);
            rest = if let Some(after) = strip_key(placeholder, EVERYBODY) {
                body.text("@all");
                after
            } else if let Some((mention, after)) = self.first_of(placeholder) {
                body.push(mention.segment());
                after
            } else {
                body.text("@");
                &placeholder[1..]
            };
        }
        body.text(rest);
    }

    /// Adds somebody to a body who is named in a field of their own, by placeholder or by id.
    pub(super) fn name_into(&self, body: &mut Body, who: &str, name: Option<&str>) {
        if who == "all" || who == EVERYBODY {
            body.text("@all");
            return;
        }
        let known = self
            .0
            .iter()
            .find(|mention| mention.key == who || mention.user.as_str() == who);
        body.push(match known {
            Some(mention) => mention.segment(),
            None => Segment::Mention {
                user: UserId::new(who),
                name: name.map(str::to_owned),
            },
        });
    }

    fn first_of<'a>(&self, text: &'a str) -> Option<(&Mention, &'a str)> {
        self.0
            .iter()
            .find_map(|mention| Some((mention, strip_key(text, &mention.key)?)))
    }
}

impl Mention {
    fn segment(&self) -> Segment {
        Segment::Mention {
            user: self.user.clone(),
            name: self.name.clone(),
        }
    }
}

fn mention(entry: &Value) -> Option<Mention> {
    // Events name people in several ways at once, messages that are read back in one.
    let user = ["/id/open_id", "/id/union_id", "/id/user_id", "/id"]
        .iter()
        .find_map(|pointer| entry.text(pointer))?;
    Some(Mention {
        key: entry.text("/key")?.to_owned(),
        user: UserId::new(user),
        name: entry.text("/name").map(str::to_owned),
    })
}

/// Strips a placeholder, unless it is only the beginning of one with a longer number.
fn strip_key<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(key)?;
    let longer = key.ends_with(|c: char| c.is_ascii_digit())
        && rest.starts_with(|c: char| c.is_ascii_digit());
    (!longer).then_some(rest)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mentions() -> Mentions {
        Mentions::read(&[
            json!({"key": "@_user_1", "id": {"open_id": "ou_tom", "union_id": "on_tom"}, "name": "Tom"}),
            json!({"key": "@_user_10", "id": {"open_id": "ou_mei"}, "name": "@_user_1"}),
            json!({"key": "@_user_3", "id": {"union_id": "on_3"}}),
            json!({"key": "@_user_4", "id": "ou_4", "id_type": "open_id", "name": ""}),
            json!({"key": "@_user_5"}),
            json!({"id": {"open_id": "ou_6"}}),
            json!({"key": "", "id": {"open_id": "ou_7"}}),
            json!(null),
        ])
    }

    fn shown(text: &str) -> String {
        let mut body = Body::new();
        mentions().resolve_into(&mut body, text);
        body.segments()
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => text.clone(),
                Segment::Mention { user, name } => {
                    format!("<{user} {}>", name.as_deref().unwrap_or("-"))
                }
            })
            .collect()
    }

    #[test]
    fn placeholders_are_resolved_once_and_longest_first() {
        let table = [
            ("@_user_1 hi", "<ou_tom Tom> hi"),
            ("@_user_10", "<ou_mei @_user_1>"),
            ("@_user_1@_user_10!", "<ou_tom Tom><ou_mei @_user_1>!"),
            ("@_user_11", "@_user_11"),
            ("@_user_10a", "<ou_mei @_user_1>a"),
            ("@_user_3 @_user_4", "<on_3 -> <ou_4 ->"),
            ("@_user_5 a@b.c @", "@_user_5 a@b.c @"),
            ("@_all now", "@all now"),
            ("@@_user_1", "@<ou_tom Tom>"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn only_who_is_in_the_list_is_mentioned() {
        assert!(mentions().has("ou_tom"));
        assert!(!mentions().has("ou_to"));
        assert!(!mentions().has("on_tom"));
        assert!(!Mentions::default().has(""));
    }

    proptest! {
        #[test]
        fn text_without_placeholders_stays_as_it_is(text in "([^@]|@[^_])*") {
            prop_assert_eq!(shown(&text), text);
        }

        #[test]
        fn no_text_is_too_strange(text in "(@|_|user|[0-9]|好|@_user_1|@_all)*") {
            let _shown = shown(&text);
        }
    }
}
