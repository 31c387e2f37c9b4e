//! Pairing: who asks to be let in, who was, and the operator's word on both.
//!
//! `GET /v1/pairings` tells them, `POST /v1/pairings/{code}` lets in whoever was given the code,
//! `DELETE /v1/pairings/{channel}:{user}` takes it back.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, UserId};

use crate::control::body::Segments;
use crate::control::error::{ApiError, Code};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::id::DispatcherId;
use crate::ledger::{Host, Invitation, LedgerError, Paired, PairingCode, PairingError};

/// The answer of `GET /v1/pairings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairings {
    /// The codes that are good, the oldest first.
    pub open: Vec<OpenCode>,
    /// Who was let in.
    pub paired: Vec<PairedPerson>,
}

/// A code that is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCode {
    /// The code.
    pub code: String,
    /// Who asks.
    #[serde(flatten)]
    pub person: Person,
    /// When they first asked.
    #[serde(with = "rfc3339")]
    pub asked_at: SystemTime,
    /// When the code stops being good.
    #[serde(with = "rfc3339")]
    pub expires_at: SystemTime,
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedPerson {
    /// Who.
    #[serde(flatten)]
    pub person: Person,
    /// Who let them in, as `channel:user`; absent for the operator on the machine.
    #[serde(default)]
    pub by: Option<String>,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
}

/// Somebody on a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Whom they want to speak to.
    pub dispatcher: DispatcherId,
    /// Where.
    pub channel: ChannelId,
    /// The platform's name of them.
    pub user: UserId,
    /// The name people see, if the platform tells.
    #[serde(default)]
    pub name: Option<String>,
}

impl From<Invitation> for OpenCode {
    fn from(invitation: Invitation) -> Self {
        let expires_at = invitation.expires_at();
        Self {
            code: invitation.code.to_string(),
            person: invitation.guest.into(),
            asked_at: invitation.made_at,
            expires_at,
        }
    }
}

impl From<Paired> for PairedPerson {
    fn from(paired: Paired) -> Self {
        Self {
            person: paired.guest.into(),
            by: match paired.by {
                Host::Operator => None,
                Host::Admin { channel, user } => Some(format!("{channel}:{user}")),
            },
            at: paired.at,
        }
    }
}

impl From<crate::ledger::Guest> for Person {
    fn from(guest: crate::ledger::Guest) -> Self {
        Self {
            dispatcher: guest.dispatcher,
            channel: guest.channel,
            user: guest.user,
            name: guest.name,
        }
    }
}

/// Tells the codes that are good and who was let in.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Pairings>, ApiError> {
    let (open, paired) = api.pairings.list().await.map_err(|error| failed(&error))?;
    Ok(Json(Pairings {
        open: open.into_iter().map(OpenCode::from).collect(),
        paired: paired.into_iter().map(PairedPerson::from).collect(),
    }))
}

/// Lets in whoever was given the code.
pub(super) async fn confirm(
    State(api): State<Api>,
    Segments(code): Segments<String>,
) -> Result<Json<PairedPerson>, ApiError> {
    const ASK_AGAIN: &str = "`tieline pair` lists the codes that are good; whoever asked gets a \
                             new one by writing to the bot again";
    let code: PairingCode = code.parse().map_err(|error| {
        ApiError::new(
            Code::BadRequest,
            format!("{code:?} is not a code"),
            format!("{error}"),
        )
    })?;
    let confirmed = api.pairings.confirm(code).await;
    match confirmed.map_err(|error| failed(&error))? {
        Ok(paired) => Ok(Json(paired.into())),
        Err(error) => {
            let code = match error {
                PairingError::Unknown => Code::UnknownPairing,
                PairingError::Expired => Code::Expired,
            };
            Err(ApiError::new(code, error.to_string(), ASK_AGAIN))
        }
    }
}

/// Lets somebody in no longer.
pub(super) async fn revoke(
    State(api): State<Api>,
    Segments(who): Segments<String>,
) -> Result<Json<Vec<PairedPerson>>, ApiError> {
    let Some((channel, user)) = who.split_once(':') else {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("{who:?} is nobody"),
            "write CHANNEL:USER, the channel by its name in the configuration",
        ));
    };
    let (channel, user) = (ChannelId::new(channel), UserId::new(user));
    let gone = api.pairings.revoke(&channel, &user).await;
    let gone = gone.map_err(|error| failed(&error))?;
    if gone.is_empty() {
        return Err(ApiError::new(
            Code::UnknownPairing,
            format!("{who} is not paired"),
            "`tieline pair` lists who is; whoever the configuration names is let in by that",
        ));
    }
    Ok(Json(gone.into_iter().map(PairedPerson::from).collect()))
}

fn failed(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        error.to_string(),
        "nothing has changed; `tieline status` shows how the ledger is",
    )
}
