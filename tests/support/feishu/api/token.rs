//! Tokens: handed out, good for a while.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::{APP_ID, APP_SECRET, Knowledge as _, State};
use super::{Answer, Args, Done, Refusal};

/// As long as it has so much left, the same token is handed out.
const SAME: Duration = Duration::from_secs(1_800);

pub(super) fn internal(state: &mut State, args: &Args) -> Answer {
    if args.text("app_id") != Some(APP_ID) {
        return Err(Refusal::new(10_003, "invalid param"));
    }
    if args.text("app_secret") != Some(APP_SECRET) {
        return Err(Refusal::new(10_014, "app secret invalid"));
    }
    let now = Instant::now();
    let mut good = state.tokens.iter();
    let same = good.find(|(_, until)| **until > now + SAME);
    let (token, until) = match same {
        Some((token, until)) => (token.clone(), *until),
        None => {
            let token = state.name("t-g1044q");
            let until = now + state.options.timing.token;
            state.tokens.insert(token.clone(), until);
            (token, until)
        }
    };
    Ok(Done::Body(json!({
        "tenant_access_token": token, "expire": (until - now).as_secs(),
    })))
}

impl State {
    pub(super) fn check_token(&self, bearer: Option<&str>) -> Result<(), Refusal> {
        let Some(token) = bearer else {
            let why = "Missing access token for authorization.";
            return Err(Refusal::new(99_991_661, why));
        };
        let until = self.tokens.get(token);
        if until.is_none_or(|until| *until <= Instant::now()) {
            return Err(Refusal::new(
                99_991_663,
                "Invalid access token for authorization.",
            ));
        }
        Ok(())
    }
}
