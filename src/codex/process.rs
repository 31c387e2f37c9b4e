//! Processes, so that no stranger is ever killed.
//!
//! A process id alone says nothing: it is given out again. Together with the start time it names
//! one process. What has no `/proc` (macOS) yields nothing here, and nothing is killed then.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// One process, and not another that has its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    /// In clock ticks since the boot.
    pub(super) start_time: u64,
}

struct Stat {
    parent: u32,
    start_time: u64,
}

impl ProcessId {
    /// Returns the process that has this number now.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start_time: stat(pid)?.start_time,
        })
    }

    /// Returns whether it still exists, a zombie included.
    pub(super) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal to this process and no other; false if it is gone.
    #[cfg(target_os = "linux")]
    pub(super) fn signal(self, signal: Signal) -> bool {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

        let Some(pid) = raw(self.pid) else {
            return false;
        };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            return false;
        };
        // The descriptor holds one process; whether it is ours shows only now.
        self.is_alive() && pidfd_send_signal(process, signal).is_ok()
    }

    /// Sends a signal to this process and no other; false if it is gone.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn signal(self, signal: Signal) -> bool {
        self.is_alive()
            && raw(self.pid).is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
    }

    /// Returns the processes that descend from this one.
    pub(super) fn descendants(self) -> Vec<Self> {
        let all: Vec<(Self, u32)> = pids()
            .filter_map(|pid| {
                let stat = stat(pid)?;
                let start_time = stat.start_time;
                Some((Self { pid, start_time }, stat.parent))
            })
            .collect();
        let mut found = vec![self];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            next += 1;
            found.extend(
                all.iter()
                    .filter(|(_, its_parent)| *its_parent == parent.pid)
                    .map(|(process, _)| *process),
            );
        }
        found.split_off(1)
    }
}

/// Returns the processes whose environment has the variable with this value.
pub(super) fn marked(variable: &str, value: &str) -> Vec<ProcessId> {
    let wanted = format!("{variable}={value}");
    let ourselves = std::process::id();
    pids()
        .filter(|pid| *pid != ourselves)
        .filter(|pid| {
            // Processes of other users cannot be read, and are not ours.
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|entry| entry == wanted.as_bytes())
            })
        })
        .filter_map(ProcessId::of)
        .collect()
}

/// Returns what names the present boot of this machine.
pub(super) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Returns the process id as the system calls want it.
pub(super) fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir(Path::new("/proc"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses and spaces included.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, start_time })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_another_start_time_is_a_stranger() {
        let ourselves = ProcessId::of(std::process::id()).unwrap();
        assert!(ourselves.is_alive());
        let stranger = ProcessId {
            start_time: ourselves.start_time + 1,
            ..ourselves
        };
        assert!(!stranger.is_alive());
        // It would end this test if it were not refused.
        assert!(!stranger.signal(Signal::KILL));
    }
}
