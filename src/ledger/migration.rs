//! The schema's version, and the way from an older one.

use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::store::Change;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::Value;

/// A step from one schema to the next.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    /// The schema after it.
    pub(super) to: u32,
    /// Changes what is stored, all in one commit.
    pub(super) run: fn(&mut Transaction<'_>) -> Result<(), LedgerError>,
}

/// All steps, in order. An empty store takes all of them.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    to: 1,
    run: |_| Ok(()),
}];

/// Returns the newest schema that `migrations` know.
pub(super) fn newest(migrations: &[Migration]) -> u32 {
    migrations.last().map_or(0, |migration| migration.to)
}

/// Returns what makes a new store one of schema 0, so that one without a schema is not taken for
/// new.
pub(super) fn empty_store() -> Result<Change, LedgerError> {
    Ok((
        Table::Meta,
        key::schema(),
        Some(Value::encode("schema", &0)?),
    ))
}

/// Returns the schema of the store.
pub(super) fn current(transaction: &mut Transaction<'_>) -> Result<Option<u32>, LedgerError> {
    transaction.get("schema", Table::Meta, &key::schema())
}

/// Takes one step and notes it.
pub(super) fn step(
    transaction: &mut Transaction<'_>,
    migration: &Migration,
) -> Result<(), LedgerError> {
    (migration.run)(transaction)?;
    transaction.put("schema", Table::Meta, key::schema(), &migration.to)
}
