//! Commands on their way to the ledger's thread, and answers on their way back.

use tokio::sync::oneshot;

use crate::ledger::error::LedgerError;
use crate::ledger::transaction::Transaction;

/// What the ledger's thread is asked.
pub(super) enum Request {
    /// To run a command.
    Run(Box<dyn Command>),
    /// To finish what it has begun and end.
    Stop,
}

/// Something to be done in a group.
pub(super) trait Command: Send {
    /// Does it, and returns the answer that may be given once the group is on disk.
    fn run(self: Box<Self>, transaction: &mut Transaction<'_>) -> Box<dyn Answer>;

    /// Answers that it was not done.
    fn decline(self: Box<Self>, reason: LedgerError);
}

/// An answer that waits for its group.
pub(super) trait Answer {
    /// Gives the answer, or instead the reason why the group is not on disk.
    fn give(self: Box<Self>, committed: Result<(), LedgerError>);
}

/// A command made of a function.
pub(super) struct Call<F, T> {
    operation: F,
    answer: oneshot::Sender<Result<T, LedgerError>>,
}

struct Ready<T> {
    result: Result<T, LedgerError>,
    answer: oneshot::Sender<Result<T, LedgerError>>,
}

impl<F, T> Call<F, T>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    T: Send + 'static,
{
    /// Returns the command and where its answer arrives.
    pub(super) fn with_answer(
        operation: F,
    ) -> (Box<dyn Command>, oneshot::Receiver<Result<T, LedgerError>>) {
        let (answer, receiver) = oneshot::channel();
        (Box::new(Self { operation, answer }), receiver)
    }
}

impl<F, T> Command for Call<F, T>
where
    F: FnOnce(&mut Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
    T: Send + 'static,
{
    fn run(self: Box<Self>, transaction: &mut Transaction<'_>) -> Box<dyn Answer> {
        Box::new(Ready {
            result: transaction.run(self.operation),
            answer: self.answer,
        })
    }

    fn decline(self: Box<Self>, reason: LedgerError) {
        // Nobody waits any more: then nobody needs to know.
        self.answer.send(Err(reason)).ok();
    }
}

impl<T> Answer for Ready<T> {
    fn give(self: Box<Self>, committed: Result<(), LedgerError>) {
        let result = committed.and(self.result);
        self.answer.send(result).ok();
    }
}
