//! What people see while a message is worked on: reactions.
//!
//! What is to be seen is only noted when it is asked for, and shown by [`StatusKeeper::run`] as the
//! budget of calls allows, so that nothing ever waits for it.

mod reactions;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tieline_channel::{Conversation, SendError, Status, WireId};
use tieline_net::pace::Urgency;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::reactions::{Next, Outcome, Reactions, Step, What};
use crate::account::Account;
use crate::api::{Call, Failure};

/// How long one call may take; nobody misses it.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long what Feishu refuses is left alone: until then somebody may have mended it.
const OFF_FOR: Duration = Duration::from_secs(10 * 60);

/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Shows statuses as reactions. What keeps it from that is told once, until it works again.
#[derive(Debug)]
pub(crate) struct StatusKeeper {
    reactions: Mutex<Reactions>,
    more: Notify,
}

#[derive(Deserialize)]
struct Listed {
    reaction_id: String,
    operator: Operator,
}

#[derive(Deserialize)]
struct Operator {
    operator_type: String,
    operator_id: String,
}

impl StatusKeeper {
    pub(crate) fn new() -> Self {
        Self {
            reactions: Mutex::default(),
            more: Notify::new(),
        }
    }

    /// Notes how far a message is; shown by [`run`](Self::run). What is no message, a press, has
    /// nothing to show it on.
    pub(crate) async fn show(
        &self,
        account: &Account,
        _at: &Conversation,
        message: &WireId,
        status: &Status,
    ) -> Result<(), SendError> {
        if account.settings.reactions && message.as_str().starts_with("om_") {
            self.reactions().want(message, status);
            self.more.notify_one();
        }
        Ok(())
    }

    /// Shows what was noted, until `stop` is cancelled; then what is left, if that is quick.
    pub(crate) async fn run(&self, account: &Account, stop: CancellationToken) {
        let mut is_told = false;
        let work = self.work(account, &mut is_told);
        stop.run_until_cancelled(work).await;
        let farewell = async { while self.step(account, &mut is_told).await.is_none() {} };
        if timeout(FAREWELL, farewell).await.is_err() {
            debug!("not every status could be shown before the end");
        }
    }

    async fn work(&self, account: &Account, is_told: &mut bool) {
        loop {
            match self.step(account, is_told).await {
                None => {}
                Some(Wait::Until(until)) => tokio::select! {
                    () = self.more.notified() => {}
                    () = sleep_until(until) => {}
                },
                Some(Wait::More) => self.more.notified().await,
            }
        }
    }

    /// Takes a step, or returns what to wait for.
    async fn step(&self, account: &Account, is_told: &mut bool) -> Option<Wait> {
        let next = self.reactions().next(Instant::now());
        match next {
            Next::Take(step) => {
                let outcome = take(account, &step, is_told).await;
                self.reactions().taken(&step, outcome, Instant::now());
                None
            }
            Next::Wait(until) => Some(Wait::Until(until)),
            Next::Idle => Some(Wait::More),
        }
    }

    fn reactions(&self) -> MutexGuard<'_, Reactions> {
        self.reactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to wait for.
enum Wait {
    Until(Instant),
    More,
}

async fn take(account: &Account, step: &Step, is_told: &mut bool) -> Outcome {
    let call = account.api.call_as(Urgency::Low, call(step));
    let outcome = timeout(DEADLINE, call).await.unwrap_or_else(|_elapsed| {
        Err(Failure::Unclear {
            reason: format!("a reaction: no answer within {} s", DEADLINE.as_secs()),
        })
    });
    match outcome {
        Ok(answer) => {
            *is_told = false;
            done(step, &answer, &account.settings.app_id)
        }
        Err(failure) => failed(step, &failure, is_told),
    }
}

fn call(step: &Step) -> Call {
    let reactions = format!("/open-apis/im/v1/messages/{}/reactions", step.message);
    let (name, method, path, query, body) = match &step.what {
        What::Add(emoji) => (
            "im/v1/messages/reactions/create",
            Method::POST,
            reactions,
            Vec::new(),
            Some(json!({"reaction_type": {"emoji_type": emoji}})),
        ),
        What::Remove(id) => (
            "im/v1/messages/reactions/delete",
            Method::DELETE,
            format!("{reactions}/{id}"),
            Vec::new(),
            None,
        ),
        What::Find(emoji) => (
            "im/v1/messages/reactions/list",
            Method::GET,
            reactions,
            vec![("reaction_type", (*emoji).to_owned())],
            None,
        ),
    };
    Call {
        name,
        method,
        path,
        query,
        body,
        chat: None,
    }
}

/// Reads the answer to a step that was taken.
fn done(step: &Step, answer: &Value, app_id: &str) -> Outcome {
    match step.what {
        What::Add(_) => {
            let id = answer.pointer("/data/reaction_id").and_then(Value::as_str);
            Outcome::Added(id.map(str::to_owned))
        }
        What::Remove(_) => Outcome::Removed,
        What::Find(_) => {
            let items = answer.pointer("/data/items").and_then(Value::as_array);
            let listed = items.into_iter().flatten().map(Listed::deserialize);
            let ours = listed.flatten().filter(|Listed { operator, .. }| {
                operator.operator_type == "app" && operator.operator_id == app_id
            });
            Outcome::Found(ours.map(|listed| listed.reaction_id).collect())
        }
    }
}

fn failed(step: &Step, failure: &Failure, is_told: &mut bool) -> Outcome {
    debug!(%failure, message = %step.message, "a reaction was not made");
    match (failure, &step.what) {
        (Failure::Again { after, .. }, _) if !after.is_zero() => Outcome::Limited(*after),
        (Failure::Again { .. } | Failure::TokenInvalid { .. } | Failure::Unclear { .. }, _) => {
            Outcome::Failed
        }
        (Failure::Never { .. }, What::Add(_)) => Outcome::Impossible,
        (Failure::Operator { .. }, What::Add(_)) => {
            if !std::mem::replace(is_told, true) {
                warn!(%failure, "reactions cannot be made");
            }
            Outcome::Off(OFF_FOR)
        }
        // What cannot be taken away stays, and what cannot be found is not looked for again.
        (Failure::Never { .. } | Failure::Operator { .. }, What::Remove(_)) => Outcome::Removed,
        (Failure::Never { .. } | Failure::Operator { .. }, What::Find(_)) => {
            Outcome::Found(Vec::new())
        }
    }
}
