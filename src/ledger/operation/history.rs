//! The marks of reading back.

use std::time::SystemTime;

use tieline_channel::ChannelId;

use crate::ledger::error::LedgerError;
use crate::ledger::history::HistoryMark;
use crate::ledger::key::{self, Key, Table};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

impl Transaction<'_> {
    /// Returns a channel's mark; it has one at `now` if it had none.
    pub(in crate::ledger) fn history_mark(
        &mut self,
        channel: &ChannelId,
        now: SystemTime,
    ) -> Result<HistoryMark, LedgerError> {
        let key = key::channel(channel)?;
        if let Some(mark) = self.get("mark", Table::Marks, &key)? {
            return Ok(mark);
        }
        let now = time::cut(now);
        let mark = HistoryMark {
            begun_at: now,
            caught_up_to: now,
        };
        self.put("mark", Table::Marks, key, &mark)?;
        Ok(mark)
    }

    /// Moves a channel's mark.
    pub(in crate::ledger) fn set_history_mark(
        &mut self,
        channel: &ChannelId,
        caught_up_to: SystemTime,
    ) -> Result<(), LedgerError> {
        let mark = HistoryMark {
            caught_up_to: time::cut(caught_up_to),
            ..self.history_mark(channel, caught_up_to)?
        };
        self.put("mark", Table::Marks, key::channel(channel)?, &mark)
    }

    /// Forgets the marks of channels that have not been read back since `until`.
    pub(super) fn expire_marks(&mut self, until: SystemTime) -> Result<(), LedgerError> {
        for (key, value) in self.scan(Table::Marks, &Key::first(), &Key::first(), usize::MAX)? {
            let mark: HistoryMark = value.decode("mark")?;
            if mark.caught_up_to < until {
                self.remove(Table::Marks, key);
            }
        }
        Ok(())
    }
}
