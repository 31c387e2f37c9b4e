//! QR codes in a terminal, two modules to a character.

use qrcode::{Color, EcLevel, QrCode};
use thiserror::Error;

/// How many light modules are around a code. The standard wants four; two do on a screen.
const QUIET: usize = 2;

/// How a code is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// White on black by escape sequences, whatever the terminal's own colours.
    Ansi,
    /// In the terminal's own colours, taken to be light on dark.
    None,
}

/// Why there is no code.
#[derive(Debug, Error)]
pub enum QrError {
    /// The text is too long for any.
    #[error("the link is too long for a QR code; open it in a browser instead")]
    TooLong(#[source] qrcode::types::QrError),
    /// The terminal is too narrow.
    #[error("the QR code needs {needed} columns; widen the terminal, or open the link instead")]
    TooWide {
        /// How many columns it takes.
        needed: usize,
    },
}

/// Draws a text as a QR code, within this many columns; each line ends with a line break.
///
/// # Errors
///
/// When it has no room.
pub fn draw(text: &str, columns: usize, paint: Paint) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).map_err(QrError::TooLong)?;
    let size = code.width() + 2 * QUIET;
    if size > columns {
        return Err(QrError::TooWide { needed: size });
    }
    let is_light = |x: usize, y: usize| {
        let inside = QUIET..QUIET + code.width();
        !(inside.contains(&x) && inside.contains(&y))
            || code[(x - QUIET, y - QUIET)] == Color::Light
    };
    let mut drawn = String::new();
    for y in (0..size).step_by(2) {
        if paint == Paint::Ansi {
            drawn.push_str("\x1b[97;40m");
        }
        for x in 0..size {
            // Below the last line is nothing, which is dark.
            let below = y + 1 < size && is_light(x, y + 1);
            drawn.push(match (is_light(x, y), below) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        if paint == Paint::Ansi {
            drawn.push_str("\x1b[0m");
        }
        drawn.push('\n');
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    const LINK: &str = "https://accounts.feishu.cn/oauth/v1/device/verify?user_code=ABCD-EFGH&from=sdk&source=tieline&tp=sdk";

    /// Returns the modules that are drawn, light ones as true, without the quiet ones.
    fn modules(drawn: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawn.lines() {
            rows.push(line.chars().map(|c| matches!(c, '█' | '▀')).collect());
            rows.push(line.chars().map(|c| matches!(c, '█' | '▄')).collect());
        }
        let width = drawn.lines().next().unwrap().chars().count();
        rows.truncate(width);
        for row in &rows[..QUIET] {
            assert_eq!(row, &vec![true; width]);
        }
        rows[QUIET..width - QUIET]
            .iter()
            .map(|row: &Vec<bool>| row[QUIET..width - QUIET].to_vec())
            .collect()
    }

    #[test]
    fn what_is_drawn_is_the_code() {
        for text in ["a", LINK] {
            let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
            let colors = code.to_colors();
            let expected: Vec<Vec<bool>> = colors
                .chunks(code.width())
                .map(|row| row.iter().map(|color| *color == Color::Light).collect())
                .collect();
            assert_eq!(modules(&draw(text, 200, Paint::None).unwrap()), expected);
        }
    }

    #[test]
    fn a_usual_link_fits_into_a_usual_terminal_and_every_line_has_its_width() {
        let drawn = draw(LINK, 80, Paint::None).unwrap();
        let width = drawn.lines().next().unwrap().width();
        assert!(width <= 50, "{width}");
        assert!(drawn.lines().all(|line| line.width() == width));
        assert!(drawn.lines().count() <= 24);
    }

    #[test]
    fn a_narrow_terminal_is_told_what_it_needs() {
        let error = draw("a", 24, Paint::None).unwrap_err();
        assert!(matches!(error, QrError::TooWide { needed: 25 }), "{error}");
        assert!(draw("a", 25, Paint::None).is_ok());
    }

    #[test]
    fn no_code_holds_everything() {
        let error = draw(&"a".repeat(5000), 1000, Paint::None).unwrap_err();
        assert!(matches!(error, QrError::TooLong(_)), "{error}");
    }

    #[test]
    fn colours_begin_and_end_on_every_line() {
        let plain = draw("a", 80, Paint::None).unwrap();
        let painted = draw("a", 80, Paint::Ansi).unwrap();
        assert!(
            painted
                .lines()
                .all(|line| line.starts_with("\x1b[97;40m") && line.ends_with("\x1b[0m"))
        );
        let stripped = painted.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
        assert_eq!(stripped, plain);
    }
}
