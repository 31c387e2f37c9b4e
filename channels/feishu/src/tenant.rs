//! Which organisation is ours. Nobody has to be asked: what Feishu delivers to us is addressed to it,
//! and what we have posted tells it of us.

use std::sync::{Mutex, PoisonError};

use tracing::{debug, warn};

/// Our organisation, as far as Feishu has told it in passing.
#[derive(Debug, Default)]
pub(crate) struct Tenant(Mutex<Told>);

#[derive(Debug, Default)]
enum Told {
    #[default]
    Nothing,
    One(String),
    /// What was told does not agree, so that nothing is believed.
    Several,
}

impl Tenant {
    /// Takes note of what something that is ours, or is for us, tells of its organisation.
    pub(crate) fn heard(&self, key: Option<&str>) {
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return;
        };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*told {
            Told::Nothing => {
                debug!(key, "our organisation is known");
                *told = Told::One(key.to_owned());
            }
            Told::One(known) if known == key => {}
            Told::One(known) => {
                warn!(
                    known,
                    key,
                    "which organisation is ours is told in two ways: people that are read \
                          back from shared chats count as those of another one"
                );
                *told = Told::Several;
            }
            Told::Several => {}
        }
    }

    /// Returns our organisation if it is known.
    pub(crate) fn known(&self) -> Option<String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Told::One(key) => Some(key.clone()),
            Told::Nothing | Told::Several => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_organisation_is_believed_until_something_else_is_told() {
        let tenant = Tenant::default();
        for (told, expected) in [
            (None, None),
            (Some(""), None),
            (Some("home"), Some("home")),
            (None, Some("home")),
            (Some("home"), Some("home")),
            (Some("away"), None),
            (Some("home"), None),
        ] {
            tenant.heard(told);
            assert_eq!(tenant.known().as_deref(), expected, "{told:?}");
        }
    }
}
