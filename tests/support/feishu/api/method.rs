//! Which calls there are, and what each takes.

use hyper::Method;

use super::super::State;
use super::{Answer, Args, chats, files, messages, reactions, token};

/// A call.
pub(in super::super) struct Spec {
    /// What tests call it.
    pub(in super::super) name: &'static str,
    method: &'static str,
    /// Its path, with `*` for ids.
    path: &'static str,
    pub(super) access: Access,
    /// It needs one of these.
    pub(super) scopes: &'static [&'static str],
    /// All of its parameters.
    pub(super) query: &'static [&'static str],
    /// All fields of its body.
    pub(super) body: &'static [&'static str],
    /// What it is counted for, beside its API: a chat that is posted to, a card that changes.
    pub(super) counted: Option<fn(&State, &Args) -> Option<String>>,
    pub(super) run: fn(&mut State, &Args) -> Answer,
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever knows the secret; answers 200 whatever it is.
    Discovery,
    /// Whoever knows the secret.
    Open,
    /// Whoever has a token.
    Token,
}

const SEND: &[&str] = &["im:message:send_as_bot", "im:message"];
const READ: &[&str] = &["im:message:readonly", "im:message"];

/// Most of a call: it needs a token, and takes nothing.
const PLAIN: Spec = Spec {
    name: "",
    method: "GET",
    path: "",
    access: Access::Token,
    scopes: &[],
    query: &[],
    body: &[],
    counted: None,
    run: |_, _| unreachable!("it has none of its own"),
};

/// All calls.
const METHODS: &[Spec] = &[
    Spec {
        name: "endpoint",
        method: "POST",
        path: "/callback/ws/endpoint",
        access: Access::Discovery,
        ..PLAIN
    },
    Spec {
        name: "token",
        method: "POST",
        path: "/open-apis/auth/v3/tenant_access_token/internal",
        access: Access::Open,
        body: &["app_id", "app_secret"],
        run: token::internal,
        ..PLAIN
    },
    Spec {
        name: "bot.info",
        path: "/open-apis/bot/v3/info",
        run: chats::bot_info,
        ..PLAIN
    },
    Spec {
        name: "scopes.list",
        path: "/open-apis/application/v6/scopes",
        run: chats::scopes,
        ..PLAIN
    },
    Spec {
        name: "messages.create",
        method: "POST",
        path: "/open-apis/im/v1/messages",
        scopes: SEND,
        query: &["receive_id_type"],
        body: &["receive_id", "msg_type", "content", "uuid"],
        counted: Some(|_, args| args.text("receive_id").map(str::to_owned)),
        run: messages::create,
        ..PLAIN
    },
    Spec {
        name: "messages.reply",
        method: "POST",
        path: "/open-apis/im/v1/messages/*/reply",
        scopes: SEND,
        body: &["msg_type", "content", "reply_in_thread", "uuid"],
        counted: Some(|state, args| Some(state.messages.get(args.id(0))?.chat.clone())),
        run: messages::reply,
        ..PLAIN
    },
    Spec {
        name: "messages.update",
        method: "PUT",
        path: "/open-apis/im/v1/messages/*",
        scopes: &["im:message:update", "im:message"],
        body: &["msg_type", "content"],
        counted: Some(|_, args| Some(args.id(0).to_owned())),
        run: messages::update,
        ..PLAIN
    },
    Spec {
        name: "messages.patch",
        method: "PATCH",
        path: "/open-apis/im/v1/messages/*",
        scopes: &["im:message:update", "im:message"],
        body: &["content"],
        counted: Some(|_, args| Some(args.id(0).to_owned())),
        run: messages::patch,
        ..PLAIN
    },
    Spec {
        name: "messages.delete",
        method: "DELETE",
        path: "/open-apis/im/v1/messages/*",
        scopes: &["im:message:recall", "im:message"],
        run: messages::delete,
        ..PLAIN
    },
    Spec {
        name: "messages.get",
        path: "/open-apis/im/v1/messages/*",
        scopes: READ,
        query: &["user_id_type", "card_msg_content_type"],
        run: messages::get,
        ..PLAIN
    },
    Spec {
        name: "messages.list",
        path: "/open-apis/im/v1/messages",
        scopes: READ,
        query: &[
            "container_id_type",
            "container_id",
            "start_time",
            "end_time",
            "sort_type",
            "page_size",
            "page_token",
            "card_msg_content_type",
        ],
        run: messages::list,
        ..PLAIN
    },
    Spec {
        name: "reactions.create",
        method: "POST",
        path: "/open-apis/im/v1/messages/*/reactions",
        scopes: &["im:message.reactions:write_only", "im:message"],
        body: &["reaction_type"],
        run: reactions::create,
        ..PLAIN
    },
    Spec {
        name: "reactions.delete",
        method: "DELETE",
        path: "/open-apis/im/v1/messages/*/reactions/*",
        scopes: &["im:message.reactions:write_only", "im:message"],
        run: reactions::delete,
        ..PLAIN
    },
    Spec {
        name: "reactions.list",
        path: "/open-apis/im/v1/messages/*/reactions",
        scopes: &["im:message.reactions:read", "im:message"],
        query: &["reaction_type", "page_size", "page_token", "user_id_type"],
        run: reactions::list,
        ..PLAIN
    },
    Spec {
        name: "images.create",
        method: "POST",
        path: "/open-apis/im/v1/images",
        scopes: &["im:resource"],
        body: &["image_type", "image"],
        run: files::create_image,
        ..PLAIN
    },
    Spec {
        name: "files.create",
        method: "POST",
        path: "/open-apis/im/v1/files",
        scopes: &["im:resource"],
        body: &["file_type", "file_name", "duration", "file"],
        run: files::create_file,
        ..PLAIN
    },
    Spec {
        name: "images.get",
        path: "/open-apis/im/v1/images/*",
        scopes: &["im:resource"],
        run: files::own,
        ..PLAIN
    },
    Spec {
        name: "files.get",
        path: "/open-apis/im/v1/files/*",
        scopes: &["im:resource"],
        run: files::own,
        ..PLAIN
    },
    Spec {
        name: "resources.get",
        path: "/open-apis/im/v1/messages/*/resources/*",
        scopes: READ,
        query: &["type"],
        run: files::resource,
        ..PLAIN
    },
    Spec {
        name: "chats.get",
        path: "/open-apis/im/v1/chats/*",
        scopes: &["im:chat:read", "im:chat:readonly", "im:chat"],
        query: &["user_id_type"],
        run: chats::get,
        ..PLAIN
    },
    Spec {
        name: "members.list",
        path: "/open-apis/im/v1/chats/*/members",
        scopes: &["im:chat.members:read", "im:chat:readonly", "im:chat"],
        query: &["member_id_type", "page_size", "page_token"],
        run: chats::members,
        ..PLAIN
    },
    Spec {
        name: "users.get",
        path: "/open-apis/contact/v3/users/*",
        query: &["user_id_type", "department_id_type"],
        run: chats::user,
        ..PLAIN
    },
];

/// Finds a call, and the ids in its path.
pub(in super::super) fn find(method: &Method, path: &str) -> Option<(&'static Spec, Vec<String>)> {
    METHODS.iter().find_map(|spec| {
        let (mut pattern, mut given) = (spec.path.split('/'), path.split('/'));
        let mut ids = Vec::new();
        loop {
            match (pattern.next(), given.next()) {
                (None, None) => break,
                (Some("*"), Some(id)) if !id.is_empty() => ids.push(id.to_owned()),
                (Some(expected), Some(it)) if expected == it => {}
                _ => return None,
            }
        }
        (spec.method == method.as_str()).then_some((spec, ids))
    })
}
