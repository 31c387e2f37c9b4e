//! Markdown as models write it to Markdown as Feishu shows it.
//!
//! It is parsed and written anew, so that what comes out has one form: lists indented by four
//! blanks, no HTML, no reference links, no images (a URL in one makes Feishu refuse the whole
//! card), and no `<` that Feishu could read as a tag.

mod inline;
#[cfg(test)]
mod tests;

use std::mem;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::inert::{break_mentions, break_tags};
use super::table::{Cell, Table};
use crate::fence::fenced;

/// How many tables a card may have. Feishu has refused four.
const MAX_TABLES: usize = 3;

/// How long the text in the list of chats is.
const MAX_SUMMARY_CHARS: usize = 100;

/// Indents what belongs to a list item.
const INDENT: usize = 4;

/// How deep containers are shown within each other. What is deeper is shown there, so that a few
/// thousand marks in a row do not become megabytes.
const MAX_DEPTH: usize = 12;

/// Which Markdown comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Of the `markdown` element of a card: nearly CommonMark, with tables and entities.
    Card,
    /// Of the `md` element of rich text: neither headings nor tables nor entities.
    RichText,
}

/// Writes Markdown anew.
pub(super) fn rewrite(markdown: &str, flavour: Flavour) -> String {
    let mut writer = Writer::new(markdown, flavour);
    for (event, range) in parse(markdown) {
        writer.event(event, range);
    }
    writer.finish()
}

/// Returns the beginning of a text without its marks, on one line.
pub(super) fn summary(markdown: &str) -> String {
    let mut plain = String::new();
    for (event, _) in parse(markdown) {
        match event {
            Event::Text(text) | Event::Code(text) => plain.push_str(&text),
            Event::SoftBreak | Event::HardBreak => plain.push(' '),
            Event::End(
                TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::TableCell,
            ) => plain.push(' '),
            _ => {}
        }
        if plain.len() > MAX_SUMMARY_CHARS * 8 {
            break;
        }
    }
    let words: Vec<_> = plain.split_whitespace().collect();
    let line = words.join(" ");
    let mut summary: String = line.chars().take(MAX_SUMMARY_CHARS).collect();
    if summary.len() < line.len() {
        summary.push('…');
    }
    break_tags(&summary)
}

fn parse(markdown: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    Parser::new_ext(markdown, options).into_offset_iter()
}

/// What is written so far: containers within containers, and the line that is being written.
struct Writer<'a> {
    source: &'a str,
    flavour: Flavour,
    tables: usize,
    containers: Vec<Container>,
    /// The paragraph, heading or cell that is being written.
    inline: String,
    /// The same without marks.
    plain: String,
    /// Links and images that are open.
    links: Vec<Link>,
    code: Option<Code>,
    table: Option<Table>,
    in_heading: bool,
}

struct Container {
    kind: ContainerKind,
    blocks: Vec<String>,
}

#[derive(Clone, Copy)]
enum ContainerKind {
    Document,
    Quote,
    /// With the number of the next item, if they are numbered.
    List {
        next: Option<u64>,
        loose: bool,
    },
    Item {
        loose: bool,
    },
}

struct Link {
    url: String,
    image: bool,
    /// Where its text begins in the line.
    from: usize,
    /// Where its text begins without marks.
    plain_from: usize,
}

struct Code {
    language: String,
    text: String,
}

impl<'a> Writer<'a> {
    fn new(source: &'a str, flavour: Flavour) -> Self {
        Self {
            source,
            flavour,
            tables: 0,
            containers: vec![Container {
                kind: ContainerKind::Document,
                blocks: Vec::new(),
            }],
            inline: String::new(),
            plain: String::new(),
            links: Vec::new(),
            code: None,
            table: None,
            in_heading: false,
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text, range),
            Event::Code(code) => self.code_span(&code),
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html),
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Rule => {
                self.flush();
                self.block("---".to_owned());
            }
            Event::TaskListMarker(done) => self.verbatim(if done { "☑ " } else { "☐ " }),
            // Not switched on.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.verbatim(&text);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Emphasis => self.mark("*"),
            Tag::Strong => self.strong(),
            Tag::Strikethrough => self.mark("~~"),
            Tag::Link { dest_url, .. } => self.open_link(&dest_url, false),
            Tag::Image { dest_url, .. } => self.open_link(&dest_url, true),
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.row();
                }
            }
            Tag::TableCell => {}
            block => {
                self.flush();
                self.start_block(block);
            }
        }
    }

    fn start_block(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::BlockQuote(_) => self.open(ContainerKind::Quote),
            Tag::List(next) => self.open(ContainerKind::List { next, loose: false }),
            Tag::Item => self.open(ContainerKind::Item { loose: false }),
            Tag::Paragraph => {
                if let ContainerKind::Item { loose } = &mut self.container().kind {
                    *loose = true;
                }
            }
            Tag::CodeBlock(kind) => {
                self.code = Some(Code {
                    language: match kind {
                        CodeBlockKind::Fenced(info) => language(&info),
                        CodeBlockKind::Indented => String::new(),
                    },
                    text: String::new(),
                });
            }
            Tag::Heading { .. } => self.in_heading = true,
            Tag::Table(alignments) => self.table = Some(Table::new(alignments)),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis => self.mark("*"),
            TagEnd::Strong => self.strong(),
            TagEnd::Strikethrough => self.mark("~~"),
            TagEnd::Link | TagEnd::Image => self.close_link(),
            TagEnd::TableCell => {
                let cell = Cell {
                    markdown: mem::take(&mut self.inline),
                    plain: mem::take(&mut self.plain),
                };
                if let Some(table) = &mut self.table {
                    table.cell(cell);
                }
            }
            TagEnd::TableHead | TagEnd::TableRow => {}
            TagEnd::Table => self.close_table(),
            TagEnd::CodeBlock => {
                if let Some(Code { language, text }) = self.code.take() {
                    self.block(fenced(&language, &break_mentions(&text)));
                }
            }
            TagEnd::Heading(level) => self.close_heading(level),
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => {
                self.flush();
                self.close();
            }
            _ => self.flush(),
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        while self.containers.len() > 1 {
            self.close();
        }
        mem::take(&mut self.container().blocks).join("\n\n")
    }

    fn container(&mut self) -> &mut Container {
        self.containers
            .last_mut()
            .expect("the document is never closed before the end")
    }

    fn open(&mut self, kind: ContainerKind) {
        self.containers.push(Container {
            kind,
            blocks: Vec::new(),
        });
    }

    fn block(&mut self, block: String) {
        self.container().blocks.push(block);
    }

    /// Ends the paragraph that is being written, if one is.
    fn flush(&mut self) {
        self.plain.clear();
        let inline = mem::take(&mut self.inline);
        let inline = inline.trim();
        if !inline.is_empty() {
            self.block(inline.to_owned());
        }
    }

    fn close(&mut self) {
        let Some(Container { kind, blocks }) = self.containers.pop() else {
            return;
        };
        if self.containers.len() > MAX_DEPTH {
            self.block(blocks.join("\n"));
            return;
        }
        match kind {
            ContainerKind::Document => self.containers.push(Container { kind, blocks }),
            ContainerKind::Quote => {
                if !blocks.is_empty() {
                    self.block(prefixed(&blocks.join("\n\n"), "> "));
                }
            }
            ContainerKind::Item { loose } => self.close_item(&blocks, loose),
            ContainerKind::List { loose, .. } => {
                self.block(blocks.join(if loose { "\n\n" } else { "\n" }));
            }
        }
    }

    fn close_item(&mut self, blocks: &[String], item_loose: bool) {
        let content = blocks.join(if item_loose { "\n\n" } else { "\n" });
        let mut marker = "- ".to_owned();
        if let ContainerKind::List { next, loose } = &mut self.container().kind {
            *loose |= item_loose;
            if let Some(number) = next {
                marker = format!("{number}. ");
                *number = number.saturating_add(1);
            }
        }
        let indent = " ".repeat(marker.len().max(INDENT));
        // The lines of a block of code begin where its fence does.
        if content.starts_with("```") {
            marker = format!("{marker:INDENT$}");
        }
        let indented = prefixed(&content, &indent);
        self.block(format!("{marker}{}", indented.trim_start()));
    }

    fn close_heading(&mut self, level: HeadingLevel) {
        self.in_heading = false;
        let text = mem::take(&mut self.inline).replace('\n', " ");
        let text = text.trim();
        self.plain.clear();
        if text.is_empty() {
            return;
        }
        match self.flavour {
            Flavour::Card => {
                let marks = "#".repeat(level as usize);
                self.block(format!("{marks} {text}"));
            }
            Flavour::RichText => self.block(format!("**{text}**")),
        }
    }

    fn close_table(&mut self) {
        let Some(table) = self.table.take() else {
            return;
        };
        let shown = self.flavour == Flavour::Card
            && self.containers.len() == 1
            && self.tables < MAX_TABLES
            && table.is_small();
        if shown {
            self.tables += 1;
            self.block(table.markdown());
        } else {
            self.block(fenced("", &break_mentions(&table.text())));
        }
    }
}

fn language(info: &str) -> String {
    info.split(|c: char| c.is_whitespace() || c == ',')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_'))
        .take(20)
        .collect()
}

/// Puts a prefix before each line; before an empty one without blanks at its end.
fn prefixed(text: &str, prefix: &str) -> String {
    let lines = text.split('\n').map(|line| match line {
        "" => prefix.trim_end().to_owned(),
        line => format!("{prefix}{line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}
