//! The model's Markdown, as Slack's `markdown` block takes it.
//!
//! It stays as it was written but for what Slack would read otherwise than it is meant:
//!
//! - `<!channel>`, `<@U…>`, `<#C…>` would reach people. Outside of code, `&lt;` shows the same and
//!   reaches nobody. In code, entities are not decoded; an invisible word joiner takes the meaning.
//! - HTML is shown and not left out.
//! - Images become links; links that lead to a file on the machine become text.
//! - Only the first table can be one, within limits; others become columns in a code block.

#[cfg(test)]
mod tests;

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::measure;
use super::table::Table;

/// What Slack has of Markdown beyond CommonMark.
pub(super) const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS);

/// Comes between two characters that must not be read as one sign. Invisible.
pub(super) const WORD_JOINER: char = '\u{2060}';

/// What Slack takes as a table.
const MAX_TABLE_ROWS: usize = 100;
const MAX_TABLE_COLUMNS: usize = 20;
const MAX_TABLE_TEXT: usize = 9_500;

/// Returns `text` for a `markdown` block.
pub(super) fn for_block(text: &str) -> String {
    let mut reader = Reader::new(text);
    for (event, range) in Parser::new_ext(text, OPTIONS).into_offset_iter() {
        reader.take(&event, range);
    }
    reader.escape_all();
    // What edits may have brought together is taken apart again.
    without_controls(&apply(text, reader.edits))
}

/// Returns whether a link's destination means something outside of this machine.
pub(super) fn is_url(destination: &str) -> bool {
    ["http://", "https://", "mailto:", "tel:", "slack://"]
        .iter()
        .any(|scheme| {
            let start = destination.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
}

/// Returns whether Slack may read `<` and what follows it as one of its own sequences.
pub(super) fn is_control(after: &str) -> bool {
    after.starts_with(['!', '@', '#'])
}

struct Edit {
    range: Range<usize>,
    new: String,
}

struct Reader<'a> {
    text: &'a str,
    edits: Vec<Edit>,
    /// Where entities are not decoded.
    code: Vec<Range<usize>>,
    html: Vec<Range<usize>>,
    /// The blocks and spans around the current event.
    depth: usize,
    links: Vec<Link>,
    table: Option<(Table, Range<usize>, usize)>,
    has_table: bool,
}

/// A link or an image.
struct Link {
    range: Range<usize>,
    kind: LinkType,
    is_image: bool,
    destination: String,
    /// The label: from where to where.
    label: Option<Range<usize>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            edits: Vec::new(),
            code: Vec::new(),
            html: Vec::new(),
            depth: 0,
            links: Vec::new(),
            table: None,
            has_table: false,
        }
    }

    fn take(&mut self, event: &Event<'_>, range: Range<usize>) {
        if let Some((table, ..)) = &mut self.table {
            table.take(event);
        }
        if !matches!(event, Event::End(TagEnd::Link | TagEnd::Image)) {
            for link in &mut self.links {
                let label = link.label.get_or_insert_with(|| range.clone());
                label.end = label.end.max(range.end);
            }
        }
        match event {
            Event::Start(tag) => {
                self.start(tag, range);
                self.depth += 1;
            }
            Event::End(tag) => {
                self.depth = self.depth.saturating_sub(1);
                self.end(*tag);
            }
            Event::Code(_) => self.code.push(range),
            Event::Html(_) | Event::InlineHtml(_) => self.html.push(range),
            Event::Text(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.code.push(range);
            }
            Tag::HtmlBlock => self.html.push(range),
            Tag::Table(alignments) => {
                self.table = Some((Table::new(alignments), range, self.depth));
            }
            Tag::Link {
                link_type,
                dest_url,
                ..
            }
            | Tag::Image {
                link_type,
                dest_url,
                ..
            } => self.links.push(Link {
                range,
                kind: *link_type,
                is_image: matches!(tag, Tag::Image { .. }),
                destination: dest_url.to_string(),
                label: None,
            }),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Link | TagEnd::Image => {
                if let Some(link) = self.links.pop() {
                    self.end_of_link(&link);
                }
            }
            TagEnd::Table => {
                if let Some((table, range, depth)) = self.table.take() {
                    self.end_of_table(&table, range, depth);
                }
            }
            _ => {}
        }
    }

    fn end_of_link(&mut self, link: &Link) {
        let source = &self.text[link.range.clone()];
        if link.is_image {
            // A link cannot have another one in it: of a picture that is a link, the label stays.
            if !self.links.is_empty() {
                match &link.label {
                    Some(label) => {
                        self.replace(link.range.start..label.start, String::new());
                        self.replace(label.end..link.range.end, String::new());
                    }
                    None => self.replace(link.range.clone(), "image".to_owned()),
                }
                return;
            }
            if !source.starts_with("![") {
                return;
            }
        }
        let is_local = link.kind == LinkType::Inline && !is_url(&link.destination);
        match &link.label {
            Some(label) if is_local && !link.destination.contains(['`', '|', '\n']) => {
                let is_told = self.text[label.clone()].contains(&link.destination);
                let path = if link.destination.is_empty() || is_told {
                    String::new()
                } else {
                    format!(" (`{}`)", without_controls(&link.destination))
                };
                self.replace(link.range.start..label.start, String::new());
                self.replace(label.end..link.range.end, path);
            }
            None if link.is_image => {
                let start = link.range.start;
                self.replace(start..start + 2, "[image".to_owned());
            }
            Some(_) if link.is_image => {
                let start = link.range.start;
                self.replace(start..start + 1, String::new());
            }
            Some(_) | None => {}
        }
    }

    fn end_of_table(&mut self, table: &Table, range: Range<usize>, depth: usize) {
        let source = &self.text[range.clone()];
        let fits = table.n_rows() <= MAX_TABLE_ROWS
            && table.n_columns() <= MAX_TABLE_COLUMNS
            && measure(source) <= MAX_TABLE_TEXT;
        if depth == 0 && fits && !self.has_table {
            self.has_table = true;
            return;
        }
        let lines = table.lines();
        let fence = fence_for(&lines);
        let before = self.text[..range.start]
            .rfind('\n')
            .map_or(0, |end| end + 1);
        // What stands before the table in its first line, a quote's sign or a list's bullet, goes
        // on in the next ones.
        let margin: String = self.text[before..range.start]
            .chars()
            .map(|char| if char == '>' { '>' } else { ' ' })
            .collect();
        let mut new = fence.clone();
        for line in lines
            .iter()
            .map(|line| without_controls(line))
            .chain([fence])
        {
            new.push('\n');
            new.push_str(&margin);
            new.push_str(&line);
        }
        if source.ends_with('\n') {
            new.push('\n');
        }
        self.edits
            .retain(|edit| edit.range.start < range.start || edit.range.start >= range.end);
        self.replace(range, new);
    }

    /// Takes the meaning from every `<` that has one for Slack and is not replaced already.
    fn escape_all(&mut self) {
        self.edits
            .sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut edited = Ranges::new(self.edits.iter().map(|edit| edit.range.clone()));
        let mut code = Ranges::new(self.code.iter().cloned());
        let mut html = Ranges::new(self.html.iter().cloned());
        let mut new = Vec::new();
        for (at, _) in self.text.match_indices('<') {
            if edited.contain(at) {
                continue;
            }
            let is_control = is_control(&self.text[at + 1..]);
            if code.contain(at) {
                if is_control {
                    new.push((at + 1..at + 1, WORD_JOINER.to_string()));
                }
            } else if is_control || html.contain(at) {
                let before = &self.text[..at];
                let n_backslashes = before.len() - before.trim_end_matches('\\').len();
                new.push((at - n_backslashes % 2..at + 1, "&lt;".to_owned()));
            }
        }
        for (range, text) in new {
            self.replace(range, text);
        }
    }

    fn replace(&mut self, range: Range<usize>, new: String) {
        self.edits.push(Edit { range, new });
    }
}

/// Sorted ranges that are asked for rising positions.
struct Ranges {
    /// In the order of their starts; none begins before the end of the one before it.
    ranges: Vec<Range<usize>>,
    next: usize,
}

impl Ranges {
    fn new(ranges: impl Iterator<Item = Range<usize>>) -> Self {
        let mut sorted: Vec<_> = ranges.collect();
        sorted.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self {
            ranges: merged,
            next: 0,
        }
    }

    fn contain(&mut self, at: usize) -> bool {
        while self
            .ranges
            .get(self.next)
            .is_some_and(|range| range.end <= at)
        {
            self.next += 1;
        }
        self.ranges
            .get(self.next)
            .is_some_and(|range| range.contains(&at))
    }
}

/// Makes the edits; of two that overlap, the one that begins first.
fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut edited = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for edit in edits {
        if edit.range.start < done {
            continue;
        }
        edited.push_str(&text[done..edit.range.start]);
        edited.push_str(&edit.new);
        done = edit.range.end;
    }
    edited.push_str(&text[done..]);
    edited
}

/// Returns text for code, in which nothing is a sequence of Slack's.
pub(super) fn without_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        safe.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if is_control(rest) {
            safe.push(WORD_JOINER);
        }
    }
    safe.push_str(rest);
    safe
}

/// Returns a fence longer than every row of backticks in `lines`.
fn fence_for(lines: &[String]) -> String {
    let longest = lines
        .iter()
        .flat_map(|line| line.split(|char| char != '`'))
        .map(str::len)
        .max()
        .unwrap_or_default();
    "`".repeat(3.max(longest + 1))
}
