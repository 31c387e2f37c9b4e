//! One process of this machine for each app.
//!
//! Feishu gives each event to one of an app's connections, whichever: of two processes each would
//! get a part of the messages. So the first one holds a lock, and the next one waits for its end.
//!
//! On Linux the lock is a listening socket with an abstract name: all users see it, whatever their
//! directories are, it goes with its process, and it tells who holds it. Elsewhere it is a file in a
//! directory of the user's, so that it keeps apart the processes of one user only.

use std::io;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};
use url::Url;

/// The right to serve an app, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its drop")] Option<platform::Held>);

/// Takes the lock. While another process has it, `taken` is told, once for each.
///
/// An app is served without the lock when the system does not give it for another reason.
pub(super) async fn take(
    app_id: &str,
    base_url: &Url,
    poll: Duration,
    mut taken: impl FnMut(String),
) -> Lock {
    let name = name(app_id, base_url);
    let mut told = None;
    loop {
        match platform::hold(&name) {
            Ok(held) => {
                if told.is_some() {
                    info!(app_id, "the other process that served the app has ended");
                }
                return Lock(Some(held));
            }
            Err(error) if is_taken(&error) => {}
            Err(error) => {
                warn!(%error, app_id, "cannot see to it that no other process serves the app");
                return Lock(None);
            }
        }
        let holder = platform::Holder::find(&name).await;
        let pid = holder.as_ref().and_then(platform::Holder::pid);
        if told != Some(pid) {
            taken(message(app_id, pid));
            told = Some(pid);
        }
        match holder {
            Some(holder) => {
                holder.ended().await;
                // Should somebody else listen there and close at once, we do not run in circles.
                sleep(poll / 100).await;
            }
            None => sleep(poll).await,
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::WouldBlock
    )
}

/// Names the lock. An app lives at one base URL only; other ones are servers of tests.
fn name(app_id: &str, base_url: &Url) -> String {
    const MAX: usize = 100;
    let origin = base_url.origin().ascii_serialization();
    format!("tieline-feishu-{app_id}-{origin}")
        .chars()
        .map(|char| match char {
            '0'..='9' | 'A'..='Z' | 'a'..='z' | '-' | '_' | '.' => char,
            _ => '_',
        })
        .take(MAX)
        .collect()
}

fn message(app_id: &str, pid: Option<i32>) -> String {
    let process = match pid {
        Some(pid) => format!("another process of this machine (pid {pid})"),
        None => "another process of this machine".to_owned(),
    };
    format!(
        "{process} serves the app {app_id} already, and with two of them each would get a part of \
         the messages: stop the other one, or remove the channel here; this one takes over when \
         the other one ends"
    )
}

#[cfg(target_os = "linux")]
mod platform {
    use std::io;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    pub(super) type Held = UnixListener;

    pub(super) fn hold(name: &str) -> io::Result<Held> {
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
    }

    /// The process that holds the lock, by a connection that ends with it. Nobody accepts it.
    pub(super) struct Holder(UnixStream);

    impl Holder {
        pub(super) async fn find(name: &str) -> Option<Self> {
            // With a leading NUL the path is an abstract name.
            UnixStream::connect(format!("\0{name}"))
                .await
                .ok()
                .map(Self)
        }

        pub(super) fn pid(&self) -> Option<i32> {
            self.0.peer_cred().ok()?.pid()
        }

        pub(super) async fn ended(mut self) {
            // However this ends, the other end is gone.
            drop(self.0.read(&mut [0]).await);
        }
    }
}

#[cfg(not(target_os = "linux"))]
use file as platform;

#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(
    target_os = "linux",
    expect(dead_code, reason = "compiled for its tests only")
)]
mod file {
    use std::convert::Infallible;
    use std::env;
    use std::fs::{DirBuilder, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    use std::path::{Path, PathBuf};

    pub(super) type Held = File;

    pub(super) fn hold(name: &str) -> io::Result<Held> {
        let directory = directory(|name| env::var_os(name).map(PathBuf::from));
        let directory = directory.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "neither XDG_RUNTIME_DIR nor HOME is set",
            )
        })?;
        hold_in(&directory, name)
    }

    /// Takes the lock in a directory of ours: in one that is everybody's, anybody could hold it.
    pub(super) fn hold_in(directory: &Path, name: &str) -> io::Result<Held> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(format!("{name}.lock")))?;
        file.try_lock()?;
        Ok(file)
    }

    /// Returns where the user's locks are.
    pub(super) fn directory(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
        let base = |name, below| {
            let path = variable(name).filter(|path| path.is_absolute())?;
            Some(path.join(below))
        };
        base("XDG_RUNTIME_DIR", "tieline/locks")
            .or_else(|| base("HOME", ".local/state/tieline/locks"))
    }

    /// A file does not tell who has locked it.
    pub(super) struct Holder(Infallible);

    impl Holder {
        pub(super) async fn find(_name: &str) -> Option<Self> {
            None
        }

        pub(super) fn pid(&self) -> Option<i32> {
            match self.0 {}
        }

        pub(super) async fn ended(self) {
            match self.0 {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use pretty_assertions::assert_eq;

    use super::*;

    fn base_url(port: u16) -> Url {
        Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap()
    }

    #[test]
    fn the_name_is_of_the_app_and_where_it_lives() {
        assert_eq!(
            name("cli_1", &Url::parse("https://open.feishu.cn").unwrap()),
            "tieline-feishu-cli_1-https___open.feishu.cn"
        );
        assert_ne!(name("cli_1", &base_url(1)), name("cli_1", &base_url(2)));
        assert!(name(&"ü".repeat(1_000), &base_url(1)).len() <= 107);
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_says_so() {
        let app_id = format!("cli_lock_{}", std::process::id());
        let poll = Duration::from_millis(10);
        let first = take(&app_id, &base_url(1), poll, |said| panic!("{said}")).await;
        let other = take(&app_id, &base_url(2), poll, |said| panic!("{said}")).await;
        let (said, mut told) = tokio::sync::mpsc::unbounded_channel();
        let url = base_url(1);
        let second = take(&app_id, &url, poll, |message| said.send(message).unwrap());
        tokio::pin!(second);
        let message = tokio::select! {
            _lock = &mut second => panic!("two at a time"),
            message = told.recv() => message.unwrap(),
        };
        assert!(message.contains(&app_id), "{message}");
        assert!(message.contains("stop the other one"), "{message}");
        if cfg!(target_os = "linux") {
            let pid = format!("(pid {})", std::process::id());
            assert!(message.contains(&pid), "{message}");
        }
        drop(first);
        drop(second.await);
        drop(other);
        assert!(told.try_recv().is_err(), "said once");
    }

    #[test]
    fn a_lock_that_is_a_file_is_one_users_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("deep/locks");
        let first = file::hold_in(&directory, "app").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("app.lock")), 0o600);
        assert!(is_taken(&file::hold_in(&directory, "app").unwrap_err()));
        let _other = file::hold_in(&directory, "other").unwrap();
        drop(first);
        let _again = file::hold_in(&directory, "app").unwrap();
    }

    #[test]
    fn locks_are_where_only_the_user_writes() {
        let table = [
            (
                Some("/run/user/1"),
                Some("/home/u"),
                Some("/run/user/1/tieline/locks"),
            ),
            (
                None,
                Some("/home/u"),
                Some("/home/u/.local/state/tieline/locks"),
            ),
            (
                Some("run"),
                Some("/home/u"),
                Some("/home/u/.local/state/tieline/locks"),
            ),
            (None, Some(""), None),
            (None, None, None),
        ];
        for (runtime, home, expected) in table {
            let found = file::directory(|name| match name {
                "XDG_RUNTIME_DIR" => runtime.map(PathBuf::from),
                _ => home.map(PathBuf::from),
            });
            assert_eq!(found.as_deref(), expected.map(Path::new));
        }
    }
}
