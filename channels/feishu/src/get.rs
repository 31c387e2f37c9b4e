//! The calls that read.

use reqwest::Method;
use serde_json::Value;
use tieline_channel::SendError;
use tieline_net::pace::Urgency;

use crate::api::{Api, Call, Failure};
use crate::inbound::fields::Fields as _;

/// The calls' parameters.
pub(crate) type Query = Vec<(&'static str, String)>;

/// Makes a call that only reads.
///
/// # Errors
///
/// As the call.
pub(crate) async fn get(
    api: &Api,
    urgency: Urgency,
    name: &'static str,
    path: String,
    query: Query,
) -> Result<Value, Failure> {
    let call = Call {
        name,
        method: Method::GET,
        path,
        query,
        body: None,
        chat: None,
    };
    api.call_as(urgency, call).await
}

/// Reads a message, followed by those that are forwarded in it. Cards come as they were made:
/// the other form of a new one says that the reader is too old for it.
///
/// # Errors
///
/// As the call, and when there is no message in the answer.
pub(crate) async fn message(api: &Api, urgency: Urgency, id: &str) -> Result<Vec<Value>, Failure> {
    let name = "im/v1/messages/get";
    let path = format!("/open-apis/im/v1/messages/{id}");
    let query = vec![("card_msg_content_type", "user_card_content".to_owned())];
    let answer = get(api, urgency, name, path, query).await?;
    let items = answer.list("/data/items");
    if items.is_empty() {
        return Err(Failure::Unclear {
            reason: format!("{name}: an answer without the message"),
        });
    }
    Ok(items.to_vec())
}

/// What a call that only reads came to: where it is unclear whether it was done, it can be repeated.
pub(crate) fn not_read(failure: Failure) -> SendError {
    match failure {
        Failure::Unclear { reason } => SendError::Again {
            after: None,
            reason,
        },
        failure => failure.into(),
    }
}
