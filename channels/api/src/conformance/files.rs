//! Files, in and out.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time;

use super::bench::{Bench, message, within};
use super::{Check, Delivery, Need, PostFailure, Seen, check};
use crate::{Attachment, File, FileContent, Post, Repeat, SendError};

pub(super) const CHECKS: &[Check] = &[
    check!(a_file_is_fetched_as_it_was_sent, Need::Attachments),
    check!(a_file_over_the_limit_is_not_fetched, Need::Attachments),
    check!(a_file_that_is_gone_is_not_fetched, Need::Attachments),
    check!(a_post_brings_its_file, Need::Files),
    check!(
        a_file_of_unclear_fate_is_found,
        Need::Files,
        Need::Repeat(Repeat::Findable),
        Need::Failure(PostFailure::AnswerLost)
    ),
    check!(
        a_file_that_was_not_sent_is_not_found,
        Need::Files,
        Need::Repeat(Repeat::Findable)
    ),
];

/// Every byte there is, and more than one packet of them.
fn content() -> Vec<u8> {
    (0..=255).cycle().take(200_000).collect()
}

async fn a_file_is_fetched_as_it_was_sent(bench: &Bench) {
    let (attachment, _) = arrived(bench, &content()).await;
    assert_eq!(attachment.name, "a file.bin");
    let length = content().len() as u64;
    if let Some(bytes) = attachment.bytes {
        assert_eq!(bytes, length);
    }
    assert_eq!(attachment.path, None);
    let to = Target::new();
    // Over what an attempt before it has left, and exactly at the limit.
    fs::write(&to.0, "left over").expect("the target");
    let fetched = within("fetching", bench.channel.fetch(&attachment, &to.0, length)).await;
    assert_eq!(fetched, Ok(()));
    assert!(fs::read(&to.0).expect("the target") == content());
}

async fn a_file_over_the_limit_is_not_fetched(bench: &Bench) {
    let (attachment, _) = arrived(bench, &content()).await;
    let max_bytes = content().len() as u64 - 1;
    // The platform's word on the size is no promise.
    for bytes in [attachment.bytes, None, Some(1)] {
        let attachment = Attachment {
            bytes,
            ..attachment.clone()
        };
        let to = Target::new();
        let fetch = bench.channel.fetch(&attachment, &to.0, max_bytes);
        let fetched = within("fetching", fetch).await;
        let is_refused = matches!(fetched, Err(SendError::Never { .. }));
        assert!(is_refused, "told {bytes:?} bytes: {fetched:?}");
        let left = fs::metadata(&to.0).map_or(0, |it| it.len());
        assert!(left <= max_bytes, "{left} bytes were written");
    }
}

async fn a_file_that_is_gone_is_not_fetched(bench: &Bench) {
    let (attachment, delivery) = arrived(bench, b"soon gone").await;
    bench.harness.lose_file(delivery).await;
    let to = Target::new();
    let fetched = within("fetching", bench.channel.fetch(&attachment, &to.0, 1 << 20)).await;
    assert!(fetched.is_err(), "{fetched:?}");
}

async fn a_post_brings_its_file(bench: &Bench) {
    let path = Target::new();
    fs::write(&path.0, content()).expect("the file");
    let contents = [
        (
            FileContent::Text("Größe\n".into()),
            "Größe\n".as_bytes().to_vec(),
        ),
        (FileContent::Path(path.0.clone()), content()),
    ];
    for (number, (content, expected)) in contents.into_iter().enumerate() {
        let post = with_file(bench, number, content);
        let posted = bench.sent(&post).await;
        assert!(!posted.id.as_str().is_empty(), "the id is empty");
        let seen = shown(bench, number + 1).await;
        let files: Vec<_> = seen.iter().flat_map(|seen| &seen.files).collect();
        let (name, content) = files[number];
        assert_eq!(name, &format!("answer-file-{number}.txt"));
        assert!(*content == expected, "the content is not what was given");
        assert!(seen.iter().all(|seen| seen.at == post.to));
        let is_said = seen.iter().filter(|seen| seen.text == post.text).count();
        assert_eq!(is_said, 1, "{seen:#?}");
    }
}

async fn a_file_of_unclear_fate_is_found(bench: &Bench) {
    bench.harness.fail_next_post(PostFailure::AnswerLost).await;
    let post = with_file(bench, 1, FileContent::Text("content".into()));
    let since = SystemTime::now() - Duration::from_secs(60);
    let result = bench.send(&post).await;
    let is_unclear = matches!(result, Err(SendError::Unclear { .. }));
    assert!(is_unclear, "{result:?}");
    bench.harness.connect().await;
    let found = within("finding", bench.channel.find(&post, since)).await;
    // The platform has it, though people may see it only in a moment.
    assert!(matches!(found, Ok(Some(_))), "{found:?}");
    shown(bench, 1).await;
}

async fn a_file_that_was_not_sent_is_not_found(bench: &Bench) {
    let since = SystemTime::now() - Duration::from_secs(60);
    let sent = with_file(bench, 1, FileContent::Text("content".into()));
    bench.sent(&sent).await;
    let find = async |post| within("finding", bench.channel.find(post, since)).await;
    let found = find(&sent).await;
    assert!(matches!(found, Ok(Some(_))), "{found:?}");
    let other = with_file(bench, 2, FileContent::Text("content".into()));
    assert_eq!(find(&other).await, Ok(None));
}

/// Waits until people see so many files, which may be a moment after the post, and returns all
/// posts.
async fn shown(bench: &Bench, files: usize) -> Vec<Seen> {
    within(format!("waiting for {files} files"), async {
        loop {
            let seen = bench.harness.posts().await;
            let count = seen.iter().map(|seen| seen.files.len()).sum::<usize>();
            assert!(count <= files, "more files than were sent: {seen:#?}");
            if count == files {
                return seen;
            }
            time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Lets a file come in and returns what it is called.
async fn arrived(bench: &Bench, content: &[u8]) -> (Attachment, Delivery) {
    let (at, from) = (bench.harness.conversation(0), bench.harness.person(0));
    let deliver = bench
        .harness
        .deliver_file(&at, &from, "a file.bin", content);
    let delivery = within("delivering", deliver).await;
    let events = bench.taken(1).await;
    bench.acknowledged(delivery).await;
    match message(&events[0]).attachments.as_slice() {
        [attachment] => (attachment.clone(), delivery),
        other => panic!("not one attachment: {other:?}"),
    }
}

fn with_file(bench: &Bench, number: usize, content: FileContent) -> Post {
    let mut post = bench.post(
        &format!("file-{number}"),
        &format!("file {number} says more"),
    );
    post.file = Some(File {
        name: format!("answer-file-{number}.txt"),
        content,
    });
    post
}

/// A path for a file of a check, which is removed with it.
struct Target(PathBuf);

impl Target {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tieline-check-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may never have been made.
        let _removed = fs::remove_file(&self.0);
    }
}
