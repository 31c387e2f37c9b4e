//! Trouble of a lane that only an operator can end: who was told of it, each once.

use crate::id::LaneId;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::lane::{MAX_TOLD, Origin, Trouble};
use crate::ledger::post::NewPost;
use crate::ledger::transaction::Transaction;

/// How many bytes the conversations may take that were told: a value has room for so many.
const MAX_TOLD_BYTES: usize = 12 << 10;

impl Transaction<'_> {
    /// Notes that the turns of a lane do not get through, and tells those who have not been told. Of
    /// more than there is room for, nobody could be told when it is over; they are not told at all.
    pub(in crate::ledger) fn tell_of_trouble(
        &mut self,
        lane: &LaneId,
        trouble: Trouble,
        notices: Vec<(Origin, NewPost)>,
    ) -> Result<(), LedgerError> {
        let lane = self.known_lane(lane)?.id;
        let key = key::lane(&lane)?;
        let mut trouble = match self.get("trouble", Table::Troubles, &key)? {
            Some(before) => Trouble {
                kind: trouble.kind,
                ..before
            },
            None => trouble,
        };
        let mut posts = Vec::new();
        for (origin, notice) in notices {
            let bytes: usize = trouble.told.iter().chain([&origin]).map(size).sum();
            let is_news = !trouble.told.contains(&origin);
            if is_news && trouble.told.len() < MAX_TOLD && bytes <= MAX_TOLD_BYTES {
                trouble.told.push(origin);
                posts.push(notice);
            }
        }
        self.put("trouble", Table::Troubles, key, &trouble)?;
        self.enqueue(posts)?;
        Ok(())
    }

    /// Notes that the turns of a lane get through again, and tells those who were told of the
    /// trouble. Without any, nothing happens.
    pub(in crate::ledger) fn end_trouble(
        &mut self,
        lane: &LaneId,
        notice: impl Fn(&Origin) -> NewPost,
    ) -> Result<(), LedgerError> {
        let key = key::lane(lane)?;
        let trouble: Option<Trouble> = self.get("trouble", Table::Troubles, &key)?;
        let Some(trouble) = trouble else {
            return Ok(());
        };
        self.remove(Table::Troubles, key);
        self.enqueue(trouble.told.iter().map(notice).collect())?;
        Ok(())
    }
}

/// Returns how many bytes a conversation takes, or a little more.
fn size(origin: &Origin) -> usize {
    serde_json::to_vec(origin).map_or(MAX_TOLD_BYTES, |bytes| bytes.len() + 1)
}
