//! Tables for people.

use std::time::{Duration, SystemTime};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Makes a table without lines.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    table
}

/// Makes a table of keys and values.
pub(crate) fn rows() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Writes a table below a heading.
pub(crate) fn indented(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("  {}\n", line.trim()))
        .collect()
}

/// Aligns columns to the right.
pub(crate) fn right_align(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Writes a table, without white space at the ends of its lines.
pub(crate) fn write(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

/// Returns how long ago it was, in at most two units.
pub(crate) fn since(at: SystemTime, now: SystemTime) -> String {
    // A clock that was set back makes a time of the future: say "now".
    let elapsed = now.duration_since(at).unwrap_or(Duration::ZERO).as_secs();
    let (days, hours, minutes, seconds) = (
        elapsed / 86_400,
        elapsed / 3_600 % 24,
        elapsed / 60 % 60,
        elapsed % 60,
    );
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100)
    }

    fn ago(seconds: u64) -> SystemTime {
        now() - Duration::from_secs(seconds)
    }

    #[test]
    fn times_have_at_most_two_units_and_never_lie_ahead() {
        let shown =
            [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 9_000_000].map(|s| since(ago(s), now()));
        assert_eq!(
            shown,
            [
                "0s", "59s", "1m 0s", "59m 59s", "1h 0m", "23h 59m", "1d 0h", "104d 4h"
            ]
        );
        assert_eq!(since(now() + Duration::from_secs(5), now()), "0s");
    }
}
