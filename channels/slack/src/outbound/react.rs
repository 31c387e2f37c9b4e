//! Emoji on messages.

use serde::de::IgnoredAny;
use tieline_channel::{Conversation, Emoji, SendError, WireId};

use crate::account::Account;
use crate::web::{CallError, Method, Urgency};

/// Puts an emoji on a message; one that is there is a success.
pub(crate) async fn react(
    account: &Account,
    at: &Conversation,
    message: &WireId,
    emoji: Emoji,
) -> Result<(), SendError> {
    let method = Method::ReactionsAdd;
    let form = vec![
        ("channel", at.chat.to_string()),
        ("timestamp", message.to_string()),
        ("name", name(emoji).to_owned()),
    ];
    // Those that only tell how far a message is can wait.
    let urgency = Urgency::Answer;
    match account
        .web
        .call_as::<IgnoredAny>(urgency, method, form)
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.refusal() == Some("already_reacted") => Ok(()),
        Err(CallError::Lost { reason }) => Err(SendError::Unclear { reason }),
        Err(error) => Err(error.into_send_error(method)),
    }
}

/// Returns what Slack calls an emoji.
pub(crate) fn name(emoji: Emoji) -> &'static str {
    match emoji {
        Emoji::ThumbsUp => "thumbsup",
        Emoji::ThumbsDown => "thumbsdown",
        Emoji::OkHand => "ok_hand",
        Emoji::Heart => "heart",
        Emoji::Laugh => "joy",
        Emoji::Cry => "cry",
        Emoji::Thinking => "thinking_face",
        Emoji::Pray => "pray",
        Emoji::Tada => "tada",
        Emoji::Clap => "clap",
        Emoji::Muscle => "muscle",
        Emoji::Fire => "fire",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pretty_assertions::assert_eq;
    use serde_json::json;
    use tieline_channel::{ChatId, ThreadKey};

    use super::*;
    use crate::web::scripted::{Reply, Scripted, error};

    async fn react_to(reply: Reply) -> (Result<(), SendError>, Scripted) {
        let server = Scripted::with(vec![reply]).await;
        let at = Conversation {
            chat: ChatId::new("C1"),
            thread: Some(ThreadKey::new("1731.000100")),
        };
        let message = WireId::new("1731.000200");
        let outcome = react(&server.account(), &at, &message, Emoji::ThumbsUp).await;
        (outcome, server)
    }

    #[tokio::test]
    async fn a_reaction_is_put_on_its_message() {
        let (outcome, server) = react_to(Reply::Json(json!({"ok": true}))).await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(server.methods(), ["reactions.add"]);
        let call = &server.calls()[0];
        let sent: Vec<_> = call
            .form
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            sent,
            [
                ("channel", "C1"),
                ("name", "thumbsup"),
                ("timestamp", "1731.000200")
            ]
        );
    }

    #[tokio::test]
    async fn what_is_there_already_is_a_success_and_what_is_refused_is_none() {
        for (refusal, expected) in [
            ("already_reacted", "done"),
            ("message_not_found", "never"),
            ("too_many_reactions", "never"),
            ("missing_scope", "operator"),
            ("invalid_auth", "operator"),
        ] {
            let (outcome, _server) = react_to(error(refusal)).await;
            let seen = match &outcome {
                Ok(()) => "done",
                Err(SendError::Never { .. }) => "never",
                Err(SendError::Operator { .. }) => "operator",
                Err(SendError::Again { .. }) => "again",
                Err(SendError::Unclear { .. }) => "unclear",
            };
            assert_eq!(seen, expected, "{refusal}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_unclear_and_a_limit_is_again() {
        let (outcome, _server) = react_to(Reply::Lost).await;
        let is_unclear = matches!(outcome, Err(SendError::Unclear { .. }));
        assert!(is_unclear, "{outcome:?}");
        let (outcome, _server) = react_to(Reply::Http(429, "Retry-After: 30\r\n", "")).await;
        let Err(SendError::Again { after, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(after, Some(Duration::from_secs(30)));
    }
}
