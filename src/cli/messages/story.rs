//! The story of one message, for people.

use std::time::SystemTime;

use super::describe;
use crate::cli::output::plain;
use crate::cli::table::{indented, rows, since};
use crate::control::{MessageStory, PostStatus, TurnStatus};

/// How much of a post's text is shown.
const SAID: usize = 60;

/// Writes the story of a message, as of `now`.
pub(super) fn render(story: &MessageStory, now: SystemTime) -> String {
    let message = &story.message;
    let mut text = format!("{} is {}\n\n", message.id, plain(&describe(message)));
    text.push_str(&facts_of(story));
    text.push_str("\nwhat it has been through:\n");
    text.push_str(&steps_of(story, now));
    if let Some(turn) = &story.turn {
        text.push_str("\nits turn:\n");
        text.push_str(&turn_of(turn));
    }
    if !story.completions.is_empty() {
        text.push_str("\nresults that the same turn brought up:\n");
        let mut completions = rows();
        for completion in &story.completions {
            completions.add_row([
                plain(&completion.id),
                format!("from {}", plain(&completion.from)),
                completion.state.replace('_', " "),
            ]);
        }
        text.push_str(&indented(&completions));
    }
    if story.posts.is_empty() {
        text.push_str("\nnothing was said about it\n");
    } else {
        text.push_str("\nwhat was said about it:\n");
        for post in &story.posts {
            text.push_str(&post_of(post, now));
        }
    }
    text
}

fn facts_of(story: &MessageStory) -> String {
    let message = &story.message;
    let chat = match &message.thread {
        Some(thread) => format!("{} {thread}", message.chat),
        None => message.chat.to_string(),
    };
    let sender = match &message.sender_name {
        Some(name) => format!("{name} ({})", message.sender),
        None => message.sender.to_string(),
    };
    let mut facts = rows();
    let mut fact = |name: &str, value: &str| {
        facts.add_row([name.to_owned(), plain(value)]);
    };
    fact("from", &sender);
    fact("on", &format!("{} {chat}", message.channel));
    fact("its id there", message.message.as_str());
    fact("for", story.dispatcher.as_str());
    fact("lane", message.lane.as_str());
    if message.refusal.is_some() {
        fact("text", "(not kept, for it was refused)");
    } else {
        fact("text", &message.text);
    }
    if story.attachments > 0 {
        fact("files", &story.attachments.to_string());
    }
    indented(&facts)
}

fn steps_of(story: &MessageStory, now: SystemTime) -> String {
    let message = &story.message;
    let mut steps = rows();
    let mut step = |at: SystemTime, what: &str| {
        let ago = format!("{} ago", since(at, now));
        steps.add_row([clock(at), ago, plain(what)]);
    };
    step(message.sent_at, "written, by the platform's clock");
    step(message.received_at, "received");
    if let Some((last, before)) = story.states.split_last() {
        for state in before {
            step(state.at, &state.state.replace('_', " "));
        }
        step(last.at, &describe(message));
    }
    indented(&steps)
}

fn turn_of(turn: &TurnStatus) -> String {
    let mut facts = rows();
    let mut fact = |name: &str, value: String| {
        facts.add_row([name.to_owned(), plain(&value)]);
    };
    if let Some(id) = turn.id {
        fact("id", id.to_string());
    }
    let state = match (turn.state.as_str(), &turn.failure) {
        ("opened", _) => "runs: nothing has reached Codex yet".to_owned(),
        ("submitted", _) => {
            "runs: Codex has taken it, and the model has not seen it yet".to_owned()
        }
        ("delivered", _) => "runs: the model has the message".to_owned(),
        ("forgotten", _) => "is over, and no more is known of it".to_owned(),
        (state, Some(failure)) => format!("{state}: {failure}"),
        (state, None) => state.to_owned(),
    };
    fact("state", state);
    if turn.stopping {
        fact("stopping", "somebody has asked for its end".to_owned());
    }
    if let Some(cause) = &turn.cause {
        fact("cause", cause.clone());
    }
    if let Some(thread) = &turn.thread {
        fact("thread", thread.to_string());
    }
    if let Some(codex_turn) = &turn.codex_turn {
        fact("codex's id", codex_turn.to_string());
    }
    if let Some(at) = turn.opened_at {
        fact("opened", clock(at));
    }
    if let Some(at) = turn.settled_at {
        fact("over", clock(at));
    }
    for (what, count) in [
        ("other messages", turn.messages.len().saturating_sub(1)),
        ("continued after a break", turn.continuations as usize),
        ("submitted again", turn.resubmissions as usize),
    ] {
        if count > 0 {
            fact(what, count.to_string());
        }
    }
    indented(&facts)
}

fn post_of(post: &PostStatus, now: SystemTime) -> String {
    let kind = post.kind.as_deref().unwrap_or("lost by the disk");
    let mut text = format!("  {kind}: {}", post.state);
    if let Some(message) = &post.message {
        text.push_str(&format!(" as {}", plain(message.as_str())));
    }
    if let Some(at) = post.changed_at {
        text.push_str(&format!(", {} ago", since(at, now)));
    }
    if post.attempts > 1 {
        text.push_str(&format!(", {} attempts", post.attempts));
    }
    text.push('\n');
    if let Some(said) = &post.text {
        let mut short: String = plain(said).chars().take(SAID).collect();
        if short.len() < said.len() {
            short.push('…');
        }
        text.push_str(&format!("    {short}\n"));
    }
    if let Some(problem) = &post.problem {
        text.push_str(&format!("    what went wrong last: {}\n", plain(problem)));
    }
    text
}

fn clock(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tieline_channel::{ChannelId, ChatId, UserId, WireId};

    use super::*;
    use crate::control::{MessageStatus, StateStatus};
    use crate::id::{DispatcherId, LaneId, MessageId, OutboxId, ThreadId, TurnKey};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100)
    }

    fn ago(seconds: u64) -> SystemTime {
        now() - Duration::from_secs(seconds)
    }

    #[test]
    fn all_that_is_known_of_a_message_is_told() {
        let state = |state: &str, seconds| StateStatus {
            state: state.to_owned(),
            at: ago(seconds),
        };
        let story = MessageStory {
            message: MessageStatus {
                id: MessageId::from_bytes([1; 16]),
                channel: ChannelId::new("team"),
                chat: ChatId::new("C1"),
                thread: None,
                message: WireId::new("1795166000.000100"),
                sender: UserId::new("U1"),
                sender_name: Some("Mei".to_owned()),
                text: "fix it".to_owned(),
                lane: LaneId::new("flow/team/C1"),
                state: "failed".to_owned(),
                place: None,
                failure: Some("provider-rate-limited".to_owned()),
                refusal: None,
                sent_at: ago(31),
                received_at: ago(30),
                changed_at: ago(10),
            },
            dispatcher: DispatcherId::new("flow"),
            attachments: 2,
            states: vec![
                state("queued", 30),
                state("in_turn", 28),
                state("failed", 10),
            ],
            turn: Some(TurnStatus {
                id: Some(TurnKey::from_bytes([2; 16])),
                state: "failed".to_owned(),
                thread: Some(ThreadId::new("t1")),
                continuations: 1,
                opened_at: Some(ago(28)),
                settled_at: Some(ago(10)),
                failure: Some("provider-rate-limited".to_owned()),
                cause: Some("429 Too Many Requests".to_owned()),
                ..TurnStatus::default()
            }),
            completions: Vec::new(),
            posts: vec![PostStatus {
                id: OutboxId::from_bytes([3; 16]),
                kind: Some("failure".to_owned()),
                channel: ChannelId::new("team"),
                chat: Some(ChatId::new("C1")),
                thread: None,
                text: Some("⚠️ The model's usage limit is reached.".to_owned()),
                state: "delivered".to_owned(),
                message: Some(WireId::new("1795166091.000200")),
                attempts: 2,
                created_at: ago(10),
                changed_at: Some(ago(9)),
                next_try_at: None,
                problem: Some("the platform is busy".to_owned()),
            }],
        };
        insta::assert_snapshot!(render(&story, now()));
    }
}
