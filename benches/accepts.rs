//! How fast messages are accepted durably, and how large the ledger grows. Prints, asserts nothing.
//!
//! `cargo bench --bench accepts`; `TMPDIR` chooses the disk.

use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tieline::id::{DispatcherId, LaneId, TurnKey};
use tieline::ledger::{Ledger, LedgerSettings, NewMessage, NewPost, Outcome, PostEvent};
use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, EventKey, EventKind, Message, PostKind, Segment,
    Sender, SenderKind, UserId, WireId,
};
use tokio::task::JoinSet;

/// How long one measurement of the rate takes.
const MEASURED: Duration = Duration::from_secs(5);

/// How many messages the measurement of the size takes, and after how many of them the ledger
/// forgets what is settled.
const MESSAGES: u64 = 100_000;
const EXPIRED_EVERY: u64 = 10_000;

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    for writers in [1, 64] {
        let rate = runtime.block_on(accepts(writers))?;
        println!("{writers:>3} writers: {rate:>8.0} durable accepts/s");
    }
    println!("{MESSAGES} messages, settled, delivered, and forgotten every {EXPIRED_EVERY}:");
    runtime.block_on(growth())?;
    Ok(())
}

/// Returns how many messages per second so many writers get accepted.
async fn accepts(writers: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let dir = TempDir::new()?;
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard())?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut accepted = 0_u64;
            while started.elapsed() < MEASURED {
                ledger.accept(message(writer, accepted)).await?;
                accepted += 1;
            }
            Ok::<_, tieline::ledger::LedgerError>(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(task) = tasks.join_next().await {
        accepted += task??;
    }
    let took = started.elapsed();
    thread.close().await;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok(accepted as f64 / took.as_secs_f64())
}

/// Prints the size of a ledger while messages go through it.
#[expect(clippy::print_stdout, reason = "printing is what it is for")]
async fn growth() -> Result<(), Box<dyn std::error::Error>> {
    const LANES: u64 = 64;
    let dir = TempDir::new()?;
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard())?;
    let long_ago = Duration::from_secs(10 * 24 * 60 * 60);
    let started = Instant::now();
    for round in 0..MESSAGES / EXPIRED_EVERY {
        let mut tasks = JoinSet::new();
        for lane in 0..LANES {
            let ledger = ledger.clone();
            tasks.spawn(async move {
                for number in 0..EXPIRED_EVERY / LANES {
                    go_through(&ledger, lane, round * EXPIRED_EVERY + number).await?;
                }
                Ok::<_, tieline::ledger::LedgerError>(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        let full = ledger.counts().await?;
        ledger.expire(SystemTime::now() + long_ago).await?;
        let counts = ledger.counts().await?;
        println!(
            "  {:>6} messages: {:>6.1} MiB; after forgetting: {} messages, {} posts, {} keys, {:.1} MiB",
            (round + 1) * (EXPIRED_EVERY / LANES) * LANES,
            mebibytes(full.size_on_disk),
            counts.messages.total(),
            counts.outbox.total(),
            counts.keys,
            mebibytes(counts.size_on_disk),
        );
    }
    println!("  in {:.1} s", started.elapsed().as_secs_f64());
    thread.close().await;
    let started = Instant::now();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard())?;
    println!("  opened again in {} ms", started.elapsed().as_millis());
    drop(ledger);
    thread.join();
    Ok(())
}

/// Takes one message from its acceptance to the delivery of its answer.
async fn go_through(
    ledger: &Ledger,
    lane: u64,
    number: u64,
) -> Result<(), tieline::ledger::LedgerError> {
    let new = message(lane, number);
    let (id, channel, to) = (
        new.lane.clone(),
        new.channel.clone(),
        new.message.conversation.clone(),
    );
    ledger.accept(new).await?;
    let waiting = ledger.waiting(&id, 1).await?;
    let turn = TurnKey::new();
    ledger
        .open_turn(&id, turn, waiting.iter().map(|record| record.id).collect())
        .await?;
    let answer = NewPost {
        channel,
        to,
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Answer,
        text: "An answer of a few sentences. ".repeat(20),
        buttons: Vec::new(),
        as_file: None,
        file: None,
        reaction: None,
        edit: None,
    };
    for post in ledger
        .settle_turn(&id, turn, Outcome::Answered, vec![answer])
        .await?
    {
        let at = SystemTime::now();
        ledger.advance_post(post, PostEvent::Attempt { at }).await?;
        let wire = WireId::new("1730000000.000100");
        ledger
            .advance_post(post, PostEvent::Delivered { wire, at })
            .await?;
    }
    Ok(())
}

fn message(writer: u64, number: u64) -> NewMessage {
    let id = format!("C0123456789:{writer}.{number:06}");
    NewMessage {
        channel: ChannelId::new("team"),
        dispatcher: DispatcherId::new("flow"),
        lane: LaneId::new(format!("flow/C0123456789/{writer}")),
        key: EventKey {
            kind: EventKind::Message,
            id: id.clone(),
        },
        message: Message {
            id: WireId::new(id),
            conversation: Conversation {
                chat: ChatId::new("C0123456789"),
                thread: None,
            },
            chat_kind: ChatKind::Group,
            chat_name: Some("ops".to_owned()),
            sender: Sender {
                id: UserId::new("U0123456789"),
                name: Some("Mei".to_owned()),
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::now(),
            body: vec![Segment::Text(
                "Please look at the failing build of last night. ".repeat(4),
            )],
            addressed: true,
            in_thread: false,
            quote: None,
            attachments: Vec::new(),
        },
        received_at: SystemTime::now(),
        urgent: false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size to read")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
