//! Power cuts.
//!
//! The barrier is the only promise about the disk. At every sync, before it counts, the database
//! file is what was last synced plus whatever part of the later writes the disk happened to have
//! taken; such a state is put together at random and must hold everything acknowledged until then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::fixture::{accept, lane};
use crate::id::{MessageId, TurnKey};
use crate::ledger::migration::MIGRATIONS;
use crate::ledger::store::Barrier;
use crate::ledger::writer::Parts;
use crate::ledger::{Ledger, LedgerSettings, MessageState, Outcome};

/// What a disk writes whole.
const SECTOR: usize = 512;

/// What was acknowledged: the state that each message has at least reached.
type Acknowledged = Arc<Mutex<BTreeMap<MessageId, MessageState>>>;

/// What a power cut leaves.
struct Cut {
    db: Vec<u8>,
    acknowledged: BTreeMap<MessageId, MessageState>,
}

/// A disk that loses what was not synced.
struct Disk {
    syncs: bool,
    acknowledged: Acknowledged,
    synced: Option<Vec<u8>>,
    cuts: Arc<Mutex<Vec<Cut>>>,
    random: u64,
}

impl Barrier for Disk {
    fn sync(&mut self, file: &File) -> io::Result<()> {
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        let mut written = vec![0; usize::try_from(file.metadata()?.len()).unwrap()];
        file.read_exact_at(&mut written, 0)?;
        let synced = self.synced.take().unwrap_or_else(|| written.clone());
        if self.roll(4) == 0 {
            let db = self.torn(&synced, &written);
            self.cuts.lock().unwrap().push(Cut { db, acknowledged });
        }
        self.synced = Some(if self.syncs { written } else { synced });
        Ok(())
    }
}

impl Disk {
    /// Returns what was synced with some of the sectors that were written since.
    fn torn(&mut self, synced: &[u8], written: &[u8]) -> Vec<u8> {
        // From nothing of it over one half to almost all.
        let taken = self.roll(5);
        let mut db = synced.to_vec();
        for (index, sector) in written.chunks(SECTOR).enumerate() {
            let at = index * SECTOR;
            if self.syncs && self.roll(4) < taken {
                if db.len() < at + sector.len() {
                    db.resize(at + sector.len(), 0);
                }
                db[at..at + sector.len()].copy_from_slice(sector);
            }
        }
        db
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % sides
    }
}

/// Works on a ledger and returns how many cuts were examined, and how many acknowledged states
/// were lost in them or could not be opened.
async fn losses(syncs: bool, seed: u64) -> (usize, usize) {
    let dir = TempDir::new().unwrap();
    let acknowledged = Acknowledged::default();
    let cuts = Arc::default();
    let parts = Parts {
        barrier: Box::new(Disk {
            syncs,
            acknowledged: Arc::clone(&acknowledged),
            synced: None,
            cuts: Arc::clone(&cuts),
            random: seed,
        }),
        migrations: MIGRATIONS,
    };
    let (ledger, thread) =
        Ledger::open_with(dir.path(), LedgerSettings::standard(), parts).unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (ledger, acknowledged) = (ledger.clone(), Arc::clone(&acknowledged));
        writers.spawn(async move {
            for number in 0..20 {
                let id = accept(&ledger, &format!("{writer}.{number}"))
                    .await
                    .unwrap();
                acknowledged
                    .lock()
                    .unwrap()
                    .insert(id, MessageState::Queued);
            }
        });
    }
    writers.join_all().await;
    for _ in 0..20 {
        let turn = TurnKey::new();
        let id = ledger.waiting(&lane(), 1).await.unwrap()[0].id;
        ledger.open_turn(&lane(), turn, vec![id]).await.unwrap();
        let settled = ledger
            .settle_turn(&lane(), turn, Outcome::Answered, Vec::new())
            .await;
        settled.unwrap();
        acknowledged
            .lock()
            .unwrap()
            .insert(id, MessageState::Answered);
    }
    // What a cut leaves beside the database file has not changed since the start.
    let files = TempDir::new().unwrap();
    copy(&dir.path().join("store"), &files.path().join("store"));
    thread.close().await;

    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    let mut lost = 0;
    for cut in &cuts {
        lost += lost_in(files.path(), cut).await;
    }
    (cuts.len(), lost)
}

/// Returns how many of the acknowledged states a cut has lost.
async fn lost_in(files: &Path, cut: &Cut) -> usize {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("store");
    copy(&files.join("store"), &store);
    fs::write(store.join("db"), &cut.db).unwrap();
    let Ok((ledger, thread)) = Ledger::open(dir.path(), LedgerSettings::standard()) else {
        return cut.acknowledged.len().max(1);
    };
    let mut lost = 0;
    for (id, state) in &cut.acknowledged {
        let there = ledger.message(*id).await.unwrap();
        let kept =
            there.is_some_and(|there| there.state == *state || *state == MessageState::Queued);
        lost += usize::from(!kept);
    }
    accept(&ledger, "after the cut").await.unwrap();
    thread.close().await;
    lost
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("blobs")).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn power_cuts_lose_nothing_acknowledged() {
    let mut examined = 0;
    for seed in [1, 2, 3] {
        let (cuts, lost) = losses(true, seed).await;
        assert_eq!(lost, 0, "seed {seed}");
        examined += cuts;
    }
    assert!(examined >= 20, "only {examined} cuts");
}

#[tokio::test]
async fn power_cuts_without_sync_are_seen_to_lose() {
    // Shows that the test above can fail: a disk on which the sync has no effect.
    let (cuts, lost) = losses(false, 1).await;
    assert!(lost > cuts, "{lost} lost in {cuts} cuts");
}
