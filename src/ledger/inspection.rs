//! Looking at a ledger that nobody has open, without changing it.

use std::path::Path;

use crate::ledger::copy;
use crate::ledger::counts::Counts;
use crate::ledger::error::OpenError;
use crate::ledger::lock::Lock;
use crate::ledger::opening;
use crate::ledger::store::io_error;

/// What was found.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The schema on disk.
    pub schema: u32,
    /// The schema that this program writes; an older one is brought to it at the next start.
    pub newest: u32,
    /// How much of what there is.
    pub counts: Counts,
}

/// Reads the ledger in `dir` as a start would, on a copy in the private directory `scratch`: opening
/// alone would change files. `None` when there is no ledger yet. Blocks.
///
/// # Errors
///
/// When a start would fail: another process has it, or had it meanwhile, it is damaged, it is of a
/// newer version; or when it cannot be copied.
pub fn inspect(dir: &Path, scratch: &Path) -> Result<Option<Inspection>, OpenError> {
    if !dir.join("store").exists() {
        return Ok(None);
    }
    Lock::is_free(dir)?;
    let copied = scratch.join("ledger");
    copy::copy(dir, &copied).map_err(|source| io_error("copy", dir, source))?;
    // Whoever came meanwhile has written while it was copied.
    Lock::is_free(dir)?;
    let (schema, newest, counts) = opening::look(&copied)?;
    Ok(Some(Inspection {
        schema,
        newest,
        counts,
    }))
}
