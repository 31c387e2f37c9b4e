//! What to do about a failure, and what to tell the operator.

use tieline_channel::ChannelId;
use tieline_net::ConnectError;
use tieline_net::uplink::Verdict;

use super::envelope::DisconnectReason;
use super::opening::OpenError;
use crate::web::{CallError, Method, retry_after};

/// Says what to do when a connection could not be opened.
pub(super) fn on_failure(channel: &ChannelId, error: &OpenError) -> Verdict {
    match error {
        OpenError::Call(error) => on_call(channel, error),
        OpenError::TurnedAway(reason) => {
            // To be told to refresh instead of `hello` is a failure like any other.
            on_disconnect(channel, reason).unwrap_or(Verdict::Retry { after: None })
        }
        OpenError::Connect(ConnectError::Refused(response)) => Verdict::Retry {
            after: retry_after(response.headers()),
        },
        OpenError::Connect(ConnectError::Deadline(_) | ConnectError::Failed(_))
        | OpenError::Broken(_)
        | OpenError::Closed
        | OpenError::Late(_) => Verdict::Retry { after: None },
    }
}

/// Says what to do when Slack announces a connection's end; `None` for the routine, which is to
/// open the next one now.
pub(super) fn on_disconnect(channel: &ChannelId, reason: &DisconnectReason) -> Option<Verdict> {
    match reason {
        DisconnectReason::Warning
        | DisconnectReason::RefreshRequested
        | DisconnectReason::Other(_) => None,
        DisconnectReason::TooManyWebsockets => Some(Verdict::Crowded),
        DisconnectReason::LinkDisabled => Some(Verdict::Operator {
            remedy: format!("{} (link_disabled)", switch_on(channel)),
        }),
    }
}

fn switch_on(channel: &ChannelId) -> String {
    format!(
        "Socket Mode is switched off for the app of channel `{channel}`: switch it on at \
         https://api.slack.com/apps → the app → Socket Mode → Enable Socket Mode"
    )
}

fn on_call(channel: &ChannelId, error: &CallError) -> Verdict {
    match error {
        CallError::Limited { after } => Verdict::Retry {
            after: Some(*after),
        },
        CallError::NotSent { .. } | CallError::Lost { .. } => Verdict::Retry { after: None },
        CallError::Refused {
            method,
            error,
            needed,
            ..
        } => {
            let token = if *method == Method::AppsConnectionsOpen.name() {
                TokenKind::App
            } else {
                TokenKind::Bot
            };
            match remedy(channel, token, error, needed.as_deref()) {
                Some(remedy) => Verdict::Operator {
                    remedy: format!("{remedy} ({method}: {error})"),
                },
                None => Verdict::Retry { after: None },
            }
        }
    }
}

/// Which token a method takes.
#[derive(Clone, Copy)]
enum TokenKind {
    App,
    Bot,
}

/// Returns what the operator can do about an error, or `None` if the next attempt may do better.
fn remedy(
    channel: &ChannelId,
    token: TokenKind,
    error: &str,
    needed: Option<&str>,
) -> Option<String> {
    let (name, setting, place) = match token {
        TokenKind::App => (
            "app-level token",
            "app_token",
            "Basic Information → App-Level Tokens",
        ),
        TokenKind::Bot => (
            "bot token",
            "bot_token",
            "OAuth & Permissions → Bot User OAuth Token",
        ),
    };
    let token_of_channel = format!("the {name} (`{setting}` of channel `{channel}`)");
    let app = "https://api.slack.com/apps → the app";
    let renewal = match token {
        TokenKind::App => format!(
            "make one with the scope connections:write at {app} → {place}, put it in place of \
             the old one and restart tieline"
        ),
        TokenKind::Bot => {
            format!(
                "copy it from {app} → {place}, put it in place of the old one and restart tieline"
            )
        }
    };
    Some(match error {
        "not_authed" => format!("Slack sees no token in {token_of_channel}: {renewal}"),
        "invalid_auth" => format!("Slack does not know {token_of_channel}: {renewal}"),
        "token_revoked" => format!("{token_of_channel} was revoked: {renewal}"),
        "token_expired" => format!("{token_of_channel} has expired: {renewal}"),
        "not_allowed_token_type" => {
            let prefix = match token {
                TokenKind::App => "xapp-",
                TokenKind::Bot => "xoxb-",
            };
            format!("{token_of_channel} is of another kind, it must begin with {prefix}: {renewal}")
        }
        "missing_scope" => match token {
            TokenKind::App => {
                let scope = needed.unwrap_or("connections:write");
                format!(
                    "{token_of_channel} lacks the scope {scope}: make one with it at {app} → \
                     {place}, put it in place of the old one and restart tieline"
                )
            }
            TokenKind::Bot => {
                let scope = needed.unwrap_or("that it needs");
                format!(
                    "{token_of_channel} lacks the scope {scope}: add it at {app} → OAuth & \
                     Permissions → Scopes → Bot Token Scopes, then choose Reinstall to Workspace"
                )
            }
        },
        "account_inactive" | "user_removed_from_team" => format!(
            "the app was removed from the workspace, or its account in it is switched off, so that \
             {token_of_channel} is void: install the app at {app} → Install App, then {renewal}"
        ),
        "team_disabled" => format!(
            "the workspace of channel `{channel}` is switched off: ask its owner, or set the \
             channel up in another one"
        ),
        "ekm_access_denied" | "accesslimited" | "team_access_not_granted" => format!(
            "the workspace does not let the app in with {token_of_channel}: ask an administrator \
             of the workspace to approve it"
        ),
        "link_disabled" | "socket_mode_not_enabled" => switch_on(channel),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pretty_assertions::assert_eq;
    use tokio_tungstenite::tungstenite;

    use super::*;

    /// What a verdict comes down to, with the words that its remedy must have.
    #[derive(Debug)]
    enum Expected {
        Retry(Option<u64>),
        Crowded,
        Operator(&'static [&'static str]),
    }

    fn refused(method: Method, error: &str, needed: Option<&str>) -> OpenError {
        OpenError::Call(CallError::Refused {
            method: method.name(),
            error: error.to_owned(),
            needed: needed.map(str::to_owned),
            provided: None,
            messages: Vec::new(),
        })
    }

    fn refused_handshake(retry_after: Option<&str>) -> OpenError {
        let mut response = tungstenite::http::Response::builder().status(429);
        if let Some(value) = retry_after {
            response = response.header("Retry-After", value);
        }
        let response = response.body(None).unwrap();
        OpenError::Connect(ConnectError::Refused(Box::new(response)))
    }

    #[test]
    fn every_failure_has_its_verdict() {
        use Expected::{Crowded, Operator, Retry};
        use Method::{AppsConnectionsOpen as Open, AuthTest as Auth};
        let reason = || "lost".to_owned();
        let cases: Vec<(OpenError, Expected)> = vec![
            (CallError::NotSent { reason: reason() }.into(), Retry(None)),
            (CallError::Lost { reason: reason() }.into(), Retry(None)),
            (
                CallError::Limited {
                    after: Duration::from_secs(7),
                }
                .into(),
                Retry(Some(7)),
            ),
            (refused(Open, "moon", None), Retry(None)),
            (refused(Open, "invalid_arguments", None), Retry(None)),
            (
                refused(Open, "not_authed", None),
                Operator(&["`app_token` of channel `team`", "App-Level Tokens"]),
            ),
            (
                refused(Open, "invalid_auth", None),
                Operator(&["`app_token` of channel `team`", "connections:write"]),
            ),
            (
                refused(Auth, "invalid_auth", None),
                Operator(&["`bot_token` of channel `team`", "Bot User OAuth Token"]),
            ),
            (
                refused(Auth, "token_revoked", None),
                Operator(&["bot token", "revoked", "auth.test: token_revoked"]),
            ),
            (
                refused(Auth, "token_expired", None),
                Operator(&["bot token", "expired"]),
            ),
            (
                refused(Open, "not_allowed_token_type", None),
                Operator(&["app-level token", "another kind", "xapp-"]),
            ),
            (
                refused(Auth, "not_allowed_token_type", None),
                Operator(&["bot token", "another kind", "xoxb-"]),
            ),
            (
                refused(Open, "missing_scope", None),
                Operator(&["app-level token", "scope connections:write"]),
            ),
            (
                refused(Auth, "missing_scope", Some("users:read")),
                Operator(&["bot token", "scope users:read", "Reinstall to Workspace"]),
            ),
            (
                refused(Auth, "account_inactive", None),
                Operator(&["removed from the workspace", "Install App"]),
            ),
            (
                refused(Open, "user_removed_from_team", None),
                Operator(&["removed from the workspace"]),
            ),
            (
                refused(Open, "team_disabled", None),
                Operator(&["workspace of channel `team` is switched off"]),
            ),
            (
                refused(Auth, "team_access_not_granted", None),
                Operator(&["administrator"]),
            ),
            (refused_handshake(None), Retry(None)),
            (refused_handshake(Some("9")), Retry(Some(9))),
            (refused_handshake(Some("soon")), Retry(None)),
            // No wait reaches beyond what a clock can tell.
            (
                refused_handshake(Some("18446744073709551615")),
                Retry(Some(3_600)),
            ),
            (
                ConnectError::Deadline(Duration::from_secs(1)).into(),
                Retry(None),
            ),
            (
                OpenError::TurnedAway(DisconnectReason::TooManyWebsockets),
                Crowded,
            ),
            (
                OpenError::TurnedAway(DisconnectReason::LinkDisabled),
                Operator(&["Enable Socket Mode", "channel `team`"]),
            ),
            (
                OpenError::TurnedAway(DisconnectReason::Warning),
                Retry(None),
            ),
            (OpenError::Closed, Retry(None)),
        ];
        let channel = ChannelId::new("team");
        for (error, expected) in cases {
            let verdict = on_failure(&channel, &error);
            match expected {
                Retry(after) => assert_eq!(
                    verdict,
                    Verdict::Retry {
                        after: after.map(Duration::from_secs)
                    },
                    "{error:?}"
                ),
                Crowded => assert_eq!(verdict, Verdict::Crowded, "{error:?}"),
                Operator(words) => {
                    let Verdict::Operator { remedy } = verdict else {
                        panic!("{error:?} gives {verdict:?}");
                    };
                    for word in words {
                        assert!(remedy.contains(word), "no {word:?} in {remedy:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn routine_ends_need_no_verdict() {
        let channel = ChannelId::new("team");
        for reason in [
            DisconnectReason::Warning,
            DisconnectReason::RefreshRequested,
            DisconnectReason::Other("moon".to_owned()),
        ] {
            assert_eq!(on_disconnect(&channel, &reason), None, "{reason:?}");
        }
    }
}
