use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use tempfile::TempDir;
use tieline_channel::{ChannelId, EventKey, EventKind};

use super::*;
use crate::dispatcher::fake_channel::{Answer, FakeChannel, again, record};
use crate::id::{DispatcherId, LaneId};
use crate::ledger::{Accepted, LedgerSettings, NewMessage, Outcome};

const MINUTE: Duration = Duration::from_secs(60);

fn attachments(references: &[&str]) -> Vec<Attachment> {
    record(references).message.attachments
}

async fn fetch(channel: &FakeChannel, attachments: &[Attachment], to: &Path) -> Vec<Fetched> {
    let slots = Semaphore::new(PARALLEL);
    fetch_all(channel, attachments, to, &slots).await
}

/// Fetches files of these references.
async fn fetch_named(channel: &FakeChannel, references: &[&str], to: &Path) -> Vec<Fetched> {
    fetch(channel, &attachments(references), to).await
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_lie_in_a_private_directory_in_order_under_names_that_are_safe() {
    let dir = TempDir::new().unwrap();
    let to = dir.path().join("message");
    let channel = FakeChannel::new()
        .with_file("a.txt", &[Answer::Content(b"first")])
        .with_file("../b.txt", &[Answer::Content(b"second")]);
    let files = fetch_named(&channel, &["a.txt", "../b.txt"], &to).await;
    assert_eq!(
        files,
        [Ok(to.join("0-a.txt")), Ok(to.join("1-_b.txt"))],
        "they are not where they belong"
    );
    assert_eq!(std::fs::read(to.join("0-a.txt")).unwrap(), b"first");
    assert_eq!(std::fs::read(to.join("1-_b.txt")).unwrap(), b"second");
    let mode = std::fs::metadata(&to).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(names(&to), ["0-a.txt", "1-_b.txt"]);
}

#[tokio::test]
async fn message_without_files_leaves_no_directory() {
    let dir = TempDir::new().unwrap();
    let to = dir.path().join("message");
    assert_eq!(fetch_named(&FakeChannel::new(), &[], &to).await, []);
    assert!(!to.exists());
}

// === After a crash ===

#[tokio::test]
async fn file_that_was_whole_is_used_again_and_half_a_file_is_not() {
    let dir = TempDir::new().unwrap();
    let to = dir.path();
    let channel = FakeChannel::new()
        .with_file("whole", &[Answer::Content(b"whole")])
        .with_file("half", &[Answer::Hangs, Answer::Content(b"all of it")]);
    let files = fetch_named(&channel, &["whole"], to).await;
    assert!(files[0].is_ok(), "{files:?}");
    tokio::select! {
        files = fetch_named(&channel, &["whole", "half"], to) => panic!("not cut off: {files:?}"),
        () = channel.hanging.notified() => {}
    }
    assert_eq!(names(to), [".1.part", "0-whole"]);

    let files = fetch_named(&channel, &["whole", "half"], to).await;
    assert!(files.iter().all(Result::is_ok), "{files:?}");
    assert_eq!(std::fs::read(to.join("1-half")).unwrap(), b"all of it");
    assert_eq!(names(to), ["0-whole", "1-half"]);
    assert_eq!(channel.fetches(), ["whole", "half", "half"]);
}

// === Limits ===

#[tokio::test]
async fn four_are_fetched_at_once_and_no_more_than_twenty_of_a_message() {
    let dir = TempDir::new().unwrap();
    let references: Vec<String> = (0..22).map(|index| index.to_string()).collect();
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let mut channel = FakeChannel::new().meeting(4);
    for reference in &references {
        channel = channel.with_file(reference, &[Answer::Content(b"x")]);
    }
    let files = fetch_named(&channel, &references, dir.path()).await;
    assert!(files[..20].iter().all(Result::is_ok), "{files:?}");
    let missing = Err("only 20 files of a message are fetched".to_owned());
    assert_eq!(files[20..], [missing.clone(), missing]);
    assert_eq!(channel.fetches().len(), 20);
    assert_eq!(channel.most_at_once(), 4);
}

#[tokio::test]
async fn file_that_says_it_is_too_large_is_not_asked_for() {
    let dir = TempDir::new().unwrap();
    let channel = FakeChannel::new().with_file("fits", &[Answer::Content(b"x")]);
    let mut both = attachments(&["large", "fits"]);
    both[0].bytes = Some(MAX_FILE_BYTES + 1);
    both[1].bytes = Some(MAX_FILE_BYTES);
    let files = fetch(&channel, &both, dir.path()).await;
    assert_eq!(files[0], Err("larger than 50 MB".to_owned()));
    assert!(files[1].is_ok(), "{files:?}");
    assert_eq!(channel.fetches(), ["fits"]);
}

#[tokio::test]
async fn files_of_a_message_are_fetched_as_long_as_they_fit_together() {
    let dir = TempDir::new().unwrap();
    let channel = FakeChannel::new()
        .with_file("large", &[Answer::Bytes(MAX_FILE_BYTES)])
        .with_file("small", &[Answer::Bytes(1 << 20)]);
    let mut all = vec!["small"; 10];
    all.extend(["large"; 4]);
    all.extend(["small"; 3]);
    let files = fetch_named(&channel, &all, dir.path()).await;
    let together = "the files of this message are larger than 200 MB together";
    for (index, file) in files.iter().enumerate() {
        match index {
            13 => assert_eq!(file, &Err(together.to_owned()), "the fourth large one"),
            _ => assert!(file.is_ok(), "{index}: {file:?}"),
        }
    }
    // What was there already counts as well.
    let again = fetch_named(&channel, &all, dir.path()).await;
    assert_eq!(again, files);
}

#[tokio::test]
async fn file_larger_than_the_channel_was_allowed_is_not_kept() {
    let dir = TempDir::new().unwrap();
    let channel = FakeChannel::new().with_file("liar", &[Answer::Bytes(MAX_FILE_BYTES + 1)]);
    let files = fetch_named(&channel, &["liar"], dir.path()).await;
    assert!(files[0].is_err(), "{files:?}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

// === Failures ===

#[tokio::test]
async fn what_may_pass_is_tried_again_and_everything_else_is_said_to_be_missing() {
    let never = SendError::Never {
        reason: "a login page".to_owned(),
    };
    let operator = SendError::Operator {
        remedy: "grant files:read".to_owned(),
        reason: "missing_scope".to_owned(),
    };
    for (failure, calls, missing) in [
        (again(None), 2, None),
        (
            again(Some(2 * MINUTE)),
            1,
            Some("could not be fetched: busy"),
        ),
        (never, 1, Some("could not be fetched: a login page")),
        (
            operator,
            1,
            Some("could not be fetched: grant files:read (missing_scope)"),
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let answers = [Answer::Fails(failure), Answer::Content(b"x")];
        let channel = FakeChannel::new().with_file("f", &answers);
        let files = fetch_named(&channel, &["f"], dir.path()).await;
        assert_eq!(files[0].as_ref().err().map(String::as_str), missing);
        assert_eq!(channel.fetches().len(), calls, "{missing:?}");
        let left = usize::from(missing.is_none());
        assert_eq!(names(dir.path()).len(), left, "{missing:?}");
    }
}

#[tokio::test]
async fn disk_that_takes_nothing_costs_the_files_and_not_the_turn() {
    let dir = TempDir::new().unwrap();
    let no_directory = dir.path().join("file");
    std::fs::write(&no_directory, "").unwrap();
    let channel = FakeChannel::new();
    let files = fetch_named(&channel, &["a", "b"], &no_directory.join("message")).await;
    assert_eq!(files.len(), 2);
    for file in files {
        let reason = file.unwrap_err();
        assert!(reason.starts_with("could not be written: "), "{reason}");
    }
    assert!(channel.fetches().is_empty());
}

// === Names and images ===

#[test]
fn names_keep_what_is_harmless() {
    let long = "é".repeat(200);
    for (name, safe) in [
        ("report.pdf", "report.pdf"),
        ("Résumé 最終.docx", "Résumé 最終.docx"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "file"),
        ("", "file"),
        (".bashrc", "bashrc"),
        ("a\n\0b.png", "a__b.png"),
        ("\"><x a=\"$(id)\".txt", "___x a=__(id)_.txt"),
        ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
        ("C:\\temp\\x.doc", "C__temp_x.doc"),
        (" . spaces . ", "spaces"),
        (&format!("{long}.jpeg"), &format!("{}.jpeg", "é".repeat(57))),
        (&format!("x.{long}"), &format!("x.{}", "é".repeat(59))),
    ] {
        assert_eq!(safe_name(name), safe, "{name:?}");
    }
}

proptest! {
    #[test]
    fn name_is_one_short_visible_step(name in any::<String>(), long in 0_usize..300) {
        for name in [name.clone(), name.repeat(long)] {
            let safe = safe_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= MAX_NAME_BYTES, "{safe:?}");
            prop_assert!(!safe.starts_with('.'), "{safe:?}");
            prop_assert!(!safe.contains(is_unsafe), "{safe:?}");
            let path = Path::new("/d").join(format!("0-{safe}"));
            prop_assert_eq!(path.parent(), Some(Path::new("/d")));
        }
    }
}

#[tokio::test]
async fn images_are_known_by_what_is_in_them() {
    let dir = TempDir::new().unwrap();
    for (name, head, image) in [
        ("a.txt", &b"\x89PNG\r\n\x1a\n...."[..], true),
        ("b", b"\xff\xd8\xff\xe0", true),
        ("c.gif", b"GIF89a", true),
        ("d.gif", b"GIF87a....", true),
        ("e.webp", b"RIFF\x10\0\0\0WEBPVP8 ", true),
        ("f.wav", b"RIFF\x10\0\0\0WAVEfmt ", false),
        ("g.png", b"<html>please log in</html>", false),
        ("h.png", b"", false),
        ("i.svg", b"<svg/>", false),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, head).unwrap();
        assert_eq!(is_image(&path).await, image, "{name}");
    }
    let path = dir.path().join("b");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(MAX_IMAGE_BYTES).unwrap();
    assert!(is_image(&path).await);
    file.set_len(MAX_IMAGE_BYTES + 1).unwrap();
    assert!(!is_image(&path).await, "it is too large");
    assert!(!is_image(&dir.path().join("none")).await);
}

// === Tidying ===

#[tokio::test]
async fn files_go_when_their_message_is_forgotten_or_long_over() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) =
        Ledger::open(&dir.path().join("ledger"), LedgerSettings::standard()).unwrap();
    let root = dir.path().join("attachments");
    let lane = LaneId::new("a");
    let mut ids = Vec::new();
    for number in 0..2 {
        let new = NewMessage {
            channel: ChannelId::new("team"),
            dispatcher: DispatcherId::new("a"),
            lane: lane.clone(),
            key: EventKey {
                kind: EventKind::Message,
                id: number.to_string(),
            },
            message: record(&[]).message,
            received_at: SystemTime::now(),
            urgent: false,
        };
        let Accepted::New { id, .. } = ledger.accept(new).await.unwrap() else {
            panic!("it is new");
        };
        ids.push(id);
    }
    let [settled, waiting] = ids[..] else {
        panic!("there are two")
    };
    ledger
        .settle_waiting(&lane, vec![settled], Outcome::Cancelled, Vec::new())
        .await
        .unwrap();
    let unknown = MessageId::new();
    for name in [settled, waiting, unknown].map(|id| id.to_string()) {
        std::fs::create_dir_all(root.join(&name)).unwrap();
        std::fs::write(root.join(name).join("0-f"), "x").unwrap();
    }
    std::fs::create_dir(root.join("somebody's")).unwrap();
    let left = || names(&root).len();

    let now = SystemTime::now();
    assert_eq!(tidy(&root, &ledger, now).await.unwrap(), 1);
    assert!(!directory_of(&root, unknown).exists());
    assert_eq!(left(), 3, "what may be needed is gone");

    let later = now + KEEP_FOR + MINUTE;
    assert_eq!(tidy(&root, &ledger, later).await.unwrap(), 1);
    assert!(!directory_of(&root, settled).exists());
    assert_eq!(left(), 2, "what waits, or is not ours, is gone");
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn file_that_finds_no_room_waits_for_what_others_give_back() {
    let budget = Arc::new(Budget::new(10));
    let mut first = budget.share(10).await;
    assert_eq!(first.granted, 10);
    first.used = 4;
    let (second, ()) = tokio::join!(budget.share(10), async { drop(first) });
    assert_eq!(second.granted, 6);
    drop(second);
    assert_eq!(budget.share(3).await.granted, 3);
}
