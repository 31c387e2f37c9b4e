//! Who may speak: the rules of `[dispatchers.X.access]`, as a pure function.
//!
//! The gate fails closed: whatever no rule lets in is refused, with a reason.

use std::time::Duration;

use tieline_channel::{ChannelId, ChatKind, Message, Press, RefusalReason, SenderKind, UserId};

use crate::config::{Access, Direct, Groups};
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
        sender: access.max_per_minute.map(|times| Limit {
            times,
            within: Duration::from_secs(60),
        }),
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

/// Judges whether somebody may press a button of ours: whoever may be spoken to where it is.
///
/// # Errors
///
/// The reason why not.
pub fn judge_press(access: &Access, door: &Door, press: &Press) -> Result<(), RefusalReason> {
    if door.operator_only {
        return Ok(());
    }
    let user = (door.channel.clone(), press.sender.id.clone());
    let chat = (door.channel.clone(), press.conversation.chat.clone());
    match press.sender.kind {
        SenderKind::Bot => Err(RefusalReason::Bot),
        SenderKind::Person | SenderKind::Outsider if is_listed(access, &user) => Ok(()),
        SenderKind::Outsider => Err(RefusalReason::Outsider),
        SenderKind::Person => {
            let chat_is_open = match access.groups {
                Groups::Everyone => true,
                Groups::Listed => access.chats.contains(&chat),
                Groups::Off => false,
            };
            if chat_is_open || access.direct == Direct::Everyone {
                Ok(())
            } else {
                Err(RefusalReason::UserNotListed)
            }
        }
    }
}

/// Returns whether somebody is an administrator of the dispatcher.
pub fn is_admin(access: &Access, door: &Door, user: &UserId) -> bool {
    door.operator_only
        || access
            .admins
            .contains(&(door.channel.clone(), user.clone()))
}

/// Returns whether a message is longer than what can become a turn.
pub fn is_too_long(message: &Message) -> bool {
    message.plain_text().chars().count() > MAX_MESSAGE_CHARS
}

fn is_listed(access: &Access, user: &(ChannelId, UserId)) -> bool {
    access.users.contains(user) || access.admins.contains(user)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use tieline_channel::{ChatId, Conversation, Segment, Sender, UserId, WireId};

    use super::*;

    fn door() -> Door {
        Door {
            channel: ChannelId::new("team"),
            operator_only: false,
        }
    }

    fn message(chat_kind: ChatKind, user: &str) -> Message {
        Message {
            id: WireId::new("1"),
            conversation: Conversation {
                chat: ChatId::new("C1"),
                thread: None,
            },
            chat_kind,
            chat_name: None,
            sender: Sender {
                id: UserId::new(user),
                name: None,
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::UNIX_EPOCH,
            body: vec![Segment::Text("hello".to_owned())],
            addressed: true,
            in_thread: false,
            quote: None,
            attachments: Vec::new(),
        }
    }

    fn access(direct: Direct, groups: Groups) -> Access {
        Access {
            direct,
            groups,
            mention: true,
            users: BTreeSet::from([(ChannelId::new("team"), UserId::new("U-listed"))]),
            chats: BTreeSet::from([(ChannelId::new("team"), ChatId::new("C-listed"))]),
            admins: BTreeSet::from([(ChannelId::new("team"), UserId::new("U-admin"))]),
        }
    }

    #[test]
    fn direct_messages_follow_the_policy() {
        use RefusalReason::{DirectOff, NotPaired, UserNotListed};
        let table = [
            (Direct::Off, "U-admin", Err(DirectOff)),
            (Direct::Everyone, "U-stranger", Ok(())),
            (Direct::Listed, "U-listed", Ok(())),
            (Direct::Listed, "U-admin", Ok(())),
            (Direct::Listed, "U-stranger", Err(UserNotListed)),
            (Direct::Pairing, "U-listed", Ok(())),
            (Direct::Pairing, "U-stranger", Err(NotPaired)),
        ];
        for (direct, user, expected) in table {
            let judged = judge(
                &access(direct, Groups::Off),
                &door(),
                &message(ChatKind::Direct, user),
            );
            assert_eq!(judged, expected, "{direct:?} {user}");
        }
    }

    #[test]
    fn groups_follow_the_policy_and_the_mention_rule() {
        use RefusalReason::{ChatNotListed, GroupsOff, NotMentioned};
        let table = [
            (Groups::Off, "C-listed", true, Err(GroupsOff)),
            (Groups::Listed, "C-listed", true, Ok(())),
            (Groups::Listed, "C-other", true, Err(ChatNotListed)),
            (Groups::Listed, "C-listed", false, Err(NotMentioned)),
            (Groups::Everyone, "C-other", true, Ok(())),
            (Groups::Everyone, "C-other", false, Err(NotMentioned)),
        ];
        for (groups, chat, addressed, expected) in table {
            let mut message = message(ChatKind::Group, "U-stranger");
            message.conversation.chat = ChatId::new(chat);
            message.addressed = addressed;
            let judged = judge(&access(Direct::Off, groups), &door(), &message);
            assert_eq!(judged, expected, "{groups:?} {chat} addressed: {addressed}");
        }
    }

    #[test]
    fn a_name_listed_for_another_channel_opens_nothing() {
        let mut door = door();
        door.channel = ChannelId::new("other");
        let judged = judge(
            &access(Direct::Listed, Groups::Off),
            &door,
            &message(ChatKind::Direct, "U-listed"),
        );
        assert_eq!(judged, Err(RefusalReason::UserNotListed));
    }

    #[test]
    fn bots_are_refused_even_where_everyone_may_write() {
        let mut message = message(ChatKind::Direct, "U-listed");
        message.sender.kind = SenderKind::Bot;
        let judged = judge(
            &access(Direct::Everyone, Groups::Everyone),
            &door(),
            &message,
        );
        assert_eq!(judged, Err(RefusalReason::Bot));
    }

    #[test]
    fn the_operator_needs_no_list_but_something_to_say() {
        let door = Door {
            operator_only: true,
            ..door()
        };
        let access = access(Direct::Off, Groups::Off);
        let mut message = message(ChatKind::Direct, "anybody");
        assert_eq!(judge(&access, &door, &message), Ok(()));
        message.body = vec![Segment::Text(" \n\t".to_owned())];
        assert_eq!(judge(&access, &door, &message), Err(RefusalReason::Empty));
        message.body = vec![Segment::Text("x".repeat(MAX_MESSAGE_CHARS + 1))];
        assert_eq!(judge(&access, &door, &message), Err(RefusalReason::TooLong));
    }

    #[test]
    fn a_stranger_does_not_learn_that_the_message_was_too_long() {
        let mut message = message(ChatKind::Direct, "U-stranger");
        message.body = vec![Segment::Text("x".repeat(MAX_MESSAGE_CHARS + 1))];
        let judged = judge(&access(Direct::Listed, Groups::Off), &door(), &message);
        assert_eq!(judged, Err(RefusalReason::UserNotListed));
    }
}
