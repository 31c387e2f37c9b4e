//! What tieline itself says to people. Each failure has one sentence with what to do; causes are
//! for the operator's log and never shown in a chat.

use crate::codex::{FailureKind, Refusal};

/// Returns the sentence for a turn that failed.
pub(super) fn failure(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::ProviderAuthFailed => {
            "⚠️ Codex could not sign in to its model. Run `codex login` on the machine (or mend the \
             API key), then send the message again."
        }
        FailureKind::SecretUnavailable => {
            "⚠️ Codex has no credential for its model. Set the key it is configured with on the \
             machine, then send the message again."
        }
        FailureKind::ProviderRateLimited => {
            "⚠️ The model's usage limit is reached. Wait a while, then send the message again."
        }
        FailureKind::ProviderUnavailable => {
            "⚠️ The model cannot be reached at the moment. Send the message again in a few minutes."
        }
        FailureKind::ProviderStreamDisconnected => {
            "⚠️ The connection to the model broke off in the middle of the answer. Send “continue” \
             to go on."
        }
        FailureKind::ProviderHttpError => {
            "⚠️ The model refused the request. Rephrase or shorten the message and send it again; \
             if it happens every time, look at the log on the machine."
        }
        FailureKind::ProviderInvalidToolCall => {
            "⚠️ The model refused a tool call of this conversation. Send “continue” to try another \
             way."
        }
        FailureKind::ProviderCompactUnsupported => {
            "⚠️ The conversation is too long for the model and could not be shortened. Begin a new \
             one."
        }
        FailureKind::BackendTimeout => {
            "⚠️ Codex gave no sign of life for too long, so I stopped it. Send “continue” to go on."
        }
        FailureKind::BackendSpawnFailed => {
            "⚠️ Codex does not start. `tieline status` on the machine shows why; then send the \
             message again."
        }
        FailureKind::BackendResponseInvalid => {
            "⚠️ Codex finished without an answer. Send the message again, perhaps in other words."
        }
        FailureKind::BackendJsonParseError => {
            "⚠️ Codex answered with something unreadable. Send the message again; if it happens \
             every time, update codex on the machine."
        }
        FailureKind::ThreadResumeFailed => {
            "⚠️ The conversation's thread could not be opened. `tieline status` on the machine shows \
             why; then send the message again."
        }
        FailureKind::SessionStoreEvicted => {
            "⚠️ The conversation's thread is gone from the machine, and the configuration says not \
             to begin a new one (`on_lost_thread = \"stop\"`). Restore it or change that setting, \
             then send the message again."
        }
        FailureKind::Cancelled => STOPPED,
    }
}

/// A turn was stopped because somebody asked for it.
pub(super) const STOPPED: &str = "⏹️ Stopped.";

/// A turn was stopped because a newer message is to be taken instead.
pub(super) const SUPERSEDED: &str = "⏹️ Stopped; taking your newer message instead.";

/// A turn was cut off and people are to decide.
pub(super) const INTERRUPTED: &str =
    "⚠️ I was interrupted while working on this. Send “continue” to go on.";

/// A turn was cut off so often that it may be the cause.
pub(super) const INTERRUPTED_TOO_OFTEN: &str = "❓ I was interrupted again and again while working on this, so I stopped trying. Some of it may \
     be done. Look at `tieline status` on the machine, then send “continue” to go on.";

/// It is not known what became of a message.
pub(super) const UNCLEAR: &str = "❓ I cannot tell whether this message was worked on before I was interrupted, so I did not run \
     it again. Check, and send it again if it is needed.";

/// The child is away for longer than people should wait in silence.
pub(super) const RESTARTING: &str =
    "🔄 Codex is restarting. Your message is kept and runs as soon as it is back.";

/// The child does not start. The message is kept, so unlike for a failed turn nobody has to send it
/// again.
pub(super) fn not_starting(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::ProviderAuthFailed => {
            "🔄 Codex is not logged in on the machine: run `codex login` there. Your message is kept \
             and runs as soon as that is done."
        }
        _ => {
            "🔄 Codex does not start; I keep trying. `tieline status` on the machine shows why. Your \
             message is kept and runs as soon as it is back."
        }
    }
}

/// Codex is there and does not take this one conversation up. The message is kept.
pub(super) fn held_up(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ActiveWriter => {
            "🔄 This conversation is open in another Codex on the machine. Close it there; your \
             message is kept and runs as soon as that is done."
        }
        Refusal::BadConfiguration => {
            "🔄 Codex cannot load its configuration; the log on the machine says what is wrong. Your \
             message is kept and runs as soon as that is mended."
        }
        Refusal::McpServerFailed => {
            "🔄 An MCP server that Codex needs does not start; the log on the machine says which. \
             Your message is kept and runs as soon as it does."
        }
        _ => {
            "🔄 Codex does not take this conversation up at the moment; I keep trying, and the log \
             on the machine says why. Your message is kept."
        }
    }
}

/// The child is back after people were told that it is away.
pub(super) const BACK: &str = "✅ Codex is back. Working on your message now.";

/// The daemon was restarted while a message was worked on.
pub(super) const RESUMED: &str =
    "🔄 I was restarted while working on your message. It was kept; going on with it now.";

/// A thread was lost and a new one begun.
pub(super) const THREAD_LOST: &str = "⚠️ The history of this conversation was lost on the machine, so I begin anew. What was said \
     before, I no longer know.";

/// What the model is told when a turn was cut off by a restart and nothing live came first.
pub(super) const RESTART_NOTICE: &str =
    "Codex was restarted. Background processes you had started are gone. Nothing needs to be done.";

/// What the model is told when it begins anew.
pub(super) const LOST_NOTICE: &str = "The earlier history of this conversation was lost; people have been told. Ask when you need \
     to know what was said before.";
