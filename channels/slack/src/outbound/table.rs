//! Tables for where Slack has none: columns of text, for a code block.

use std::iter;

use pulldown_cmark::{Alignment, Event, Tag, TagEnd};
use unicode_width::UnicodeWidthStr as _;

/// How much longer than its cells a table may become by being aligned; beyond, it is not aligned.
const MOST_PADDING: usize = 2_000;

/// A table's cells, as plain text.
#[derive(Debug, Default)]
pub(super) struct Table {
    alignments: Vec<Alignment>,
    /// The first one is the header.
    rows: Vec<Vec<String>>,
    /// Where the links of the current cell lead.
    destinations: Vec<String>,
}

impl Table {
    pub(super) fn new(alignments: &[Alignment]) -> Self {
        Self {
            alignments: alignments.to_vec(),
            ..Self::default()
        }
    }

    /// Takes an event from between the table's start and its end.
    pub(super) fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => self.rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                if let Some(row) = self.rows.last_mut() {
                    row.push(String::new());
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                self.destinations.push(dest_url.to_string());
            }
            Event::End(TagEnd::Link | TagEnd::Image) => {
                let destination = self.destinations.pop().unwrap_or_default();
                let is_told = |cell: &&mut String| cell.contains(&destination);
                if !destination.is_empty() && !self.cell().as_ref().is_some_and(is_told) {
                    self.push(&format!(" ({destination})"));
                }
            }
            Event::Text(text)
            | Event::Code(text)
            | Event::InlineHtml(text)
            | Event::Html(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.push(text),
            Event::SoftBreak | Event::HardBreak => self.push(" "),
            Event::Start(_) | Event::End(_) | Event::Rule | Event::TaskListMarker(_) => {}
        }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn n_columns(&self) -> usize {
        self.alignments.len()
    }

    /// Returns its lines, without a newline at the end.
    pub(super) fn lines(&self) -> Vec<String> {
        let n_columns = self.n_columns();
        let mut widths = vec![1; n_columns];
        for row in &self.rows {
            for (width, cell) in iter::zip(&mut widths, row) {
                *width = cell.width().max(*width);
            }
        }
        let aligned = (widths.iter().sum::<usize>() + 3 * n_columns) * (self.rows.len() + 1);
        let bare: usize = self
            .rows
            .iter()
            .flatten()
            .map(|cell| cell.width() + 3)
            .sum();
        if aligned > bare + MOST_PADDING {
            widths.fill(0);
        }
        let rule: Vec<_> = widths
            .iter()
            .map(|width| "-".repeat(*width.max(&1)))
            .collect();
        let mut lines: Vec<_> = self
            .rows
            .iter()
            .map(|row| self.line(row, &widths))
            .collect();
        if !lines.is_empty() {
            lines.insert(1, rule.join("-|-"));
        }
        lines
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells: Vec<_> = iter::zip(row, iter::zip(widths, &self.alignments))
            .map(|(cell, (width, alignment))| {
                let padding = width.saturating_sub(cell.width());
                let before = match alignment {
                    Alignment::None | Alignment::Left => 0,
                    Alignment::Center => padding / 2,
                    Alignment::Right => padding,
                };
                let after = padding - before;
                format!("{}{cell}{}", " ".repeat(before), " ".repeat(after))
            })
            .collect();
        cells.join(" | ").trim_end().to_owned()
    }

    fn cell(&mut self) -> Option<&mut String> {
        self.rows.last_mut()?.last_mut()
    }

    fn push(&mut self, text: &str) {
        if let Some(cell) = self.cell() {
            cell.push_str(text);
        }
    }
}
