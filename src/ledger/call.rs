//! A call of a tool, as far as it must not be done twice.

use serde::{Deserialize, Serialize};

use crate::id::{LaneId, TurnKey};
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::post::NewPost;
use crate::ledger::teammate::{Order, Ordered};

/// How long codex's name of a call may be, in bytes.
pub const MAX_CALL_NAME: usize = 256;

/// A call of a tool that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// The lane whose model calls.
    pub lane: LaneId,
    /// The turn that is open there.
    pub turn: TurnKey,
    /// Codex's name of the call, the same when it asks again; at most [`MAX_CALL_NAME`].
    pub call: String,
    /// The tool.
    pub tool: String,
    /// What the model is answered; cut to 512 bytes.
    pub receipt: String,
    /// What people are told by it.
    pub posts: Vec<NewPost>,
    /// The model says it to them; otherwise it is tieline that tells them of the call.
    pub is_said: bool,
    /// What it orders about teammates.
    pub order: Option<Order>,
}

/// A call that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// What orders it among the others of its turn.
    pub number: u64,
    /// The tool.
    pub tool: String,
    /// What the model was answered.
    pub receipt: String,
}

/// What doing a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the model is answered.
    pub receipt: String,
    /// It was not done before.
    pub is_new: bool,
    /// What its order has led to, if it was not done before.
    pub ordered: Option<Ordered>,
}

impl Ledger {
    /// Does what a call of the open turn does, unless it was done before: then nothing changes, and
    /// what was answered then is returned.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the call's turn is not open any more.
    pub async fn do_call(&self, new: NewCall) -> Result<Done, LedgerError> {
        self.call(move |transaction| transaction.do_call(new)).await
    }

    /// Returns a call of the open turn that was done.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn done_call(
        &self,
        lane: &LaneId,
        turn: TurnKey,
        call: &str,
    ) -> Result<Option<CallRecord>, LedgerError> {
        let (lane, call) = (lane.clone(), call.to_owned());
        self.call(move |transaction| transaction.done_call(&lane, turn, &call))
            .await
    }

    /// Returns the calls of the open turn that were done, in the order in which that was.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn done_calls(
        &self,
        lane: &LaneId,
        turn: TurnKey,
    ) -> Result<Vec<CallRecord>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.done_calls(&lane, turn))
            .await
    }
}
