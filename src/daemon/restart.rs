//! A restart that somebody orders: first it is certain that a new start would come up, then people are
//! told, and told again when it is over.
//!
//! Who is to be told that it is over stands in the ledger with what they are told before it: they are
//! told once, whatever happens in between.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tieline_channel::{ChannelId, Language, WithCauses};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{Config, LoadError};
use crate::control::{RestartOrdered, RestartRefused, Restarts};
use crate::daemon::Secrets;
use crate::dispatcher::{Handle, Line};
use crate::id::DispatcherId;
use crate::ledger::{Ledger, LedgerError, Origin, Restart};
use crate::outbox;

/// Whoever wrote that lately is told of a restart.
const TALKING_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How many conversations of a channel are told.
const MAX_TOLD: usize = 50;

/// How long telling people may hold up a restart.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(5);

/// For how long a start is one that somebody ordered: if it breaks in between, the next one is it.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// Takes orders to restart.
pub(super) struct Restarter {
    config: PathBuf,
    started_at: SystemTime,
    ordered: watch::Sender<Option<Restart>>,
}

impl Restarter {
    /// Makes one for a daemon that was started then with this file. The receiver gets the order.
    pub(super) fn new(
        config: PathBuf,
        started_at: SystemTime,
    ) -> (Self, watch::Receiver<Option<Restart>>) {
        let (ordered, orders) = watch::channel(None);
        let restarter = Self {
            config,
            started_at,
            ordered,
        };
        (restarter, orders)
    }
}

#[async_trait]
impl Restarts for Restarter {
    async fn order(&self, notice: Option<String>) -> Result<RestartOrdered, RestartRefused> {
        would_start(&self.config).await?;
        info!("a restart was ordered");
        self.ordered.send_replace(Some(Restart {
            notice,
            at: SystemTime::now(),
        }));
        Ok(RestartOrdered {
            pid: std::process::id(),
            started_at: self.started_at,
        })
    }
}

/// Looks whether a daemon that is started with this file now would begin: one that runs is worth more
/// than one that does not come up.
async fn would_start(config: &std::path::Path) -> Result<(), RestartRefused> {
    let refused = |message: String, hint: &str| RestartRefused {
        message: format!("nothing was restarted, for a new start would fail: {message}"),
        hint: hint.to_owned(),
    };
    let loaded = Config::load(config).map_err(|error| match error {
        LoadError::Invalid(report) => refused(
            format!("{} has mistakes ({})", config.display(), report.n_errors()),
            "`tieline check` shows them; mend them and order it again",
        ),
        error @ LoadError::Read { .. } => refused(
            WithCauses(&error).to_string(),
            "put the file back, or stop the daemon and start it with another one",
        ),
    })?;
    match Secrets::fetch(&loaded.config).await {
        Ok(_) => Ok(()),
        Err(missing) => Err(refused(
            missing.to_string(),
            "`tieline doctor` shows more; mend it and order it again",
        )),
    }
}

/// Waits for an order; for ever when none can come any more.
pub(super) async fn ordered(orders: &mut watch::Receiver<Option<Restart>>) -> Restart {
    let order = match orders.wait_for(Option::is_some).await {
        Ok(order) => order.clone(),
        Err(_) => None,
    };
    match order {
        Some(restart) => restart,
        None => std::future::pending().await,
    }
}

/// Tells those who wait or have just written. What cannot be told does not keep the daemon from it.
pub(super) async fn announce(
    restart: Restart,
    ledger: &Ledger,
    handles: &BTreeMap<DispatcherId, Handle>,
    lines: &BTreeMap<ChannelId, Line>,
) {
    let telling = async {
        let told = concerned(ledger, handles, lines, restart.at).await?;
        let posts = told
            .iter()
            .map(|origin| {
                let text = going(language(lines, origin), restart.notice.as_deref());
                outbox::notice(&origin.channel, &origin.conversation, &text)
            })
            .collect();
        info!(chats = told.len(), "people are told of the restart");
        ledger.announce_restart(restart, told, posts).await
    };
    match timeout(ANNOUNCE_WITHIN, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => warn!(error = %failure, "nobody was told of the restart"),
        Err(_elapsed) => warn!("nobody was told of the restart: the ledger takes too long"),
    }
}

/// Returns the conversations that wait for something, and those that were used lately.
async fn concerned(
    ledger: &Ledger,
    handles: &BTreeMap<DispatcherId, Handle>,
    lines: &BTreeMap<ChannelId, Line>,
    now: SystemTime,
) -> Result<Vec<Origin>, LedgerError> {
    let mut all = Vec::new();
    for handle in handles.values() {
        all.extend(handle.waiting_conversations().await?);
    }
    let since = now.checked_sub(TALKING_WITHIN).unwrap_or(now);
    for channel in lines.keys() {
        let used = ledger.conversations(channel, since, MAX_TOLD).await?;
        all.extend(used.into_iter().map(|conversation| Origin {
            channel: channel.clone(),
            conversation,
        }));
    }
    let mut told: Vec<Origin> = Vec::new();
    for origin in all {
        let of_channel = told.iter().filter(|it| it.channel == origin.channel);
        if of_channel.count() < MAX_TOLD && !told.contains(&origin) {
            told.push(origin);
        }
    }
    Ok(told)
}

/// Returns what the models of a daemon that starts now are told of the restart, if it was ordered
/// with a notice.
pub(super) async fn notice_of_this_start(ledger: &Ledger) -> Option<String> {
    match ledger.last_restart().await {
        Ok(restart) => restart.and_then(|it| fresh_notice(it, SystemTime::now())),
        Err(failure) => {
            warn!(error = %failure, "whether a restart was ordered cannot be read");
            None
        }
    }
}

fn fresh_notice(restart: Restart, now: SystemTime) -> Option<String> {
    let age = now.duration_since(restart.at).unwrap_or_default();
    restart.notice.filter(|_| age < FRESH)
}

/// Waits until a dispatcher is ready, and tells its conversations that the restart is over, if they
/// were told of one.
pub(super) async fn tell_over(ledger: Ledger, handle: Handle, lines: BTreeMap<ChannelId, Line>) {
    handle.ready().await;
    let channels = lines.keys().cloned().collect();
    let say = move |origin: &Origin| {
        let text = back(language(&lines, origin));
        outbox::notice(&origin.channel, &origin.conversation, text)
    };
    match ledger.restart_is_over(channels, say).await {
        Ok(0) => {}
        Ok(chats) => info!(chats, "people were told that the restart is over"),
        Err(failure) => {
            warn!(error = %failure, "nobody was told that the restart is over; the next start tells");
        }
    }
}

fn language(lines: &BTreeMap<ChannelId, Line>, origin: &Origin) -> Language {
    let line = lines.get(&origin.channel);
    line.map_or(Language::default(), |line| line.language)
}

/// What people are told before it.
fn going(language: Language, notice: Option<&str>) -> String {
    let text = match language {
        Language::English => {
            "🔄 I am being restarted. What you write is kept, and I say when I am back."
        }
        Language::Chinese => "🔄 我正在重启。期间的消息会保存下来，恢复后我会告诉你。",
    };
    match notice {
        Some(notice) => format!("{text}\n\n{notice}"),
        None => text.to_owned(),
    }
}

/// What people are told after it.
fn back(language: Language) -> &'static str {
    match language {
        Language::English => "✅ I am back.",
        Language::Chinese => "✅ 我回来了。",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_is_told_by_the_start_that_was_ordered_and_by_no_later_one() {
        let now = SystemTime::now();
        let restart = |age: u64| Restart {
            notice: Some("new disk".to_owned()),
            at: now - Duration::from_secs(age),
        };
        let told = |restart| fresh_notice(restart, now);
        assert_eq!(told(restart(5)).as_deref(), Some("new disk"));
        assert_eq!(told(restart(3_600)), None);
        let silent = Restart {
            notice: None,
            ..restart(5)
        };
        assert_eq!(told(silent), None);
    }

    #[test]
    fn people_are_told_in_their_language_with_the_notice() {
        assert!(going(Language::English, Some("new disk")).ends_with("back.\n\nnew disk"));
        assert!(going(Language::Chinese, None).contains("重启"));
        assert_ne!(back(Language::English), back(Language::Chinese));
    }
}
