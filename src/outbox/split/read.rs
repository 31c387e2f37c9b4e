//! Reads the structure of a Markdown text.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use tieline_channel::TextLimit;

use super::structure::{Block, Cut, Fence, Item, Level, Structure, Table, would_open_fence};

/// Returns `text` with a closing fence wherever the end of the text, or of the quote or list
/// around it, was all that closed one: a part may carry the code out of there.
pub(super) fn close_fences(text: &str, limit: TextLimit) -> Cow<'_, str> {
    let reader = Reader::read(text, limit);
    if reader.unclosed.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut closed = String::with_capacity(text.len() + 16 * reader.unclosed.len());
    let mut copied = 0;
    for (offset, closing) in reader.unclosed {
        closed.push_str(&text[copied..offset]);
        copied = offset;
        if !closed.ends_with('\n') {
            closed.push('\n');
        }
        closed.push_str(&closing);
        if !text[offset..].starts_with('\n') {
            closed.push('\n');
        }
    }
    closed.push_str(&text[copied..]);
    Cow::Owned(closed)
}

/// A text that is read.
pub(super) struct Reader<'a> {
    text: &'a str,
    limit: TextLimit,
    line_starts: Vec<usize>,
    /// Beginnings of lines that begin a block.
    boundaries: Vec<(usize, Level)>,
    blocks: Vec<Block>,
    items: Vec<Item>,
    /// Where a closing fence is missing, and what it is.
    unclosed: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    /// Reads `text`. Blocks that would leave less than half of `limit` to their content are taken
    /// for plain lines.
    pub(super) fn read(text: &'a str, limit: TextLimit) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(index, _)| index + 1))
            .collect();
        let mut reader = Self {
            text,
            limit,
            line_starts,
            boundaries: Vec::new(),
            blocks: Vec::new(),
            items: Vec::new(),
            unclosed: Vec::new(),
        };
        reader.follow_events();
        reader
    }

    fn follow_events(&mut self) {
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        let mut depth = 0_usize;
        let mut after_heading = false;
        let mut open_items: Vec<usize> = Vec::new();
        let mut events = Parser::new_ext(self.text, options).into_offset_iter();
        while let Some((event, range)) = events.next() {
            let tag = match event {
                Event::Start(tag) if is_block(&tag) => tag,
                Event::Rule => {
                    self.boundary(range.start, depth, after_heading);
                    after_heading = false;
                    continue;
                }
                Event::End(end) => {
                    depth -= usize::from(is_container(end));
                    if end == TagEnd::Item {
                        open_items.pop();
                    }
                    continue;
                }
                _ => continue,
            };
            self.boundary(range.start, depth, after_heading);
            after_heading = matches!(tag, Tag::Heading { .. });
            match &tag {
                Tag::CodeBlock(CodeBlockKind::Fenced(info)) => {
                    let code_end = events
                        .by_ref()
                        .take_while(|(event, _)| !matches!(event, Event::End(TagEnd::CodeBlock)))
                        .last()
                        .map(|(_, code)| code.end);
                    self.fence(&range, info, code_end);
                }
                Tag::Table(_) => {
                    let rows: Vec<usize> = events
                        .by_ref()
                        .take_while(|(event, _)| !matches!(event, Event::End(TagEnd::Table)))
                        .filter(|(event, _)| matches!(event, Event::Start(Tag::TableRow)))
                        .map(|(_, row)| row.start)
                        .collect();
                    self.table(&range, &rows);
                }
                Tag::Item => {
                    self.items.push(Item {
                        indent: self.item_indent(range.start),
                        range,
                        parent: open_items.last().copied(),
                    });
                    open_items.push(self.items.len() - 1);
                }
                _ => {}
            }
            depth += usize::from(is_container(tag.to_end()));
        }
    }

    fn boundary(&mut self, offset: usize, depth: usize, after_heading: bool) {
        let start = self.line_start(offset);
        let level = if after_heading {
            Level::behind_heading(depth)
        } else {
            Level::between_blocks(depth)
        };
        // The first block of an item begins on the item's line, which has the better level.
        if self.boundaries.last().is_none_or(|(last, _)| *last < start) {
            self.boundaries.push((start, level));
        }
    }

    fn fence(&mut self, range: &Range<usize>, info: &str, code_end: Option<usize>) {
        let source = &self.text[range.clone()];
        let source = source.trim_start_matches(' ');
        let fence_start = range.end - source.len();
        let line_start = self.line_start(fence_start);
        let is_mark = |c: char| source.starts_with(c);
        let mark = &source[..source.len() - source.trim_start_matches(is_mark).len()];
        let closing = self.container_prefix(line_start, fence_start) + mark;
        let body = source.find('\n').map(|index| fence_start + index + 1);
        let last_line = self.line_start(range.end.saturating_sub(1));
        let is_closed = body.is_some_and(|body| {
            last_line >= body
                && self.text[code_end.unwrap_or(body).min(range.end)..range.end].contains(mark)
        });
        let Some(body) = body.filter(|_| is_closed) else {
            self.unclosed.push((range.end, closing));
            return;
        };
        let size = |opening: &str| self.limit.measure(opening) + self.limit.measure(&closing) + 2;
        let opening = format!("{mark}{info}");
        let first_line = &self.text[line_start..body];
        if size(&opening).max(size(first_line)) > self.limit.max / 2 {
            return;
        }
        self.blocks.push(Block::Fence(Fence {
            lines: line_start + 1..range.end,
            body,
            end: last_line,
            opening,
            closing,
        }));
    }

    fn table(&mut self, range: &Range<usize>, rows: &[usize]) {
        let rows: Vec<usize> = rows.iter().map(|row| self.line_start(*row)).collect();
        let &[first, second, ..] = rows.as_slice() else {
            return; // nothing to cut between
        };
        let line_start = self.line_start(range.start);
        let header =
            self.container_prefix(line_start, range.start) + &self.text[range.start..first];
        if self.limit.measure(&header) > self.limit.max / 2 {
            return;
        }
        self.blocks.push(Block::Table(Table {
            lines: line_start + 1..range.end,
            body: second,
            header,
            rows,
        }));
    }

    /// Returns what a later line of the block that begins at `offset` begins with: the quotes
    /// around it, and blanks for everything else.
    fn container_prefix(&self, line_start: usize, offset: usize) -> String {
        self.text[line_start..offset]
            .chars()
            .map(|c| if c == '>' { '>' } else { ' ' })
            .collect()
    }

    /// Returns how far the lines of the list item at `offset` are indented. Within quotes it
    /// counts as nothing: there is no indentation to take off in front of the `>`.
    fn item_indent(&self, offset: usize) -> usize {
        let line_start = self.line_start(offset);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let item = self.text[offset..].trim_start_matches(' ');
        let lead = line_start.abs_diff(self.text.len() - item.len());
        if self.text[line_start..offset].contains('>') {
            return 0;
        }
        let digits = item.len() - item.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let marker = lead + digits + 1;
        let blanks = line.bytes().skip(marker).take_while(|b| *b == b' ').count();
        // Five blanks and more are one blank and an indented block.
        marker + if blanks > 4 { 1 } else { blanks.max(1) }
    }

    fn line_start(&self, offset: usize) -> usize {
        let behind = self.line_starts.partition_point(|start| *start <= offset);
        self.line_starts[behind - 1]
    }

    /// Merges block boundaries, rows, and the beginnings of all other lines into one list.
    pub(super) fn finish(self) -> Structure<'a> {
        let mut boundaries = self.boundaries.iter().peekable();
        let mut blocks = self.blocks.iter().peekable();
        let mut cuts: Vec<Cut> = Vec::new();
        let mut start = 0;
        let mut content_end = 0;
        for line in self.text.split_inclusive('\n') {
            let is_blank = line.trim().is_empty();
            while blocks.next_if(|block| block.lines().end <= start).is_some() {}
            let block = blocks.peek().filter(|block| block.lines().contains(&start));
            let mut boundary = None;
            while let Some((_, level)) = boundaries.next_if(|(at, _)| *at <= start) {
                boundary = Some(*level);
            }
            let cut = match (block, boundary) {
                (Some(block), _) if !block.may_be_cut_before(start) => None,
                // Blank lines are part of the code.
                (Some(Block::Fence(_)), _) => Some((start - 1, Level::ROW)),
                (Some(Block::Table(_)), _) => Some((content_end, Level::ROW)),
                (None, Some(level)) => Some((content_end, level)),
                (None, None) if is_blank || would_open_fence(line) => None,
                (None, None) => Some((content_end, Level::LINE)),
            };
            if let Some((end, level)) = cut
                && start > 0
            {
                cuts.push(Cut { end, start, level });
            }
            if !is_blank {
                content_end = start + line.trim_end().len();
            }
            start += line.len();
        }
        cuts.push(Cut {
            end: content_end,
            start: self.text.len(),
            level: Level::between_blocks(0),
        });
        Structure {
            text: self.text,
            cuts,
            blocks: self.blocks,
            items: self.items,
        }
    }
}

fn is_block(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::Paragraph
            | Tag::Heading { .. }
            | Tag::BlockQuote(_)
            | Tag::CodeBlock(_)
            | Tag::HtmlBlock
            | Tag::List(_)
            | Tag::Item
            | Tag::FootnoteDefinition(_)
            | Tag::Table(_)
    )
}

fn is_container(end: TagEnd) -> bool {
    matches!(
        end,
        TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item | TagEnd::FootnoteDefinition
    )
}
