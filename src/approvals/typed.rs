//! Words of people that decide: where there are no buttons, and for whoever likes to type.

use crate::ledger::{ApprovalRecord, Decision};

use super::button::choices;

/// Which approval somebody means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this number.
    Number(u32),
    /// The only one there is.
    Only,
}

/// What somebody has typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A decision in words.
    Words {
        /// What.
        decision: Decision,
        /// About which.
        which: Which,
        /// With a slash: it is meant as a decision, whatever there is to decide.
        is_certain: bool,
    },
    /// A number alone: perhaps that of a choice.
    Choice(usize),
}

/// The words of each decision, in any case. What is longer comes first.
const WORDS: [(&str, Decision); 14] = [
    ("approve session", Decision::AcceptForSession),
    ("accept session", Decision::AcceptForSession),
    ("本会话都批准", Decision::AcceptForSession),
    ("批准本会话", Decision::AcceptForSession),
    ("approve", Decision::Accept),
    ("accept", Decision::Accept),
    ("批准", Decision::Accept),
    ("同意", Decision::Accept),
    ("decline", Decision::Decline),
    ("reject", Decision::Decline),
    ("拒绝并停止", Decision::Cancel),
    ("拒绝", Decision::Decline),
    ("cancel", Decision::Cancel),
    ("取消", Decision::Cancel),
];

impl Typed {
    /// Reads what somebody has typed; `None` when it can decide nothing. Nothing but a number may
    /// follow the words.
    pub fn read(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let text = words.join(" ").to_lowercase();
        if let Ok(number) = text.parse() {
            return Some(Self::Choice(number));
        }
        let (text, is_certain) = match text.strip_prefix(['/', '／']) {
            Some(rest) => (rest, true),
            None => (text.as_str(), false),
        };
        let (rest, decision) = WORDS
            .iter()
            .find_map(|(words, decision)| Some((text.strip_prefix(words)?, *decision)))?;
        let is_separate =
            rest.starts_with([' ', '#', '＃']) || !rest.starts_with(char::is_alphabetic);
        let number = rest.trim_start().trim_start_matches(['#', '＃']).trim();
        let which = match number {
            "" if rest.is_empty() => Which::Only,
            number if is_separate => Which::Number(number.parse().ok()?),
            _ => return None,
        };
        Some(Self::Words {
            decision,
            which,
            is_certain,
        })
    }

    /// Returns what the number of a choice decides about an approval.
    pub fn choice(number: usize, record: &ApprovalRecord) -> Option<Decision> {
        choices(record).nth(number.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::words::tests::record;

    #[test]
    fn words_decide_only_when_nothing_else_is_said() {
        use Decision::{Accept, AcceptForSession, Cancel, Decline};
        let words = |decision, which, is_certain| {
            Some(Typed::Words {
                decision,
                which,
                is_certain,
            })
        };
        let only = |decision| words(decision, Which::Only, false);
        let nth = |decision, number| words(decision, Which::Number(number), false);
        for (text, expected) in [
            ("approve", only(Accept)),
            ("  Approve  2 ", nth(Accept, 2)),
            ("approve #2", nth(Accept, 2)),
            ("accept 12", nth(Accept, 12)),
            ("approve session", only(AcceptForSession)),
            ("Approve Session 2", nth(AcceptForSession, 2)),
            ("decline 2", nth(Decline, 2)),
            ("reject", only(Decline)),
            ("cancel 2", nth(Cancel, 2)),
            ("/approve", words(Accept, Which::Only, true)),
            ("／cancel 3", words(Cancel, Which::Number(3), true)),
            ("批准", only(Accept)),
            ("批准2", nth(Accept, 2)),
            ("批准 #2", nth(Accept, 2)),
            ("本会话都批准 2", nth(AcceptForSession, 2)),
            ("拒绝 2", nth(Decline, 2)),
            ("拒绝并停止2", nth(Cancel, 2)),
            ("取消", only(Cancel)),
            ("1", Some(Typed::Choice(1))),
            (" 4 ", Some(Typed::Choice(4))),
            ("approve it", None),
            ("approved", None),
            ("approve 2 please", None),
            ("approve two", None),
            ("approve 2 3", None),
            ("approve -1", None),
            ("approve #", None),
            ("please approve", None),
            ("cancel that", None),
            ("cancellation", None),
            ("批准这个", None),
            ("取消订单", None),
            ("1.", None),
            ("-1", None),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(Typed::read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_number_is_that_of_the_choice_that_is_shown() {
        let mut record = record();
        let all = |record: &ApprovalRecord| (0..6).map(|n| Typed::choice(n, record)).collect();
        use Decision::{Accept, AcceptForSession, Cancel, Decline};
        let four: Vec<_> = all(&record);
        let expected = [Accept, AcceptForSession, Decline, Cancel].map(Some);
        assert_eq!(four[1..5], expected);
        assert_eq!((four[0], four[5]), (None, None));
        record.wanted.for_session = false;
        let three: Vec<_> = all(&record);
        assert_eq!(
            three[1..5],
            [Some(Accept), Some(Decline), Some(Cancel), None]
        );
    }
}
