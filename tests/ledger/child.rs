//! A process of its own that works on a ledger, to be killed or starved by a test.
//!
//! It is this test binary, started again for the one test below, which does nothing otherwise.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use tieline::ledger::{Ledger, LedgerSettings};

use super::disk_full;
use super::fixture::{accept, lane};

/// Names what the child is to do, and where.
const ROLE: &str = "TIELINE_TEST_LEDGER_ROLE";
const DIR: &str = "TIELINE_TEST_LEDGER_DIR";

/// Precedes what the child says, in the middle of what the test harness says.
const MARK: &str = "ledger-child: ";

/// A child and what it says; killed when dropped.
pub(crate) struct LedgerChild {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl LedgerChild {
    /// Starts a child on the ledger in `dir`.
    pub(crate) fn start(role: &str, dir: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["ledger::child::child_process", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(DIR, dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Returns the next thing that the child says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line that was cut by the kill was not said.
            if let Some((_, said)) = line.split_once(MARK)
                && let Some(said) = said.strip_suffix('\n')
            {
                return Some(said.to_owned());
            }
        }
    }

    /// Kills the child with SIGKILL and returns all that it had still said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let rest = std::iter::from_fn(|| self.hear()).collect();
        self.child.wait().unwrap();
        rest
    }

    /// Waits for the child's end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        while self.hear().is_some() {}
        self.child.wait().unwrap()
    }
}

impl Drop for LedgerChild {
    fn drop(&mut self) {
        // It has ended already when these fail.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Says something to the test that has started this process.
pub(crate) fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{MARK}{text}").unwrap();
    stdout.flush().unwrap();
}

#[test]
fn child_process() {
    let (Ok(role), Ok(dir)) = (env::var(ROLE), env::var(DIR)) else {
        return;
    };
    let dir = Path::new(&dir);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match role.as_str() {
        "write" => runtime.block_on(write(dir)),
        "open" => runtime.block_on(open(dir)),
        "flicker" => runtime.block_on(disk_full::flicker(dir)),
        "fill" => runtime.block_on(disk_full::fill_and_free(dir)),
        role => panic!("unknown role {role}"),
    }
}

/// Accepts messages from several writers until it is killed, and says which.
async fn write(dir: &Path) {
    let (ledger, _thread) = Ledger::open(dir, LedgerSettings::standard()).unwrap();
    let process = std::process::id();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let ledger = ledger.clone();
        writers.spawn(async move {
            let lane = lane(&writer.to_string());
            for number in 0_u64.. {
                let name = format!("{process}.{writer}.{number}");
                let text = if number % 16 == 0 { 6000 } else { 60 };
                let mut new = super::fixture::new_message(&lane, &name);
                new.message = super::fixture::message(&name, &"x".repeat(text));
                ledger.accept(new).await.unwrap();
                say(&name);
            }
        });
    }
    writers.join_all().await;
}

/// Opens the ledger, writes, and closes it, until it is killed, and says each step.
async fn open(dir: &Path) {
    let process = std::process::id();
    for number in 0_u64.. {
        say("opening");
        let (ledger, thread) = Ledger::open(dir, LedgerSettings::standard()).unwrap();
        let name = format!("{process}.{number}");
        accept(&ledger, &lane("0"), &name).await;
        say(&name);
        thread.close().await;
    }
}
