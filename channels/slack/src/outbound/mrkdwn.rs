//! The model's Markdown, as Slack's own mrkdwn: for notifications, for programs that read `text`,
//! and for people when Slack refuses the blocks.
//!
//! `&`, `<` and `>` are escaped everywhere, so that nothing in it is a sequence of Slack's but the
//! links that are made here.

#[cfg(test)]
mod tests;

use pulldown_cmark::{CowStr, Event, Parser, Tag, TagEnd};

use super::markdown::{OPTIONS, WORD_JOINER, is_url};
use super::table::Table;

/// From this depth on, lists and quotes are not indented any further.
const MAX_MARGINS: usize = 6;

/// Returns `markdown` as mrkdwn.
pub(super) fn from_markdown(markdown: &str) -> String {
    let mut writer = Writer::new();
    for event in Parser::new_ext(markdown, OPTIONS) {
        writer.take(event);
    }
    writer.finish()
}

/// Escapes what Slack reads as its own.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Something that began and has not ended.
struct Frame {
    kind: Kind,
    out: String,
    /// A block was the last thing in it, so that text after it begins a line.
    after_block: bool,
}

enum Kind {
    Root,
    Paragraph,
    Heading,
    Quote,
    List {
        next: Option<u64>,
    },
    Item {
        marker: String,
    },
    CodeBlock,
    Html,
    Table(Table),
    /// A span between two signs; none where it is already within one.
    Span {
        sign: &'static str,
    },
    Link {
        destination: String,
    },
    Other,
}

struct Writer {
    /// From the outermost to the innermost; never empty.
    frames: Vec<Frame>,
    /// How many lists and quotes are around.
    margins: usize,
}

impl Writer {
    fn new() -> Self {
        Self {
            frames: vec![Frame::new(Kind::Root)],
            margins: 0,
        }
    }

    fn finish(mut self) -> String {
        while self.frames.len() > 1 {
            self.close();
        }
        let root = self.frames.pop().map(|frame| frame.out).unwrap_or_default();
        root.trim_end().to_owned()
    }

    fn take(&mut self, event: Event<'_>) {
        if let Kind::Table(table) = &mut self.top().kind
            && !matches!(event, Event::End(TagEnd::Table))
        {
            table.take(&event);
            return;
        }
        match event {
            Event::Start(tag) => self.open(tag),
            Event::End(_) => self.close(),
            Event::Text(text) if matches!(self.top().kind, Kind::CodeBlock) => {
                let text = escape(&text);
                self.top().out.push_str(&unfenced(&text));
            }
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.inline(&escape(&text)),
            Event::Code(code) => self.code(&code),
            Event::SoftBreak | Event::HardBreak => self.inline("\n"),
            Event::Rule => self.block("──────────", "\n\n"),
            Event::TaskListMarker(is_done) => self.inline(if is_done { "☑ " } else { "☐ " }),
        }
    }

    fn open(&mut self, tag: Tag<'_>) {
        let kind = match tag {
            Tag::Paragraph => Kind::Paragraph,
            Tag::Heading { .. } => Kind::Heading,
            Tag::BlockQuote(_) => Kind::Quote,
            Tag::CodeBlock(_) => Kind::CodeBlock,
            Tag::HtmlBlock => Kind::Html,
            Tag::List(next) => Kind::List { next },
            Tag::Item => Kind::Item {
                marker: self.next_marker(),
            },
            Tag::Table(alignments) => Kind::Table(Table::new(&alignments)),
            Tag::Emphasis => self.span("_"),
            Tag::Strong => self.span("*"),
            Tag::Strikethrough => self.span("~"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => Kind::Link {
                destination: dest_url.to_string(),
            },
            _ => Kind::Other,
        };
        if matches!(kind, Kind::Quote | Kind::Item { .. }) {
            self.margins += 1;
        }
        self.frames.push(Frame::new(kind));
    }

    fn close(&mut self) {
        if self.frames.len() == 1 {
            return;
        }
        let Some(frame) = self.frames.pop() else {
            return;
        };
        let out = frame.out;
        match frame.kind {
            Kind::Root => {}
            Kind::Paragraph => self.block(&out, "\n\n"),
            Kind::Html => self.block(out.trim_end(), "\n\n"),
            Kind::Heading => self.block(&marked("*", &out), "\n\n"),
            Kind::Quote => {
                let is_shown = self.margins <= MAX_MARGINS;
                self.margins -= 1;
                let quoted = if is_shown {
                    indent(&out, "> ", "> ")
                } else {
                    out
                };
                self.block(&quoted, "\n\n");
            }
            Kind::List { .. } => {
                let separator = if matches!(self.top().kind, Kind::Item { .. }) {
                    "\n"
                } else {
                    "\n\n"
                };
                self.block(&out, separator);
            }
            Kind::Item { marker } => {
                let is_shown = self.margins <= MAX_MARGINS;
                self.margins -= 1;
                let margin = if is_shown { "    " } else { "" };
                self.block(&indent(&out, &marker, margin), "\n");
            }
            Kind::CodeBlock => self.block(&fenced(&out), "\n\n"),
            Kind::Table(table) => {
                let lines = unfenced(&escape(&table.lines().join("\n")));
                self.block(&fenced(&lines), "\n\n");
            }
            Kind::Span { sign } => self.inline(&marked(sign, &out)),
            Kind::Link { destination } => {
                let link = link(&destination, &out);
                self.inline(&link);
            }
            Kind::Other => self.inline(&out),
        }
    }

    /// Returns a span's kind; its sign does not count a second time within itself.
    fn span(&self, sign: &'static str) -> Kind {
        let is_within = self
            .frames
            .iter()
            .rev()
            .take(8)
            .any(|frame| match frame.kind {
                Kind::Span { sign: other } => other == sign,
                Kind::Heading => sign == "*",
                _ => false,
            });
        Kind::Span {
            sign: if is_within { "" } else { sign },
        }
    }

    fn next_marker(&mut self) -> String {
        match &mut self.top().kind {
            Kind::List { next: Some(number) } => {
                let marker = format!("{number}. ");
                *number = number.saturating_add(1);
                marker
            }
            _ => "• ".to_owned(),
        }
    }

    fn code(&mut self, code: &CowStr<'_>) {
        let escaped = escape(code);
        if code.contains('`') {
            self.inline(&escaped); // mrkdwn has no way to write it as code
        } else {
            self.inline(&format!("`{escaped}`"));
        }
    }

    fn inline(&mut self, text: &str) {
        let top = self.top();
        if std::mem::take(&mut top.after_block) && !top.out.is_empty() {
            top.out.push('\n');
        }
        top.out.push_str(text);
    }

    fn block(&mut self, text: &str, separator: &str) {
        let top = self.top();
        if !top.out.is_empty() {
            top.out.push_str(separator);
        }
        top.out.push_str(text);
        top.after_block = true;
    }

    fn top(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }
}

impl Frame {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            out: String::new(),
            after_block: false,
        }
    }
}

/// Puts each line between two signs: none reaches over the end of a line.
fn marked(sign: &str, text: &str) -> String {
    if sign.is_empty() {
        return text.to_owned();
    }
    let mark = |line: &str| {
        let inner = line.trim();
        if inner.is_empty() {
            return line.to_owned();
        }
        let (before, after) = line.split_at(line.len() - line.trim_start().len());
        let after = &after[inner.len()..];
        format!("{before}{sign}{inner}{sign}{after}")
    };
    text.split('\n').map(mark).collect::<Vec<_>>().join("\n")
}

/// Puts `first` before the first line, and `next` before the others that have something in them.
fn indent(text: &str, first: &str, next: &str) -> String {
    let mut indented = String::with_capacity(text.len() + 16);
    for (index, line) in text.split('\n').enumerate() {
        if index == 0 {
            indented.push_str(first);
        } else {
            indented.push('\n');
            let is_blank = line.is_empty();
            indented.push_str(if is_blank { next.trim_end() } else { next });
        }
        indented.push_str(line);
    }
    indented
}

/// Writes a link; one that leads nowhere from here is told as text.
fn link(destination: &str, label: &str) -> String {
    let label = label.replace('\n', " ");
    let told = escape(destination);
    if !is_url(destination) || destination.contains(char::is_whitespace) {
        return match (label.is_empty(), label.contains(&told)) {
            (true, _) => told,
            (false, true) => label,
            (false, false) => format!("{label} ({told})"),
        };
    }
    let target = told.replace('|', "%7C");
    if label.contains('<') {
        format!("{label} (<{target}>)") // a label cannot have another link in it
    } else if label.is_empty() || label == target {
        format!("<{target}>")
    } else {
        format!("<{target}|{label}>")
    }
}

fn fenced(code: &str) -> String {
    let code = code.strip_suffix('\n').unwrap_or(code);
    format!("```\n{code}\n```")
}

/// Takes the meaning from fences within code.
fn unfenced(code: &str) -> String {
    if code.contains("```") {
        code.replace("``", &format!("`{WORD_JOINER}`"))
    } else {
        code.to_owned()
    }
}
