//! What a model gets hold of and must not be seen is seen by nobody.

use std::fs;

use super::*;
use crate::support::daemon::rollouts;
use crate::support::model::Fault;
use crate::support::scan::{MARKED, Scanner};

#[tokio::test]
async fn a_model_that_prints_its_environment_shows_no_secret() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let forms = "echo \"$MARKED_TOKEN $(printf %s \"$MARKED_TOKEN\" | base64 -w0) \
                 $(printf 'user:%s' \"$MARKED_TOKEN\" | base64 -w0)\"";
    echo.once("print it", Fault::Command(forms));
    let id = world.platform.write("a", "print it");
    let posts = world.platform.settled(&id).await;
    let shown = &posts.last().unwrap().text;
    assert!(shown.contains("[secret] [secret] "), "{shown}");
    // The model did have it.
    let history = rollouts(&world.home().join("sessions"));
    let history = fs::read_to_string(&history[0]).unwrap();
    assert!(history.contains(MARKED), "{history}");
    let long = format!("{}{MARKED} the end", "word ".repeat(700));
    echo.once("say it at length", Fault::Say(long.repeat(3)));
    let id = world.platform.write("a", "say it at length");
    let posts = world.platform.settled(&id).await;
    let shown: String = posts.iter().map(|post| post.text.as_str()).collect();
    assert!(shown.contains("[secret] the end"), "{shown}");
    assert_eq!(world.leaks(), Vec::<String>::new());
    assert_eq!(world.stop_daemon().await, Some(0));
    world.finish().await;
}

#[tokio::test]
async fn a_failure_that_quotes_a_secret_is_told_without_it() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let quoting = "{\"error\":{\"message\":\"no: mk-tieline+7f3a/b1c9d2e8==-marked\"}}";
    assert!(quoting.contains(MARKED));
    echo.once("refuse me", Fault::Status(400, quoting, None));
    let id = world.platform.write("a", "refuse me");
    world.platform.settled(&id).await;
    let status = serde_json::to_string(&world.status().await).unwrap();
    assert!(status.contains("no: [secret]"), "{status}");
    assert!(!world.logged("no: [secret]").is_empty());
    world.finish().await;
}

#[tokio::test]
async fn what_looks_for_secrets_finds_them() {
    let world = running(&Echo::new(), &Choices::standard()).await;
    world.ready(0).await;
    assert_eq!(world.leaks(), Vec::<String>::new());
    let log = world.path().join("daemon.log");
    let logs = world.path().join("state/logs/test.stderr.log");
    let events = world.path().join("state/events");
    fs::create_dir_all(&events).unwrap();
    let planted = [
        (log, MARKED.to_owned()),
        (
            logs,
            MARKED
                .replace('+', "%2B")
                .replace('/', "%2F")
                .replace('=', "%3D"),
        ),
        (events.join("1.jsonl"), format!("{{\"text\":\"{MARKED}\"}}")),
    ];
    for (path, text) in planted {
        let before = fs::read(&path).unwrap_or_default();
        fs::write(&path, text).unwrap();
        assert_eq!(world.leaks(), [path.display().to_string()]);
        fs::write(&path, before).unwrap();
    }
    assert!(Scanner::new().finds_in(crate::support::slack::BOT_TOKEN.as_bytes()));
    assert!(!Scanner::new().finds_in(b"nothing"));
    world.finish().await;
}
