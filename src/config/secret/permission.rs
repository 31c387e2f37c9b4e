//! Whether a file is private enough for a secret.
//!
//! Links are followed, and what they lead to is judged: it is what others would read.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs};
use rustix::process::geteuid;

/// Where container engines mount secrets, with modes that nobody inside can change.
const MOUNTS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// What decides.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// The permission bits.
    mode: u32,
    /// The file is ours.
    is_ours: bool,
    /// The file is root's.
    is_roots: bool,
    /// It is on a file system that cannot be written to.
    is_read_only: bool,
    /// It is where container engines mount secrets.
    is_mounted: bool,
}

/// Returns whether others can read an open file that was opened by `path`, and it could be otherwise.
pub(super) fn is_open_to_others(file: &File, path: &Path) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let real = path.canonicalize()?;
    let system = fstatvfs(file)?;
    Ok(is_too_open(Standing {
        mode: metadata.mode(),
        is_ours: metadata.uid() == geteuid().as_raw(),
        is_roots: metadata.uid() == 0,
        is_read_only: system.f_flag.contains(StatVfsMountFlags::RDONLY),
        is_mounted: MOUNTS.iter().any(|mount| real.starts_with(mount)),
    }))
}

fn is_too_open(file: Standing) -> bool {
    let (for_group, for_others) = (file.mode & 0o070 != 0, file.mode & 0o007 != 0);
    // Nobody can mend what nobody can change.
    if file.is_read_only || (file.is_roots && file.is_mounted) {
        return false;
    }
    // That is how root gives a file to a service that must not change it.
    let is_lent = file.is_roots && !file.is_ours && file.mode & 0o030 == 0;
    for_others || (for_group && !is_lent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_unless_nobody_can_make_it_so() {
        let ours = Standing {
            mode: 0,
            is_ours: true,
            is_roots: false,
            is_read_only: false,
            is_mounted: false,
        };
        let lent = Standing {
            is_ours: false,
            is_roots: true,
            ..ours
        };
        // We are root, who could mend it.
        let roots = Standing {
            is_roots: true,
            ..ours
        };
        let mounted = Standing {
            is_mounted: true,
            ..ours
        };
        let mounted_by_root = Standing {
            is_mounted: true,
            ..lent
        };
        let read_only = Standing {
            is_read_only: true,
            ..ours
        };
        let table = [
            (ours, 0o600, false),
            (ours, 0o400, false),
            (ours, 0o640, true),
            (ours, 0o620, true),
            (ours, 0o604, true),
            (ours, 0o601, true),
            (lent, 0o640, false),
            (lent, 0o660, true),
            (lent, 0o644, true),
            (roots, 0o640, true),
            (mounted, 0o444, true),
            (mounted_by_root, 0o444, false),
            (read_only, 0o444, false),
        ];
        for (standing, mode, expected) in table {
            let file = Standing { mode, ..standing };
            assert_eq!(is_too_open(file), expected, "{file:?}");
        }
    }
}
