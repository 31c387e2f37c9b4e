//! The real Codex, for the tests.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tieline::demo::provision::{Places, Progress, Wanted, find_or_fetch};
use tokio::runtime::Builder;

/// Returns the pinned Codex, which is fetched at the first call on a fresh machine.
///
/// # Panics
///
/// When there is none, with what to do about it.
pub(crate) fn codex_bin() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    // On a thread of its own: whoever asks is in a runtime already.
    BINARY.get_or_init(|| {
        let search = thread::spawn(search);
        search.join().expect("the search says why it fails")
    })
}

fn search() -> PathBuf {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let places = Places::from_env();
    match runtime.block_on(find_or_fetch(&places, Wanted::Pinned, &mut OnStderr)) {
        Ok(codex) => codex.binary,
        Err(error) => panic!("{:#}", anyhow::Error::from(error)),
    }
}

/// Writes past the test harness, so that a long download does not look like a hanging test.
struct OnStderr;

impl Progress for OnStderr {
    fn say(&mut self, line: &str) {
        // Not `eprintln!`, which the harness would keep to itself.
        writeln!(io::stderr(), "{line}").expect("stderr is open");
    }

    fn tick(&mut self, _elapsed: Duration) {}
}
