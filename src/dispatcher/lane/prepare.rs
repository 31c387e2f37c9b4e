//! Everything that a message needs before it is rendered: its files, and what was said before it.
//!
//! The one way for all messages that are given to the model, whether they begin a turn, join one or
//! are submitted again. Nothing of it is on disk but the files; after a crash it is done again.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use tieline_channel::{Channel, Message, SendError};

use super::*;
use crate::dispatcher::attachments;
use crate::dispatcher::envelope::{Earlier, Supplement};
use crate::dispatcher::patience::{Patience, patiently};

/// How many images are shown to the model in one turn; the others are still files.
const MAX_IMAGES: usize = 10;

/// How patiently earlier messages are asked for.
const PATIENCE: Patience = Patience {
    retry_for: Duration::from_secs(20),
    give_up_after: Duration::from_secs(20),
};

/// How long the reason for something missing may be.
const MAX_REASON_CHARS: usize = 200;

/// How many characters the rendering of an attachment grows by its path or the reason why it is
/// missing, at most.
const ATTACHMENT_CHARS: usize = 1_200;

/// A message that is ready to be rendered.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// The message as it was.
    pub(super) record: MessageRecord,
    /// The message with the paths of its files.
    message: Message,
    supplement: Supplement,
    images: Vec<PathBuf>,
}

impl Lane {
    /// Makes messages ready to be rendered; `None` when the lane is told to stop first.
    pub(super) async fn prepare(&self, messages: Vec<MessageRecord>) -> Option<Vec<Prepared>> {
        let slots = Semaphore::new(attachments::PARALLEL);
        let all = messages.into_iter().map(|record| {
            let line = self.context.lines.get(&record.channel);
            let channel = line.map(|line| &*line.channel);
            prepare(&self.context.settings.attachments, channel, &slots, record)
        });
        self.drain.run_until_cancelled(join_all(all)).await
    }

    /// Returns what codex is given: the text, then the images.
    pub(super) fn input(&self, notice: Option<String>, prepared: &[Prepared]) -> Vec<UserInput> {
        let blocks = prepared.iter().map(|prepared| {
            let context = self.render_context(&prepared.record);
            envelope::render(&context, &prepared.message, &prepared.supplement)
        });
        let blocks: Vec<String> = notice.into_iter().chain(blocks).collect();
        let mut input = vec![UserInput::text(blocks.join("\n"))];
        let images = prepared.iter().flat_map(|prepared| &prepared.images);
        input.extend(
            images
                .take(MAX_IMAGES)
                .map(|path| UserInput::LocalImage { path: path.clone() }),
        );
        input
    }

    /// Returns how many characters a message takes at most once it is prepared and rendered.
    pub(super) fn rendered_size(&self, record: &MessageRecord) -> usize {
        let context = self.render_context(record);
        let bare = envelope::render(&context, &record.message, &Supplement::default());
        let earlier = if asks_for_earlier(record) {
            envelope::MAX_EARLIER_CHARS
        } else {
            0
        };
        let files = record.message.attachments.len() * ATTACHMENT_CHARS;
        bare.chars().count() + earlier + files
    }

    fn render_context<'a>(&'a self, record: &'a MessageRecord) -> RenderContext<'a> {
        let line = self.context.lines.get(&record.channel);
        RenderContext {
            channel: &record.channel,
            source: line.map_or("unknown", |line| line.kind),
            now: SystemTime::now(),
            stale_after: self.context.settings.config.stale_after,
        }
    }
}

/// Makes one message ready. `channel` is `None` when it is no longer configured.
async fn prepare(
    root: &Path,
    channel: Option<&dyn Channel>,
    slots: &Semaphore,
    record: MessageRecord,
) -> Prepared {
    let mut message = record.message.clone();
    let mut supplement = Supplement::default();
    let mut images = Vec::new();
    if let Some(channel) = channel {
        let directory = attachments::directory_of(root, record.id);
        let (files, earlier) = tokio::join!(
            attachments::fetch_all(channel, &message.attachments, &directory, slots),
            earlier(channel, &record),
        );
        supplement.earlier = earlier;
        for (index, fetched) in files.into_iter().enumerate() {
            match fetched {
                Ok(path) => {
                    if attachments::is_image(&path).await {
                        images.push(path.clone());
                    }
                    message.attachments[index].path = Some(path);
                }
                Err(reason) => {
                    let reason = reason.chars().take(MAX_REASON_CHARS).collect();
                    supplement.missing.insert(index, reason);
                }
            }
        }
    }
    Prepared {
        record,
        message,
        supplement,
        images,
    }
}

/// Returns whether the thread of a message may hold what the model does not know.
fn asks_for_earlier(record: &MessageRecord) -> bool {
    record.first_here && record.message.in_thread
}

/// Returns what was said before a message, if that has to be asked for.
async fn earlier(channel: &dyn Channel, record: &MessageRecord) -> Option<Earlier> {
    if !asks_for_earlier(record) || !channel.capabilities().history {
        return None;
    }
    let message = &record.message;
    let said = patiently(PATIENCE, || {
        channel.earlier(message, envelope::MAX_EARLIER_KNOWN)
    });
    Some(match said.await {
        Ok(said) => Earlier::Said(said),
        Err(failure) => {
            match &failure {
                SendError::Operator { remedy, reason } => {
                    error!(
                        reason,
                        remedy, "a thread's earlier messages wait for the operator"
                    );
                }
                failure => warn!(error = %failure, "a thread's earlier messages cannot be read"),
            }
            Earlier::Unreadable
        }
    })
}

#[cfg(test)]
mod tests;
