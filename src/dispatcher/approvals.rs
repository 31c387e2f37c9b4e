//! What people decide at the machine, and what there is to decide.

use tracing::info;

use super::Handle;
use crate::id::ApprovalId;
use crate::ledger::{ApprovalRecord, Decider, Decision, LedgerError, Ruled, Ruling};

impl Handle {
    /// Returns what waits for a decision, in the order in which it was asked for.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn open_approvals(&self) -> Result<Vec<ApprovalRecord>, LedgerError> {
        self.ledger.open_approvals(self.id()).await
    }

    /// Returns what is to be decided, and lately was, over all dispatchers, the newest first.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn recent_approvals(&self, limit: usize) -> Result<Vec<ApprovalRecord>, LedgerError> {
        self.ledger.recent_approvals(limit).await
    }

    /// Decides for whoever works at the machine; of another dispatcher's approvals nothing is known.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn decide(
        &self,
        approval: ApprovalId,
        decision: Decision,
    ) -> Result<Ruled, LedgerError> {
        match self.ledger.approval(approval).await? {
            Some(record) if record.dispatcher == *self.id() => {}
            _ => return Ok(Ruled::Unknown),
        }
        let ruling = Ruling {
            approval,
            decision,
            by: Decider::Operator,
            may: true,
            is_answered: false,
        };
        let ruled = self.ledger.rule(ruling, None, |_| Vec::new()).await?;
        if let Ruled::Decided(record) = &ruled {
            let decision = record.state.verdict().map(Decision::as_str);
            info!(approval = %record.id, decision, "the operator has decided");
        }
        Ok(ruled)
    }
}
