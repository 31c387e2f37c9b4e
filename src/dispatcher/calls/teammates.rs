//! What models order about teammates, and ask about them.
//!
//! An order is made ready here and carried out in the commit that remembers its call. Questions are
//! answered as things are now: nothing is remembered of them.

use std::time::SystemTime;

use super::{Caller, Calls, Deed, Refusal, describe};
use crate::dispatcher::lane::Work;
use crate::dispatcher::words;
use crate::ledger::{Asker, LedgerError, NewPost, NewTask, NewTeammate, Order, Stop, Workspace};
use crate::outbox;
use crate::teammates::Wish;
use crate::tools::TeamQuestion;

/// What a model is told when it has stopped one.
const STOPPED: &str = "stopped: it can be given other work, and you are brought nothing more of what you \
                       had given it";

/// How many calls a turn may make until people are no longer told of work that is handed out.
const MAX_ANNOUNCED: usize = 50;

/// How many calls a turn may make until it orders nothing more: one that has lost its way must not
/// start and close teammates without end.
pub(super) const MAX_ORDERS: usize = 100;

impl Calls {
    /// Makes an order ready. What comes of it does not reach people by itself, so it needs nobody who
    /// would hear of it.
    pub(super) async fn order(&self, caller: &Caller, wish: Wish) -> Result<Deed, Refusal> {
        let n_calls = self.n_calls(caller).await?;
        if n_calls >= MAX_ORDERS {
            return Err(Refusal::TooManyOrders);
        }
        let asker = self.asker(caller).await?;
        let stop = Stop {
            by: Some(asker.lane.clone()),
            origin: asker.origin.clone(),
            ..Stop::by_person()
        };
        let order = match wish {
            Wish::Spawn(request) => self.teammates.spawn(request, asker).await?,
            Wish::Assign { name, task } => self.teammates.send(name, task, asker)?,
            Wish::Stop { name } => self.teammates.stop(name, stop),
            Wish::Close { name, discard } => self.teammates.close(name, stop, discard),
        };
        let announced = |task: &NewTask| match n_calls {
            // It has lost its way: the chat is not flooded with it.
            MAX_ANNOUNCED.. => Vec::new(),
            _ => self.announcement(task).into_iter().collect(),
        };
        let (posts, receipt) = match &order {
            Order::Spawn(new, task) => (announced(task), begun(new)),
            Order::Assign(task) => {
                let pushed = pushed(&task.teammate);
                let receipt = format!("given, and done after what it has already; {pushed}");
                (announced(task), receipt)
            }
            Order::Stop(_) => (Vec::new(), STOPPED.to_owned()),
            Order::Close { halt, force } => (Vec::new(), self.farewell(&halt.name, *force).await?),
        };
        Ok(Deed {
            posts,
            receipt,
            file: None,
            order: Some(order),
        })
    }

    /// Answers a question.
    pub(super) async fn look(
        &self,
        caller: &Caller,
        question: TeamQuestion,
    ) -> Result<String, Refusal> {
        let now = SystemTime::now();
        match question {
            TeamQuestion::List => {
                let all = self.teammates.list().await?;
                Ok(describe::all(&all, &caller.lane, now))
            }
            TeamQuestion::Read { name, count } => {
                let details = self.teammates.read(&name, count).await?;
                Ok(describe::one(&details, &caller.lane, now))
            }
        }
    }

    /// Returns who orders something in a turn.
    async fn asker(&self, caller: &Caller) -> Result<Asker, LedgerError> {
        let work = Work::load(&self.ledger, &caller.lane, &caller.open).await?;
        Ok(Asker {
            lane: caller.lane.clone(),
            origin: work.origin,
        })
    }

    /// Returns how many calls of a turn were carried out.
    async fn n_calls(&self, caller: &Caller) -> Result<usize, LedgerError> {
        let turn = caller.open.key;
        Ok(self.ledger.done_calls(&caller.lane, turn).await?.len())
    }

    /// Returns what people are told of a task that is handed out; nothing if nobody is to hear of it.
    fn announcement(&self, task: &NewTask) -> Option<NewPost> {
        let origin = task.asker.origin.as_ref().filter(|_| self.announces)?;
        let line = self.lines.get(&origin.channel)?;
        let text = words::handed_out(&task.teammate, &task.text, line.language);
        Some(outbox::notice(&origin.channel, &origin.conversation, &text))
    }

    /// Returns what a model is told when it has let one go.
    async fn farewell(&self, name: &str, discard: bool) -> Result<String, LedgerError> {
        let closed = "closed: it can still be read, and does nothing more";
        let known = self.ledger.teammate_named(&self.dispatcher, name).await?;
        let Some(Workspace::Worktree { branch, .. }) = known.map(|known| known.workspace) else {
            return Ok(closed.to_owned());
        };
        let fate = if discard {
            "its worktree goes with all that is not committed"
        } else {
            "its worktree goes unless something would be lost by that; then it is kept, and read_teammate \
             says what: take that over before you discard it"
        };
        Ok(format!("{closed}; {fate}; branch {branch} stays"))
    }
}

/// Returns what is said when one begins.
fn begun(new: &NewTeammate) -> String {
    let started = format!("started; {}", pushed(&new.name));
    match &new.workspace {
        Workspace::Shared | Workspace::Directory { .. } => started,
        Workspace::Worktree { path, branch, .. } => {
            format!(
                "{started}; it works on branch {branch} in {}",
                path.display()
            )
        }
    }
}

/// Returns how a result arrives.
fn pushed(name: &str) -> String {
    format!(
        "what comes of it is brought to you as a <completion> from \"{name}\": end your turn or go on \
         with something else, and do not wait"
    )
}
