//! Cuts a long text into posts, at the best places Markdown has.
//!
//! From best to worst: between blocks, between list items, between the lines of code or the rows
//! of a table, between lines, sentences, words, characters. What fits in one part stays in one
//! part. A code fence that is longer than a part is closed at the cut and opened again, with its
//! info string, in the next part; a table repeats its header there. A block that must be cut
//! leaves the list or quote around it behind: its indentation is taken off, so that it does not
//! turn into code.
//!
//! Apart from those additions, parts are slices of the text; only white space at a cut is lost.
//! The work is proportional to the length of the text.
//!
//! - `read`: follows the Markdown parser through the text
//! - `structure`: where the text may be cut, and what a cut inside a block needs
//! - this module: which of these places are taken, and how a part is put together

mod read;
mod structure;

use tieline_channel::{TextLimit, TextUnit};

use self::structure::{Block, Cut, Level, Structure};

/// Returns `text` in parts that are each within `limit`; never an empty list.
///
/// A text within the limit comes back unchanged. Where fences or a table's header would take more
/// than half of the limit, they are cut like other lines and not repeated. A limit too small for
/// a single character is exceeded by it.
pub fn split(text: &str, limit: TextLimit) -> Vec<String> {
    if limit.allows(text) {
        return vec![text.to_owned()];
    }
    let text = &*read::close_fences(text, limit);
    let splitter = Splitter {
        structure: Structure::of(text, limit),
        text,
        limit,
    };
    let mut parts = Vec::new();
    let mut from = Position {
        offset: 0,
        next_cut: 0,
    };
    while from.offset < text.len() {
        let (to, resume) = splitter.next_cut(from);
        let part = splitter.part(from.offset, to);
        if !part.trim().is_empty() {
            parts.push(part);
        }
        from = resume;
    }
    if parts.is_empty() {
        parts.push(String::new()); // nothing but white space
    }
    parts
}

/// Where a part begins.
#[derive(Clone, Copy)]
struct Position {
    offset: usize,
    /// The first of the structure's cuts that lies behind it.
    next_cut: usize,
}

struct Splitter<'a> {
    structure: Structure<'a>,
    text: &'a str,
    limit: TextLimit,
}

impl Splitter<'_> {
    /// Returns where the part that begins at `from` ends, and where the one after it begins.
    fn next_cut(&self, from: Position) -> (usize, Position) {
        let budget = self.budget(from.offset);
        let cuts = &self.structure.cuts;
        let mut last_of_level: [Option<usize>; Level::COUNT] = [None; Level::COUNT];
        let mut size = 0;
        let mut measured_to = from.offset;
        for (index, cut) in cuts.iter().enumerate().skip(from.next_cut) {
            if cut.end > measured_to {
                size += self.limit.measure(&self.text[measured_to..cut.end]);
                measured_to = cut.end;
            }
            if size > budget {
                break;
            }
            if size + self.closing_size(cut.end) <= budget {
                last_of_level[cut.level.index()] = Some(index);
            }
        }
        self.choose(from, budget, &last_of_level)
    }

    /// Goes from the best level to the worst and takes the first cut that either fills the part
    /// well or is needed to keep the block after it whole.
    fn choose(
        &self,
        from: Position,
        budget: usize,
        last_of_level: &[Option<usize>; Level::COUNT],
    ) -> (usize, Position) {
        let cuts = &self.structure.cuts;
        let mut best = None;
        for level in Level::all() {
            let Some(index) = best.max(last_of_level[level.index()]) else {
                continue;
            };
            best = Some(index);
            let cut = &cuts[index];
            let filled = self.limit.measure(&self.text[from.offset..cut.end]);
            if filled >= budget / 2 || self.fits_whole(index, level) {
                return Self::at(cut, index);
            }
        }
        match (self.cut_in_line(from, budget, best), best) {
            (Some(offset), _) => {
                let behind = cuts[from.next_cut..].partition_point(|cut| cut.start <= offset);
                let next_cut = from.next_cut + behind;
                (offset, Position { offset, next_cut })
            }
            (None, Some(index)) => Self::at(&cuts[index], index),
            (None, None) => unreachable!("without a best cut, a line is cut anywhere"),
        }
    }

    /// Returns where to cut the line that no part can hold and that follows the `best` cut, if
    /// there is one: then between words or not at all, for it may also begin the next part.
    fn cut_in_line(&self, from: Position, budget: usize, best: Option<usize>) -> Option<usize> {
        let start = best.map_or(from.offset, |index| self.structure.cuts[index].start);
        let room = budget.saturating_sub(self.limit.measure(&self.text[from.offset..start]));
        let mut reach = self.reach(start, room);
        let mut first = start;
        if let Some(fence) = self.structure.last_fence_within(start, reach) {
            let closing = self.limit.measure(&fence.closing) + 1;
            reach = self
                .reach(start, room.saturating_sub(closing))
                .min(fence.end - 1);
            first = first.max(fence.body).min(reach);
        }
        let soft = soft_cut(self.text, first, reach);
        match best {
            Some(_) => soft,
            None => soft.or_else(|| Some(hard_cut(self.text, first, reach))),
        }
    }

    /// Returns where a text from `start` that measures no more than `room` ends.
    fn reach(&self, start: usize, room: usize) -> usize {
        let text = &self.text[start..];
        start
            + match self.limit.unit {
                TextUnit::Bytes => structure::floor_boundary(text, room),
                TextUnit::Chars => text
                    .char_indices()
                    .nth(room)
                    .map_or(text.len(), |(offset, _)| offset),
            }
    }

    fn at(cut: &Cut, index: usize) -> (usize, Position) {
        let resume = Position {
            offset: cut.start,
            next_cut: index + 1,
        };
        (cut.end, resume)
    }

    /// Returns whether the text from a cut to the next one that is as good fits in one part.
    fn fits_whole(&self, index: usize, level: Level) -> bool {
        let cuts = &self.structure.cuts;
        let start = cuts[index].start;
        let budget = self.budget(start);
        let mut size = 0;
        let mut measured_to = start;
        for cut in &cuts[index + 1..] {
            if cut.end > measured_to {
                size += self.limit.measure(&self.text[measured_to..cut.end]);
                measured_to = cut.end;
            }
            if size > budget {
                return false;
            }
            if cut.level <= level {
                return true;
            }
        }
        true
    }

    /// Returns how much of the text a part that begins at `offset` can hold.
    fn budget(&self, offset: usize) -> usize {
        let opening = match self.structure.block_around(offset) {
            Some(Block::Fence(fence)) => self.limit.measure(&fence.opening) + 1,
            Some(Block::Table(table)) if table.is_row(offset) => self.limit.measure(&table.header),
            Some(Block::Table(_)) | None => 0,
        };
        self.limit.max.saturating_sub(opening).max(1)
    }

    /// Returns what closing the fence takes when a part ends at `offset`.
    fn closing_size(&self, offset: usize) -> usize {
        match self.structure.block_around(offset) {
            Some(Block::Fence(fence)) => self.limit.measure(&fence.closing) + 1,
            Some(Block::Table(_)) | None => 0,
        }
    }

    /// Puts a part together: the text from `from` to `to`, and what a cut block needs.
    fn part(&self, from: usize, to: usize) -> String {
        let opened = self.structure.block_around(from);
        let closed = self.structure.block_around(to);
        let mut dedent = self.structure.dedent_from(from);
        let mut part = String::new();
        match opened {
            Some(Block::Fence(fence)) => {
                part.push_str(&fence.opening);
                part.push('\n');
            }
            Some(Block::Table(table)) if table.is_row(from) => {
                for line in table.header.split_inclusive('\n') {
                    part.push_str(dedent.strip(from, line));
                }
            }
            Some(Block::Table(_)) | None => {}
        }
        let mut offset = from;
        for line in self.text[from..to].split_inclusive('\n') {
            part.push_str(match opened {
                // A cut within a line of code has no container's prefix to take off.
                _ if offset == from && !self.structure.starts_line(from) => line,
                Some(Block::Fence(fence)) if offset <= fence.end => fence.without_prefix(line),
                _ => dedent.strip(offset, line),
            });
            offset += line.len();
        }
        match closed {
            Some(Block::Fence(fence)) => {
                if !part.ends_with('\n') {
                    part.push('\n');
                }
                part.push_str(match opened {
                    Some(Block::Fence(same)) if same.end == fence.end => fence.bare_closing(),
                    _ => dedent.strip(to.saturating_sub(1), &fence.closing),
                });
            }
            Some(Block::Table(_)) | None => part.truncate(part.trim_end().len()),
        }
        part
    }
}

/// Returns the last end of a sentence in the second half of `start..=reach`, or else of a word.
fn soft_cut(text: &str, start: usize, reach: usize) -> Option<usize> {
    let middle = start + (reach - start) / 2;
    let mut word = None;
    let mut before = text[start..reach].char_indices().rev().peekable();
    while let Some((index, c)) = before.next() {
        let offset = start + index + c.len_utf8();
        if offset < middle && word.is_some() {
            break;
        }
        let ends_wide_sentence = matches!(c, '。' | '！' | '？' | '；');
        if !(c.is_whitespace() || ends_wide_sentence)
            || structure::would_open_fence(&text[offset..])
        {
            continue;
        }
        let previous = before.peek().map(|(_, previous)| *previous);
        if ends_wide_sentence || matches!(previous, Some('.' | '!' | '?' | ';' | '…')) {
            return Some(offset);
        }
        if word.is_none() && previous.is_some_and(|previous| !previous.is_whitespace()) {
            word = Some(offset);
        }
    }
    word
}

/// Returns the last place in `start..=reach` that tears no character apart, at least one
/// character on.
fn hard_cut(text: &str, start: usize, reach: usize) -> usize {
    let first = start + text[start..].chars().next().map_or(0, char::len_utf8);
    let reach = reach.max(first);
    let tears = |offset: usize| {
        let before = text[..offset].chars().next_back();
        let after = text[offset..].chars().next();
        before == Some('\u{200d}')
            || after.is_some_and(joins_previous)
            || structure::would_open_fence(&text[offset..])
    };
    // A cluster or a run of backticks longer than this is no writing; it may be torn.
    const LONGEST: usize = 64;
    text[start..reach]
        .char_indices()
        .rev()
        .map(|(index, c)| start + index + c.len_utf8())
        .take(LONGEST)
        .find(|offset| *offset >= first && !tears(*offset))
        .unwrap_or(reach)
}

/// Returns whether `c` is drawn onto the character before it.
fn joins_previous(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
