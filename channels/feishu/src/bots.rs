//! Other bots, each under one name.
//!
//! An event names a bot by an id that only our app has for it (`ou_…`), a message that is read back
//! by its App ID (`cli_…`). Whoever lists a bot can know only the latter, so it is what counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tieline_channel::UserId;

/// How many are remembered.
const MAX_KNOWN: usize = 1_000;

/// The App IDs of the bots that were met.
#[derive(Debug, Default)]
pub(crate) struct Bots(Mutex<HashMap<UserId, UserId>>);

impl Bots {
    /// Returns the name under which a bot counts, if it is known.
    pub(crate) fn known(&self, bot: &UserId) -> Option<UserId> {
        if is_app(bot) {
            return Some(bot.clone());
        }
        self.lock().get(bot).cloned()
    }

    /// Takes note of a bot's other name, which a message of its own has told.
    pub(crate) fn learn(&self, bot: &UserId, app: &UserId) {
        let mut known = self.lock();
        // They are few; should they be many, each is asked for once more.
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(bot.clone(), app.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, UserId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_app(bot: &UserId) -> bool {
    bot.as_str().starts_with("cli_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_id_needs_nothing_to_be_learned_and_memory_is_bounded() {
        let bots = Bots::default();
        let (app, bot) = (UserId::new("cli_1"), UserId::new("ou_1"));
        assert_eq!(bots.known(&app).as_ref(), Some(&app));
        assert_eq!(bots.known(&bot), None);
        for number in 0..2 * MAX_KNOWN {
            bots.learn(&UserId::new(format!("ou_x{number}")), &app);
        }
        bots.learn(&bot, &app);
        assert_eq!(bots.known(&bot), Some(app));
        assert!(bots.lock().len() <= MAX_KNOWN);
    }
}
