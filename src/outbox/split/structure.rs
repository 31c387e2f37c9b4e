//! Where a Markdown text may be cut, and what a cut inside a block needs.

use std::ops::Range;

use tieline_channel::TextLimit;

use super::read::Reader;

/// How good a place for a cut is; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(u8);

impl Level {
    /// How deep blocks can nest before the difference no longer counts.
    const DEEPEST: u8 = 6;
    /// Between two lines of code or rows of a table.
    pub(super) const ROW: Self = Self(2 * Self::DEEPEST + 2);
    /// Between two lines.
    pub(super) const LINE: Self = Self(2 * Self::DEEPEST + 3);
    /// How many levels there are.
    pub(super) const COUNT: usize = Self::LINE.0 as usize + 1;

    /// Between two blocks that are this deep in lists and quotes.
    pub(super) fn between_blocks(depth: usize) -> Self {
        let depth = u8::try_from(depth).map_or(Self::DEEPEST, |depth| depth.min(Self::DEEPEST));
        Self(2 * depth)
    }

    /// Behind a heading, which belongs to what follows it.
    pub(super) fn behind_heading(depth: usize) -> Self {
        Self(Self::between_blocks(depth).0 + 1)
    }

    /// Returns the levels from best to worst.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..=Self::LINE.0).map(Self)
    }

    /// Returns a number below [`Level::COUNT`].
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A place where the text may be cut. Between `end` and `start` there is only white space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Where the part before it ends.
    pub(super) end: usize,
    /// Where the part behind it begins: the start of a line, or the end of the text.
    pub(super) start: usize,
    /// How good it is.
    pub(super) level: Level,
}

/// A block that needs additions when it is cut.
#[derive(Debug)]
pub(super) enum Block {
    /// Code between fences.
    Fence(Fence),
    /// A table.
    Table(Table),
}

impl Block {
    /// Returns the offsets at which a cut is inside the block and needs its additions.
    pub(super) fn inside(&self) -> Range<usize> {
        match self {
            Self::Fence(fence) => fence.body..fence.end,
            Self::Table(table) => table.body..table.lines.end,
        }
    }

    /// Returns all of its lines but the beginning of the first.
    pub(super) fn lines(&self) -> &Range<usize> {
        match self {
            Self::Fence(fence) => &fence.lines,
            Self::Table(table) => &table.lines,
        }
    }

    /// Returns whether the line at `offset` is one that a part may begin with. The first line
    /// of code is not: the part before it would hold an empty fence.
    pub(super) fn may_be_cut_before(&self, offset: usize) -> bool {
        match self {
            Self::Fence(fence) => fence.body < offset && offset < fence.end,
            Self::Table(table) => table.body <= offset,
        }
    }
}

/// Code between fences.
#[derive(Debug)]
pub(super) struct Fence {
    /// All of its lines but the beginning of the first.
    pub(super) lines: Range<usize>,
    /// Where its first line of code begins.
    pub(super) body: usize,
    /// Where the line of its closing fence begins.
    pub(super) end: usize,
    /// What opens it again: fence and info string, without indentation.
    pub(super) opening: String,
    /// What closes it where it first stood: with the quotes and indentation around it.
    pub(super) closing: String,
}

impl Fence {
    /// Returns what closes it after it was opened again.
    pub(super) fn bare_closing(&self) -> &str {
        self.closing.trim_start_matches([' ', '>'])
    }

    /// Returns a line of it without the quotes and indentation around it.
    pub(super) fn without_prefix<'l>(&self, line: &'l str) -> &'l str {
        let mut rest = line;
        for c in self.closing.chars() {
            match c {
                '>' => match rest.trim_start_matches(' ').strip_prefix('>') {
                    Some(inner) => rest = inner,
                    None => break,
                },
                ' ' => rest = rest.strip_prefix(' ').unwrap_or(rest),
                _ => break,
            }
        }
        rest
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// All of its lines but the beginning of the first.
    pub(super) lines: Range<usize>,
    /// Where its second row begins; a cut before it would leave a header alone.
    pub(super) body: usize,
    /// Its header and the line below it.
    pub(super) header: String,
    /// Where its rows begin, in order.
    pub(super) rows: Vec<usize>,
}

impl Table {
    /// Returns whether `offset` is the beginning of a row, not its middle.
    pub(super) fn is_row(&self, offset: usize) -> bool {
        self.rows.binary_search(&offset).is_ok()
    }
}

/// A list item: its lines are indented.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) range: Range<usize>,
    pub(super) indent: usize,
    /// The item around it, by its index.
    pub(super) parent: Option<usize>,
}

/// Where a text may be cut, and what the cuts need.
#[derive(Debug)]
pub(super) struct Structure<'a> {
    pub(super) text: &'a str,
    /// In order; the last one is the end of the text.
    pub(super) cuts: Vec<Cut>,
    /// In order, none inside another.
    pub(super) blocks: Vec<Block>,
    /// In order of their beginning.
    pub(super) items: Vec<Item>,
}

impl<'a> Structure<'a> {
    /// Reads the structure of `text`. Blocks that would leave less than half of `limit` to their
    /// content are taken for plain lines.
    pub(super) fn of(text: &'a str, limit: TextLimit) -> Self {
        Reader::read(text, limit).finish()
    }

    /// Returns the block that a cut at `offset` is inside of.
    pub(super) fn block_around(&self, offset: usize) -> Option<&Block> {
        let index = self
            .blocks
            .partition_point(|block| block.inside().start <= offset);
        let block = self.blocks[..index].last()?;
        block.inside().contains(&offset).then_some(block)
    }

    /// Returns the last fence of which a cut in `from..=to` could be inside.
    pub(super) fn last_fence_within(&self, from: usize, to: usize) -> Option<&Fence> {
        let index = self
            .blocks
            .partition_point(|block| block.inside().start <= to);
        match self.blocks[..index].last()? {
            Block::Fence(fence) => (fence.end > from).then_some(fence),
            Block::Table(_) => None,
        }
    }

    /// Returns whether a line begins at `offset`.
    pub(super) fn starts_line(&self, offset: usize) -> bool {
        offset == 0 || self.text.as_bytes()[offset - 1] == b'\n'
    }

    /// Returns what takes the indentation of the list items around `offset` off the lines there.
    pub(super) fn dedent_from(&self, offset: usize) -> Dedent<'_> {
        let before = self.items.partition_point(|item| item.range.start < offset);
        let mut dedent = Dedent {
            items: &self.items,
            around: before.checked_sub(1),
        };
        dedent.leave_items_before(offset);
        dedent
    }
}

/// Takes the indentation of the list items around a cut off the lines behind it.
pub(super) struct Dedent<'a> {
    items: &'a [Item],
    /// The innermost item that is around the cut and the latest line.
    around: Option<usize>,
}

impl Dedent<'_> {
    /// Returns `line`, which stands at `offset`, without that indentation. Offsets must not
    /// decrease from call to call.
    pub(super) fn strip<'l>(&mut self, offset: usize, line: &'l str) -> &'l str {
        self.leave_items_before(offset);
        let indent = self.around.map_or(0, |index| self.items[index].indent);
        let blanks = line.bytes().take(indent).take_while(|b| *b == b' ').count();
        &line[blanks..]
    }

    fn leave_items_before(&mut self, offset: usize) {
        while let Some(index) = self.around {
            if self.items[index].range.end > offset {
                break;
            }
            self.around = self.items[index].parent;
        }
    }
}

/// Returns the last beginning of a character at or before `offset`.
pub(super) fn floor_boundary(text: &str, offset: usize) -> usize {
    if offset >= text.len() {
        return text.len();
    }
    (0..=offset)
        .rev()
        .find(|offset| text.is_char_boundary(*offset))
        .unwrap_or(0)
}

/// Returns whether a part that began with `text` would begin with a fence that is none.
pub(super) fn would_open_fence(text: &str) -> bool {
    // Nobody nests deeper than this; without a limit, a long run of markers is quadratic work.
    let head = &text[..floor_boundary(text, 64)];
    let head = head.trim_start_matches(|c: char| {
        c.is_whitespace() || c.is_ascii_digit() || "-+*>.)".contains(c)
    });
    head.starts_with("```") || head.starts_with("~~~")
}
