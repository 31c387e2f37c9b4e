//! Chance that can be repeated.

use std::time::SystemTime;

/// A small generator, so that a seed names a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Returns where a run begins: another place each time, unless `TIELINE_FAULT_SEED` says so.
pub(crate) fn seed() -> u64 {
    match std::env::var("TIELINE_FAULT_SEED") {
        Ok(seed) => seed.parse().expect("TIELINE_FAULT_SEED is a number"),
        Err(_) => {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64
                | 1
        }
    }
}
