//! What the gate says to people, and nowhere else.

use std::time::SystemTime;

use crate::intake::gate::MAX_MESSAGE_CHARS;
use crate::intake::whereabouts::{Entry, Whereabouts};
use crate::ledger::{MessageState, NotACode, Paired, PairingCode, PairingError};

/// To somebody who is let in and wrote too much.
pub(super) fn too_long() -> String {
    format!(
        "That message is too long for one turn (the limit is {MAX_MESSAGE_CHARS} characters). Send \
         it in parts, or as a file."
    )
}

/// To a stranger.
pub(super) fn invitation(code: &PairingCode) -> String {
    format!(
        "I do not know you yet. Ask an administrator to let you in: they write `pair {code}` to me, \
         or run `tieline pair {code}` on the machine I run on. The code is good for an hour. Your \
         message was not kept: send it again once you are in."
    )
}

/// To a stranger who is none any more.
pub(super) fn you_are_in() -> String {
    "You are in. What you wrote before was not kept: please send it again.".to_owned()
}

/// To the administrator who let somebody in.
pub(super) fn let_in(paired: &Paired) -> String {
    let guest = &paired.guest;
    let who = guest.name.as_deref().unwrap_or(guest.user.as_str());
    format!(
        "{who} is in. `tieline pair --revoke {}:{}` on the machine takes it back.",
        guest.channel, guest.user
    )
}

/// To an administrator whose code lets nobody in.
pub(super) fn not_let_in(error: PairingError) -> String {
    match error {
        PairingError::Unknown => {
            "Nobody was given this code, or it has been used. Compare it with what I told whoever \
             asked."
        }
        PairingError::Expired => {
            "This code is no longer good: codes live for an hour. Whoever asked gets a new one by \
             writing to me again."
        }
    }
    .to_owned()
}

/// To an administrator who gave something else than a code.
pub(super) fn not_a_code(error: NotACode) -> String {
    format!("That is not a code: {error}.")
}

/// To somebody else who tries.
pub(super) fn only_admins() -> String {
    "Only an administrator can let people in. Who that is stands in the configuration of the \
     machine I run on."
        .to_owned()
}

/// To whoever asks for help.
pub(super) fn help() -> String {
    "Write to me as to a colleague; what I cannot do I will say. These words I answer myself:\n\n\
     - `help`: this list\n\
     - `where`: what became of the messages of this conversation\n\
     - `pair CODE`: lets in whoever was given the code (administrators)\n\n\
     A message that begins with `!` goes before everything that waits."
        .to_owned()
}

/// To whoever asks where their messages are.
pub(super) fn whereabouts(found: &Whereabouts, now: SystemTime) -> String {
    let mut lines = Vec::new();
    for entry in &found.in_turn {
        lines.push(format!(
            "⏳ in a turn for {}: {}",
            age(entry, now),
            quoted(entry)
        ));
    }
    for (place, entry) in &found.queued {
        let place = if *place == 1 {
            "next".to_owned()
        } else {
            format!("{place} of {}", found.waiting)
        };
        lines.push(format!(
            "🕓 waits for {}, {place}: {}",
            age(entry, now),
            quoted(entry)
        ));
    }
    if lines.is_empty() {
        lines.push(match found.waiting {
            0 => "Nothing of this conversation waits or is worked on.".to_owned(),
            waiting => format!(
                "Nothing of this conversation waits among the first, or is worked on; {waiting} of \
                 others wait."
            ),
        });
    }
    for entry in &found.settled {
        let (sign, state) = match &entry.state {
            MessageState::Answered => ("✅", "answered".to_owned()),
            MessageState::Failed { kind } => ("⚠️", format!("failed ({kind})")),
            MessageState::Cancelled => ("⏹️", "stopped".to_owned()),
            MessageState::Unclear
            | MessageState::Queued
            | MessageState::InTurn
            | MessageState::Refused { .. } => ("❓", "unclear".to_owned()),
        };
        lines.push(format!(
            "{sign} {state} {} ago: {}",
            age(entry, now),
            quoted(entry)
        ));
    }
    let lines: Vec<_> = lines.iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}

fn quoted(entry: &Entry) -> String {
    if entry.text.is_empty() {
        return "(only files)".to_owned();
    }
    format!("“{}”", entry.text)
}

/// Returns how long a message has been in its state, in its greatest unit.
fn age(entry: &Entry, now: SystemTime) -> String {
    let seconds = now
        .duration_since(entry.since)
        .unwrap_or_default()
        .as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(text: &str, state: MessageState, seconds: u64) -> Entry {
        Entry {
            text: text.to_owned(),
            state,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - seconds),
        }
    }

    fn told(found: &Whereabouts) -> String {
        whereabouts(
            found,
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        )
    }

    #[test]
    fn every_state_is_told_with_its_age() {
        let found = Whereabouts {
            in_turn: vec![entry("fix the test", MessageState::InTurn, 61)],
            waiting: 4,
            queued: vec![
                (1, entry("and the docs", MessageState::Queued, 30)),
                (3, entry("", MessageState::Queued, 2)),
            ],
            settled: vec![
                entry("hello", MessageState::Answered, 90_000),
                entry(
                    "again",
                    MessageState::Failed {
                        kind: "provider-rate-limited".to_owned(),
                    },
                    7_300,
                ),
                entry("stop it", MessageState::Cancelled, 200),
                entry("who knows", MessageState::Unclear, 100),
            ],
        };
        insta::assert_snapshot!(told(&found), @r"
        - ⏳ in a turn for 1 min: “fix the test”
        - 🕓 waits for 30 s, next: “and the docs”
        - 🕓 waits for 2 s, 3 of 4: (only files)
        - ✅ answered 1 d ago: “hello”
        - ⚠️ failed (provider-rate-limited) 2 h ago: “again”
        - ⏹️ stopped 3 min ago: “stop it”
        - ❓ unclear 1 min ago: “who knows”
        ");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let mut found = Whereabouts::default();
        insta::assert_snapshot!(told(&found), @"- Nothing of this conversation waits or is worked on.");
        found.waiting = 12;
        insta::assert_snapshot!(told(&found), @"- Nothing of this conversation waits among the first, or is worked on; 12 of others wait.");
    }
}
