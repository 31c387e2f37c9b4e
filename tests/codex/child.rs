//! The process: start, stop, and what is left.

use std::time::Duration;

use pretty_assertions::assert_eq;
use tieline::codex::{ChildState, CloseReason};

use super::stage::Stage;
use crate::support::model::within;

const DRAIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_child_is_ready_and_leaves_nothing_when_stopped() {
    let stage = Stage::new().await;
    let begun = std::time::Instant::now();
    let server = stage.start().await;
    eprintln!("ready after {:?}", begun.elapsed());
    assert_eq!(server.facts().version.as_deref(), Some("0.169.0"));
    let snapshot = server.snapshot();
    assert_eq!(snapshot.state, ChildState::Running);
    assert!(snapshot.pid.is_some());
    assert_eq!(stage.run_files().len(), 2, "a record and a socket");
    let client = server.client().clone();
    let begun = std::time::Instant::now();
    let report = within("the stop", server.stop(DRAIN)).await;
    eprintln!("stopped after {:?}", begun.elapsed());
    assert_eq!(report.snapshot.state, ChildState::Stopped);
    assert_eq!(report.exit.unwrap().code, Some(0));
    assert!(!report.was_forced);
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(client.closed().await, CloseReason::Requested);
    assert_eq!(stage.run_files(), Vec::<String>::new());
}
