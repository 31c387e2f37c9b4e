//! How many conversations are known.

use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tieline_channel::{ChannelId, Conversation, ThreadKey};

use super::fixture::new_message;
use crate::ledger::operation::MAX_CONVERSATIONS;
use crate::ledger::{Ledger, LedgerSettings};

async fn known(ledger: &Ledger) -> Vec<Conversation> {
    let channel = ChannelId::new("team");
    let all = ledger.conversations(&channel, SystemTime::UNIX_EPOCH, 100);
    all.await.unwrap()
}

/// Has a message accepted in a thread, in a millisecond of its own.
async fn say(ledger: &Ledger, id: usize, thread: &str) {
    let begun = SystemTime::now();
    while SystemTime::now() < begun + Duration::from_millis(2) {
        tokio::task::yield_now().await;
    }
    let mut new = new_message(&id.to_string());
    new.message.conversation.thread = Some(ThreadKey::new(thread));
    ledger.accept(new).await.unwrap();
}

#[tokio::test]
async fn one_that_was_long_not_used_is_forgotten_when_there_are_too_many() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    for (id, thread) in ["a", "b", "c", "a"].into_iter().enumerate() {
        say(&ledger, id, thread).await;
    }
    // As if there were as many as there may be.
    let full = ledger.call(|transaction| {
        transaction.state.counts.conversations = MAX_CONVERSATIONS;
        Ok(())
    });
    full.await.unwrap();
    let threads = async || {
        let known = known(&ledger).await.into_iter();
        let threads = known.filter_map(|known| known.thread);
        threads.map(|it| it.as_str().to_owned()).collect::<Vec<_>>()
    };
    say(&ledger, 10, "d").await;
    assert_eq!(threads().await, ["d", "a", "c"]);
    say(&ledger, 11, "c").await;
    say(&ledger, 12, "e").await;
    assert_eq!(threads().await, ["e", "c", "d"]);
    let counts = ledger.counts().await.unwrap();
    assert_eq!(counts.conversations, MAX_CONVERSATIONS);
}
