//! Questions whose answers are counted: for tests that ask much.

use super::{Asked, MockFeishu};

impl MockFeishu {
    /// Asks something at the top of a group, with a mention. In a group of topics the answer
    /// belongs into the topic that begins.
    pub(crate) fn ask(&self, person: &str, chat: &str, marker: &str) -> Asked {
        let message = self.say(person, chat, &self.mention(marker));
        self.asked(message, marker)
    }

    /// Asks something in direct messages.
    pub(crate) fn ask_directly(&self, person: &str, marker: &str) -> Asked {
        let message = self.say(person, &self.p2p(person), marker);
        self.asked(message, marker)
    }

    /// Asks something in the topic that begins with a message, without a mention.
    pub(crate) fn ask_below(&self, person: &str, chat: &str, root: &str, marker: &str) -> Asked {
        let message = self.reply(person, chat, root, marker);
        self.asked(message, marker)
    }

    fn asked(&self, message: String, marker: &str) -> Asked {
        let kept = self.shared.look(|state| state.messages[&message].clone());
        Asked {
            chat: kept.chat,
            message,
            thread: kept.thread_id,
            marker: marker.to_owned(),
        }
    }
}
