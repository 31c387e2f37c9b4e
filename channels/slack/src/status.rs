//! What people see while a message is worked on: reactions, and the native status of its thread.
//!
//! What is to be seen is only noted when it is asked for, and shown by [`StatusKeeper::run`] as the
//! budget of calls allows, so that nothing ever waits for it.

mod native;
mod reactions;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use pulldown_cmark::{Event, Parser, TagEnd};
use serde::de::IgnoredAny;
use tieline_channel::{Conversation, Language, SendError, Status, WireId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::native::{Place, Statuses};
use self::reactions::{Reaction, Reactions};
use crate::account::Account;
use crate::web::{CallError, Form, Method, Urgency};

/// How long one call may take; nobody misses it.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long what Slack refuses is left alone: until then somebody may have mended it.
const OFF_FOR: Duration = Duration::from_secs(10 * 60);

/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a status may be.
const MAX_WORDS: usize = 50;

/// Shows statuses, and keeps up those that Slack lets expire.
#[derive(Debug)]
pub(crate) struct StatusKeeper {
    reactions: Mutex<Reactions>,
    statuses: Mutex<Statuses>,
    more_reactions: Notify,
    more_statuses: Notify,
}

impl StatusKeeper {
    pub(crate) fn new() -> Self {
        Self {
            reactions: Mutex::default(),
            statuses: Mutex::default(),
            more_reactions: Notify::new(),
            more_statuses: Notify::new(),
        }
    }

    /// Shows how far a message is, soon. What is no message, a slash command, has nothing to show
    /// it on.
    pub(crate) async fn show(
        &self,
        account: &Account,
        at: &Conversation,
        message: &WireId,
        status: &Status,
    ) -> Result<(), SendError> {
        if !is_ts(message.as_str()) {
            return Ok(());
        }
        if account.settings.reactions {
            locked(&self.reactions).want(&at.chat, message, status);
            self.more_reactions.notify_one();
        }
        let place = Place::of(at, message);
        let words = || words(status, account.settings.language);
        locked(&self.statuses).want(place, message, status, words, Instant::now());
        self.more_statuses.notify_one();
        Ok(())
    }

    /// Takes note that a post went to a conversation whose work goes on: Slack takes the status
    /// away then.
    pub(crate) fn replied(&self, at: &Conversation) {
        locked(&self.statuses).replied(at);
        self.more_statuses.notify_one();
    }

    /// Shows what is asked for and renews what expires, until `stop` is cancelled; then takes away
    /// what still shows, if that is quick.
    pub(crate) async fn run(&self, account: &Account, stop: CancellationToken) {
        let work = join(self.make_reactions(account), self.set_statuses(account));
        stop.run_until_cancelled(work).await;
        let farewell = join(
            self.make_last_reactions(account),
            self.clear_statuses(account),
        );
        if timeout(FAREWELL, farewell).await.is_err() {
            debug!("not every status could be taken away before the end");
        }
    }

    async fn make_reactions(&self, account: &Account) {
        let mut is_told = false;
        loop {
            let next = locked(&self.reactions).next(Instant::now());
            match next {
                reactions::Next::Make(reaction) => {
                    let outcome = react(account, &reaction, &mut is_told).await;
                    locked(&self.reactions).made(&reaction, outcome, Instant::now());
                }
                reactions::Next::Wait(until) => wait(&self.more_reactions, Some(until)).await,
                reactions::Next::Idle => wait(&self.more_reactions, None).await,
            }
        }
    }

    /// Makes what can be made at once.
    async fn make_last_reactions(&self, account: &Account) {
        let mut is_told = true;
        loop {
            let next = locked(&self.reactions).next(Instant::now());
            let reactions::Next::Make(reaction) = next else {
                return;
            };
            let outcome = react(account, &reaction, &mut is_told).await;
            locked(&self.reactions).made(&reaction, outcome, Instant::now());
        }
    }

    async fn set_statuses(&self, account: &Account) {
        let mut is_told = false;
        loop {
            let next = locked(&self.statuses).next(Instant::now());
            match next {
                native::Next::Set(place, words) => {
                    let outcome = set(account, &place, words.as_deref(), &mut is_told).await;
                    locked(&self.statuses).done(&place, words, outcome, Instant::now());
                }
                native::Next::Wait(until) => wait(&self.more_statuses, Some(until)).await,
                native::Next::Idle => wait(&self.more_statuses, None).await,
            }
        }
    }

    async fn clear_statuses(&self, account: &Account) {
        let shown = locked(&self.statuses).shown();
        let clear = async |place: Place| {
            let form = status_form(&place, None);
            let call = account
                .web
                .call_as::<IgnoredAny>(Urgency::Answer, Method::SetStatus, form);
            if let Err(error) = call.await {
                debug!(%error, "a status could not be taken away: it expires");
            }
        };
        join_all(shown.into_iter().map(clear)).await;
    }
}

async fn react(account: &Account, reaction: &Reaction, is_told: &mut bool) -> reactions::Outcome {
    use self::reactions::Outcome;
    let form = vec![
        ("channel", reaction.chat.to_string()),
        ("timestamp", reaction.message.to_string()),
        ("name", reaction.name.to_owned()),
    ];
    let error = match called(account, reaction.method, form).await {
        Ok(()) => {
            *is_told = false;
            return Outcome::Settled;
        }
        Err(error) => error,
    };
    match (&error, error.refusal()) {
        (_, Some("already_reacted" | "no_reaction")) => Outcome::Settled,
        (CallError::Limited { after }, _) => Outcome::Limited(*after),
        // Of this channel, not of the app.
        (_, Some("not_in_channel")) => Outcome::Settled,
        (_, Some(_)) => match error.remedy() {
            Some(remedy) => {
                tell(is_told, &error, &remedy, "reactions cannot be made");
                Outcome::Off(OFF_FOR)
            }
            None => {
                debug!(%error, "a reaction was refused");
                Outcome::Settled
            }
        },
        (_, None) => {
            debug!(%error, "a reaction did not get through");
            Outcome::Failed
        }
    }
}

async fn set(
    account: &Account,
    place: &Place,
    words: Option<&str>,
    is_told: &mut bool,
) -> native::Outcome {
    use self::native::Outcome;
    let form = status_form(place, words);
    let error = match called(account, Method::SetStatus, form).await {
        Ok(()) => {
            *is_told = false;
            return Outcome::Set;
        }
        Err(error) => error,
    };
    match (&error, error.refusal()) {
        (CallError::Limited { after }, _) => Outcome::Limited(*after),
        (_, Some("invalid_thread_ts" | "thread_not_found" | "not_in_channel" | "is_archived")) => {
            debug!(%error, "a thread cannot have a status");
            Outcome::Impossible
        }
        (_, Some(_)) => {
            let remedy = error.remedy();
            let remedy = remedy
                .as_deref()
                .unwrap_or("nothing: reactions show as much");
            tell(is_told, &error, remedy, "Slack shows no status");
            Outcome::Off(OFF_FOR)
        }
        (_, None) => {
            debug!(%error, "a status did not get through");
            Outcome::Failed
        }
    }
}

async fn called(account: &Account, method: Method, form: Form) -> Result<(), CallError> {
    match timeout(DEADLINE, account.web.call::<IgnoredAny>(method, form)).await {
        Ok(answer) => answer.map(drop),
        Err(_elapsed) => Err(CallError::Lost {
            reason: format!("no answer within {} s", DEADLINE.as_secs()),
        }),
    }
}

/// Says once what is off, until it works again.
fn tell(is_told: &mut bool, error: &CallError, remedy: &str, message: &'static str) {
    if std::mem::replace(is_told, true) {
        debug!(%error, remedy, message);
    } else {
        warn!(%error, remedy, "{message}");
    }
}

fn status_form(place: &Place, words: Option<&str>) -> Form {
    vec![
        ("channel_id", place.chat.to_string()),
        ("thread_ts", place.thread.clone()),
        ("status", words.unwrap_or_default().to_owned()),
    ]
}

/// Returns what comes after the app's name in a status.
fn words(status: &Status, language: Language) -> String {
    let progress = match status {
        Status::Working { progress } => progress.as_deref().map(first_line).unwrap_or_default(),
        Status::Received | Status::Done | Status::Failed => String::new(),
    };
    let words = match (language, progress.is_empty()) {
        (Language::English, true) => return "is working…".to_owned(),
        (Language::Chinese, true) => return "正在处理…".to_owned(),
        (Language::English, false) => format!("is working: {progress}"),
        (Language::Chinese, false) => format!("正在处理：{progress}"),
    };
    if words.chars().count() <= MAX_WORDS {
        return words;
    }
    let cut: String = words.chars().take(MAX_WORDS - 1).collect();
    format!("{}…", cut.trim_end())
}

/// Returns the first line of Markdown that says something, without its signs.
fn first_line(markdown: &str) -> String {
    let mut line = String::new();
    for event in Parser::new(markdown) {
        match event {
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
                line.push_str(&text);
            }
            Event::SoftBreak | Event::HardBreak | Event::End(_)
                if !line.trim().is_empty() && !matches!(event, Event::End(tag) if is_span(tag)) =>
            {
                break;
            }
            _ => {}
        }
    }
    // Nothing in it may address anybody.
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace(['<', '>'], "")
}

fn is_span(tag: TagEnd) -> bool {
    matches!(
        tag,
        TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image
    )
}

/// Returns whether this is a message's name: seconds, a dot, and a number.
fn is_ts(id: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    id.split_once('.')
        .is_some_and(|(seconds, number)| is_number(seconds) && is_number(number))
}

async fn wait(more: &Notify, until: Option<Instant>) {
    match until {
        Some(until) => {
            tokio::select! {
                () = more.notified() => {}
                () = sleep_until(until) => {}
            }
        }
        None => more.notified().await,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
