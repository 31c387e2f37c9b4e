//! Mistakes in a configuration file, and how they are shown.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use unicode_width::UnicodeWidthChar;

/// How many characters of a line are shown.
const SHOWN: usize = 120;
/// How many of them stand before the mistake when the line is longer.
const BEFORE: usize = 40;

/// How many problems are shown: beyond them the file is something else than was meant.
const MAX_SHOWN: usize = 100;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The bytes of the file that are wrong.
    pub span: Range<usize>,
    /// What was found and what was expected, in one line.
    pub message: String,
    /// What to do about it, a line each.
    pub hints: Vec<String>,
}

impl Problem {
    /// Makes an error without hints.
    pub(crate) fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Makes a warning without hints.
    pub(crate) fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Everything that is wrong with one file, in the order of the file.
///
/// Its `Display` shows each problem as a compiler does: place, message, the line with a mark
/// below it, hints. Values that must stay secret are blanked in the lines shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
    hidden: Vec<Range<usize>>,
}

impl Report {
    /// Gathers the problems of the file at `path` with the content `text`, of which the `hidden`
    /// bytes are never shown.
    pub(crate) fn new(
        path: &Path,
        text: &str,
        mut problems: Vec<Problem>,
        hidden: Vec<Range<usize>>,
    ) -> Self {
        problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            problems,
            hidden,
        }
    }

    /// Returns the problems in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the file's path, as the user named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many errors there are.
    pub fn n_errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Returns how many warnings there are.
    pub fn n_warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// Returns line and column of a byte, both from 1; columns are characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.line_at(offset);
        (
            line.number,
            self.text[line.start..line.at].chars().count() + 1,
        )
    }

    fn line_at(&self, offset: usize) -> Line<'_> {
        let at = floor_char_boundary(&self.text, offset);
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |length| start + length);
        Line {
            number: self.text[..start].matches('\n').count() + 1,
            start,
            at,
            text: self.text[start..end].trim_end_matches('\r'),
        }
    }

    fn write_snippet(
        &self,
        f: &mut fmt::Formatter<'_>,
        span: &Range<usize>,
        gutter: usize,
    ) -> fmt::Result {
        let line = self.line_at(span.start);
        let mut shown = String::new();
        let mut mark = String::new();
        let n_before = self.text[line.start..line.at].chars().count();
        let skip = if line.text.chars().count() > SHOWN {
            n_before.saturating_sub(BEFORE)
        } else {
            0
        };
        if skip > 0 {
            shown.push('…');
            mark.push(' ');
        }
        let mut n_blanked = 0;
        for (offset, character) in line.text.char_indices().skip(skip).take(SHOWN) {
            let offset = line.start + offset;
            if self.hidden.iter().any(|hidden| hidden.contains(&offset)) {
                n_blanked += 1;
                if n_blanked > 3 {
                    continue;
                }
                shown.push('*');
                mark.push(mark_of(span, offset));
                continue;
            }
            n_blanked = 0;
            if character == '\t' {
                shown.push('\t');
                mark.push(if is_marked(span, offset) { '^' } else { '\t' });
                continue;
            }
            // Control characters would move the cursor of whoever reads this.
            let character = if character.is_control() {
                '\u{fffd}'
            } else {
                character
            };
            shown.push(character);
            for _ in 0..character.width().unwrap_or(0) {
                mark.push(mark_of(span, offset));
            }
        }
        if skip + SHOWN < line.text.chars().count() {
            shown.push('…');
        }
        if !mark.contains('^') {
            mark.push('^');
        }
        let number = line.number;
        let mark = mark.trim_end();
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{number:gutter$} | {shown}")?;
        writeln!(f, "{:gutter$} | {mark}", "")
    }
}

struct Line<'a> {
    number: usize,
    start: usize,
    at: usize,
    text: &'a str,
}

fn mark_of(span: &Range<usize>, offset: usize) -> char {
    if is_marked(span, offset) { '^' } else { ' ' }
}

/// Returns whether a byte is in `span`, which is at least one byte long.
fn is_marked(span: &Range<usize>, offset: usize) -> bool {
    offset == span.start || span.contains(&offset)
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self
            .problems
            .iter()
            .take(MAX_SHOWN)
            .map(|problem| self.line_at(problem.span.start).number.to_string().len())
            .max()
            .unwrap_or(0)
            + 1;
        for (index, problem) in self.problems.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let (line, column) = self.line_column(problem.span.start);
            let path = self.path.display();
            let Problem {
                severity, message, ..
            } = problem;
            writeln!(f, "{path}:{line}:{column}: {severity}: {message}")?;
            self.write_snippet(f, &problem.span, gutter)?;
            for hint in &problem.hints {
                writeln!(f, "{:gutter$} = hint: {hint}", "")?;
            }
        }
        if self.problems.len() > MAX_SHOWN {
            writeln!(f, "\n… and {} more", self.problems.len() - MAX_SHOWN)?;
        }
        Ok(())
    }
}

/// Shows the problems only: the text may hold what must stay secret.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("path", &self.path)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}
