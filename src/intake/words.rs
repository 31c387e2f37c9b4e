//! What the gate says to people, and nowhere else.

use crate::intake::gate::MAX_MESSAGE_CHARS;
use crate::ledger::{NotACode, Paired, PairingCode, PairingError};

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
     - `pair CODE`: lets in whoever was given the code (administrators)\n\n\
     A message that begins with `!` goes before everything that waits."
        .to_owned()
}
