//! Orders that are carried out once for each key.

use serde::{Deserialize, Serialize};

use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::keyed::{IdempotencyKey, Once};
use crate::ledger::operation::expiry::Expired;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// What was done under a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredKey {
    digest: String,
    made: String,
}

impl Transaction<'_> {
    /// Carries an order out unless that was done before; `carry_out` returns the name of what it has
    /// made beside what came of it. Without a key the order is a new one each time.
    pub(in crate::ledger) fn once<T>(
        &mut self,
        key: Option<&IdempotencyKey>,
        carry_out: impl FnOnce(&mut Self) -> Result<(String, T), LedgerError>,
    ) -> Result<Once<T>, LedgerError> {
        let Some(key) = key else {
            return Ok(Once::New(carry_out(self)?.1));
        };
        if let Some(made) = self.made_under(key)? {
            return Ok(Once::Repeated { made });
        }
        let (made, came) = carry_out(self)?;
        let at = key::keyed(key)?;
        self.expire_later(Class::Keyed, time::now(), &at)?;
        let record = StoredKey {
            digest: key.digest.as_str().to_owned(),
            made,
        };
        self.put("idempotency key", Table::Keyed, at, &record)?;
        Ok(Once::New(came))
    }

    /// Returns the name of what an order has made that was given before.
    pub(in crate::ledger) fn made_under(
        &mut self,
        key: &IdempotencyKey,
    ) -> Result<Option<String>, LedgerError> {
        let at = key::keyed(key)?;
        let known: Option<StoredKey> = self.get("idempotency key", Table::Keyed, &at)?;
        match known {
            Some(known) if known.digest != key.digest.as_str() => Err(LedgerError::KeyReused {
                key: key.key.clone(),
            }),
            known => Ok(known.map(|known| known.made)),
        }
    }

    /// Forgets a key: what is ordered under it from now on is new.
    pub(super) fn expire_keyed(&mut self, key: &Key, expired: &mut Expired) {
        self.remove(Table::Keyed, key.clone());
        expired.orders += 1;
    }
}
