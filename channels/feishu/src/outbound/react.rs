//! Emoji on messages.

use reqwest::Method;
use serde_json::json;
use tieline_channel::{Emoji, SendError, WireId};
use tieline_net::pace::Urgency;

use crate::account::Account;
use crate::api::Call;

/// Puts an emoji on a message. Of the same app and kind a message has one, so that making it again
/// changes nothing.
pub(crate) async fn react(
    account: &Account,
    message: &WireId,
    emoji: Emoji,
) -> Result<(), SendError> {
    let call = Call {
        name: "im/v1/messages/reactions/create",
        method: Method::POST,
        path: format!("/open-apis/im/v1/messages/{message}/reactions"),
        query: Vec::new(),
        body: Some(json!({"reaction_type": {"emoji_type": name(emoji)}})),
        chat: None,
    };
    // Those that only tell how far a message is can wait.
    account.api.call_as(Urgency::Answer, call).await?;
    Ok(())
}

/// Returns what Feishu calls an emoji. Case matters.
pub(crate) fn name(emoji: Emoji) -> &'static str {
    match emoji {
        Emoji::ThumbsUp => "THUMBSUP",
        Emoji::ThumbsDown => "ThumbsDown",
        Emoji::OkHand => "OK",
        Emoji::Heart => "HEART",
        Emoji::Laugh => "LAUGH",
        Emoji::Cry => "CRY",
        Emoji::Thinking => "THINKING",
        Emoji::Pray => "THANKS",
        Emoji::Tada => "PARTY",
        Emoji::Clap => "APPLAUSE",
        Emoji::Muscle => "MUSCLE",
        Emoji::Fire => "Fire",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pretty_assertions::assert_eq;
    use tieline_net::scripted::Reply;

    use super::*;
    use crate::scripted::{Feishu, ok, refused};

    async fn react_to(reply: Reply) -> (Result<(), SendError>, Feishu) {
        let feishu = Feishu::with(vec![reply]).await;
        let message = WireId::new("om_1");
        let outcome = react(&feishu.account(), &message, Emoji::ThumbsUp).await;
        (outcome, feishu)
    }

    #[tokio::test]
    async fn a_reaction_is_put_on_its_message() {
        let (outcome, feishu) = react_to(ok(&json!({"reaction_id": "r"}))).await;
        assert_eq!(outcome, Ok(()));
        let calls = feishu.calls();
        let call = &calls[0];
        assert_eq!(
            (&*call.method, &*call.path),
            ("POST", "/open-apis/im/v1/messages/om_1/reactions")
        );
        assert_eq!(
            call.json(),
            json!({"reaction_type": {"emoji_type": "THUMBSUP"}})
        );
    }

    #[tokio::test]
    async fn what_is_refused_says_what_can_be_done() {
        for (code, expected) in [
            (231_003, "never"),
            (231_017, "never"),
            (231_001, "never"),
            (99_991_672, "operator"),
            (1663, "unclear"),
        ] {
            let (outcome, _feishu) = react_to(refused(code)).await;
            let seen = match &outcome {
                Ok(()) => "done",
                Err(SendError::Never { .. }) => "never",
                Err(SendError::Operator { .. }) => "operator",
                Err(SendError::Again { .. }) => "again",
                Err(SendError::Unclear { .. }) => "unclear",
            };
            assert_eq!(seen, expected, "{code}: {outcome:?}");
        }
        // The same one is being made at this moment.
        let (outcome, _feishu) = react_to(refused(231_015)).await;
        let Err(SendError::Again { after, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(after, Some(Duration::from_secs(1)));
    }
}
