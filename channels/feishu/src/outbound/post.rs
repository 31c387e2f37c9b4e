//! Posting, and what can be done to a post.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tieline_channel::{
    Conversation, Language, Post, PostKind, Posted, SendError, Text, ThreadKey, WireId,
};
use tieline_net::pace::Urgency;
use tracing::{info, warn};

use super::place::{Place, Route, answered};
use super::render::{Form, Rendered, forms};
use super::upload::upload;
use crate::account::Account;
use crate::api::{Call, Cure, Failure};
use crate::get::not_read;
use crate::inbound::is_topic;

const MESSAGES: &str = "/open-apis/im/v1/messages";

/// How long after the first attempt a post may be repeated. Feishu knows a `uuid` for an hour; what
/// is left of it is for the clocks, and for a call under way.
pub(crate) const KEY_LASTS: Duration = Duration::from_secs(55 * 60);

/// How long a `uuid` may be.
const MAX_UUID: usize = 50;

/// Stands for what the rules of a chat or an organisation refuse.
pub(super) const NOT_TO_BE_SHOWN: Text = Text {
    en: "There is an answer, but the rules of this chat keep it from being shown.",
    zh: "已有回复，但受本会话的内容规则限制，无法在此显示。",
};

/// Stands for what Feishu takes in no form, for a reason of its own.
pub(super) const REFUSED: Text = Text {
    en: "I wrote something here that was refused; the log on the machine says why.",
    zh: "我要在这里发送的内容被平台拒绝了，原因见机器上的日志。",
};

/// What a message says, as Feishu wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) msg_type: &'static str,
    /// JSON in a text.
    pub(super) content: String,
}

/// Posts a message, in the best form that Feishu takes, at the best place. What was refused was not
/// posted, so that all attempts have the same `uuid`; what may have been posted is not attempted in
/// another way.
///
/// A file is a message of its own: it goes after the text.
pub(crate) async fn post(account: &Account, post: &Post) -> Result<Posted, SendError> {
    let mut route = route(account, post).await?;
    let key = post.key.as_str();
    let language = account.settings.language;
    let texts = forms(&post.text, &post.buttons, post.to.thread.as_ref(), language);
    let texts = texts.into_iter().map(Content::from);
    let Some(file) = &post.file else {
        return send(account, post, key, &mut route, texts).await;
    };
    let file = upload(account, &post.key, file).await?;
    if texts.len() == 0 {
        return send(account, post, key, &mut route, [file].into_iter()).await;
    }
    send(account, post, &text_key(key), &mut route, texts).await?;
    send(account, post, key, &mut route, [file].into_iter())
        .await
        .map_err(after_the_text)
}

/// Replaces the text of a post. Its buttons go.
pub(crate) async fn edit(
    account: &Account,
    at: &Conversation,
    message: &WireId,
    text: &str,
) -> Result<(), SendError> {
    let mut refusal = nothing_to_say();
    // What kind of message it is shows by which kind of change is taken.
    let language = account.settings.language;
    for Rendered { form, content } in forms(text, &[], at.thread.as_ref(), language) {
        let (name, method, body) = match form {
            Form::Card => (
                "im/v1/messages/patch",
                Method::PATCH,
                json!({"content": content}),
            ),
            Form::RichText | Form::PlainText => (
                "im/v1/messages/update",
                Method::PUT,
                json!({"msg_type": form.msg_type(), "content": content}),
            ),
        };
        let call = Call {
            name,
            method,
            path: format!("{MESSAGES}/{message}"),
            query: Vec::new(),
            body: Some(body),
            chat: Some(message.to_string()),
        };
        match account.api.call(call).await {
            Ok(_) => return Ok(()),
            Err(Failure::Never {
                cure: Cure::SimplerForm | Cure::Split,
                reason,
            }) => refusal = SendError::Never { reason },
            Err(failure) => return Err(repeatable(failure)),
        }
    }
    Err(refusal)
}

/// Recalls a post; one that is gone already is recalled.
pub(crate) async fn delete(
    account: &Account,
    _at: &Conversation,
    message: &WireId,
) -> Result<(), SendError> {
    let call = Call {
        name: "im/v1/messages/delete",
        method: Method::DELETE,
        path: format!("{MESSAGES}/{message}"),
        query: Vec::new(),
        body: None,
        chat: None,
    };
    match account.api.call(call).await {
        Ok(_) => Ok(()),
        Err(Failure::Never {
            cure: Cure::NewMessage,
            ..
        }) => Ok(()),
        Err(failure) => Err(repeatable(failure)),
    }
}

/// Returns where a post goes. What is no answer to anything needs the first message of its topic.
async fn route(account: &Account, post: &Post) -> Result<Route, SendError> {
    let thread = post.to.thread.as_ref();
    let first = match thread.filter(|thread| is_topic(thread)) {
        None => None,
        Some(topic) if answered(post).is_some() => account.topics.known_first_of(topic),
        Some(topic) => account.topics.first_of(topic).await.map_err(not_read)?,
    };
    Ok(Route::of(post, first))
}

/// Sends one message: of these forms the first that is taken.
async fn send(
    account: &Account,
    post: &Post,
    uuid: &str,
    route: &mut Route,
    mut forms: impl Iterator<Item = Content> + Send,
) -> Result<Posted, SendError> {
    let mut content = forms.next().ok_or_else(nothing_to_say)?;
    let mut is_neutral = false;
    loop {
        let call = call(post, uuid, route.place(), &content);
        let name = call.name;
        let failure = match account.api.call_as(urgency(post), call).await {
            Ok(answer) => return posted(account, name, &answer),
            Err(failure) => failure,
        };
        let Failure::Never { cure, reason } = &failure else {
            return Err(failure.into());
        };
        match cure {
            Cure::PlainReply if route.refused() => {
                info!(reason, "a post goes where it can instead of into its topic");
            }
            Cure::NewMessage => {
                if let Some(gone) = route.place().message() {
                    account.topics.forget(gone);
                }
                if !route.gone() {
                    return Err(failure.into());
                }
                warn!(
                    reason,
                    "what a post answers is gone: it goes elsewhere in its chat"
                );
            }
            Cure::SimplerForm | Cure::Split => {
                if let Some(simpler) = forms.next() {
                    info!(reason, "a post goes in a simpler form");
                    content = simpler;
                } else if !is_neutral && content.msg_type == Form::PlainText.msg_type() {
                    warn!(reason, "a post is taken in no form: a notice says so");
                    is_neutral = true;
                    content = notice(REFUSED, account.settings.language);
                } else {
                    return Err(failure.into());
                }
            }
            Cure::NeutralNotice if !is_neutral => {
                warn!(reason, "a post may not be shown: a notice says so");
                is_neutral = true;
                content = notice(NOT_TO_BE_SHOWN, account.settings.language);
            }
            Cure::Nothing | Cure::PlainReply | Cure::NeutralNotice => {
                return Err(failure.into());
            }
        }
    }
}

/// What a failure to send a file means when its text is there: the post has begun to be sent, which
/// Feishu remembers only for as long as the `uuid` of the text.
fn after_the_text(failure: SendError) -> SendError {
    match failure {
        failure @ (SendError::Again { .. } | SendError::Operator { .. }) => SendError::Unclear {
            reason: format!("the text of a file is posted, and the file is not yet: {failure}"),
        },
        failure @ (SendError::Never { .. } | SendError::Unclear { .. }) => failure,
    }
}

fn call(post: &Post, uuid: &str, place: &Place, content: &Content) -> Call {
    let Content { msg_type, content } = content;
    let mut body = json!({"msg_type": msg_type, "content": content, "uuid": uuid});
    let (name, path, query) = match place {
        Place::Topic(message) | Place::Reply(message) => {
            if matches!(place, Place::Topic(_)) {
                body["reply_in_thread"] = json!(true);
            }
            let path = format!("{MESSAGES}/{message}/reply");
            ("im/v1/messages/reply", path, Vec::new())
        }
        Place::Chat => {
            body["receive_id"] = json!(post.to.chat.as_str());
            let query = vec![("receive_id_type", "chat_id".to_owned())];
            ("im/v1/messages/create", MESSAGES.to_owned(), query)
        }
    };
    Call {
        name,
        method: Method::POST,
        path,
        query,
        body: Some(body),
        chat: Some(post.to.chat.to_string()),
    }
}

fn posted(account: &Account, call: &str, answer: &Value) -> Result<Posted, SendError> {
    let id = answer.pointer("/data/message_id").and_then(Value::as_str);
    let id = id.ok_or_else(|| SendError::Unclear {
        reason: format!("{call}: an answer without a message_id"),
    })?;
    let id = WireId::new(id);
    let text = |field: &str| answer.pointer(field).and_then(Value::as_str);
    account.tenant.heard(text("/data/sender/tenant_key"));
    if let Some(thread) = text("/data/thread_id") {
        let first = text("/data/root_id").map_or_else(|| id.clone(), WireId::new);
        account.topics.learn(&ThreadKey::new(thread), &first);
    }
    Ok(Posted { id })
}

/// Returns the `uuid` of the text beside a file.
fn text_key(key: &str) -> String {
    const MARK: &str = "-t";
    // The end of a key tells posts apart.
    let excess = (key.len() + MARK.len()).saturating_sub(MAX_UUID);
    format!("{}{MARK}", key.get(excess..).unwrap_or(key))
}

/// What somebody waits for goes before what is only said in passing.
fn urgency(post: &Post) -> Urgency {
    match post.kind {
        PostKind::Answer | PostKind::Failure => Urgency::Answer,
        PostKind::Notice if post.buttons.is_empty() => Urgency::Ordinary,
        PostKind::Notice => Urgency::Answer,
    }
}

/// Makes the message that stands for what cannot be said.
fn notice(text: Text, language: Language) -> Content {
    Content {
        msg_type: Form::PlainText.msg_type(),
        content: json!({"text": text.within(language)}).to_string(),
    }
}

/// What a failure means where repeating is harmless.
pub(super) fn repeatable(failure: Failure) -> SendError {
    match failure {
        Failure::Unclear { reason } => SendError::Again {
            after: None,
            reason,
        },
        failure => failure.into(),
    }
}

fn nothing_to_say() -> SendError {
    SendError::Never {
        reason: "there is nothing in it".to_owned(),
    }
}

impl From<Rendered> for Content {
    fn from(rendered: Rendered) -> Self {
        Self {
            msg_type: rendered.form.msg_type(),
            content: rendered.content,
        }
    }
}
