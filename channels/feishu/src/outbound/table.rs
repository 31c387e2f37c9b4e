//! A table: as Markdown where Feishu shows it, else as text with aligned columns.

use pulldown_cmark::Alignment;
use unicode_width::UnicodeWidthStr as _;

/// How many columns a table may have to be shown as one.
const MAX_COLUMNS: usize = 20;

/// How many rows a table may have to be shown as one.
const MAX_ROWS: usize = 50;

/// How far columns of text are aligned; what is wider sticks out.
const MAX_WIDTH: usize = 40;

/// A table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<Cell>>,
}

/// A cell, in both of its forms.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// As Markdown.
    pub(super) markdown: String,
    /// As text.
    pub(super) plain: String,
}

impl Table {
    pub(super) fn new(alignments: Vec<Alignment>) -> Self {
        Self {
            alignments,
            rows: Vec::new(),
        }
    }

    /// Begins a row. The first is the header.
    pub(super) fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    /// Adds a cell to the row.
    pub(super) fn cell(&mut self, cell: Cell) {
        if let Some(row) = self.rows.last_mut() {
            row.push(cell);
        }
    }

    /// Returns whether it is small enough to be shown as a table.
    pub(super) fn is_small(&self) -> bool {
        self.alignments.len() <= MAX_COLUMNS && self.rows.len() <= MAX_ROWS + 1
    }

    /// Returns it as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut lines = Vec::new();
        for (n, row) in self.rows.iter().enumerate() {
            let mut line = "|".to_owned();
            for cell in row {
                line.push_str(&format!(" {} |", cell.markdown.trim()));
            }
            lines.push(line);
            if n == 0 {
                lines.push(self.delimiter());
            }
        }
        lines.join("\n")
    }

    /// Returns it as text with aligned columns.
    pub(super) fn text(&self) -> String {
        let mut widths = vec![0; self.alignments.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.plain.trim().width().min(MAX_WIDTH));
            }
        }
        let mut lines = Vec::new();
        for (n, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| {
                let text = cell.plain.trim();
                let padding = " ".repeat(width.saturating_sub(text.width()));
                format!("{text}{padding}")
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            lines.push(line.trim_end().to_owned());
            if n == 0 {
                let dashes = widths.iter().map(|&width| "-".repeat(width));
                lines.push(dashes.collect::<Vec<_>>().join("  "));
            }
        }
        lines.join("\n")
    }

    fn delimiter(&self) -> String {
        let mut line = "|".to_owned();
        for alignment in &self.alignments {
            line.push_str(match alignment {
                Alignment::None => " --- |",
                Alignment::Left => " :-- |",
                Alignment::Center => " :-: |",
                Alignment::Right => " --: |",
            });
        }
        line
    }
}
