//! One attempt to deliver one post, and what its outcome means.

use std::time::{Duration, SystemTime};

use tieline_channel::{
    Button, Channel, File, FileContent, Language, Post, PostKey, Posted, Repeat, SendError,
    TextLimit, with_choices,
};
use tracing::{debug, error, warn};

use crate::events::{Event, Events};
use crate::id::OutboxId;
use crate::ledger::{Ledger, LedgerError, NewPost, OutboxEntry, PostEvent, PostState, Reaction};
use crate::outbox::pace::Pace;
use crate::outbox::{doubt_about, instead_of_file, split, words};
use crate::redact::redactor;

/// What comes after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The post is settled.
    Settled,
    /// It is tried again.
    Later {
        /// Why.
        reason: String,
        /// When.
        pause: Pause,
    },
}

/// How long to wait before the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// By our own policy.
    Own,
    /// As the platform asked.
    Asked(Duration),
    /// Until a look-up can be trusted, and by our own policy.
    Unclear,
    /// Until a person has done something, which only another attempt can tell.
    Operator {
        /// What the person must do.
        remedy: String,
    },
}

/// What was known of a post when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The platform certainly did not have it.
    Absent,
    /// An earlier attempt was unclear, and the platform said that it does not have it.
    LookedUp,
    /// An earlier attempt was unclear, and still is.
    Unclear,
}

/// Attempts to deliver `entry`. A drop in the middle leaves it as being sent.
///
/// # Errors
///
/// When the ledger cannot say or record how far the post is. A disk that fails after the platform
/// has answered is waited for: what is known must not be lost.
pub(super) async fn deliver(
    ledger: &Ledger,
    channel: &dyn Channel,
    language: Language,
    pace: &Pace,
    events: &Events,
    entry: &OutboxEntry,
) -> Result<Next, LedgerError> {
    let attempt = Attempt {
        ledger,
        channel,
        language,
        pace,
        events,
        entry,
    };
    attempt.run().await
}

struct Attempt<'a> {
    ledger: &'a Ledger,
    channel: &'a dyn Channel,
    language: Language,
    pace: &'a Pace,
    events: &'a Events,
    entry: &'a OutboxEntry,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Next, LedgerError> {
        match &self.entry.post.reaction {
            Some(reaction) => self.react(reaction).await,
            None => self.post().await,
        }
    }

    async fn post(&self) -> Result<Next, LedgerError> {
        let capabilities = self.channel.capabilities();
        let mut post = as_post(self.entry);
        if !capabilities.buttons {
            post.text = with_choices(&post.text, &post.buttons, self.language);
            post.buttons.clear();
        }
        let mut before = Before::Absent;
        if let PostState::Sending { since } = self.entry.state {
            before = Before::Unclear;
            match capabilities.repeat {
                Repeat::Idempotent => {}
                // A clock that went back tells nothing; what is later than now counts as now.
                Repeat::IdempotentFor(lasts) if since.elapsed().unwrap_or_default() < lasts => {}
                Repeat::Findable => match self.bounded(self.channel.find(&post, since)).await {
                    Ok(Some(posted)) => {
                        debug!(wire = %posted.id, "an unclear post was found");
                        return self.delivered(posted).await;
                    }
                    Ok(None) => before = Before::LookedUp,
                    Err(failure) => return self.failed(failure, before).await,
                },
                Repeat::IdempotentFor(_) | Repeat::Blind => {
                    post.text = marked(&post.text, self.language);
                }
            }
        }
        let has_file = self.entry.post.as_file.is_some() || self.entry.post.file.is_some();
        if has_file && !capabilities.files {
            let reason = "the channel takes no files".to_owned();
            return self.failed(SendError::Never { reason }, before).await;
        }
        self.begin().await?;
        let mut last = None;
        for post in &fitting(post, capabilities.text) {
            match self.bounded(self.channel.post(post)).await {
                Ok(posted) => last = Some(posted),
                Err(failure) => return self.failed(failure, before).await,
            }
        }
        match last {
            Some(posted) => self.delivered(posted).await,
            None => unreachable!("a post has at least one part"),
        }
    }

    /// Puts an emoji on a message. To do that again is harmless on every platform, so that nothing
    /// is looked up after an attempt that is unclear.
    async fn react(&self, reaction: &Reaction) -> Result<Next, LedgerError> {
        let is_unclear = matches!(self.entry.state, PostState::Sending { .. });
        let before = if is_unclear {
            Before::Unclear
        } else {
            Before::Absent
        };
        if !self.channel.capabilities().reactions {
            let reason = "the channel takes no reactions".to_owned();
            return self.failed(SendError::Never { reason }, before).await;
        }
        self.begin().await?;
        let Reaction { message, emoji } = reaction;
        let to = &self.entry.post.to;
        match self.bounded(self.channel.react(to, message, *emoji)).await {
            Ok(()) => {
                let id = message.clone();
                self.delivered(Posted { id }).await
            }
            // What is said after it does not wait for somebody to make reactions possible.
            Err(SendError::Operator { remedy, reason }) => {
                let reason = format!("{remedy} ({reason})");
                self.failed(SendError::Never { reason }, before).await
            }
            Err(failure) => self.failed(failure, before).await,
        }
    }

    /// Records that the platform may have it from now on.
    async fn begin(&self) -> Result<(), LedgerError> {
        let event = PostEvent::Attempt {
            at: SystemTime::now(),
        };
        self.ledger.advance_post(self.entry.id, event).await?;
        Ok(())
    }

    async fn delivered(&self, posted: Posted) -> Result<Next, LedgerError> {
        let event = PostEvent::Delivered {
            wire: posted.id,
            at: SystemTime::now(),
        };
        self.record(event, Vec::new()).await?;
        Ok(Next::Settled)
    }

    /// Records a failure. What a file would have said is said in words when there will be no file.
    /// A post that was refused when it was repeated may be there (not every platform says so in a
    /// way that is known), or never arrive: it is not said a second time, but people are told. That a
    /// reaction is not there is told nobody: it would say less than the words about it.
    async fn failed(&self, failure: SendError, before: Before) -> Result<Next, LedgerError> {
        let mut instead = Vec::new();
        if matches!(failure, SendError::Never { .. }) {
            let limit = self.channel.capabilities().text;
            instead = instead_of_file(&self.entry.post, limit, self.language);
            if self.entry.post.reaction.is_some() {
                warn!(error = %failure, "a reaction cannot be made and is given up");
            } else if !instead.is_empty() {
                error!(error = %failure, "a file cannot be delivered; people are told instead");
            } else if before == Before::Unclear {
                error!(error = %failure, "whether a post was delivered will not be known");
                instead.extend(doubt_about(&self.entry.post, self.language));
            } else {
                error!(error = %failure, "a post cannot be delivered and is given up");
            }
        }
        let (event, next) = after_failure(failure, before, SystemTime::now(), self.pace);
        self.record(event, instead).await?;
        Ok(next)
    }

    /// Records an outcome and what is to be posted instead, for as long as it takes: the platform
    /// would not tell it again.
    async fn record(&self, event: PostEvent, instead: Vec<NewPost>) -> Result<(), LedgerError> {
        loop {
            let recorded = self
                .ledger
                .replace_post(self.entry.id, event.clone(), instead.clone());
            match recorded.await {
                Err(LedgerError::NotWritten { reason }) => {
                    debug!(reason, "the outcome of a post is not recorded yet");
                    tokio::time::sleep(self.pace.ledger).await;
                }
                done => {
                    done?;
                    tell_of(&self.events.post(self.entry.id), event);
                    return Ok(());
                }
            }
        }
    }

    /// Bounds a call to the platform: a channel that does not return leaves the fate unclear.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        match tokio::time::timeout(self.pace.call, call).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(SendError::Unclear {
                reason: format!("no answer within {} s", self.pace.call.as_secs()),
            }),
        }
    }
}

/// Tells what was recorded of a post.
pub(super) fn tell_of(events: &Events, event: PostEvent) {
    match event {
        PostEvent::Delivered { .. } => events.emit(Event::PostDelivered),
        PostEvent::Again { reason, .. } | PostEvent::PutOff { reason, .. } => {
            events.emit(Event::PostWaiting { reason });
        }
        PostEvent::Failed { reason, .. } => events.emit(Event::PostFailed { reason }),
        PostEvent::Unclear { reason, .. } => events.emit(Event::PostUnclear { reason }),
        PostEvent::Attempt { .. } => {}
    }
}

/// Returns what is recorded after a failure, and when the post is tried again.
///
/// An attempt that certainly failed says nothing about an unclear one before it: the post stays
/// unclear, and what comes next looks it up or marks it again.
fn after_failure(
    failure: SendError,
    before: Before,
    now: SystemTime,
    pace: &Pace,
) -> (PostEvent, Next) {
    let reason = failure.to_string();
    let pause = match failure {
        SendError::Never { .. } => {
            let event = match before {
                Before::Absent | Before::LookedUp => PostEvent::Failed { reason, at: now },
                Before::Unclear => PostEvent::Unclear { reason, at: now },
            };
            return (event, Next::Settled);
        }
        SendError::Again { after: None, .. } => Pause::Own,
        SendError::Again {
            after: Some(after), ..
        } => Pause::Asked(after.min(pace.longest)),
        SendError::Operator { remedy, .. } => Pause::Operator { remedy },
        SendError::Unclear { .. } => Pause::Unclear,
    };
    // Only what the platform needs is remembered over a restart, which may be what an operator
    // did to mend things.
    let not_before = match pause {
        Pause::Own | Pause::Operator { .. } => now,
        Pause::Asked(after) => now + after,
        Pause::Unclear => now + pace.settling,
    };
    let event = match (&pause, before) {
        (Pause::Unclear, _) | (_, Before::LookedUp | Before::Unclear) => PostEvent::PutOff {
            not_before,
            reason: reason.clone(),
        },
        (Pause::Own | Pause::Asked(_) | Pause::Operator { .. }, Before::Absent) => {
            PostEvent::Again {
                not_before,
                reason: reason.clone(),
            }
        }
    };
    (event, Next::Later { reason, pause })
}

/// Marks a text as a possible repeat.
fn marked(text: &str, language: Language) -> String {
    let marked = format!("{}\n\n{text}", words::REPEAT_MARK.within(language));
    marked.trim_end().to_owned()
}

/// Returns a post in as many parts as it takes when something was added to it; the last one settles,
/// and has the buttons and the file if there are any.
fn fitting(post: Post, limit: TextLimit) -> Vec<Post> {
    if limit.allows(&post.text) {
        return vec![post];
    }
    let mut parts = split::split(&post.text, limit);
    let last = Post {
        text: parts.pop().unwrap_or_default(),
        ..post
    };
    let mut posts = Vec::with_capacity(parts.len() + 1);
    for (index, text) in parts.into_iter().enumerate() {
        posts.push(Post {
            key: PostKey::new(format!("{}/{index}", last.key)),
            settles: Vec::new(),
            buttons: Vec::new(),
            file: None,
            text,
            ..last.clone()
        });
    }
    posts.push(last);
    posts
}

fn as_post(entry: &OutboxEntry) -> Post {
    let post = &entry.post;
    // Whoever composed it, and whenever: the secret may have been learnt since.
    let shown = |text: &str| redactor().redact(text).into_owned();
    let text = shown(&post.text);
    let (text, file) = match (&post.as_file, &post.file) {
        (None, None) => (text, None),
        (Some(name), _) => {
            let name = file_name(&shown(name), entry.id);
            let content = FileContent::Text(text);
            (String::new(), Some(File { name, content }))
        }
        (None, Some(sent)) => {
            let name = file_name(&shown(&sent.name), entry.id);
            let content = FileContent::Path(sent.path.clone());
            (text, Some(File { name, content }))
        }
    };
    let button = |button: &Button| Button {
        label: shown(&button.label),
        ..button.clone()
    };
    Post {
        key: PostKey::new(entry.id.to_string()),
        to: post.to.clone(),
        reply_to: post.reply_to.clone(),
        settles: post.settles.clone(),
        kind: post.kind,
        text,
        buttons: post.buttons.iter().map(button).collect(),
        file,
    }
}

/// Returns the name of an entry's file: no other entry's file has it, and it is the same at every
/// attempt, so that a platform without another mark can be asked for it.
fn file_name(name: &str, id: OutboxId) -> String {
    let id = id.to_string();
    // The last group of the id is random; the others are mostly the time.
    let unique = id.rsplit('-').next().unwrap_or(&id);
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}-{unique}.{extension}"),
        None => format!("{name}-{unique}"),
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use tieline_channel::{ChatId, Conversation, PostKind, TextUnit, WireId};

    use super::*;

    /// What is recorded, in short.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Recorded {
        Again(Duration),
        PutOff(Duration),
        Failed,
        GivenUp,
    }

    #[test]
    fn failures_are_recorded_for_what_they_say_about_all_attempts() {
        use self::Recorded as R;
        const ZERO: Duration = Duration::ZERO;
        const MINUTE: Duration = Duration::from_secs(60);
        let reason = "because".to_owned();
        let never = SendError::Never {
            reason: reason.clone(),
        };
        let again = |after| SendError::Again {
            after,
            reason: reason.clone(),
        };
        let operator = SendError::Operator {
            remedy: "invite it".to_owned(),
            reason: reason.clone(),
        };
        let unclear = SendError::Unclear {
            reason: reason.clone(),
        };
        let invite = Pause::Operator {
            remedy: "invite it".to_owned(),
        };
        let pace = Pace::standard();
        let settling = pace.settling;
        let asked = Pause::Asked(MINUTE);
        let longest = Pause::Asked(pace.longest);
        let (certain, looked_up, doubtful) = (Before::Absent, Before::LookedUp, Before::Unclear);

        for (failure, before, recorded, pause) in [
            (&never, certain, R::Failed, None),
            (&never, looked_up, R::Failed, None),
            (&never, doubtful, R::GivenUp, None),
            (&again(None), certain, R::Again(ZERO), Some(Pause::Own)),
            (&again(None), looked_up, R::PutOff(ZERO), Some(Pause::Own)),
            (&again(None), doubtful, R::PutOff(ZERO), Some(Pause::Own)),
            (
                &again(Some(MINUTE)),
                certain,
                R::Again(MINUTE),
                Some(asked.clone()),
            ),
            (
                &again(Some(MINUTE)),
                doubtful,
                R::PutOff(MINUTE),
                Some(asked),
            ),
            (
                &again(Some(Duration::MAX)),
                certain,
                R::Again(pace.longest),
                Some(longest),
            ),
            (&operator, certain, R::Again(ZERO), Some(invite.clone())),
            (&operator, looked_up, R::PutOff(ZERO), Some(invite.clone())),
            (&operator, doubtful, R::PutOff(ZERO), Some(invite)),
            (&unclear, certain, R::PutOff(settling), Some(Pause::Unclear)),
            (
                &unclear,
                looked_up,
                R::PutOff(settling),
                Some(Pause::Unclear),
            ),
            (
                &unclear,
                doubtful,
                R::PutOff(settling),
                Some(Pause::Unclear),
            ),
        ] {
            let now = SystemTime::now();
            let (event, next) = after_failure(failure.clone(), before, now, &pace);
            let after = |at: SystemTime| at.duration_since(now).unwrap();
            let seen = match event {
                PostEvent::Again { not_before, .. } => R::Again(after(not_before)),
                PostEvent::PutOff { not_before, .. } => R::PutOff(after(not_before)),
                PostEvent::Failed { .. } => R::Failed,
                PostEvent::Unclear { .. } => R::GivenUp,
                PostEvent::Attempt { .. } | PostEvent::Delivered { .. } => {
                    panic!("{event:?} is no failure")
                }
            };
            assert_eq!(seen, recorded, "{failure} when {before:?}");
            let expected = match pause {
                None => Next::Settled,
                Some(pause) => Next::Later {
                    reason: failure.to_string(),
                    pause,
                },
            };
            assert_eq!(next, expected, "{failure} when {before:?}");
        }
    }

    #[test]
    fn mark_never_makes_a_post_too_long_and_loses_none_of_it() {
        let limit = TextLimit {
            max: 100,
            unit: TextUnit::Chars,
        };
        let words = "word ".repeat(20).trim_end().to_owned();
        let post = Post {
            key: PostKey::new("key"),
            to: Conversation {
                chat: ChatId::new("C1"),
                thread: None,
            },
            reply_to: None,
            settles: vec![WireId::new("m")],
            kind: PostKind::Answer,
            text: words,
            buttons: Vec::new(),
            file: None,
        };
        let marked = Post {
            text: marked(&post.text, Language::English),
            ..post.clone()
        };
        let posts = fitting(marked, limit);
        assert!(posts.len() > 1, "it does not fit in one");
        assert!(posts.iter().all(|part| limit.allows(&part.text)));
        assert!(posts[0].text.starts_with(words::REPEAT_MARK.en));
        let text = posts.iter().map(|part| part.text.as_str());
        let found = text.collect::<Vec<_>>().join(" ").matches("word").count();
        assert_eq!(found, 20);
        let (last, others) = posts.split_last().unwrap();
        assert_eq!((&last.key, &last.settles), (&post.key, &post.settles));
        for (index, other) in others.iter().enumerate() {
            assert_eq!(other.key, PostKey::new(format!("key/{index}")));
            assert_eq!(other.settles, []);
        }
    }
}
