//! Lines of bounded length from a stream.

use std::io;
use std::mem;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads lines and passes over those that are too long.
pub(crate) struct Lines<R> {
    input: BufReader<R>,
    longest: usize,
    line: Vec<u8>,
    /// How long the line is so far, when it has grown too long to be kept.
    skipped: Option<usize>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its bytes, without `\n` or `\r\n` at the end.
    Bytes(Vec<u8>),
    /// It was too long and is gone.
    TooLong {
        /// How long it was.
        bytes: usize,
    },
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(input: R, longest: usize) -> Self {
        Self {
            input: BufReader::new(input),
            longest,
            line: Vec::new(),
            skipped: None,
        }
    }

    /// Returns the next line, or `None` at the end. What follows the last `\n` counts as a line
    /// unless it is empty.
    ///
    /// Loses nothing when dropped before it has returned.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = match self.input.fill_buf().await {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                let is_over = self.line.is_empty() && self.skipped.is_none();
                return Ok((!is_over).then(|| self.take()));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..end.unwrap_or(available.len())];
            match &mut self.skipped {
                Some(skipped) => *skipped += piece.len(),
                // One more for the `\r` that may come before the end.
                None if self.line.len() + piece.len() > self.longest + 1 => {
                    self.skipped = Some(self.line.len() + piece.len());
                    self.line = Vec::new();
                }
                None => self.line.extend_from_slice(piece),
            }
            let used = piece.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        if let Some(bytes) = self.skipped.take() {
            return Line::TooLong { bytes };
        }
        let mut line = mem::take(&mut self.line);
        line.pop_if(|byte| *byte == b'\r');
        if line.len() > self.longest {
            return Line::TooLong { bytes: line.len() };
        }
        Line::Bytes(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], longest: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, longest);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn bytes(line: &str) -> Line {
        Line::Bytes(line.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_end_with_the_stream_too() {
        assert_eq!(all(b"", 4).await, []);
        assert_eq!(
            all(b"a\r\n\n\xff\nb", 4).await,
            [bytes("a"), bytes(""), Line::Bytes(vec![0xff]), bytes("b")]
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_takes_nothing_with_it() {
        assert_eq!(
            all(b"abcd\nabcde\nabcd\r\nabcdefghij\nx\nabcdef", 4).await,
            [
                bytes("abcd"),
                Line::TooLong { bytes: 5 },
                bytes("abcd"),
                Line::TooLong { bytes: 10 },
                bytes("x"),
                Line::TooLong { bytes: 6 },
            ]
        );
    }

    #[tokio::test]
    async fn a_very_long_line_is_not_kept_in_memory() {
        let input = tokio::io::repeat(b'x');
        let mut lines = Lines::new(tokio::io::AsyncReadExt::take(input, 50_000_000), 1_000);
        assert_eq!(
            lines.next().await.unwrap(),
            Some(Line::TooLong { bytes: 50_000_000 })
        );
        assert!(lines.line.capacity() < 20_000);
    }

    #[tokio::test]
    async fn a_dropped_call_loses_nothing() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut lines = Lines::new(far, 100);
        for piece in ["ab", "c", "\nde"] {
            tokio::io::AsyncWriteExt::write_all(&mut near, piece.as_bytes())
                .await
                .unwrap();
            if piece.contains('\n') {
                assert_eq!(lines.next().await.unwrap(), Some(bytes("abc")));
            } else {
                tokio::select! {
                    biased;
                    line = lines.next() => panic!("{line:?}"),
                    () = std::future::ready(()) => {}
                }
            }
        }
        drop(near);
        assert_eq!(lines.next().await.unwrap(), Some(bytes("de")));
    }
}
