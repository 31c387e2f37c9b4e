//! What the app may do and is told, and why.

use serde_json::{Value, json};
use tieline_channel::Text;

/// How much something is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Without it the app is of no use.
    Essential,
    /// Without it something is missing.
    Useful,
    /// For those who want more; it may take an administrator to grant it.
    Optional,
}

/// A permission of the app itself ("tenant" or "app identity", never of a user).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name, as in `im:resource`.
    pub name: &'static str,
    /// How much it is needed.
    pub need: Need,
    /// What it is for; without it, this does not work.
    pub purpose: Text,
    /// Wider scopes, each of which has the same effect.
    pub covered_by: &'static [&'static str],
}

/// An event or a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name, as in `im.message.receive_v1`.
    pub name: &'static str,
    /// How much it is needed.
    pub need: Need,
    /// What arrives by it.
    pub purpose: Text,
}

/// Every scope that something here uses.
pub const SCOPES: &[Scope] = &[
    Scope {
        name: "im:message.p2p_msg:readonly",
        need: Need::Essential,
        purpose: Text {
            en: "hearing direct messages",
            zh: "接收单聊消息",
        },
        covered_by: &[],
    },
    Scope {
        name: "im:message.group_at_msg:readonly",
        need: Need::Essential,
        purpose: Text {
            en: "hearing messages in groups that mention the bot",
            zh: "接收群聊中 @ 机器人的消息",
        },
        covered_by: &["im:message.group_msg"],
    },
    Scope {
        name: "im:message:send_as_bot",
        need: Need::Essential,
        purpose: Text {
            en: "answering",
            zh: "发送和回复消息",
        },
        covered_by: &["im:message"],
    },
    Scope {
        name: "im:message:readonly",
        need: Need::Useful,
        purpose: Text {
            en: "reading quoted messages, files and forwarded messages, and what was missed in \
                direct chats",
            zh: "读取被引用的消息、文件和合并转发的内容，以及补读单聊中错过的消息",
        },
        covered_by: &["im:message"],
    },
    Scope {
        name: "im:resource",
        need: Need::Useful,
        purpose: Text {
            en: "sending files and images",
            zh: "发送文件和图片",
        },
        covered_by: &[],
    },
    Scope {
        name: "im:message.reactions:write_only",
        need: Need::Useful,
        purpose: Text {
            en: "reactions: how far a message is, and those of the model",
            zh: "用表情回复显示消息的处理状态，以及模型的表情回复",
        },
        covered_by: &["im:message"],
    },
    Scope {
        name: "im:message:update",
        need: Need::Useful,
        purpose: Text {
            en: "changing what was sent",
            zh: "编辑已发送的消息",
        },
        covered_by: &["im:message"],
    },
    Scope {
        name: "im:message:recall",
        need: Need::Useful,
        purpose: Text {
            en: "taking back what was sent",
            zh: "撤回已发送的消息",
        },
        covered_by: &["im:message"],
    },
    Scope {
        name: "im:chat:read",
        need: Need::Useful,
        purpose: Text {
            en: "knowing the names of groups",
            zh: "获取群名称",
        },
        covered_by: &["im:chat:readonly", "im:chat"],
    },
    Scope {
        name: "contact:contact.base:readonly",
        need: Need::Useful,
        purpose: Text {
            en: "knowing people's names, together with the next one",
            zh: "获取用户姓名（与下一项一起使用）",
        },
        covered_by: &[],
    },
    Scope {
        name: "contact:user.base:readonly",
        need: Need::Useful,
        purpose: Text {
            en: "knowing people's names",
            zh: "获取用户姓名",
        },
        covered_by: &[],
    },
    Scope {
        name: "im:message.group_msg",
        need: Need::Optional,
        purpose: Text {
            en: "hearing every message in groups, and reading there what was missed; sensitive, an \
                administrator grants it",
            zh: "接收群聊中的所有消息，并补读错过的群消息（敏感权限，需管理员审批）",
        },
        covered_by: &[],
    },
    Scope {
        name: "im:message.group_at_msg.include_bot:readonly",
        need: Need::Optional,
        purpose: Text {
            en: "hearing other bots that mention this one",
            zh: "接收其他机器人 @ 本机器人的消息",
        },
        covered_by: &[],
    },
];

/// Every event that something here reads. Nothing else should be subscribed to.
pub const EVENTS: &[Subscription] = &[
    Subscription {
        name: "im.message.receive_v1",
        need: Need::Essential,
        purpose: Text {
            en: "messages",
            zh: "接收消息",
        },
    },
    Subscription {
        name: "im.message.recalled_v1",
        need: Need::Useful,
        purpose: Text {
            en: "messages that are taken back before they are worked on",
            zh: "消息在处理前被撤回",
        },
    },
];

/// Every callback that something here answers.
pub const CALLBACKS: &[Subscription] = &[Subscription {
    name: "card.action.trigger",
    need: Need::Useful,
    purpose: Text {
        en: "presses of buttons",
        zh: "点击卡片上的按钮",
    },
}];

/// Returns the scopes that an app lacks, the essential ones first; optional ones are not missed.
pub fn missing(is_granted: impl Fn(&str) -> bool) -> Vec<&'static Scope> {
    let mut missing: Vec<_> = SCOPES
        .iter()
        .filter(|scope| scope.need != Need::Optional)
        .filter(|scope| {
            !is_granted(scope.name) && !scope.covered_by.iter().any(|wider| is_granted(wider))
        })
        .collect();
    missing.sort_by_key(|scope| scope.need);
    missing
}

/// Returns the scopes as the developer console imports them in one go, without optional ones.
pub fn scopes_json() -> Value {
    let names: Vec<_> = SCOPES
        .iter()
        .filter(|scope| scope.need != Need::Optional)
        .map(|scope| scope.name)
        .collect();
    json!({"scopes": {"tenant": names, "user": []}})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pretty_assertions::assert_eq;

    use super::*;

    fn names(granted: &[&str]) -> Vec<&'static str> {
        missing(|name| granted.contains(&name))
            .iter()
            .map(|scope| scope.name)
            .collect()
    }

    #[test]
    fn wider_scopes_are_enough_and_optional_ones_are_not_missed() {
        let all: Vec<_> = SCOPES.iter().map(|scope| scope.name).collect();
        assert_eq!(names(&all), [""; 0]);
        let wide = [
            "im:message",
            "im:message.group_msg",
            "im:message.p2p_msg:readonly",
            "im:chat:readonly",
            "im:resource",
            "contact:contact.base:readonly",
        ];
        assert_eq!(names(&wide), ["contact:user.base:readonly"]);
    }

    #[test]
    fn what_is_essential_is_named_first() {
        let first: Vec<_> = names(&["im:message:send_as_bot"])
            .into_iter()
            .take(2)
            .collect();
        assert_eq!(
            first,
            [
                "im:message.p2p_msg:readonly",
                "im:message.group_at_msg:readonly"
            ]
        );
    }

    #[test]
    fn each_is_listed_once_and_says_what_for_in_both_languages() {
        let scopes = SCOPES.iter().map(|scope| (scope.name, scope.purpose));
        let subscriptions = EVENTS.iter().chain(CALLBACKS);
        let listed: Vec<_> = scopes
            .chain(subscriptions.map(|subscription| (subscription.name, subscription.purpose)))
            .collect();
        let names: BTreeSet<_> = listed.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), listed.len());
        for (name, Text { en, zh }) in listed {
            assert!(en.is_ascii() && !en.is_empty(), "{name}");
            assert!(!zh.is_ascii(), "{name}");
        }
    }

    #[test]
    fn documentation_lists_each() {
        let manual = include_str!("../../../../docs/feishu.md");
        let scopes = SCOPES.iter().map(|scope| scope.name);
        let subscriptions = EVENTS.iter().chain(CALLBACKS);
        let names = scopes.chain(subscriptions.map(|subscription| subscription.name));
        let missing: Vec<_> = names
            .filter(|name| !manual.contains(&format!("`{name}`")))
            .collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn what_the_console_imports_has_all_that_may_be_missed() {
        let imported = scopes_json();
        let names: Vec<_> = imported["scopes"]["tenant"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(missing(|name| names.contains(&name)), Vec::<&Scope>::new());
        assert!(!names.contains(&"im:message.group_msg"));
    }
}
