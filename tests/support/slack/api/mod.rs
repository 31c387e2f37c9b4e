//! The methods of the Web API: who may call them, with what, and what becomes of it.

mod args;
mod chat;
mod conversations;
mod files;
mod gestures;
mod method;

use serde_json::{Map, Value, json};

pub(crate) use self::args::Args;
use self::method::{Access, METHODS, Spec};
use super::rates::Tier;
use super::{APP_TOKEN, BOT_TOKEN, Fault, Knowledge as _, State};

/// What a call is answered with.
pub(super) enum Reply {
    /// 200.
    Json {
        value: Value,
        /// The scopes of the token, for `x-oauth-scopes`.
        scopes: Option<String>,
    },
    /// 429.
    TooMany { seconds: u64, body: &'static str },
    /// A 5xx that is no JSON.
    Broken(u16),
    /// The connection breaks.
    Drop,
    /// Nothing is said.
    Silence,
}

/// Why a call was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    error: String,
    more: Map<String, Value>,
}

/// What a method says.
pub(super) type Answer = Result<Value, Refusal>;

impl Refusal {
    pub(super) fn new(error: &str) -> Self {
        Self {
            error: error.to_owned(),
            more: Map::new(),
        }
    }

    /// With a word of explanation.
    pub(super) fn because(error: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(error);
        let message = format!("[ERROR] {}", message.into());
        refusal
            .more
            .insert("response_metadata".into(), json!({"messages": [message]}));
        refusal
    }

    fn scope(needed: &str, provided: &str) -> Self {
        let mut refusal = Self::new("missing_scope");
        refusal.more.insert("needed".into(), needed.into());
        refusal.more.insert("provided".into(), provided.into());
        refusal
    }

    fn into_value(self) -> Value {
        let mut value = self.more;
        value.insert("ok".into(), false.into());
        value.insert("error".into(), self.error.into());
        Value::Object(value)
    }
}

/// Answers a call.
pub(super) fn answer(
    state: &mut State,
    name: &str,
    bearer: Option<&str>,
    content_type: Option<&str>,
    body: &[u8],
) -> Reply {
    let spec = METHODS.iter().find(|method| method.name == name);
    let args = Args::read(content_type, body);
    let channel = args.as_ref().ok().and_then(|args| {
        let channel = args.get("channel").or_else(|| args.get("channel_id"))?;
        channel.as_str().map(str::to_owned)
    });
    let tier = spec.map_or(Tier::Free, |spec| spec.tier);
    if let Some(seconds) = state.count(name, channel.as_deref(), tier) {
        return Reply::TooMany {
            seconds,
            body: r#"{"ok":false,"error":"ratelimited"}"#,
        };
    }
    let nothing = Args::default();
    let fault = state
        .common_mut()
        .take_fault(name, args.as_ref().unwrap_or(&nothing));
    match &fault {
        Some(Fault::RateLimited(seconds)) => {
            state.close(name, channel.as_deref(), tier, *seconds);
            // The body may not be JSON.
            return Reply::TooMany {
                seconds: *seconds,
                body: "Too Many Requests",
            };
        }
        Some(Fault::Broken(status)) => return Reply::Broken(*status),
        Some(Fault::Dropped) => return Reply::Drop,
        Some(Fault::Silence) => return Reply::Silence,
        Some(Fault::Error(error)) => {
            let mut refusal = Refusal::new(error);
            if *error == "missing_scope" {
                let needed = spec.and_then(|spec| spec.scope).unwrap_or("chat:write");
                refusal = Refusal::scope(needed, &state.provided());
            }
            return Reply::Json {
                value: refusal.into_value(),
                scopes: Some(state.provided()),
            };
        }
        Some(Fault::AnswerLost | Fault::DoneButBroken(_) | Fault::DoneInSilence) | None => {}
    }
    let answer = spec
        .ok_or_else(|| Refusal::new("unknown_method"))
        .and_then(|spec| perform(state, spec, bearer, content_type, args));
    match fault {
        Some(Fault::AnswerLost) => return Reply::Drop,
        Some(Fault::DoneButBroken(status)) => return Reply::Broken(status),
        Some(Fault::DoneInSilence) => return Reply::Silence,
        _ => {}
    }
    let scopes = match bearer {
        Some(APP_TOKEN) => Some("connections:write".to_owned()),
        Some(BOT_TOKEN) => Some(state.provided()),
        _ => None,
    };
    let value = answer.map_or_else(Refusal::into_value, |mut value| {
        value["ok"] = true.into();
        value
    });
    Reply::Json { value, scopes }
}

fn perform(
    state: &mut State,
    spec: &Spec,
    bearer: Option<&str>,
    content_type: Option<&str>,
    args: Result<Args, Refusal>,
) -> Answer {
    let in_form = args.as_ref().ok().and_then(|args| {
        let takes_form = spec.access != Access::App && !args.is_json;
        args.get("token").filter(|_| takes_form)?.as_str()
    });
    match bearer.or(in_form) {
        None => return Err(Refusal::new("not_authed")),
        Some(token @ (APP_TOKEN | BOT_TOKEN)) => {
            let is_right = match spec.access {
                Access::App => token == APP_TOKEN,
                Access::Bot => token == BOT_TOKEN,
                Access::Any => true,
            };
            if !is_right {
                state.violation(format!("{}: the wrong one of the two tokens", spec.name));
                return Err(Refusal::new("not_allowed_token_type"));
            }
        }
        Some(_) => return Err(Refusal::new("invalid_auth")),
    }
    let args = args?;
    if args.is_json && !spec.takes_json {
        state.violation(format!("{} takes no JSON", spec.name));
        return Err(Refusal::new("invalid_arguments"));
    }
    if let Some(scope) = spec.scope {
        state.need(scope)?;
    }
    for name in args.names() {
        if name != "token" && !spec.args.contains(&name) {
            state.violation(format!("{} has no argument {name}", spec.name));
        }
    }
    for name in spec.required {
        if args.text(name).is_none_or(str::is_empty) && args.json(name).is_none() {
            return Err(Refusal::because(
                "invalid_arguments",
                format!("missing required field: {name}"),
            ));
        }
    }
    let mut answer = (spec.run)(state, &args)?;
    if args.is_json && !content_type.is_some_and(|it| it.contains("charset")) {
        answer["warning"] = "missing_charset".into();
    }
    Ok(answer)
}

impl State {
    /// Refuses what the bot token's scopes do not cover.
    pub(super) fn need(&self, scope: &str) -> Result<(), Refusal> {
        if self.options.scopes.contains(scope) {
            return Ok(());
        }
        Err(Refusal::scope(scope, &self.provided()))
    }

    fn provided(&self) -> String {
        let scopes: Vec<_> = self.options.scopes.iter().map(String::as_str).collect();
        scopes.join(",")
    }
}
