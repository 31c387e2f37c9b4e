//! What the model thinks is nobody's business.

use std::fs;
use std::path::Path;

use super::*;
use crate::support::daemon::rollouts;
use crate::support::model::Fault;
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

const SUMMARY: &str = "marmalade-of-a-summary";
const THOUGHTS: &str = "marmalade-of-thoughts";
const THINKS: Fault = Fault::Reasoning {
    summary: SUMMARY,
    thoughts: THOUGHTS,
};

#[tokio::test]
async fn what_the_model_thinks_is_in_no_file_no_log_and_no_post() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.once("think hard", THINKS);
    let id = world.platform.write("a", "think hard");
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: think hard"
    );
    // Codex has it, and keeps it where its own history is.
    let history = rollouts(&world.home());
    let kept = fs::read_to_string(&history[0]).unwrap();
    assert!(kept.contains("marmalade"), "codex did not take it: {kept}");
    assert_unknown(&world);
    assert_eq!(world.stop_daemon().await, Some(0));
    assert_unknown(&world);
    world.finish().await;
}

#[tokio::test]
async fn what_reaches_the_daemon_of_it_goes_no_further() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    echo.once("think hard", THINKS);
    let mut told = proxied
        .proxy
        .at_frame(To::Daemon, "marmalade", Mishap::None);
    let id = proxied.world.platform.write("a", "think hard");
    told.seen().await;
    proxied.world.platform.settled(&id).await;
    assert_unknown(&proxied.world);
    proxied.finish().await;
}

/// Fails when the thoughts are anywhere but with codex.
fn assert_unknown(world: &World) {
    let seen = world.platform.seen("a").join("\n");
    assert!(seen.contains("think hard"), "{seen}");
    assert!(!seen.contains("marmalade"), "{seen}");
    assert!(!world.log().is_empty());
    assert_eq!(world.logged("marmalade"), Vec::<String>::new());
    assert!(
        search(&world.path().join("state")) > 0,
        "nothing was searched"
    );
}

/// Fails when a file below a directory knows of it, and returns how many were searched.
fn search(directory: &Path) -> usize {
    let mut searched = 0;
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            searched += search(&path);
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            let knows = content.windows(9).any(|at| at == b"marmalade");
            assert!(!knows, "{} knows what the model thought", path.display());
            searched += 1;
        }
    }
    searched
}
