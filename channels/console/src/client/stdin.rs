//! Stdin as a stream that a runtime can leave behind.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread;

use tokio::io::AsyncRead;
use tokio::net::UnixStream;

/// Returns the process's stdin.
///
/// A thread of its own reads it, which ends with the process. (tokio's stdin holds a runtime's
/// shutdown up until the next line is typed.) To be called once, within a runtime.
///
/// # Errors
///
/// When the system has no room for another pair of sockets or another thread.
pub fn stdin() -> io::Result<impl AsyncRead + Unpin> {
    let (near, mut far) = StdUnixStream::pair()?;
    near.set_nonblocking(true)?;
    thread::Builder::new().name("stdin".into()).spawn(move || {
        // Either end may be gone first; then there is nothing left to do.
        drop(io::copy(&mut io::stdin().lock(), &mut far));
    })?;
    UnixStream::from_std(near)
}
