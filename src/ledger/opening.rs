//! The steps from a directory to a store that commands can use.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use tieline_channel::WithCauses;

use crate::ledger::copy;
use crate::ledger::counts::{Counts, State};
use crate::ledger::error::{LedgerError, OpenError};
use crate::ledger::key::{self, Table};
use crate::ledger::migration::{self, MIGRATIONS, Migration};
use crate::ledger::operation;
use crate::ledger::spool::Spool;
use crate::ledger::store::{Barrier, Change, Fsync, Store, io_error};
use crate::ledger::transaction::Transaction;

/// Opens the store in `dir`, whose lock the caller holds, brings it to the newest schema and
/// removes what a crash has left.
pub(super) fn open(
    dir: &Path,
    migrations: &[Migration],
    barrier: &mut dyn Barrier,
) -> Result<(Store, Spool, State), OpenError> {
    let spool = open_spool(dir)?;
    let mut store = open_store(dir, barrier)?;
    let found = schema(dir, &store, &spool, migrations)?;
    // One that was just made has nothing that could be lost.
    if found > 0 && found < migration::newest(migrations) {
        // What is copied must be closed.
        drop(store);
        copy::back_up(dir, found, SystemTime::now())?;
        store = open_store(dir, barrier)?;
    }
    migrate(dir, &store, &spool, (found, migrations), barrier)?;
    let state = read_state(dir, &store, &spool)?;
    sweep(dir, &store, &spool)?;
    Ok((store, spool, state))
}

/// Returns the schema, the newest that there is, and the counts of the ledger in `dir`, a copy that
/// nobody else uses.
pub(super) fn look(dir: &Path) -> Result<(u32, u32, Counts), OpenError> {
    let spool = open_spool(dir)?;
    let store = open_store(dir, &mut Fsync)?;
    let schema = schema(dir, &store, &spool, MIGRATIONS)?;
    let state = read_state(dir, &store, &spool)?;
    let counts = Counts {
        size_on_disk: Transaction::new(&store, &spool, State::default()).size_on_disk(),
        ..state.counts
    };
    Ok((schema, migration::newest(MIGRATIONS), counts))
}

/// Opens a store that has failed, takes back what its last group may have changed after all, and
/// shows that it can be written.
pub(super) fn reopen(
    dir: &Path,
    undo: &[Change],
    barrier: &mut dyn Barrier,
) -> Result<(Store, Spool, State), String> {
    let told = |error: OpenError| WithCauses(&error).to_string();
    let spool = open_spool(dir).map_err(told)?;
    let store = open_store(dir, barrier).map_err(told)?;
    store.commit(undo, barrier)?;
    let state = read_state(dir, &store, &spool).map_err(told)?;
    sweep(dir, &store, &spool).map_err(told)?;
    spool
        .probe()
        .map_err(|error| format!("cannot write a spool file: {error}"))?;
    let probe = Transaction::new(&store, &spool, state).prepare_probe()?;
    store.commit(&probe.changes, barrier)?;
    Ok((store, spool, probe.state))
}

fn open_spool(dir: &Path) -> Result<Spool, OpenError> {
    let path = dir.join("spool");
    Spool::open(&path).map_err(|error| io_error("open", &path, error))
}

/// Opens the store, or makes one that says which schema it has.
fn open_store(dir: &Path, barrier: &mut dyn Barrier) -> Result<Store, OpenError> {
    let first = migration::empty_store().map_err(|error| corrupt(dir, &error))?;
    Store::open(dir, &[first], barrier)
}

/// Returns the schema of the store, if it is none of a newer version.
fn schema(
    dir: &Path,
    store: &Store,
    spool: &Spool,
    migrations: &[Migration],
) -> Result<u32, OpenError> {
    let known = migration::newest(migrations);
    let mut transaction = Transaction::new(store, spool, State::default());
    let found = migration::current(&mut transaction)
        .map_err(|error| corrupt(dir, &error))?
        .ok_or_else(|| corrupt(dir, &"it has no schema: something has emptied or cut it"))?;
    if found > known {
        return Err(OpenError::NewerSchema {
            dir: dir.to_owned(),
            found,
            known,
        });
    }
    Ok(found)
}

/// Brings the store from the schema that was found to the newest.
fn migrate(
    dir: &Path,
    store: &Store,
    spool: &Spool,
    (found, migrations): (u32, &[Migration]),
    barrier: &mut dyn Barrier,
) -> Result<(), OpenError> {
    for migration in migrations.iter().filter(|migration| migration.to > found) {
        let state = read_state(dir, store, spool)?;
        let mut transaction = Transaction::new(store, spool, state);
        transaction
            .run(|transaction| migration::step(transaction, migration))
            .map_err(|error| corrupt(dir, &error))?;
        let prepared = transaction
            .prepare()
            .map_err(|error| corrupt(dir, &error))?;
        store
            .commit(&prepared.changes, barrier)
            .map_err(|reason| io_error("write", dir, io::Error::other(reason)))?;
    }
    Ok(())
}

fn read_state(dir: &Path, store: &Store, spool: &Spool) -> Result<State, OpenError> {
    Transaction::new(store, spool, State::default())
        .get("state", Table::Meta, &key::state())
        .map(Option::unwrap_or_default)
        .map_err(|error| corrupt(dir, &error))
}

/// Removes the spool files that no record names.
fn sweep(dir: &Path, store: &Store, spool: &Spool) -> Result<(), OpenError> {
    enum SweepError {
        Io(io::Error),
        Ledger(LedgerError),
    }
    impl From<io::Error> for SweepError {
        fn from(error: io::Error) -> Self {
            Self::Io(error)
        }
    }
    let mut transaction = Transaction::new(store, spool, State::default());
    let removed = spool
        .sweep(|owner, name| {
            operation::is_named(&mut transaction, owner, name).map_err(SweepError::Ledger)
        })
        .map_err(|error| match error {
            SweepError::Io(source) => io_error("sweep", &dir.join("spool"), source),
            SweepError::Ledger(error) => corrupt(dir, &error),
        })?;
    if removed > 0 {
        tracing::info!(removed, "removed spool files that a crash left behind");
    }
    Ok(())
}

fn corrupt(dir: &Path, error: &impl ToString) -> OpenError {
    OpenError::Corrupt {
        dir: dir.to_owned(),
        reason: error.to_string(),
    }
}
