//! Why a call came to nothing, and what to do about it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;
use tieline_channel::SendError;
use tracing::error;

use super::method::Method;

/// Why a call came to nothing. None of the texts has a token in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// Slack certainly did not get it.
    #[error("not sent: {reason}")]
    NotSent {
        /// What happened.
        reason: String,
    },
    /// Slack may have done it: the answer is lost, or says so itself.
    #[error("no clear answer: {reason}")]
    Lost {
        /// What happened.
        reason: String,
    },
    /// It was not done: too many calls.
    #[error("rate limited for {} s", after.as_secs())]
    Limited {
        /// How long to leave it alone.
        after: Duration,
    },
    /// It was not done: Slack said no.
    #[error("{method}: {error}")]
    Refused {
        /// The method.
        method: &'static str,
        /// Slack's word for it.
        error: String,
        /// The scopes that would be needed, if that is it.
        needed: Option<String>,
        /// The scopes that the token has.
        provided: Option<String>,
        /// Slack's explanations.
        messages: Vec<String>,
    },
}

impl CallError {
    /// Returns what it means to somebody who called `method`.
    pub(crate) fn into_send_error(self, method: Method) -> SendError {
        match self {
            Self::NotSent { reason } => SendError::Again {
                after: None,
                reason,
            },
            Self::Lost { reason } if method.is_repeatable() => SendError::Again {
                after: None,
                reason,
            },
            Self::Lost { reason } => SendError::Unclear { reason },
            Self::Limited { after } => SendError::Again {
                after: Some(after),
                reason: format!("{}: {self}", method.name()),
            },
            Self::Refused { .. } => self.refused(),
        }
    }

    /// Returns Slack's word for why it refused the call.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::NotSent { .. } | Self::Lost { .. } | Self::Limited { .. } => None,
        }
    }

    /// Returns what the operator must do, if that is what a refusal calls for.
    pub(crate) fn remedy(&self) -> Option<String> {
        let Self::Refused { error, needed, .. } = self else {
            return None;
        };
        let remedy = match error.as_str() {
            "missing_scope" => match needed {
                Some(needed) => format!(
                    "add the scope {needed} to the Slack app under OAuth & Permissions and \
                     reinstall it"
                ),
                None => "add the missing scopes to the Slack app under OAuth & Permissions and \
                         reinstall it"
                    .to_owned(),
            },
            "not_authed" | "invalid_auth" | "token_revoked" | "token_expired" => {
                "give tieline a valid token of the Slack app: bot_token from OAuth & Permissions, \
                 app_token from Basic Information"
                    .to_owned()
            }
            "not_allowed_token_type" => {
                "check that app_token begins with xapp- and bot_token with xoxb-, not the other \
                 way round"
                    .to_owned()
            }
            "account_inactive" | "user_removed_from_team" => {
                "install the Slack app in the workspace again and give tieline its new bot_token"
                    .to_owned()
            }
            "team_disabled" => "have the Slack workspace enabled again".to_owned(),
            "not_in_channel" => {
                "invite the bot to the Slack channel: write /invite and its @name there".to_owned()
            }
            "team_access_not_granted" | "access_denied" | "org_login_required" => {
                "have an admin of the Slack organisation grant the app access to the workspace"
                    .to_owned()
            }
            "ekm_access_denied" => {
                "have an admin of the Slack workspace lift the suspension of its encryption keys"
                    .to_owned()
            }
            "accesslimited" => {
                "have an admin of the Slack workspace allow the app from this network".to_owned()
            }
            "two_factor_setup_required" => {
                "set up two-factor authentication for the account that installed the Slack app"
                    .to_owned()
            }
            _ => return None,
        };
        Some(remedy)
    }

    fn refused(self) -> SendError {
        let reason = self.explained();
        if let Some(remedy) = self.remedy() {
            return SendError::Operator { remedy, reason };
        }
        if self.refusal().is_some_and(is_our_mistake) {
            error!(
                reason,
                "Slack does not understand a call: a defect of tieline"
            );
        }
        SendError::Never { reason }
    }

    /// Returns what is shown, with what Slack said about a refusal.
    pub(crate) fn explained(&self) -> String {
        match self {
            Self::Refused { messages, .. } if !messages.is_empty() => {
                format!("{self} ({})", messages.join("; "))
            }
            _ => self.to_string(),
        }
    }
}

/// Returns whether a refusal says that the call was malformed.
fn is_our_mistake(error: &str) -> bool {
    error.starts_with("invalid_arg")
        || matches!(
            error,
            "invalid_json"
                | "json_not_object"
                | "invalid_form_data"
                | "invalid_post_type"
                | "missing_post_type"
                | "missing_argument"
                | "missing_charset"
                | "invalid_charset"
                | "invalid_metadata_format"
                | "invalid_metadata_schema"
                | "unknown_method"
        )
}
