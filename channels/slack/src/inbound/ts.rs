//! Slack's name of a message, which is also when it was written.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A `ts` to compare and to compute with: `1731999999.000100`.
///
/// Two integers: a float cannot hold it. Where one names a message, the text that Slack gave is
/// kept as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ts {
    seconds: u64,
    micros: u32,
}

impl Ts {
    /// Reads a `ts`, with or without a fraction of up to six digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(seconds) || !digits(fraction) || fraction.len() > 6 {
            return None;
        }
        Some(Self {
            seconds: seconds.parse().ok()?,
            micros: format!("{fraction:0<6}").parse().ok()?,
        })
        .filter(|ts| ts.checked_time().is_some())
    }

    /// Returns the `ts` of a moment; that of 1970 for everything before it.
    pub(crate) fn at(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            seconds: since.as_secs(),
            micros: since.subsec_micros(),
        }
    }

    /// Returns the moment.
    pub(crate) fn time(self) -> SystemTime {
        self.checked_time().unwrap_or(UNIX_EPOCH)
    }

    fn checked_time(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::new(self.seconds, self.micros * 1_000))
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.seconds, self.micros)
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn seconds_and_micros_are_read_without_loss() {
        for (text, seconds, micros) in [
            ("1731999999.000100", 1_731_999_999, 100),
            ("1731999999.999999", 1_731_999_999, 999_999),
            ("1731999999", 1_731_999_999, 0),
            ("1731999999.5", 1_731_999_999, 500_000),
            ("0.000001", 0, 1),
        ] {
            assert_eq!(Ts::parse(text), Some(Ts { seconds, micros }), "of {text:?}");
        }
    }

    #[test]
    fn what_is_no_ts_is_not_read() {
        for text in [
            "",
            ".",
            ".5",
            "now",
            "-1.000000",
            "+1.000000",
            "1.0000001",
            "1.2.3",
            "1e9",
            "99999999999999999999.000000",
            "18446744073709551615.000000",
        ] {
            assert_eq!(Ts::parse(text), None, "of {text:?}");
        }
    }

    #[test]
    fn order_is_by_number_and_not_by_text() {
        let [first, second, third] =
            ["999.000001", "1000.000000", "1000.000001"].map(|text| Ts::parse(text).unwrap());
        assert!(first < second && second < third);
    }

    #[test]
    fn a_moment_becomes_the_text_that_becomes_it_again() {
        let time = UNIX_EPOCH + Duration::new(1_731_999_999, 100_000);
        let ts = Ts::at(time);
        assert_eq!(ts.to_string(), "1731999999.000100");
        assert_eq!(Ts::parse(&ts.to_string()).unwrap().time(), time);
    }
}
