//! A ledger whose disk fails on demand, for the tests of those who must live with that.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ledger::handle::Ledger;
use crate::ledger::migration::MIGRATIONS;
use crate::ledger::settings::LedgerSettings;
use crate::ledger::store::Barrier;
use crate::ledger::writer::{LedgerThread, Parts};

/// Opens a ledger in `dir` whose disk is full for as long as `full` is set.
pub(crate) fn open(dir: &Path, full: &Arc<AtomicBool>) -> (Ledger, LedgerThread) {
    let parts = Parts {
        barrier: Box::new(Flaky {
            full: Arc::clone(full),
        }),
        migrations: MIGRATIONS,
    };
    Ledger::open_with(dir, LedgerSettings::standard(), parts).unwrap()
}

struct Flaky {
    full: Arc<AtomicBool>,
}

impl Barrier for Flaky {
    fn sync(&mut self, file: &File) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.sync_all()
    }
}
