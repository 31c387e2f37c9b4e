//! What is within a line: text, code, links.

use std::ops::Range;

use super::{Flavour, Link, Writer};
use crate::fence::longest_run_of_ticks;
use crate::outbound::inert::{ZERO_WIDTH_SPACE, break_mentions, entity};

impl Writer<'_> {
    pub(super) fn verbatim(&mut self, text: &str) {
        self.inline.push_str(text);
        self.plain.push_str(text);
    }

    /// Never two at once, which would begin a paragraph.
    pub(super) fn line_break(&mut self) {
        if self.table.is_some() {
            self.verbatim(" ");
        } else if !self.inline.ends_with('\n') {
            self.verbatim("\n");
        }
    }

    pub(super) fn mark(&mut self, mark: &str) {
        self.inline.push_str(mark);
    }

    /// In rich text a heading is strong already.
    pub(super) fn strong(&mut self) {
        if !(self.in_heading && self.flavour == Flavour::RichText) {
            self.mark("**");
        }
    }

    pub(super) fn text(&mut self, text: &str, range: Range<usize>) {
        if let Some(code) = &mut self.code {
            code.text.push_str(text);
            return;
        }
        self.plain.push_str(text);
        self.literal(text, range);
    }

    /// Writes text so that it is read as text. What stood there literally still does where it
    /// stands; what was an entity, or escaped, must be kept from becoming a mark.
    fn literal(&mut self, text: &str, range: Range<usize>) {
        let escaped = self.source[..range.start].ends_with('\\');
        let followed_by = self.source[range.end..].chars().next();
        let verbatim = self.source.get(range) == Some(text);
        let mut chars = text.chars().enumerate().peekable();
        while let Some((n, c)) = chars.next() {
            let special = c.is_ascii_punctuation() && (!verbatim || (n == 0 && escaped));
            let next = chars.peek().map(|(_, next)| *next).or(followed_by);
            match self.flavour {
                Flavour::Card => {
                    // Ticks and brackets could pair with those of code and links that now stand
                    // beside them, and a bar make a table, or a cell.
                    if matches!(c, '<' | '`' | '|' | '[' | ']') || special {
                        entity(&mut self.inline, c);
                    } else {
                        self.inline.push(c);
                    }
                }
                // Without entities, what follows is kept away.
                Flavour::RichText => {
                    self.inline.push(if c == '`' { '\'' } else { c });
                    if special || makes_mark(c, next) {
                        self.inline.push(ZERO_WIDTH_SPACE);
                    }
                }
            }
        }
    }

    pub(super) fn code_span(&mut self, code: &str) {
        self.plain.push_str(code);
        let mut code = break_mentions(code);
        if self.table.is_some() {
            code = code.replace('|', "\\|");
        }
        // Nobody has said that rich text knows code within a line.
        if self.flavour == Flavour::RichText {
            code = code.replace("](", &format!("]{ZERO_WIDTH_SPACE}("));
        }
        let fence = "`".repeat(longest_run_of_ticks(&code) + 1);
        let edge = code.starts_with('`') || code.ends_with('`');
        let blank = if edge { " " } else { "" };
        self.inline
            .push_str(&format!("{fence}{blank}{code}{blank}{fence}"));
    }

    pub(super) fn html(&mut self, html: &str) {
        let name = html.trim().to_ascii_lowercase();
        if matches!(name.as_str(), "<br>" | "<br/>" | "<br />") {
            return self.line_break();
        }
        self.plain.push_str(html);
        match self.flavour {
            Flavour::RichText => {
                for c in html.chars() {
                    self.inline.push(if c == '`' { '\'' } else { c });
                    if matches!(c, '<' | '!' | ']') {
                        self.inline.push(ZERO_WIDTH_SPACE);
                    }
                }
            }
            Flavour::Card => {
                for c in html.chars() {
                    if c.is_ascii_punctuation() {
                        entity(&mut self.inline, c);
                    } else {
                        self.inline.push(c);
                    }
                }
            }
        }
    }

    pub(super) fn open_link(&mut self, url: &str, image: bool) {
        self.links.push(Link {
            url: url.to_owned(),
            image,
            from: self.inline.len(),
            plain_from: self.plain.len(),
        });
    }

    pub(super) fn close_link(&mut self) {
        let Some(Link {
            url,
            image,
            from,
            plain_from,
        }) = self.links.pop()
        else {
            return;
        };
        let mut text = self.inline.split_off(from);
        let bare = self.plain[plain_from..].trim() == url;
        if text.trim().is_empty() {
            text = if image { "image" } else { "link" }.to_owned();
        }
        // Links cannot be nested: within another one, an image is its text.
        if !self.links.is_empty() {
            self.inline.push_str(&text);
            return;
        }
        match web_url(&url) {
            Some(url) => {
                self.defuse_bang();
                self.inline.push_str(&format!("[{text}]({url})"));
            }
            // A file on this machine, say: nothing to click on.
            None => {
                self.inline.push_str(&text);
                if !bare && !url.is_empty() {
                    self.inline.push_str(" (");
                    self.code_span(&url);
                    self.inline.push(')');
                }
            }
        }
    }

    /// Keeps a `!` before a link from making it an image.
    fn defuse_bang(&mut self) {
        if self.inline.ends_with('!') {
            match self.flavour {
                Flavour::Card => {
                    self.inline.pop();
                    entity(&mut self.inline, '!');
                }
                Flavour::RichText => self.inline.push(ZERO_WIDTH_SPACE),
            }
        }
    }
}

/// Returns whether a character of a text can begin a tag or an image, or end the text or the name of
/// a link, with what follows it, behind which `&` and `\` may hide anything.
fn makes_mark(c: char, next: Option<char>) -> bool {
    match (c, next) {
        ('<', Some(next)) => !(next.is_whitespace() || next.is_ascii_digit() || next == '='),
        ('!', Some(next)) => matches!(next, '[' | '&' | '\\'),
        (']', Some(next)) => matches!(next, '(' | '[' | ':' | '&' | '\\'),
        _ => false,
    }
}

/// Returns a URL that Feishu opens, safe between the parentheses of a link.
fn web_url(url: &str) -> Option<String> {
    let lower = url.to_ascii_lowercase();
    let opens = ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| lower.starts_with(scheme));
    if !opens {
        return None;
    }
    let mut safe = String::with_capacity(url.len());
    for c in url.chars() {
        if c.is_ascii_control() || matches!(c, ' ' | '<' | '>' | '(' | ')' | '\\' | '|' | '`' | '"')
        {
            safe.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    Some(safe)
}
