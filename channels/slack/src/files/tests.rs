//! Files of a server that stands in for Slack's, and of others.

use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::scripted::{BOT_TOKEN, Server, ok, refused, with};

fn attachment(url: Option<String>) -> Attachment {
    Attachment {
        reference: json!({"id": "F1", "url": url}).to_string(),
        name: "a.png".to_owned(),
        mime: Some("image/png".to_owned()),
        bytes: None,
        path: None,
    }
}

fn page() -> Attachment {
    Attachment {
        mime: Some("text/html".to_owned()),
        bytes: Some(11),
        ..attachment(None)
    }
}

/// Fetches with at most eleven bytes, and tells the content and the outcome.
async fn fetch_from(
    server: &Server,
    attachment: Attachment,
) -> (Option<String>, Result<(), SendError>) {
    let dir = TempDir::new().unwrap();
    let to = dir.path().join("file");
    let outcome = fetch(&server.account(), &attachment, &to, 11).await;
    (std::fs::read_to_string(&to).ok(), outcome)
}

/// Fetches `path` of the server.
async fn fetch_path(server: &Server, path: &str) -> (Option<String>, Result<(), SendError>) {
    fetch_from(server, attachment(Some(server.url(path)))).await
}

fn whole(content: &str) -> (Option<String>, Result<(), SendError>) {
    (Some(content.to_owned()), Ok(()))
}

fn bearer() -> Option<String> {
    Some(format!("Bearer {BOT_TOKEN}"))
}

#[tokio::test]
async fn a_file_is_fetched_with_the_token() {
    let server =
        Server::start(|_| with(200, &[("content-type", "image/png")], "hello world")).await;
    assert_eq!(fetch_path(&server, "f/1").await, whole("hello world"));
    let calls = server.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].path.as_str(), &calls[0].token),
        ("f/1", &bearer())
    );
}

#[tokio::test]
async fn a_redirect_keeps_the_token_on_the_same_server_and_drops_it_for_another() {
    let other = Server::start(|_| with(200, &[], "elsewhere")).await;
    let target = other.url("there");
    let server = Server::start(move |call| match call.path.as_str() {
        "first" => with(302, &[("location", "/second")], ""),
        _ => with(307, &[("location", &target)], ""),
    })
    .await;
    assert_eq!(fetch_path(&server, "first").await, whole("elsewhere"));
    let tokens =
        |server: &Server| -> Vec<_> { server.calls().into_iter().map(|call| call.token).collect() };
    assert_eq!(tokens(&server), [bearer(), bearer()]);
    assert_eq!(tokens(&other), [None]);
}

#[tokio::test]
async fn redirects_that_never_end_are_given_up() {
    let server = Server::start(|_| with(302, &[("location", "/again")], "")).await;
    let (_, outcome) = fetch_path(&server, "first").await;
    assert_eq!(outcome, Err(never("more than 5 redirects".to_owned())));
    assert_eq!(server.calls().len(), 6);
}

#[tokio::test]
async fn a_login_page_is_no_file() {
    for (content_type, body) in [
        ("text/html; charset=utf-8", "<p>log in"),
        ("application/octet-stream", "\n <HTML>"),
    ] {
        let headers = [("content-type", content_type)];
        let server = Server::start(move |_| with(200, &headers, body)).await;
        assert_eq!(fetch_path(&server, "f").await, (None, Err(login_page())));
    }
    let SendError::Operator { remedy, .. } = login_page() else {
        panic!("nobody is told");
    };
    assert!(remedy.contains("files:read"), "{remedy}");
}

#[tokio::test]
async fn a_page_that_is_the_file_is_fetched_and_a_login_page_in_its_place_is_not() {
    let html = [("content-type", "text/html")];
    let server = Server::start(move |call| match call.path.as_str() {
        "whole" => with(200, &html, "<html>hello"),
        _ => with(200, &html, "<html>?"),
    })
    .await;
    let at = |path: &str| Attachment {
        reference: attachment(Some(server.url(path))).reference,
        ..page()
    };
    assert_eq!(fetch_from(&server, at("whole")).await, whole("<html>hello"));
    assert_eq!(
        fetch_from(&server, at("other")).await,
        (None, Err(login_page()))
    );
}

#[tokio::test]
async fn what_is_too_large_is_left_there() {
    use axum::body::Body;
    use futures_util::stream;

    let server = Server::start(|call| match call.path.as_str() {
        "told" => with(200, &[], "twelve bytes"),
        _ => {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>("more"));
            with(200, &[], Body::from_stream(endless))
        }
    })
    .await;
    for path in ["told", "untold"] {
        let (content, outcome) = fetch_path(&server, path).await;
        assert_eq!(content, None, "of {path}");
        assert!(
            matches!(outcome, Err(SendError::Never { .. })),
            "{outcome:?}"
        );
    }
    let known = Attachment {
        bytes: Some(12),
        ..attachment(Some(server.url("known")))
    };
    let (_, outcome) = fetch_from(&server, known).await;
    assert_eq!(
        outcome,
        Err(never("it has 12 bytes, and 11 are allowed".to_owned()))
    );
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn failures_say_what_to_do_about_them() {
    let server =
        Server::start(|call| with(call.path.parse().unwrap(), &[("retry-after", "7")], "no")).await;
    for (status, expected) in [
        ("401", "operator"),
        ("403", "operator"),
        ("404", "never"),
        ("410", "never"),
        ("418", "never"),
        ("429", "again after 7 s"),
        ("500", "again"),
        ("503", "again"),
    ] {
        let (content, outcome) = fetch_path(&server, status).await;
        let what = match outcome.unwrap_err() {
            SendError::Operator { .. } => "operator",
            SendError::Never { .. } => "never",
            SendError::Again { after: None, .. } => "again",
            SendError::Again { after, .. } => {
                assert_eq!(after, Some(Duration::from_secs(7)));
                "again after 7 s"
            }
            SendError::Unclear { .. } => "unclear",
        };
        assert_eq!((what, content), (expected, None), "of {status}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_early_leaves_no_file() {
    use axum::body::Body;
    use futures_util::stream;

    let server = Server::start(|_| {
        let parts = [Ok("half"), Err(std::io::Error::other("gone"))];
        with(200, &[], Body::from_stream(stream::iter(parts)))
    })
    .await;
    let (content, outcome) = fetch_path(&server, "f").await;
    assert_eq!(content, None);
    assert!(
        matches!(outcome, Err(SendError::Again { .. })),
        "{outcome:?}"
    );
    let shown = format!("{outcome:?}");
    assert!(
        !shown.contains("127.0.0.1"),
        "the address is shown: {shown}"
    );
}

#[tokio::test]
async fn a_stub_is_asked_for_first() {
    let file = std::sync::OnceLock::new();
    let address = std::sync::Arc::new(file);
    let script = std::sync::Arc::clone(&address);
    let server = Server::start(move |call| match call.path.as_str() {
        "files.info" => {
            assert_eq!(call.field("file"), "F1");
            let url: &String = script.get().unwrap();
            ok(json!({"file": {"id": "F1", "url_private": url}}))
        }
        _ => with(200, &[], "shared"),
    })
    .await;
    address.set(server.url("f/1")).unwrap();
    assert_eq!(fetch_from(&server, attachment(None)).await, whole("shared"));
}

#[tokio::test]
async fn a_stub_that_slack_does_not_tell_of_says_why() {
    let server = Server::start(|_| refused("missing_scope")).await;
    let (_, outcome) = fetch_from(&server, attachment(None)).await;
    assert!(
        matches!(outcome, Err(SendError::Operator { .. })),
        "{outcome:?}"
    );
    let server = Server::start(|_| refused("file_not_found")).await;
    let (_, outcome) = fetch_from(&server, attachment(None)).await;
    assert!(
        matches!(outcome, Err(SendError::Never { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_token_goes_to_slack_and_to_nobody_else() {
    let mut settings = Server::start(|_| refused("unused"))
        .await
        .account()
        .settings;
    let mut trusted = |api_url: &str, url: &str| {
        settings.api_url = Url::parse(api_url).unwrap();
        trust(&settings, &Url::parse(url).unwrap())
    };
    let slack = "https://slack.com/api/";
    for (api_url, url, expected) in [
        (slack, "https://files.slack.com/f", Trust::Token),
        (slack, "https://slack.com/f", Trust::Token),
        (slack, "https://SLACK.com./f", Trust::NoToken),
        (slack, "https://a.slack-edge.com/f", Trust::Token),
        (slack, "https://slack-files.com/f", Trust::Token),
        (slack, "https://notslack.com/f", Trust::NoToken),
        (slack, "https://slack.com.x.dev/f", Trust::NoToken),
        (slack, "https://x.dev/slack.com", Trust::NoToken),
        (slack, "https://slack.com@x.dev/f", Trust::NoToken),
        (slack, "http://files.slack.com/f", Trust::Nothing),
        (slack, "http://127.0.0.1/f", Trust::Nothing),
        (slack, "file:///etc/passwd", Trust::Nothing),
        (
            "https://proxy.x.dev/api/",
            "https://proxy.x.dev/f",
            Trust::Token,
        ),
        (
            "https://proxy.x.dev/api/",
            "https://x.dev/f",
            Trust::NoToken,
        ),
        (
            "http://127.0.0.1:80/api/",
            "http://127.0.0.1/f",
            Trust::Token,
        ),
        (
            "http://127.0.0.1:80/api/",
            "http://127.0.0.1:81/f",
            Trust::NoToken,
        ),
        (
            "http://127.0.0.1:80/api/",
            "http://10.0.0.1/f",
            Trust::Nothing,
        ),
        (
            "http://127.0.0.1:80/api/",
            "http://files.slack.com/f",
            Trust::Nothing,
        ),
    ] {
        assert_eq!(trusted(api_url, url), expected, "{url} with {api_url}");
    }
}
