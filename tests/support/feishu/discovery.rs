//! Where the long connection is: asked before each, good for one.

use serde_json::{Value, json};

use super::state::State;
use super::{APP_ID, APP_SECRET, Knowledge as _};

/// The secret is wrong, or the app is not published.
const INVALID_CREDENTIALS: i64 = 1_000_040_345;

impl State {
    /// Answers who asks for an endpoint; the status is 200 whatever the answer.
    pub(super) fn endpoint(&mut self, has_token: bool, body: &[u8]) -> Value {
        if has_token {
            self.violation("endpoint: an Authorization where there is none");
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            self.violation("endpoint: a body that is no JSON");
            return refused(9_499);
        };
        let names = body.as_object().map(|it| it.keys().collect::<Vec<_>>());
        if names.is_none_or(|names| names != ["AppID", "AppSecret"]) {
            self.violation("endpoint: other fields than AppID and AppSecret");
        }
        if body["AppID"] != APP_ID || body["AppSecret"] != APP_SECRET {
            return refused(INVALID_CREDENTIALS);
        }
        let number = self.next();
        let service = 33_554_432 + number as i32;
        let ticket = format!("ticket-{number:08}-9b1d");
        self.tickets.insert(ticket.clone(), service);
        let mut parameters = [
            format!("device_id=7{number:018}"),
            format!("service_id={service}"),
            "fpid=493".to_owned(),
            "aid=552564".to_owned(),
            format!("access_key=key-{number:08}"),
            format!("ticket={ticket}"),
        ];
        // Nobody may rely on where they stand.
        let turns = number as usize % parameters.len();
        parameters.rotate_left(turns);
        json!({
            "code": 0, "msg": "",
            "data": {
                "URL": format!("{}?{}", self.socket_url(), parameters.join("&")),
                "ClientConfig": self.client_config(),
            },
        })
    }
}

/// Returns an answer without an endpoint.
pub(super) fn refused(code: i64) -> Value {
    json!({"code": code, "msg": format!("refused with {code}"), "data": null})
}
