//! What the operator sees of the connection.

use tieline_channel::Link;

use super::scene::{Scene, Setting};
use crate::support::slack::{Fault, Options};

/// Returns the lines of `tieline status` about the channel.
async fn lines(scene: &Scene) -> String {
    let status = scene.tieline(&["status"]).await;
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    let about = |line: &&str| line.starts_with("team ") || line.contains(" team:");
    status
        .stdout
        .lines()
        .filter(about)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Starts a daemon whose Slack refuses calls of `method` with `error`.
async fn troubled(method: &'static str, error: &'static str) -> Scene {
    let mut scene = Setting::of("chat").set().await;
    scene
        .slack
        .fail_always(move |call| (call.method == method).then_some(Fault::Error(error)));
    scene.world.start();
    scene.world.ready(0).await;
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_by_name_with_what_to_do() {
    let table = [
        (
            "auth.test",
            "invalid_auth",
            "bot token",
            "OAuth & Permissions",
        ),
        ("auth.test", "account_inactive", "bot token", "Install App"),
        ("auth.test", "not_allowed_token_type", "bot_token", "xoxb-"),
        (
            "apps.connections.open",
            "invalid_auth",
            "app-level token",
            "App-Level Tokens",
        ),
        (
            "apps.connections.open",
            "link_disabled",
            "Socket Mode",
            "Socket Mode",
        ),
    ];
    for (method, error, names, click) in table {
        let scene = troubled(method, error).await;
        scene.becomes(Link::NeedsOperator).await;
        let lines = lines(&scene).await;
        assert!(
            lines.contains(names) && lines.contains(click),
            "{error}: {lines}"
        );
        scene.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_slack_is_down_and_the_channel_recovers_by_itself() {
    let mut scene = Setting::of("chat").set().await;
    scene
        .slack
        .fail_always(|call| (call.method == "apps.connections.open").then_some(Fault::Broken(503)));
    scene.world.start();
    scene.world.ready(0).await;
    scene.becomes(Link::Down).await;
    let shown = lines(&scene).await;
    assert!(shown.contains("503"), "{shown}");
    scene.slack.heal();
    scene.becomes(Link::Up).await;
    let asked = scene.slack.ask(&scene.mei, &scene.ops, "here again?");
    scene.slack.all_answered(&[asked]).await;
    let shown = lines(&scene).await;
    assert!(!shown.contains('!'), "{shown}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_mode_that_is_switched_off_while_connected_is_said() {
    let scene = Setting::of("chat").start().await;
    scene.slack.disable_link(true);
    scene.becomes(Link::NeedsOperator).await;
    let shown = lines(&scene).await;
    assert!(shown.contains("Socket Mode"), "{shown}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_named_by_status_and_check() {
    let options = Options::default().hasty().without_scope("channels:history");
    let scene = Setting::of("chat").options(options).start().await;
    let check = scene.tieline(&["check"]).await;
    assert_eq!(check.code, Some(78), "{}", check.stdout);
    let named = check.stderr.contains("lacks the scope `channels:history`");
    assert!(named, "{}", check.stderr);
    scene.has_read_back().await;
    let shown = lines(&scene).await;
    assert!(
        shown.contains("add the bot scope channels:history"),
        "{shown}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_is_content_with_an_app_that_is_set_up() {
    let scene = Setting::of("chat").start().await;
    let check = scene.tieline(&["check"]).await;
    assert_eq!(check.code, Some(0), "{}\n{}", check.stdout, check.stderr);
    assert!(
        check.stdout.contains("all that are needed"),
        "{}",
        check.stdout
    );
    scene.finish().await;
}
