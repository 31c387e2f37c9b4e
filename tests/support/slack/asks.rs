//! Questions whose answers are counted: for tests that ask much.

use super::{Asked, MockSlack};

impl MockSlack {
    /// Asks something at the top of a channel, with a mention; the answer belongs below it.
    pub(crate) fn ask(&self, user: &str, channel: &str, marker: &str) -> Asked {
        let ts = self.say(user, channel, &self.mention(marker));
        self.asked(channel, Some(ts.clone()), ts, marker)
    }

    /// Asks something in direct messages.
    pub(crate) fn ask_directly(&self, user: &str, marker: &str) -> Asked {
        let channel = self.direct(user);
        let ts = self.say(user, &channel, marker);
        self.asked(&channel, None, ts, marker)
    }

    /// Asks something in a thread, without a mention.
    pub(crate) fn ask_below(&self, user: &str, channel: &str, root: &str, marker: &str) -> Asked {
        let ts = self.reply(user, channel, root, marker);
        self.asked(channel, Some(root.to_owned()), ts, marker)
    }

    fn asked(&self, channel: &str, thread_ts: Option<String>, ts: String, marker: &str) -> Asked {
        Asked {
            chat: channel.to_owned(),
            message: ts,
            thread: thread_ts,
            marker: marker.to_owned(),
        }
    }
}
