use std::path::Path;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline_channel::{Said, Sender, SenderKind, UserId, WireId};

use super::*;
use crate::codex::protocol::ThreadSettings;
use crate::codex::{AppServer, Launch, LaunchConfig, StartError};
use crate::config::Config;
use crate::dispatcher::fake_channel::{Answer, FakeChannel, again, record};
use crate::dispatcher::login::Login;
use crate::dispatcher::status_board::StatusBoard;
use crate::dispatcher::supervisor::Supervisor;
use crate::ledger::{LedgerSettings, LedgerThread};
use tieline_channel::retry::RestartPolicy;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";

/// A codex that is for ever about to start.
struct Never;

#[async_trait::async_trait]
impl Launch for Never {
    async fn launch(&self, _: &LaunchConfig) -> Result<AppServer, StartError> {
        std::future::pending().await
    }
}

/// A lane that a test gives messages to prepare.
struct Bench {
    lane: Lane,
    channel: Arc<FakeChannel>,
    thread: LedgerThread,
    dir: TempDir,
}

impl Bench {
    fn new(channel: FakeChannel) -> Self {
        let dir = TempDir::new().unwrap();
        let channel = Arc::new(channel);
        let (ledger, thread) =
            Ledger::open(&dir.path().join("ledger"), LedgerSettings::standard()).unwrap();
        let text = "[channels.team]\nkind = \"console\"\n\
                    [dispatchers.a]\nworkspace = \"/\"\nchannels = [\"team\"]\n";
        let root = Path::new("/");
        let config = Config::parse(text, &root.join("tieline.toml"), Some(root)).unwrap();
        let (id, config) = config.config.dispatchers.into_iter().next().unwrap();
        let launch = LaunchConfig::new(id.as_str(), root, root, root, root);
        let second = Duration::from_secs(1);
        let login = Login::new(&launch);
        let (_, supervised) = Supervisor::new(
            id.clone(),
            launch.clone(),
            Arc::new(Never),
            ledger.clone(),
            RestartPolicy::new(second, second),
            login.clone(),
            crate::events::Events::none(),
        );
        let line = Line {
            kind: "slack",
            channel: Arc::clone(&channel) as Arc<dyn Channel>,
            language: Language::English,
        };
        let context = LaneContext {
            settings: Arc::new(Settings {
                id,
                config,
                launch,
                thread: ThreadSettings::default(),
                attachments: dir.path().join("attachments"),
                spills: dir.path().join("completions"),
                outgoing: dir.path().join("outgoing"),
                worktrees: dir.path().join("worktrees"),
                events: crate::events::Events::none(),
                restart_notice: None,
            }),
            ledger,
            lines: [(ChannelId::new("team"), line)].into(),
            supervised,
            board: StatusBoard::new(BTreeMap::new()).0,
            loading: Semaphore::new(1),
            turns: Arc::new(Semaphore::new(1)),
            doing: WhatTheyDo::default(),
            changes: crate::sessions::Changes::new(),
            wakes: Arc::default(),
            observed: tokio::sync::watch::channel(None).0,
            events: crate::events::Events::none(),
            login,
        };
        let lane = Lane::new(
            Arc::new(context),
            LaneId::new("a"),
            Arc::new(Notify::new()),
            CancellationToken::new(),
        );
        Self {
            lane,
            channel,
            thread,
            dir,
        }
    }

    async fn input(&self, records: Vec<MessageRecord>) -> Vec<UserInput> {
        let prepared = self.lane.prepare(records).await.unwrap();
        self.lane.input(None, &prepared)
    }

    /// Returns the text that codex is given for one message.
    async fn text(&self, record: MessageRecord) -> String {
        let mut input = self.input(vec![record]).await;
        match input.remove(0) {
            UserInput::Text { text } => text,
            other => panic!("{other:?} is no text"),
        }
    }

    fn path(&self, record: &MessageRecord, name: &str) -> PathBuf {
        let root = self.dir.path().join("attachments");
        root.join(record.id.to_string()).join(name)
    }

    async fn finish(self) {
        drop(self.lane);
        self.thread.close().await;
    }
}

fn said(text: &str) -> Said {
    Said {
        message: WireId::new("1730.1"),
        sender: Sender {
            id: UserId::new("U7"),
            name: None,
            kind: SenderKind::Person,
        },
        sent_at: SystemTime::UNIX_EPOCH,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn files_are_given_as_paths_and_images_as_images_after_the_text() {
    let channel = FakeChannel::new()
        .with_file("notes.txt", &[Answer::Content(b"plain")])
        .with_file("fake.png", &[Answer::Content(b"<html>")])
        .with_file("photo.bin", &[Answer::Content(PNG)]);
    let bench = Bench::new(channel);
    let record = record(&["notes.txt", "gone.png", "fake.png", "photo.bin"]);
    let photo = bench.path(&record, "3-photo.bin");
    let notes = bench.path(&record, "0-notes.txt");
    let input = bench.input(vec![record]).await;
    let [UserInput::Text { text }, image] = &input[..] else {
        panic!("{input:?}");
    };
    assert_eq!(
        image,
        &UserInput::LocalImage {
            path: photo.clone()
        }
    );
    for path in [&notes, &photo] {
        let path = format!("<attachment path=\"{}\"", path.display());
        assert!(text.contains(&path), "{text}");
    }
    let missing = "name=\"gone.png\" missing=\"could not be fetched: no such file\"/>";
    assert!(text.contains(missing), "{text}");
    bench.finish().await;
}

#[tokio::test]
async fn no_more_than_ten_images_are_shown_in_a_turn_and_all_are_there_as_files() {
    let channel = FakeChannel::new().with_file("p.png", &[Answer::Content(PNG)]);
    let bench = Bench::new(channel);
    let records = vec![record(&["p.png"; 8]), record(&["p.png"; 8])];
    let input = bench.input(records).await;
    assert_eq!(input.len(), 1 + 10);
    let UserInput::Text { text } = &input[0] else {
        panic!("{input:?}");
    };
    assert_eq!(text.matches("<attachment path=").count(), 16);
    bench.finish().await;
}

#[tokio::test]
async fn earlier_messages_are_asked_for_once_a_thread_was_there_before_us() {
    for (first_here, in_thread, history, asked) in [
        (true, true, true, 1),
        (false, true, true, 0),
        (true, false, true, 0),
        (true, true, false, 0),
    ] {
        let mut channel = FakeChannel::new().with_earlier(vec![Some(Ok(vec![said("red")]))]);
        if !history {
            channel = channel.without_history();
        }
        let bench = Bench::new(channel);
        let mut record = record(&[]);
        record.first_here = first_here;
        record.message.in_thread = in_thread;
        let text = bench.text(record).await;
        assert_eq!(bench.channel.asked_for_earlier(), asked);
        assert_eq!(text.matches(">red</earlier>").count(), asked, "{text}");
        bench.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn history_that_cannot_be_read_is_said_and_holds_nothing_up_for_long() {
    let never = SendError::Never {
        reason: "gone".to_owned(),
    };
    let operator = SendError::Operator {
        remedy: "grant channels:history".to_owned(),
        reason: "missing_scope".to_owned(),
    };
    for (answers, told) in [
        (
            vec![Some(Err(again(None))), Some(Ok(vec![said("red")]))],
            true,
        ),
        (vec![Some(Err(again(None)))], false),
        (vec![None], false),
        (vec![Some(Err(never))], false),
        (vec![Some(Err(operator))], false),
    ] {
        let bench = Bench::new(FakeChannel::new().with_earlier(answers.clone()));
        let begun = Instant::now();
        let text = bench.text(record(&[])).await;
        assert_eq!(text.contains(">red</earlier>"), told, "{answers:?}: {text}");
        let unreadable = text.contains("could not be read\"/>");
        assert_eq!(unreadable, !told, "{answers:?}: {text}");
        assert!(begun.elapsed() <= Duration::from_secs(21), "{answers:?}");
        bench.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn lane_that_is_told_to_stop_does_not_wait_for_files() {
    let bench = Bench::new(FakeChannel::new().with_file("f", &[Answer::Hangs]));
    let begun = Instant::now();
    let drain = bench.lane.drain.clone();
    let (prepared, ()) = tokio::join!(bench.lane.prepare(vec![record(&["f"])]), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drain.cancel();
    });
    assert!(prepared.is_none());
    assert!(begun.elapsed() < Duration::from_secs(2));
    bench.finish().await;
}

#[tokio::test]
async fn message_of_a_channel_that_is_gone_is_rendered_all_the_same() {
    let bench = Bench::new(FakeChannel::new());
    let mut record = record(&["f"]);
    record.channel = ChannelId::new("gone");
    let text = bench.text(record).await;
    assert!(
        text.contains("missing=\"the file could not be fetched\""),
        "{text}"
    );
    bench.finish().await;
}

#[tokio::test]
async fn nothing_is_rendered_larger_than_it_was_counted() {
    let bench =
        Bench::new(
            FakeChannel::new().with_earlier(vec![Some(Ok(vec![said(&"&".repeat(100_000)); 20]))]),
        );
    let name = "&".repeat(300);
    let record = record(&[name.as_str(); 25]);
    let counted = bench.lane.rendered_size(&record);
    let text = bench.text(record).await;
    let rendered = text.chars().count();
    assert!(rendered <= counted, "{rendered} > {counted}");
    bench.finish().await;
}
