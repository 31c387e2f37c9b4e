//! A message's text while it is put together.

use tieline_channel::Segment;

/// A message's text while it is put together. Texts that follow each other are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Body(Vec<Segment>);

impl Body {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds Markdown.
    pub(super) fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Segment::Text(last)) => last.push_str(text),
            _ => self.0.push(Segment::Text(text.to_owned())),
        }
    }

    /// Adds a segment.
    pub(super) fn push(&mut self, segment: Segment) {
        match segment {
            Segment::Text(text) => self.text(&text),
            mention @ Segment::Mention { .. } => self.0.push(mention),
        }
    }

    /// Goes to the beginning of a line, unless it is there.
    pub(super) fn line(&mut self) {
        match self.0.last() {
            None => {}
            Some(Segment::Text(text)) if text.ends_with('\n') => {}
            Some(_) => self.text("\n"),
        }
    }

    /// Returns what was added so far.
    #[cfg(test)]
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the whole, without blank ends.
    pub(super) fn finish(mut self) -> Vec<Segment> {
        if let Some(Segment::Text(text)) = self.0.first_mut() {
            *text = text.trim_start().to_owned();
        }
        if let Some(Segment::Text(text)) = self.0.last_mut() {
            text.truncate(text.trim_end().len());
        }
        self.0
            .retain(|segment| !matches!(segment, Segment::Text(text) if text.is_empty()));
        self.0
    }
}
