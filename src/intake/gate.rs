//! Who may speak: the rules of `[dispatchers.X.access]`, as a pure function.
//!
//! The gate fails closed: whatever no rule lets in is refused, with a reason.

use std::time::Duration;

use tieline_channel::{ChannelId, ChatKind, Message, Press, RefusalReason, SenderKind, UserId};

use crate::config::{Access, Direct, Groups, Role};
use crate::ledger::{Conditions, Limit};

/// The longest message that is taken, in characters of its plain text. Codex refuses a turn of
/// more than 1,048,576; this leaves room for the envelope and for what waits beside it.
pub const MAX_MESSAGE_CHARS: usize = 500_000;

/// What the gate has to know about the channel that a message came from.
#[derive(Clone, Debug)]
pub struct Door {
    /// The channel's name.
    pub channel: ChannelId,
    /// Whoever reaches this channel is the operator.
    pub operator_only: bool,
}

/// How often programs may write in one conversation: two that answer each other must come to an end.
const PROGRAMS: Limit = Limit {
    times: 5,
    within: Duration::from_secs(10 * 60),
};

/// Judges whether a message is let in, as far as the configuration says: it is if what is on record
/// meets the conditions.
///
/// # Errors
///
/// The reason why it is not, whatever is on record.
pub fn judge(access: &Access, door: &Door, message: &Message) -> Result<Conditions, RefusalReason> {
    if message.plain_text().trim().is_empty() && message.attachments.is_empty() {
        return Err(RefusalReason::Empty);
    }
    if door.operator_only {
        return Ok(Conditions::default());
    }
    let user = (door.channel.clone(), message.sender.id.clone());
    let is_program = judge_sender(access, &user, message)?;
    let mut conditions = Conditions {
        sender: access.max_per_minute.map(per_minute),
        programs: is_program.then_some(PROGRAMS),
        ..Conditions::default()
    };
    match message.chat_kind {
        ChatKind::Direct => match access.direct {
            Direct::Off => return Err(RefusalReason::DirectOff),
            Direct::Everyone => {}
            Direct::Listed | Direct::Pairing if is_program || is_listed(access, &user) => {}
            Direct::Listed => return Err(RefusalReason::UserNotListed),
            Direct::Pairing => conditions.paired = true,
        },
        ChatKind::Group => {
            let chat = (door.channel.clone(), message.conversation.chat.clone());
            match access.groups {
                Groups::Off => return Err(RefusalReason::GroupsOff),
                Groups::Listed if !access.chats.contains(&chat) => {
                    return Err(RefusalReason::ChatNotListed);
                }
                Groups::Listed | Groups::Everyone => {}
            }
            if access.mention && !message.addressed {
                // Without threads everything in the chat is one conversation, and not all of it
                // is meant for us.
                if message.conversation.thread.is_none() {
                    return Err(RefusalReason::NotMentioned);
                }
                conditions.joined = true;
            }
        }
    }
    Ok(conditions)
}

/// Judges who wrote a message; returns whether it is a program.
fn judge_sender(
    access: &Access,
    user: &(ChannelId, UserId),
    message: &Message,
) -> Result<bool, RefusalReason> {
    match message.sender.kind {
        SenderKind::Person => Ok(false),
        SenderKind::Outsider if is_listed(access, user) => Ok(false),
        SenderKind::Outsider => Err(RefusalReason::Outsider),
        SenderKind::Bot if !access.bots.contains(user) => Err(RefusalReason::Bot),
        SenderKind::Bot if !message.addressed => Err(RefusalReason::NotMentioned),
        SenderKind::Bot => Ok(true),
    }
}

/// Judges whether somebody may press a button of ours: whoever may be spoken to where it is, if what
/// is on record meets the conditions.
///
/// # Errors
///
/// The reason why not, whatever is on record.
pub fn judge_press(
    access: &Access,
    door: &Door,
    press: &Press,
) -> Result<Conditions, RefusalReason> {
    if door.operator_only {
        return Ok(Conditions::default());
    }
    let mut conditions = Conditions {
        sender: access.max_per_minute.map(per_minute),
        ..Conditions::default()
    };
    let user = (door.channel.clone(), press.sender.id.clone());
    let chat = (door.channel.clone(), press.conversation.chat.clone());
    match press.sender.kind {
        SenderKind::Bot => Err(RefusalReason::Bot),
        SenderKind::Person | SenderKind::Outsider if is_listed(access, &user) => Ok(conditions),
        SenderKind::Outsider => Err(RefusalReason::Outsider),
        SenderKind::Person => {
            let chat_is_open = match access.groups {
                Groups::Everyone => true,
                Groups::Listed => access.chats.contains(&chat),
                Groups::Off => false,
            };
            match access.direct {
                _ if chat_is_open => Ok(conditions),
                Direct::Everyone => Ok(conditions),
                Direct::Pairing => {
                    conditions.paired = true;
                    Ok(conditions)
                }
                Direct::Listed | Direct::Off => Err(RefusalReason::UserNotListed),
            }
        }
    }
}

fn per_minute(times: usize) -> Limit {
    Limit {
        times,
        within: Duration::from_secs(60),
    }
}

/// Returns what somebody may do who is let in: whoever reaches a channel of the operator is one.
pub fn role_of(access: &Access, door: &Door, user: &UserId) -> Role {
    if door.operator_only {
        Role::Admin
    } else {
        access.role(&door.channel, user)
    }
}

/// Returns whether a message is longer than what can become a turn.
pub(super) fn is_too_long(message: &Message) -> bool {
    message.plain_text().chars().count() > MAX_MESSAGE_CHARS
}

fn is_listed(access: &Access, (channel, user): &(ChannelId, UserId)) -> bool {
    access.is_listed(channel, user)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tieline_channel::{ChatId, Segment, ThreadKey, WireId};

    use super::*;
    use crate::intake::fixture::message;

    fn door() -> Door {
        Door {
            channel: ChannelId::new("team"),
            operator_only: false,
        }
    }

    fn in_group(user: &str) -> Message {
        let mut message = message(user);
        message.chat_kind = ChatKind::Group;
        message
    }

    fn access(direct: Direct, groups: Groups) -> Access {
        let user = |name: &str| (ChannelId::new("team"), UserId::new(name));
        Access {
            direct,
            groups,
            mention: true,
            users: BTreeSet::from([user("U-listed"), user("U-demoted")]),
            chats: BTreeSet::from([(ChannelId::new("team"), ChatId::new("C-listed"))]),
            admins: BTreeSet::from([user("U-admin"), user("U-both")]),
            approvers: BTreeSet::from([user("U-approver"), user("U-both")]),
            viewers: BTreeSet::from([user("U-viewer"), user("U-demoted")]),
            bots: BTreeSet::from([user("B-listed")]),
            max_per_minute: None,
        }
    }

    #[test]
    fn a_role_comes_of_the_lists_and_being_in_one_lets_a_person_in() {
        use Role::{Admin, Approver, User, Viewer};
        let table = [
            ("U-admin", Admin, true),
            ("U-both", Admin, true),
            ("U-approver", Approver, true),
            ("U-listed", User, true),
            ("U-demoted", Viewer, true),
            ("U-viewer", Viewer, true),
            ("U-stranger", User, false),
        ];
        let access = access(Direct::Listed, Groups::Off);
        let elsewhere = Door {
            channel: ChannelId::new("other"),
            ..door()
        };
        let operator = Door {
            operator_only: true,
            ..door()
        };
        for (name, role, is_let_in) in table {
            let user = UserId::new(name);
            assert_eq!(role_of(&access, &door(), &user), role, "{name}");
            assert_eq!(role_of(&access, &operator, &user), Admin, "{name}");
            assert_eq!(role_of(&access, &elsewhere, &user), User, "{name}");
            let judged = judge(&access, &door(), &message(name));
            assert_eq!(judged.is_ok(), is_let_in, "{name}");
            assert!(
                judge(&access, &elsewhere, &message(name)).is_err(),
                "{name}"
            );
        }
        assert!(Viewer < User && User < Approver && Approver < Admin);
    }

    fn in_any_case() -> Result<Conditions, RefusalReason> {
        Ok(Conditions::default())
    }

    fn if_paired() -> Result<Conditions, RefusalReason> {
        Ok(Conditions {
            paired: true,
            ..Conditions::default()
        })
    }

    fn if_joined() -> Result<Conditions, RefusalReason> {
        Ok(Conditions {
            joined: true,
            ..Conditions::default()
        })
    }

    #[test]
    fn direct_messages_follow_the_policy() {
        use RefusalReason::{DirectOff, UserNotListed};
        let table = [
            (Direct::Off, "U-admin", Err(DirectOff)),
            (Direct::Off, "U-listed", Err(DirectOff)),
            (Direct::Everyone, "U-stranger", in_any_case()),
            (Direct::Listed, "U-listed", in_any_case()),
            (Direct::Listed, "U-admin", in_any_case()),
            (Direct::Listed, "U-stranger", Err(UserNotListed)),
            (Direct::Pairing, "U-listed", in_any_case()),
            (Direct::Pairing, "U-admin", in_any_case()),
            (Direct::Pairing, "U-stranger", if_paired()),
        ];
        for (direct, user, expected) in table {
            let judged = judge(&access(direct, Groups::Off), &door(), &message(user));
            assert_eq!(judged, expected, "{direct:?} {user}");
        }
    }

    #[test]
    fn groups_follow_the_policy_and_the_mention_rule() {
        use RefusalReason::{ChatNotListed, GroupsOff, NotMentioned};
        let table = [
            (Groups::Off, "C-listed", true, true, Err(GroupsOff)),
            (Groups::Listed, "C-listed", true, true, in_any_case()),
            (Groups::Listed, "C-other", true, true, Err(ChatNotListed)),
            (Groups::Listed, "C-listed", false, true, if_joined()),
            (Groups::Listed, "C-listed", false, false, Err(NotMentioned)),
            (Groups::Everyone, "C-other", true, false, in_any_case()),
            (Groups::Everyone, "C-other", false, true, if_joined()),
            (Groups::Everyone, "C-other", false, false, Err(NotMentioned)),
        ];
        for (groups, chat, addressed, in_thread, expected) in table {
            let mut message = in_group("U-stranger");
            message.conversation.chat = ChatId::new(chat);
            message.conversation.thread = in_thread.then(|| ThreadKey::new("1"));
            message.addressed = addressed;
            let mut access = access(Direct::Off, groups);
            let judged = judge(&access, &door(), &message);
            assert_eq!(
                judged, expected,
                "{groups:?} {chat} addressed: {addressed} thread: {in_thread}"
            );
            access.mention = false;
            let without = judge(&access, &door(), &message);
            let let_in = matches!(judged, Ok(_) | Err(NotMentioned));
            assert_eq!(
                without.is_ok(),
                let_in,
                "{groups:?} {chat} without the rule"
            );
        }
    }

    #[test]
    fn a_name_listed_for_another_channel_opens_nothing() {
        let mut door = door();
        door.channel = ChannelId::new("other");
        let judged = judge(
            &access(Direct::Listed, Groups::Off),
            &door,
            &message("U-listed"),
        );
        assert_eq!(judged, Err(RefusalReason::UserNotListed));
    }

    #[test]
    fn bots_speak_only_when_listed_as_such_with_a_mention_and_not_for_ever() {
        use RefusalReason::{Bot, DirectOff, NotMentioned};
        let guarded = || {
            Ok(Conditions {
                programs: Some(PROGRAMS),
                ..Conditions::default()
            })
        };
        let open = || access(Direct::Everyone, Groups::Everyone);
        let closed = || access(Direct::Off, Groups::Everyone);
        let listed = || access(Direct::Listed, Groups::Everyone);
        let direct = message;
        let silent = |user: &str| Message {
            addressed: false,
            ..in_group(user)
        };
        let table = [
            (open(), direct("B-other"), Err(Bot)),
            (open(), direct("U-listed"), Err(Bot)),
            (open(), direct("B-listed"), guarded()),
            (listed(), direct("B-listed"), guarded()),
            (closed(), direct("B-listed"), Err(DirectOff)),
            (open(), in_group("B-listed"), guarded()),
            (open(), silent("B-listed"), Err(NotMentioned)),
        ];
        for (mut access, mut message, expected) in table {
            message.sender.kind = SenderKind::Bot;
            message.conversation.thread = Some(ThreadKey::new("1"));
            assert_eq!(judge(&access, &door(), &message), expected, "{message:?}");
            access.mention = false;
            assert_eq!(judge(&access, &door(), &message), expected, "{message:?}");
        }
        // Being listed as a bot lets in no person.
        let judged = judge(&listed(), &door(), &message("B-listed"));
        assert_eq!(judged, Err(RefusalReason::UserNotListed));
    }

    #[test]
    fn outsiders_are_let_in_by_name_only() {
        let table = [
            ("U-listed", in_any_case()),
            ("U-admin", in_any_case()),
            ("U-stranger", Err(RefusalReason::Outsider)),
        ];
        for (user, expected) in table {
            for direct in [Direct::Everyone, Direct::Pairing] {
                let mut message = message(user);
                message.sender.kind = SenderKind::Outsider;
                let judged = judge(&access(direct, Groups::Everyone), &door(), &message);
                assert_eq!(judged, expected, "{user} {direct:?}");
            }
        }
    }

    #[test]
    fn everybody_but_the_operator_is_limited() {
        let mut access = access(Direct::Everyone, Groups::Off);
        access.max_per_minute = Some(7);
        let judged = judge(&access, &door(), &message("U-admin"));
        let limit = Limit {
            times: 7,
            within: Duration::from_secs(60),
        };
        assert_eq!(judged.unwrap().sender, Some(limit));
        let operator = Door {
            operator_only: true,
            ..door()
        };
        assert_eq!(
            judge(&access, &operator, &message("U-admin")),
            in_any_case()
        );
    }

    #[test]
    fn the_operator_needs_no_list_but_something_to_say() {
        let door = Door {
            operator_only: true,
            ..door()
        };
        let access = access(Direct::Off, Groups::Off);
        let mut message = message("anybody");
        assert_eq!(judge(&access, &door, &message), in_any_case());
        assert_eq!(role_of(&access, &door, &message.sender.id), Role::Admin);
        message.body = vec![Segment::Text(" \n\t".to_owned())];
        assert_eq!(judge(&access, &door, &message), Err(RefusalReason::Empty));
    }

    #[test]
    fn a_message_is_too_long_by_its_characters() {
        let mut message = message("U1");
        message.body = vec![Segment::Text("界".repeat(MAX_MESSAGE_CHARS))];
        assert!(!is_too_long(&message));
        message.body.push(Segment::Text("x".to_owned()));
        assert!(is_too_long(&message));
    }

    #[test]
    fn buttons_are_for_those_who_may_speak_where_they_are() {
        use RefusalReason::{Bot, Outsider, UserNotListed};
        use SenderKind::Person;
        let listed = || access(Direct::Listed, Groups::Listed);
        let everyone = || access(Direct::Everyone, Groups::Off);
        let off = || access(Direct::Off, Groups::Off);
        let pairing = || access(Direct::Pairing, Groups::Off);
        let table = [
            (off(), "U-admin", Person, "D1", in_any_case()),
            (off(), "U-listed", SenderKind::Outsider, "D1", in_any_case()),
            (off(), "U-stranger", Person, "C-listed", Err(UserNotListed)),
            (pairing(), "U-stranger", Person, "D1", if_paired()),
            (listed(), "U-stranger", Person, "C-listed", in_any_case()),
            (
                listed(),
                "U-stranger",
                Person,
                "C-other",
                Err(UserNotListed),
            ),
            (everyone(), "U-stranger", Person, "D1", in_any_case()),
            (
                everyone(),
                "U-stranger",
                SenderKind::Outsider,
                "D1",
                Err(Outsider),
            ),
            (everyone(), "U-listed", SenderKind::Bot, "D1", Err(Bot)),
        ];
        for (access, user, kind, chat, expected) in table {
            let mut sender = message(user).sender;
            sender.kind = kind;
            let mut conversation = message(user).conversation;
            conversation.chat = ChatId::new(chat);
            let press = Press {
                conversation,
                message: WireId::new("1"),
                sender,
                value: "yes".to_owned(),
            };
            let judged = judge_press(&access, &door(), &press);
            assert_eq!(judged, expected, "{user} {kind:?} {chat}");
        }
    }
}
