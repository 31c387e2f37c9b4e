//! The calls of the Open API: who may make them, with what, and what becomes of it.

mod args;
mod chats;
mod files;
mod messages;
mod method;
mod reactions;
mod token;

use std::time::Instant;

use serde_json::{Value, json};

pub(crate) use self::args::Args;
pub(super) use self::method::find;
use self::method::{Access, Spec};
use super::rates::Excess;
use super::{APP_ID, Fault, Knowledge as _, State, discovery};

/// What is asked, beside the path.
pub(super) struct Asking<'a> {
    pub(super) query: &'a str,
    pub(super) bearer: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// What a call is answered with.
pub(super) enum Reply {
    Json {
        status: u16,
        /// The seconds to wait.
        wait: Option<u64>,
        value: Value,
    },
    /// A file.
    Content { name: String, bytes: Vec<u8> },
    /// A 5xx that is no JSON.
    Broken(u16),
    /// The connection breaks.
    Drop,
    /// Nothing is said.
    Silence,
}

/// Why a call was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: i64,
    message: String,
    /// More of `error`.
    details: Value,
}

/// What a call says when it is done.
pub(super) enum Done {
    /// Under `data`.
    Data(Value),
    /// All of the body but `code` and `msg`.
    Body(Value),
    Content {
        name: String,
        bytes: Vec<u8>,
    },
}

/// What a call says.
pub(super) type Answer = Result<Done, Refusal>;

impl Refusal {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: json!({}),
        }
    }

    /// A field that does not do.
    fn field(name: &str, why: &str) -> Self {
        Self {
            code: 99_992_402,
            message: "field validation failed".to_owned(),
            details: json!({"field_violations": [{"field": name, "description": why}]}),
        }
    }

    /// One of these scopes is missing.
    fn scopes(scopes: &[&str]) -> Self {
        let names = scopes.join(", ");
        let url = format!(
            "https://open.feishu.cn/app/{APP_ID}/auth?q={}&op_from=openapi&token_type=tenant",
            scopes.join(",")
        );
        let violations: Vec<Value> = scopes
            .iter()
            .map(|it| json!({"type": "action_scope_required", "subject": it}))
            .collect();
        Self {
            code: 99_991_672,
            message: format!(
                "Access denied. One of the following scopes is required: [{names}].\
                 应用尚未开通所需的应用身份权限：[{names}]，点击链接申请并开通任一权限即可：{url}"
            ),
            details: json!({"permission_violations": violations}),
        }
    }

    fn into_reply(self) -> Reply {
        let mut error = self.details;
        error["log_id"] = json!("20260517101112A0B1C2D3E4F5");
        error["troubleshooter"] =
            json!("排查建议查看(Troubleshooting suggestions): https://open.feishu.cn/search");
        Reply::Json {
            status: 400,
            wait: None,
            value: json!({"code": self.code, "msg": self.message, "error": error}),
        }
    }
}

impl Reply {
    pub(super) fn missing() -> Self {
        Self::Json {
            status: 404,
            wait: None,
            value: json!({"code": 99_991_404, "msg": "not found"}),
        }
    }

    fn too_many(seconds: u64) -> Self {
        Self::Json {
            status: 429,
            wait: Some(seconds),
            value: json!({"code": 99_991_400, "msg": "request trigger frequency limit"}),
        }
    }
}

/// Answers a call.
pub(super) fn answer(
    state: &mut State,
    spec: &'static Spec,
    ids: Vec<String>,
    asking: &Asking<'_>,
) -> Reply {
    let args = Args::read(ids, asking);
    let fault = state.common_mut().take_fault(spec.name, &args);
    match &fault {
        Some(Fault::RateLimited(seconds)) => {
            state.close(spec.name, *seconds);
            return Reply::too_many(*seconds);
        }
        Some(Fault::Broken(status)) => return Reply::Broken(*status),
        Some(Fault::Dropped) => return Reply::Drop,
        Some(Fault::Silence) => return Reply::Silence,
        Some(Fault::Error(code)) if spec.access == Access::Discovery => {
            return Reply::Json {
                status: 200,
                wait: None,
                value: discovery::refused(*code),
            };
        }
        Some(Fault::Error(99_991_672)) => return Refusal::scopes(spec.scopes).into_reply(),
        Some(Fault::Error(code)) => {
            return Refusal::new(*code, format!("refused with {code}")).into_reply();
        }
        Some(Fault::AnswerLost | Fault::DoneButBroken(_) | Fault::DoneInSilence) | None => {}
    }
    let about = spec.counted.and_then(|counted| counted(state, &args));
    match state.count(spec.name, about.as_deref()) {
        Ok(()) => {}
        Err(Excess::Api(seconds)) => return Reply::too_many(seconds),
        Err(Excess::Chat) => {
            return Refusal::new(230_020, "This operation triggers the frequency limit.")
                .into_reply();
        }
    }
    if spec.access == Access::Discovery {
        let value = state.endpoint(asking.bearer.is_some(), asking.body);
        let reply = Reply::Json {
            status: 200,
            wait: None,
            value,
        };
        return lost(state, fault, &args).unwrap_or(reply);
    }
    let answer = perform(state, spec, asking, &args);
    if let Some(reply) = lost(state, fault, &args) {
        return reply;
    }
    match answer {
        Ok(Done::Content { name, bytes }) => Reply::Content { name, bytes },
        Ok(Done::Data(data)) => done(json!({"code": 0, "msg": "success", "data": data})),
        Ok(Done::Body(mut value)) => {
            value["code"] = json!(0);
            value["msg"] = json!("ok");
            done(value)
        }
        Err(refusal) => refusal.into_reply(),
    }
}

fn done(value: Value) -> Reply {
    Reply::Json {
        status: 200,
        wait: None,
        value,
    }
}

/// Returns what is said of something that was done, when its answer is lost.
fn lost(state: &mut State, fault: Option<Fault>, args: &Args) -> Option<Reply> {
    let reply = match fault? {
        Fault::AnswerLost => Reply::Drop,
        Fault::DoneButBroken(status) => Reply::Broken(status),
        Fault::DoneInSilence => Reply::Silence,
        _ => return None,
    };
    let sending = state.options.timing.sending;
    if let Some(sent) = args.text("uuid").and_then(|it| state.uuids.get_mut(it)) {
        sent.busy_until = Instant::now() + sending;
    }
    Some(reply)
}

fn perform(state: &mut State, spec: &Spec, asking: &Asking<'_>, args: &Args) -> Answer {
    match spec.access {
        Access::Discovery => unreachable!("it has answers of its own"),
        Access::Open if asking.bearer.is_some() => {
            state.violation(format!("{}: a token where none is needed", spec.name));
        }
        Access::Open => {}
        Access::Token => state.check_token(asking.bearer)?,
    }
    if !spec.scopes.is_empty() && !state.may(spec.scopes) {
        return Err(Refusal::scopes(spec.scopes));
    }
    if args.is_broken {
        state.violation(format!("{}: a body that cannot be read", spec.name));
        return Err(Refusal::new(9_499, "Bad Request"));
    }
    for name in args.query_names() {
        if !spec.query.contains(&name) {
            state.violation(format!("{} has no parameter {name}", spec.name));
        }
    }
    for name in args.body_names() {
        if !spec.body.contains(&name) {
            state.violation(format!("{} has no field {name}", spec.name));
        }
    }
    (spec.run)(state, args)
}
