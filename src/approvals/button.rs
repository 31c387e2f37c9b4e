//! The buttons below a question, and what comes back when one is pressed.

use tieline_channel::{Button, Language};

use super::words;
use crate::id::ApprovalId;
use crate::ledger::{ApprovalRecord, Decision};

/// What begins the value of a button that decides.
const MARK: &str = "approval";

/// A button that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// What it decides about.
    pub approval: ApprovalId,
    /// What it decides.
    pub decision: Decision,
}

/// Returns the decisions that people can make about an approval, in the order in which they are
/// offered.
pub(super) fn choices(record: &ApprovalRecord) -> impl Iterator<Item = Decision> {
    let for_session = record.wanted.for_session;
    Decision::ALL
        .into_iter()
        .filter(move |it| for_session || *it != Decision::AcceptForSession)
}

/// Returns the buttons below the question about an approval.
pub fn buttons(record: &ApprovalRecord, language: Language) -> Vec<Button> {
    let button = |decision: Decision| Button {
        label: words::label(decision).within(language).to_owned(),
        value: format!("{MARK}\n{}\n{}", record.id, decision.as_str()),
    };
    choices(record).map(button).collect()
}

impl Pressed {
    /// Reads the value of a pressed button; `None` when it decides nothing.
    pub fn read(value: &str) -> Option<Self> {
        let rest = value.strip_prefix(MARK)?.strip_prefix('\n')?;
        let (approval, decision) = rest.split_once('\n')?;
        Some(Self {
            approval: approval.parse().ok()?,
            decision: Decision::named(decision)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::words::tests::record;

    #[test]
    fn a_button_comes_back_as_what_it_decides() {
        let mut record = record();
        for (for_session, count) in [(true, 4), (false, 3)] {
            record.wanted.for_session = for_session;
            let buttons = buttons(&record, Language::English);
            assert_eq!(buttons.len(), count);
            for (button, decision) in buttons.iter().zip(choices(&record)) {
                let approval = record.id;
                let expected = Pressed { approval, decision };
                assert_eq!(Pressed::read(&button.value), Some(expected));
                assert!(button.value.len() <= 255 && button.label.len() <= 75);
            }
        }
    }

    #[test]
    fn other_buttons_decide_nothing() {
        let id = ApprovalId::new();
        for value in [
            String::new(),
            "answer\nYes\nGo on?".to_owned(),
            "approval".to_owned(),
            format!("approval\n{id}"),
            format!("approval\n{id}\n"),
            format!("approval\n{id}\nallow"),
            format!("approval\n{id}\naccept\n"),
            "approval\nx\naccept".to_owned(),
        ] {
            assert_eq!(Pressed::read(&value), None, "{value:?}");
        }
    }
}
