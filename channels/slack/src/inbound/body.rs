//! The text of a message while it is put together.

use tieline_channel::{Segment, UserId};

/// Collects text and mentions; text that follows text becomes one segment.
#[derive(Debug, Default)]
pub(super) struct Body {
    segments: Vec<Segment>,
    text: String,
}

impl Body {
    pub(super) fn push(&mut self, character: char) {
        self.text.push(character);
    }

    pub(super) fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn mention(&mut self, user: &str, name: Option<String>) {
        self.end_text();
        self.segments.push(Segment::Mention {
            user: UserId::new(user),
            name,
        });
    }

    /// Begins a new line unless one has just begun.
    pub(super) fn new_line(&mut self) {
        let at_start = self.segments.is_empty() && self.text.is_empty();
        if !at_start && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.segments.is_empty() && self.text.trim().is_empty()
    }

    pub(super) fn append(&mut self, other: Self) {
        for segment in other.finish() {
            match segment {
                Segment::Text(text) => self.push_str(&text),
                Segment::Mention { .. } => {
                    self.end_text();
                    self.segments.push(segment);
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Vec<Segment> {
        self.end_text();
        self.segments
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.segments
                .push(Segment::Text(std::mem::take(&mut self.text)));
        }
    }
}
