//! Texts of any length inside of records of bounded size.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ledger::error::LedgerError;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::transaction::Transaction;

/// How large a body may be inside of a record, in bytes of JSON; longer ones go to the spool. Leaves
/// room for the names and reasons of the record, so that one that was stored can always move on.
const MAX_INLINE: usize = 2560;

/// The part of a record that may be long.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body<T> {
    /// It is in the record.
    Inline(T),
    /// It is in a file.
    Spooled(SpoolName),
}

impl<T: Clone + Serialize + DeserializeOwned> Body<T> {
    /// Keeps `content`, in a file if need be.
    pub(super) fn keep(
        transaction: &mut Transaction<'_>,
        owner: SpoolOwner,
        content: &T,
    ) -> Result<Self, LedgerError> {
        Self::keep_beside(transaction, owner, content, MAX_INLINE)
    }

    /// As [`keep`](Self::keep), in a record that has room for so many bytes of JSON.
    pub(super) fn keep_beside(
        transaction: &mut Transaction<'_>,
        owner: SpoolOwner,
        content: &T,
        room: usize,
    ) -> Result<Self, LedgerError> {
        let json = serde_json::to_vec(content).map_err(|error| damaged(&error))?;
        if json.len() <= room {
            return Ok(Self::Inline(content.clone()));
        }
        transaction.write_file(owner, &json).map(Self::Spooled)
    }

    /// Returns the whole content.
    pub(super) fn load(self, transaction: &Transaction<'_>) -> Result<T, LedgerError> {
        match self {
            Self::Inline(content) => Ok(content),
            Self::Spooled(name) => {
                serde_json::from_slice(&transaction.read_file(&name)?).map_err(|e| damaged(&e))
            }
        }
    }

    /// Returns the name of its file, if it has one.
    pub(super) fn file(self) -> Option<SpoolName> {
        match self {
            Self::Inline(_) => None,
            Self::Spooled(name) => Some(name),
        }
    }
}

fn damaged(error: &serde_json::Error) -> LedgerError {
    LedgerError::Damaged {
        what: "text",
        reason: error.to_string(),
    }
}
