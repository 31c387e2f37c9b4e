//! Events of before, by their numbers.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::task::yield_now;

use super::event::Level;
use super::handle::Events;
use super::log;
use super::record::EventRecord;

/// How many events a page has at most.
pub const MAX_PAGE: usize = 1_000;

/// How many files are looked through for one page.
const MAX_FILES: usize = 2;

/// How many lines of a file are read until others have their turn.
const LINES_AT_ONCE: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Those after this number, oldest first. When absent the newest, of those that are in memory.
    pub after: Option<u64>,
    /// How many at most.
    pub limit: usize,
    /// Only these.
    pub filter: Filter,
}

/// Which events somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Filter {
    /// Those of this dispatcher.
    #[serde(default)]
    pub dispatcher: Option<String>,
    /// Those of this lane.
    #[serde(default)]
    pub lane: Option<String>,
    /// Those whose type is this, or begins with it at a dot: `turn` has `turn.started`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Those of this level, and of those above.
    #[serde(default)]
    pub level: Option<Level>,
}

/// Some of the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// They, oldest first.
    pub events: Vec<EventRecord>,
    /// The number to ask with for what comes after these.
    pub next_after: u64,
    /// There are more already.
    pub more: bool,
    /// Some that were asked for are removed by now: they were too old.
    pub gone: bool,
}

impl Filter {
    /// Returns whether an event is wanted.
    pub fn lets(&self, event: &EventRecord) -> bool {
        let Self {
            dispatcher,
            lane,
            kind,
            level,
        } = self;
        let about = &event.about;
        let is = |wanted: &Option<String>, there: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == there
        };
        is(dispatcher, about.dispatcher.as_ref().map(|it| it.as_str()))
            && is(lane, about.lane.as_ref().map(|it| it.as_str()))
            && level.is_none_or(|level| event.level >= level)
            && kind.as_deref().is_none_or(|kind| {
                let rest = event.kind.strip_prefix(kind);
                rest.is_some_and(|rest| {
                    rest.is_empty()
                        || kind.is_empty()
                        || kind.ends_with('.')
                        || rest.starts_with('.')
                })
            })
    }
}

impl Events {
    /// Returns a page of events. What was removed, or found no place on disk, is left out.
    pub async fn page(&self, query: &Query) -> Page {
        let limit = query.limit.clamp(1, MAX_PAGE);
        let filter = &query.filter;
        let Some(after) = query.after else {
            let (recent, last) = self.recent();
            let wanted: Vec<_> = recent.iter().filter(|it| filter.lets(it)).collect();
            let events = wanted[wanted.len().saturating_sub(limit)..]
                .iter()
                .map(|it| EventRecord::clone(it))
                .collect();
            return Page {
                events,
                next_after: last,
                more: false,
                gone: false,
            };
        };
        let mut page = Page {
            events: Vec::new(),
            next_after: after,
            more: false,
            gone: self.oldest().is_some_and(|oldest| after + 1 < oldest),
        };
        let (recent, last) = self.recent();
        let first_recent = recent.first().and_then(|it| it.seq).unwrap_or(last + 1);
        if after + 1 < first_recent
            && !self
                .read_files(&mut page, filter, limit, first_recent)
                .await
        {
            page.more = true;
            return page;
        }
        for event in recent {
            if event.seq <= Some(page.next_after) {
                continue;
            }
            if page.events.len() == limit {
                page.more = true;
                return page;
            }
            page.next_after = event.seq.unwrap_or(page.next_after);
            if filter.lets(&event) {
                page.events.push(EventRecord::clone(&event));
            }
        }
        // Those that are left out are passed over, too; a number that nobody has is not waited for.
        page.next_after = last;
        page
    }

    /// Takes what lies in files and not in memory. Returns whether that was all of it.
    async fn read_files(
        &self,
        page: &mut Page,
        filter: &Filter,
        limit: usize,
        before: u64,
    ) -> bool {
        let Some(place) = self.place() else {
            return true;
        };
        let mut files_read = 0;
        loop {
            // The list is made anew for each file: meanwhile one may have become full.
            let full = place.full_files().unwrap_or_default();
            let next = full.into_iter().find(|(last, _)| *last > page.next_after);
            if files_read == MAX_FILES {
                return false;
            }
            files_read += 1;
            let (path, is_current) = match next {
                Some((_, path)) => (path, false),
                None => (place.current(), true),
            };
            let text = read(&path, place.longest()).await.unwrap_or_default();
            if is_current
                && place
                    .full_files()
                    .unwrap_or_default()
                    .iter()
                    .any(|(last, _)| *last > page.next_after)
            {
                // It became full between the two; then it is one of those.
                continue;
            }
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let chunk = rest.len().min(LINES_AT_ONCE);
                let end = rest[chunk..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(rest.len(), |end| chunk + end + 1);
                let (lines, later) = rest.split_at(end);
                rest = later;
                for event in log::parse(lines).0 {
                    let Some(seq) = event.seq else { continue };
                    if seq <= page.next_after {
                        continue;
                    }
                    if seq >= before {
                        return true;
                    }
                    if page.events.len() == limit {
                        return false;
                    }
                    page.next_after = seq;
                    if filter.lets(&event) {
                        page.events.push(event);
                    }
                }
                yield_now().await;
            }
            match (is_current, log::last_of(&path)) {
                (true, _) => return true,
                // Also when its last lines could not be read.
                (false, Some(last)) => page.next_after = page.next_after.max(last),
                (false, None) => return true,
            }
        }
    }
}

/// Reads a file of ours.
async fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if tokio::fs::metadata(path).await?.is_file() {
        let file = tokio::fs::File::open(path).await?;
        file.take(longest).read_to_end(&mut text).await?;
    }
    Ok(text)
}
