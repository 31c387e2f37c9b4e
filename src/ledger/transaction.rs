//! What a group of commands sees and changes before it is committed.
//!
//! Commands read through it and so see what earlier ones of the group have changed. A command
//! that fails leaves no trace. Does not commit.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::counts::State;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Key, Table};
use crate::ledger::spool::{Spool, SpoolName, SpoolOwner};
use crate::ledger::store::{Change, Store, panic_text};
use crate::ledger::value::Value;

/// Where a value is.
type Place = (Table, Key);

/// What the group puts where; `None` is a removal.
type Writes = BTreeMap<Place, Option<Value>>;

/// The changes of a group of commands.
pub(super) struct Transaction<'a> {
    store: &'a Store,
    spool: &'a Spool,
    /// The counters as the group has them.
    pub(super) state: State,
    committed: State,
    writes: Writes,
    bytes: usize,
    command: Savepoint,
    aftermath: Aftermath,
    broken: Option<String>,
}

/// How things were before the present command.
#[derive(Default)]
struct Savepoint {
    state: State,
    /// What the command has overwritten in the group, oldest first.
    overwritten: Vec<(Place, Option<Option<Value>>)>,
    written_files: Vec<SpoolName>,
    unnamed_files: Vec<SpoolName>,
    enqueued: bool,
}

/// What is to be done once the group is committed, or has failed.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Files that were written for the group: to be removed if it fails.
    pub(super) written_files: Vec<SpoolName>,
    /// Files that no record names any more: to be removed once it is committed.
    pub(super) unnamed_files: Vec<SpoolName>,
    /// Posts were enqueued.
    pub(super) enqueued: bool,
}

/// A group that is ready to be committed.
pub(super) struct Prepared {
    /// What changes.
    pub(super) changes: Vec<Change>,
    /// What was there before, in the same order.
    pub(super) previous: Vec<Change>,
    /// The counters after the commit.
    pub(super) state: State,
    /// What is to be done afterwards.
    pub(super) aftermath: Aftermath,
}

impl<'a> Transaction<'a> {
    /// Begins a group on `store`, whose counters are `state`.
    pub(super) fn new(store: &'a Store, spool: &'a Spool, state: State) -> Self {
        Self {
            store,
            spool,
            state,
            committed: state,
            writes: Writes::new(),
            bytes: 0,
            command: Savepoint::default(),
            aftermath: Aftermath::default(),
            broken: None,
        }
    }

    /// Runs one command; if it fails, it has changed nothing. If it panics, the group fails.
    pub(super) fn run<T>(
        &mut self,
        command: impl FnOnce(&mut Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.command = Savepoint {
            state: self.state,
            ..Savepoint::default()
        };
        let result = catch_unwind(AssertUnwindSafe(|| command(self)))
            .unwrap_or_else(|panic| self.unbroken("run a command", Err(panic_text(&*panic))));
        let savepoint = mem::take(&mut self.command);
        match &result {
            Ok(_) => {
                self.aftermath.written_files.extend(savepoint.written_files);
                self.aftermath.unnamed_files.extend(savepoint.unnamed_files);
                self.aftermath.enqueued |= savepoint.enqueued;
            }
            Err(_) => {
                self.state = savepoint.state;
                for (at, value) in savepoint.overwritten.into_iter().rev() {
                    match value {
                        Some(value) => self.writes.insert(at, value),
                        None => self.writes.remove(&at),
                    };
                }
                for name in savepoint.written_files {
                    self.spool.remove(&name);
                }
            }
        }
        result
    }

    /// Returns about how many bytes the group writes.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }

    /// Ends the group.
    ///
    /// # Errors
    ///
    /// When the disk has failed meanwhile.
    pub(super) fn prepare(self) -> Result<Prepared, String> {
        if self.writes.is_empty() {
            self.finish()
        } else {
            self.prepare_probe()
        }
    }

    /// Ends the group with a change even if no command made one: to see whether the disk takes it.
    ///
    /// # Errors
    ///
    /// When the disk has failed meanwhile.
    pub(super) fn prepare_probe(mut self) -> Result<Prepared, String> {
        self.state.commit = self.committed.commit + 1;
        let state = Value::encode("state", &self.state).map_err(|error| error.to_string())?;
        self.writes.insert((Table::Meta, key::state()), Some(state));
        self.finish()
    }

    fn finish(mut self) -> Result<Prepared, String> {
        let mut changes = Vec::with_capacity(self.writes.len());
        let mut previous = Vec::with_capacity(self.writes.len());
        for ((table, key), value) in mem::take(&mut self.writes) {
            previous.push((table, key.clone(), self.stored(table, &key).ok().flatten()));
            changes.push((table, key, value));
        }
        match self.broken {
            Some(reason) => Err(reason),
            None => Ok(Prepared {
                changes,
                previous,
                state: self.state,
                aftermath: self.aftermath,
            }),
        }
    }

    // === Values ===

    /// Returns the value at a key.
    pub(super) fn get<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        table: Table,
        key: &Key,
    ) -> Result<Option<T>, LedgerError> {
        self.raw(table, key)?
            .map(|value| value.decode(what))
            .transpose()
    }

    /// Returns whether there is a value at a key.
    pub(super) fn contains(&mut self, table: Table, key: &Key) -> Result<bool, LedgerError> {
        Ok(self.raw(table, key)?.is_some())
    }

    /// Puts a value at a key.
    pub(super) fn put<T: Serialize>(
        &mut self,
        what: &'static str,
        table: Table,
        key: Key,
        record: &T,
    ) -> Result<(), LedgerError> {
        let value = Value::encode(what, record)?;
        self.bytes += key.as_bytes().len() + value.as_bytes().len();
        self.write(table, key, Some(value));
        Ok(())
    }

    /// Removes the value at a key, if there is one.
    pub(super) fn remove(&mut self, table: Table, key: Key) {
        self.bytes += key.as_bytes().len();
        self.write(table, key, None);
    }

    /// Returns up to `limit` values from `from` on whose keys begin with `prefix`, in order.
    pub(super) fn scan(
        &mut self,
        table: Table,
        prefix: &Key,
        from: &Key,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, LedgerError> {
        let stored = self
            .store
            .tree(table)
            .range(from.as_bytes()..)
            .map(from_sled);
        let written = self
            .writes
            .range((table, from.clone())..)
            .take_while(|((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.clone(), value.clone()));
        let found = Merge::new(stored, written, Ordering::Less)
            .take_while(|found| {
                found.as_ref().map_or(true, |(key, _)| {
                    key.as_bytes().starts_with(prefix.as_bytes())
                })
            })
            .take(limit)
            .collect::<Result<Vec<_>, _>>();
        self.unbroken("read the database", found)
    }

    /// Returns up to `limit` values of a tree, from the last key backwards.
    pub(super) fn scan_back(
        &mut self,
        table: Table,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, LedgerError> {
        self.scan_before(table, None, limit)
    }

    /// Returns up to `limit` values of a tree, from the last key before `before` backwards.
    pub(super) fn scan_before(
        &mut self,
        table: Table,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, LedgerError> {
        let tree = self.store.tree(table);
        let stored = match before {
            None => tree.iter(),
            Some(before) => tree.range(..before.as_bytes()),
        };
        let stored = stored.rev().map(from_sled);
        let written = self
            .writes
            .range((table, Key::first())..)
            .take_while(|((of, key), _)| *of == table && before.is_none_or(|before| key < before))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect::<Vec<_>>();
        let found = Merge::new(stored, written.into_iter().rev(), Ordering::Greater)
            .take(limit)
            .collect::<Result<Vec<_>, _>>();
        self.unbroken("read the database", found)
    }

    // === Spool files, posts, sizes ===

    /// Writes a spool file that the command's record will name.
    pub(super) fn write_file(
        &mut self,
        owner: SpoolOwner,
        bytes: &[u8],
    ) -> Result<SpoolName, LedgerError> {
        let name = SpoolName::new(owner);
        let written = self.spool.write(&name, bytes);
        self.unbroken("write a spool file", written)?;
        self.command.written_files.push(name.clone());
        Ok(name)
    }

    /// Reads a spool file that a record names.
    pub(super) fn read_file(&self, name: &SpoolName) -> Result<Vec<u8>, LedgerError> {
        self.spool.read(name).map_err(|error| LedgerError::Damaged {
            what: "spool file",
            reason: error.to_string(),
        })
    }

    /// Lets a spool file be removed once the group is committed.
    pub(super) fn unname_file(&mut self, name: SpoolName) {
        self.command.unnamed_files.push(name);
    }

    /// Lets those who wait for posts know once the group is committed.
    pub(super) fn announce_posts(&mut self) {
        self.command.enqueued = true;
    }

    /// Returns the bytes that the ledger takes on disk.
    pub(super) fn size_on_disk(&self) -> u64 {
        self.store.size().unwrap_or(0) + self.spool.size().unwrap_or(0)
    }

    fn raw(&mut self, table: Table, key: &Key) -> Result<Option<Value>, LedgerError> {
        match self.writes.get(&(table, key.clone())) {
            Some(value) => Ok(value.clone()),
            None => self.stored(table, key),
        }
    }

    fn stored(&mut self, table: Table, key: &Key) -> Result<Option<Value>, LedgerError> {
        let stored = self.store.tree(table).get(key.as_bytes());
        let stored = self.unbroken("read the database", stored)?;
        Ok(stored.map(|bytes| Value::from_stored(&bytes)))
    }

    fn write(&mut self, table: Table, key: Key, value: Option<Value>) {
        let at = (table, key);
        let overwritten = self.writes.insert(at.clone(), value);
        self.command.overwritten.push((at, overwritten));
    }

    /// Notes that the disk fails, in which case the whole group does.
    fn unbroken<T, E: fmt::Display>(
        &mut self,
        doing: &str,
        done: Result<T, E>,
    ) -> Result<T, LedgerError> {
        done.map_err(|error| {
            let reason = format!("cannot {doing}: {error}");
            self.broken.get_or_insert_with(|| reason.clone());
            LedgerError::NotWritten { reason }
        })
    }
}

fn from_sled(entry: sled::Result<(sled::IVec, sled::IVec)>) -> sled::Result<(Key, Value)> {
    entry.map(|(key, value)| (Key::from_stored(&key), Value::from_stored(&value)))
}

/// What the database has, with what the group has changed.
struct Merge<S: Iterator, W: Iterator> {
    stored: Peekable<S>,
    written: Peekable<W>,
    /// How the key that comes first compares with the other.
    first: Ordering,
}

impl<S, W> Merge<S, W>
where
    S: Iterator<Item = sled::Result<(Key, Value)>>,
    W: Iterator<Item = (Key, Option<Value>)>,
{
    fn new(stored: S, written: W, first: Ordering) -> Self {
        Self {
            stored: stored.peekable(),
            written: written.peekable(),
            first,
        }
    }
}

impl<S, W> Iterator for Merge<S, W>
where
    S: Iterator<Item = sled::Result<(Key, Value)>>,
    W: Iterator<Item = (Key, Option<Value>)>,
{
    type Item = sled::Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.stored.peek(), self.written.peek()) {
                (Some(Ok((stored, _))), Some((written, _))) => {
                    let order = stored.cmp(written);
                    if order == self.first {
                        return self.stored.next();
                    }
                    if order == Ordering::Equal {
                        self.stored.next();
                    }
                }
                (Some(_), _) => return self.stored.next(),
                (None, Some(_)) => {}
                (None, None) => return None,
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}
