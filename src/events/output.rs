//! Live output of commands: for those who listen at that moment, within bounds.

use std::collections::HashMap;

use tokio::time::Instant;

/// How many characters of a line are shown.
const MAX_LINE: usize = 500;

/// How many lines of a turn are shown at once.
const BURST: u32 = 100;

/// How many more in each second.
const PER_SECOND: u32 = 20;

/// How many commands of a turn may be in the middle of a line; what others print then is shown in pieces.
const MAX_OPEN: usize = 16;

/// Makes lines of what the commands of a turn print, and leaves out what is too much.
#[derive(Debug)]
pub struct OutputLimit {
    /// The beginning of a line of each command.
    open: HashMap<String, String>,
    left: u32,
    filled_at: Instant,
    left_out: u64,
}

/// A line that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The line, cut.
    pub line: String,
    /// How many lines before it were left out.
    pub left_out: u64,
}

impl OutputLimit {
    /// Begins with a turn.
    #[expect(clippy::new_without_default, reason = "it begins at a moment in time")]
    pub fn new() -> Self {
        Self {
            open: HashMap::new(),
            left: BURST,
            filled_at: Instant::now(),
            left_out: 0,
        }
    }

    /// Takes a piece of what a command prints; returns the lines that it completes.
    pub fn take(&mut self, command: &str, piece: &str) -> Vec<OutputLine> {
        let mut begun = self.open.remove(command).unwrap_or_default();
        let mut shown = Vec::new();
        for part in piece.split_inclusive(['\n', '\r']) {
            let is_whole = part.ends_with(['\n', '\r']);
            let room = MAX_LINE.saturating_sub(begun.chars().count());
            let text = part.trim_end_matches(['\n', '\r']);
            begun.extend(
                text.chars()
                    .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
                    .take(room + 1),
            );
            if !is_whole {
                break;
            }
            let line = std::mem::take(&mut begun);
            shown.extend(self.show(line));
        }
        if !begun.is_empty() {
            if self.open.len() < MAX_OPEN {
                self.open.insert(command.to_owned(), begun);
            } else {
                shown.extend(self.show(begun));
            }
        }
        shown
    }

    fn show(&mut self, line: String) -> Option<OutputLine> {
        if line.trim().is_empty() {
            return None;
        }
        let passed = self.filled_at.elapsed().as_secs();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(u32::MAX);
            self.left = self
                .left
                .saturating_add(more.saturating_mul(PER_SECOND))
                .min(BURST);
            self.filled_at = Instant::now();
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.left_out += 1;
            return None;
        };
        self.left = left;
        Some(OutputLine {
            line: cut(line),
            left_out: std::mem::take(&mut self.left_out),
        })
    }
}

fn cut(mut line: String) -> String {
    if let Some((end, _)) = line.char_indices().nth(MAX_LINE) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lines(taken: Vec<OutputLine>) -> Vec<String> {
        taken.into_iter().map(|it| it.line).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_become_lines_by_command_and_long_ones_are_cut() {
        let mut limit = OutputLimit::new();
        assert_eq!(lines(limit.take("a", "one\ntw")), ["one"]);
        assert_eq!(lines(limit.take("b", "other\n")), ["other"]);
        assert_eq!(
            lines(limit.take("a", "o\r\n\n50%\r60%\r")),
            ["two", "50%", "60%"]
        );
        for _ in 0..100 {
            assert!(limit.take("a", &"ß".repeat(100)).is_empty());
        }
        let long = lines(limit.take("a", "\n"));
        assert_eq!(long[0].chars().count(), MAX_LINE + 1);
        assert!(long[0].ends_with("ß…"));
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_lines_are_left_out_and_the_next_says_how_many() {
        let mut limit = OutputLimit::new();
        let many = "x\n".repeat(1_000);
        assert_eq!(limit.take("a", &many).len(), BURST as usize);
        tokio::time::advance(Duration::from_secs(2)).await;
        let more = limit.take("a", &many);
        assert_eq!(more.len(), 2 * PER_SECOND as usize);
        assert_eq!(more[0].left_out, 900);
        assert!(more[1..].iter().all(|line| line.left_out == 0));
    }
}
