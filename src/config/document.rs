//! The raw layer: a TOML document whose every value knows where it stands.
//!
//! A reader asks a [`Table`] for its keys and a [`Value`] for its type. What is wrong is noted in
//! the [`Reading`] and the reader goes on, so that one pass finds every mistake. A reader that
//! gets `None` takes any stand-in: a reading with errors never becomes a configuration.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Component, PathBuf};

use toml::de::DeTable;

use crate::config::problem::{Problem, Severity};
pub(crate) use crate::config::value::Value;
use crate::config::words::{clip, suggest};

/// One pass over a document: where paths start from, and what was found wrong so far.
pub(crate) struct Reading {
    directory: PathBuf,
    home: Option<PathBuf>,
    problems: RefCell<Vec<Problem>>,
    hidden: RefCell<Vec<Range<usize>>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Reading {
    /// Starts a pass over a file in `directory`.
    pub(crate) fn new(directory: PathBuf, home: Option<PathBuf>) -> Self {
        Self {
            directory,
            home,
            problems: RefCell::default(),
            hidden: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Notes a problem.
    pub(crate) fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes bytes that are never shown.
    pub(crate) fn hide(&self, span: Range<usize>) {
        self.hidden.borrow_mut().push(span);
    }

    /// Returns whether an error was noted.
    pub(crate) fn failed(&self) -> bool {
        self.problems
            .borrow()
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Ends the pass: the problems, the bytes that must not be shown, and every key that a reader
    /// asked for, as `dispatchers.flow.workspace`.
    pub(crate) fn finish(self) -> (Vec<Problem>, Vec<Range<usize>>, BTreeSet<String>) {
        (
            self.problems.into_inner(),
            self.hidden.into_inner(),
            self.asked.into_inner(),
        )
    }

    /// Makes a path absolute: `~` is the home directory, anything relative starts at the
    /// directory of the file. `None` when the home directory is needed and not known.
    pub(crate) fn resolve(&self, text: &str) -> Option<PathBuf> {
        let path = match text.strip_prefix('~') {
            Some("") => self.home.clone()?,
            Some(rest) if rest.starts_with('/') => {
                self.home.as_ref()?.join(rest.trim_start_matches('/'))
            }
            Some(_) | None => self.directory.join(text),
        };
        Some(
            path.components()
                .filter(|component| *component != Component::CurDir)
                .collect(),
        )
    }
}

/// A table being read.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    pub(super) reading: &'a Reading,
    pub(super) path: String,
    pub(super) name_span: Range<usize>,
    pub(super) entries: &'a DeTable<'a>,
    pub(super) known: Vec<&'static str>,
    pub(super) secret: bool,
}

impl<'a> Table<'a> {
    /// Starts at the top of a document.
    pub(crate) fn root(reading: &'a Reading, entries: &'a DeTable<'a>) -> Self {
        Self {
            reading,
            path: String::new(),
            name_span: 0..0,
            entries,
            known: Vec::new(),
            secret: false,
        }
    }

    /// Returns the pass this table belongs to.
    pub(crate) fn reading(&self) -> &'a Reading {
        self.reading
    }

    /// Returns the value of a key, if it is there.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        self.reading.asked.borrow_mut().insert(self.join(key));
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Value {
            reading: self.reading,
            path: self.join(key),
            name_span: name.span(),
            value,
            secret: self.secret,
        })
    }

    /// Returns the value of a key, and notes an error when it is not there.
    pub(crate) fn require(&mut self, key: &'static str, meaning: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let place = self.place();
            self.reading.note(
                Problem::error(self.name_span.clone(), format!("{place} has no `{key}`"))
                    .hint(format!("`{key}` is {meaning}")),
            );
        }
        value
    }

    /// Returns the tables inside this one with their names, in the order of the file.
    pub(crate) fn named(&self) -> Vec<Named<'a>> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| Named {
                name: name.get_ref().as_ref(),
                value: Value {
                    reading: self.reading,
                    path: self.join(name.get_ref()),
                    name_span: name.span(),
                    value,
                    secret: self.secret,
                },
            })
            .collect();
        all.sort_by_key(|named| named.value.name_span.start);
        all
    }

    /// Notes an error for each key that nobody asked for.
    pub(crate) fn finish(self) {
        let place = self.place();
        let mut known = self.known.clone();
        known.sort_unstable();
        for (name, _) in self.entries {
            let key = name.get_ref().as_ref();
            if self.known.contains(&key) {
                continue;
            }
            self.reading.note(
                Problem::error(
                    name.span(),
                    format!("unknown key {} in {place}", quote_key(key)),
                )
                .hint(suggest(key, &known, "keys")),
            );
        }
    }

    fn place(&self) -> String {
        if self.path.is_empty() {
            "the file".to_owned()
        } else {
            format!("[{}]", self.path)
        }
    }

    fn join(&self, key: &str) -> String {
        let key = if is_bare(key) {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Returns where the table's name stands.
    pub(crate) fn name_span(&self) -> Range<usize> {
        self.name_span.clone()
    }
}

/// A value with the key that the user chose for it.
pub(crate) struct Named<'a> {
    /// The key.
    pub(crate) name: &'a str,
    /// The value.
    pub(crate) value: Value<'a>,
}

fn is_bare(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn quote_key(key: &str) -> String {
    if is_bare(key) {
        format!("`{key}`")
    } else {
        format!("{:?}", clip(key))
    }
}
