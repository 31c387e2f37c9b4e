//! Restarts that were ordered, and who is to be told when they are over.

use tieline_channel::ChannelId;

use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::lane::Origin;
use crate::ledger::post::NewPost;
use crate::ledger::restart::Restart;
use crate::ledger::transaction::Transaction;

impl Transaction<'_> {
    /// Records a restart and whom it is told to.
    pub(in crate::ledger) fn announce_restart(
        &mut self,
        restart: &Restart,
        told: &[Origin],
        posts: Vec<NewPost>,
    ) -> Result<(), LedgerError> {
        self.put("restart", Table::Meta, key::restart(), restart)?;
        for origin in told {
            // The same conversation twice, over two restarts, is told once.
            let key = key::told(&origin.channel, &origin.conversation)?;
            self.put("conversation", Table::Meta, key, origin)?;
        }
        self.enqueue(posts).map(drop)
    }

    /// Returns the restart that was ordered last.
    pub(in crate::ledger) fn last_restart(&mut self) -> Result<Option<Restart>, LedgerError> {
        self.get("restart", Table::Meta, &key::restart())
    }

    /// Tells those of these channels that it is over.
    pub(in crate::ledger) fn restart_is_over(
        &mut self,
        channels: &[ChannelId],
        say: impl Fn(&Origin) -> NewPost,
    ) -> Result<usize, LedgerError> {
        let mut posts = Vec::new();
        for channel in channels {
            let prefix = key::told_in(channel)?;
            for (key, value) in self.scan(Table::Meta, &prefix, &prefix, usize::MAX)? {
                posts.push(say(&value.decode("conversation")?));
                self.remove(Table::Meta, key);
            }
        }
        let n = posts.len();
        self.enqueue(posts)?;
        Ok(n)
    }
}
