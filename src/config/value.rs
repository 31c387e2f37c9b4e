//! One value of a document, read as what it should be.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::choice::Choice;
use crate::config::document::{Reading, Table};
use crate::config::problem::Problem;
use crate::config::words::{clip, nearest, one_of};

/// The longest duration a setting takes: beyond it, sums of times stop making sense.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// A value being read.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(super) reading: &'a Reading,
    pub(super) path: String,
    pub(super) name_span: Range<usize>,
    pub(super) value: &'a Spanned<DeValue<'a>>,
    pub(super) secret: bool,
}

impl<'a> Value<'a> {
    /// Returns the pass this value belongs to.
    pub(crate) fn reading(&self) -> &'a Reading {
        self.reading
    }

    /// Returns where the value stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Returns where its key stands.
    pub(crate) fn name_span(&self) -> Range<usize> {
        self.name_span.clone()
    }

    /// Returns the value as the document has it.
    pub(crate) fn raw(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Says that what stands here is not for showing, whatever becomes of the reading.
    #[must_use]
    pub(crate) fn secret(mut self) -> Self {
        self.secret = true;
        hide(self.value, self.reading);
        self
    }

    /// Makes an error about this value: `expected` completes "expected …".
    pub(crate) fn mistake(&self, expected: &str) -> Problem {
        let found = self.found();
        let path = &self.path;
        Problem::error(
            self.span(),
            format!("`{path}`: expected {expected}, found {found}"),
        )
    }

    /// Makes an error about this value in free words, the path before them.
    pub(crate) fn objection(&self, message: &str) -> Problem {
        Problem::error(self.span(), format!("`{}`: {message}", self.path))
    }

    fn reject<T>(&self, expected: &str) -> Option<T> {
        self.reading.note(self.mistake(expected));
        None
    }

    fn found(&self) -> String {
        match self.raw() {
            DeValue::String(_) if self.secret => "a string".to_owned(),
            DeValue::String(text) => format!("{:?}", clip(text)),
            DeValue::Integer(number) => format!("the integer {}", clip(&number.to_string())),
            DeValue::Float(number) => format!("the number {}", clip(number.as_str())),
            DeValue::Boolean(value) => format!("`{value}`"),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(items) if items.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// Reads a string; `expected` completes "expected …".
    pub(crate) fn string(&self, expected: &str) -> Option<&'a str> {
        match self.raw() {
            DeValue::String(text) => Some(text),
            _ => self.reject(expected),
        }
    }

    /// Reads a string that has something in it.
    pub(crate) fn text(&self, expected: &str) -> Option<&'a str> {
        match self.string(expected)? {
            text if text.trim().is_empty() => self.reject(expected),
            text if text.contains('\0') => self.reject(expected),
            text => Some(text),
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        let DeValue::Boolean(value) = self.raw() else {
            let mut problem = self.mistake("true or false");
            if let DeValue::String(text) = self.raw()
                && matches!(text.as_ref(), "true" | "false")
            {
                problem = problem.hint(format!("write {text} without quotes"));
            }
            self.reading.note(problem);
            return None;
        };
        Some(*value)
    }

    /// Reads one of a few words.
    pub(crate) fn choice<T: Choice>(&self) -> Option<T> {
        let words: Vec<_> = T::ALL.iter().map(|choice| choice.word()).collect();
        if let DeValue::String(text) = self.raw()
            && let Some(choice) = T::ALL.iter().find(|choice| choice.word() == text.as_ref())
        {
            return Some(*choice);
        }
        let mut problem = self.mistake(&one_of(&words));
        if let DeValue::String(text) = self.raw()
            && let Some(word) = nearest(text, &words)
        {
            problem = problem.hint(format!("did you mean {word:?}?"));
        }
        self.reading.note(problem);
        None
    }

    /// Reads a whole number in `range`; `hint` says what else can be done.
    pub(crate) fn count(&self, range: RangeInclusive<usize>, hint: &str) -> Option<usize> {
        if let DeValue::Integer(number) = self.raw()
            && let Ok(number) = number.to_string().parse()
            && range.contains(&number)
        {
            return Some(number);
        }
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.reading.note(self.mistake(&expected).hint(hint));
        None
    }

    /// Reads a duration above zero.
    pub(crate) fn duration(&self) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as \"90s\" or \"10m\"";
        if let DeValue::Integer(number) = self.raw() {
            self.reading.note(
                self.mistake(EXPECTED)
                    .hint(format!("a duration has a unit and quotes: \"{number}s\"")),
            );
            return None;
        }
        let text = self.string(EXPECTED)?;
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => self.reject("a duration above zero"),
            Ok(duration) if duration > MAX_DURATION => self.reject("a duration of at most a year"),
            Ok(duration) => Some(duration),
            Err(_) => {
                let mut problem = self.mistake(EXPECTED);
                let digits = text.trim();
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    problem = problem.hint(format!("a duration has a unit: \"{digits}s\""));
                } else {
                    problem = problem.hint("units: ms, s, m, h, days; also \"1h 30m\"");
                }
                self.reading.note(problem);
                None
            }
        }
    }

    /// Reads a path, makes it absolute, and looks at nothing on disk.
    pub(crate) fn path(&self, expected: &str) -> Option<PathBuf> {
        let text = self.text(expected)?;
        let resolved = self.reading.resolve(text);
        if resolved.is_none() {
            self.reading.note(
                self.objection("the home directory is not known")
                    .hint("set $HOME, or write the whole path"),
            );
        }
        if text.starts_with('~') && !text.starts_with("~/") && text != "~" {
            self.reading.note(
                self.objection("`~name` is not understood")
                    .hint("write the whole path"),
            );
            return None;
        }
        resolved
    }

    /// Reads the path of a directory that is there.
    pub(crate) fn directory(&self, expected: &str) -> Option<PathBuf> {
        let path = self.path(expected)?;
        let shown = path.display();
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Some(path),
            Ok(_) => {
                self.reading
                    .note(self.objection(&format!("{shown} is not a directory")));
                None
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut problem = self.objection(&format!("there is no directory {shown}"));
                if let Some(parent) = deepest_existing(&path) {
                    problem = problem.hint(format!("{} exists", parent.display()));
                }
                self.reading.note(problem);
                None
            }
            Err(error) => {
                self.reading
                    .note(self.objection(&format!("cannot look at {shown}: {error}")));
                None
            }
        }
    }

    /// Reads a list, item by item; items that are wrong are left out.
    pub(crate) fn list(&self, expected: &str) -> Option<Vec<Self>> {
        let DeValue::Array(items) = self.raw() else {
            let mut problem = self.mistake(expected);
            if let DeValue::String(text) = self.raw()
                && !self.secret
            {
                problem = problem.hint(format!("a list has brackets: [{:?}]", clip(text)));
            }
            self.reading.note(problem);
            return None;
        };
        Some(
            items
                .iter()
                .enumerate()
                .map(|(index, value)| Self {
                    reading: self.reading,
                    path: format!("{}[{index}]", self.path),
                    name_span: self.name_span.clone(),
                    value,
                    secret: self.secret,
                })
                .collect(),
        )
    }

    /// Reads a table; the caller asks it for its keys and finishes it.
    pub(crate) fn table(&self, expected: &str) -> Option<Table<'a>> {
        match self.raw() {
            DeValue::Table(entries) => Some(Table {
                reading: self.reading,
                path: self.path.clone(),
                name_span: self.name_span.clone(),
                entries,
                known: Vec::new(),
                secret: self.secret,
            }),
            _ => self.reject(expected),
        }
    }
}

/// Notes what may hold a secret: the strings of a value, at any depth.
fn hide(value: &Spanned<DeValue<'_>>, reading: &Reading) {
    match value.get_ref() {
        DeValue::String(_) => reading.hide(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| hide(item, reading)),
        DeValue::Table(entries) => entries.iter().for_each(|(_, item)| hide(item, reading)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn deepest_existing(path: &Path) -> Option<&Path> {
    path.ancestors()
        .skip(1)
        .find(|parent| parent.is_dir())
        .filter(|parent| parent.parent().is_some())
}
