//! The control API of a whole daemon: orders that are repeated, clients that mean harm, and its description.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod keys;
mod switch;

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::support::model::within;

/// Sends bytes to a daemon, says that there are no more, and returns all that comes back. The connection
/// may break on the way: a daemon does not read on from whom it does not understand.
async fn raw(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let _broken = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _broken = within("an answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
