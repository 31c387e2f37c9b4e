//! The check of an app, against a Slack of a few lines.

use std::sync::{Arc, Mutex};

use pretty_assertions::assert_eq;
use tieline_channel::ChannelId;
use tieline_channel::setup::Severity;
use tieline_net::Net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Bot, Findings, SCOPES, probe};
use crate::Settings;

const BOT: &str = "xoxb-1-hunter2";
const APP: &str = "xapp-1-hunter2";

const WHO: &str = r#"{"ok":true,"url":"https://acme.slack.com/","team":"Acme","user":"coding-agent","team_id":"T1","user_id":"U1","bot_id":"B1"}"#;
const OPEN: &str = r#"{"ok":true,"url":"wss://wss.example/link/?ticket=hunter2"}"#;

/// Returns the answer to a method with a form: headers, each with its line end, and a body.
type Script = fn(&str, &str) -> (String, String);

/// A Slack that answers by a script, and notes what it was asked.
struct Slack {
    settings: Settings,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Slack {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let noted = Arc::clone(&asked);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(answer(connection, script, Arc::clone(&noted)));
            }
        });
        Self {
            settings: settings(&format!("http://{address}/api/"), APP, BOT),
            asked,
            _serving: serving,
        }
    }

    async fn probe(&self) -> Findings {
        probe(&self.settings, &Net::new().unwrap()).await
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn settings(api_url: &str, app_token: &str, bot_token: &str) -> Settings {
    Settings {
        id: ChannelId::new("team"),
        app_token: app_token.to_owned().into(),
        bot_token: bot_token.to_owned().into(),
        api_url: api_url.parse().unwrap(),
        reactions: true,
        thread_direct: false,
        language: tieline_channel::Language::English,
    }
}

/// Answers one request; a request comes with one of the two tokens or is a failure of the test.
async fn answer(mut connection: TcpStream, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let (head, form) = loop {
        let mut chunk = [0; 4096];
        let n = connection.read(&mut chunk).await.unwrap();
        request.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let path = head.split(' ').nth(1).unwrap();
    let method = path.strip_prefix("/api/").unwrap();
    let token = match method {
        "apps.connections.open" => APP,
        _ => BOT,
    };
    assert!(
        head.contains(&format!("authorization: Bearer {token}")),
        "{head}"
    );
    asked.lock().unwrap().push(format!("{method} {form}"));
    let (headers, body) = script(method, &form);
    let response = format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(response.as_bytes()).await.unwrap();
}

fn body(text: &str) -> (String, String) {
    (String::new(), text.to_owned())
}

fn with_scopes(scopes: &str, text: &str) -> (String, String) {
    (format!("X-OAuth-Scopes: {scopes}\r\n"), text.to_owned())
}

fn all_scopes() -> String {
    let names: Vec<_> = SCOPES.iter().map(|scope| scope.name).collect();
    names.join(",")
}

fn bot() -> Bot {
    Bot {
        name: "coding-agent".into(),
        user: "U1".into(),
        workspace: "Acme".into(),
        team: "T1".into(),
    }
}

fn told(findings: &Findings) -> Vec<String> {
    findings
        .problems
        .iter()
        .map(|problem| {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let text = format!("{severity}: {}; {}", problem.what, problem.remedy);
            assert!(!text.contains("hunter2"), "{text}");
            text
        })
        .collect()
}

#[tokio::test]
async fn good_tokens_with_every_scope_leave_nothing_to_say() {
    let slack = Slack::start(|method, _| match method {
        "auth.test" => with_scopes(&all_scopes(), WHO),
        "apps.connections.open" => body(OPEN),
        _ => panic!("{method} was not needed"),
    })
    .await;
    assert_eq!(
        slack.probe().await,
        Findings {
            bot: Some(bot()),
            connects: true,
            unchecked: Vec::new(),
            problems: Vec::new(),
        }
    );
    assert_eq!(slack.asked(), ["apps.connections.open ", "auth.test "]);
}

#[tokio::test]
async fn missing_scopes_are_named_with_what_they_are_for_the_essential_first() {
    let slack = Slack::start(|method, _| match method {
        "auth.test" => {
            let scopes = all_scopes();
            let scopes = scopes
                .replace("chat:write,", "")
                .replace("files:read,", "")
                .replace("commands,", "")
                .replace("im:write,", "");
            with_scopes(&scopes, WHO)
        }
        _ => body(OPEN),
    })
    .await;
    let findings = slack.probe().await;
    assert_eq!(findings.bot, Some(bot()));
    assert_eq!(
        told(&findings),
        [
            "error: the bot lacks the scope `chat:write` (answering); at https://api.slack.com/apps, \
             your app: OAuth & Permissions → Scopes → Bot Token Scopes → Add an OAuth Scope: \
             `chat:write`; then Reinstall to Workspace at the top of the page",
            "warning: the bot lacks the scopes `commands` (the slash command), `files:read` (reading \
             files that people send); at https://api.slack.com/apps, your app: OAuth & Permissions → \
             Scopes → Bot Token Scopes → Add an OAuth Scope: `commands`, `files:read`; then Reinstall \
             to Workspace at the top of the page",
        ]
    );
}

#[tokio::test]
async fn one_refusal_reveals_all_scopes_when_no_answer_lists_them() {
    let slack = Slack::start(|method, form| match (method, form) {
        ("auth.test", _) => body(WHO),
        ("apps.connections.open", _) => body(OPEN),
        ("conversations.list", form) if form.contains("private_channel") => {
            let scopes = all_scopes().replace("groups:read,", "");
            body(&format!(
                r#"{{"ok":false,"error":"missing_scope","needed":"groups:read","provided":"{scopes}"}}"#
            ))
        }
        ("conversations.list", _) => body(r#"{"ok":true,"channels":[]}"#),
        _ => panic!("{method} was not needed"),
    })
    .await;
    let findings = slack.probe().await;
    assert_eq!(findings.unchecked, Vec::<&str>::new());
    let told = told(&findings);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("warning: the bot lacks the scope `groups:read` (the names of private"),
        "{told:?}"
    );
}

#[tokio::test]
async fn scopes_that_no_answer_tells_of_are_said_to_be_unchecked() {
    let slack = Slack::start(|method, _| match method {
        "auth.test" => body(WHO),
        _ => body(OPEN),
    })
    .await;
    let findings = slack.probe().await;
    assert_eq!(told(&findings), Vec::<String>::new());
    assert!(findings.unchecked.contains(&"chat:write"));
    for probed in [
        "channels:read",
        "groups:read",
        "im:read",
        "mpim:read",
        "users:read",
    ] {
        assert!(!findings.unchecked.contains(&probed), "{probed}");
    }
    assert!(slack.asked().contains(&"users.info user=U1".to_owned()));
}

#[tokio::test]
async fn refused_tokens_are_named_each_with_where_to_get_a_good_one() {
    let slack = Slack::start(|_, _| body(r#"{"ok":false,"error":"invalid_auth"}"#)).await;
    let findings = slack.probe().await;
    assert_eq!((&findings.bot, findings.connects), (&None, false));
    assert_eq!(
        told(&findings),
        [
            "error: Slack does not know the bot token (bot_token) (invalid_auth); at \
             https://api.slack.com/apps, your app: OAuth & Permissions → Bot User OAuth Token; copy \
             xoxb-…",
            "error: Slack does not know the app-level token (app_token) (invalid_auth); at \
             https://api.slack.com/apps, your app: Basic Information → App-Level Tokens → Generate \
             Token and Scopes → Add Scope `connections:write` → Generate; copy xapp-…",
        ]
    );
}

#[tokio::test]
async fn exchanged_tokens_are_recognised_without_sending_them() {
    let slack = Slack::start(|method, _| panic!("{method} was called")).await;
    let exchanged = Settings {
        app_token: BOT.to_owned().into(),
        bot_token: APP.to_owned().into(),
        ..slack.settings.clone()
    };
    let findings = probe(&exchanged, &Net::new().unwrap()).await;
    let told = told(&findings);
    assert!(told[0].starts_with("error: the bot token (bot_token) is an app-level token;"));
    assert!(told[1].starts_with("error: the app-level token (app_token) is a bot token;"));
    assert_eq!(slack.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn app_without_socket_mode_is_told_where_to_switch_it_on() {
    let slack = Slack::start(|method, _| match method {
        "auth.test" => with_scopes(&all_scopes(), WHO),
        _ => body(r#"{"ok":false,"error":"socket_mode_not_enabled"}"#),
    })
    .await;
    let findings = slack.probe().await;
    assert!(!findings.connects);
    assert_eq!(
        told(&findings),
        [
            "error: Slack opens no connection for the app-level token (app_token) \
             (socket_mode_not_enabled); at https://api.slack.com/apps, your app: see that Settings → \
             Socket Mode → Enable Socket Mode is on"
        ]
    );
}

#[tokio::test]
async fn silence_is_one_warning_and_says_nothing_of_the_tokens() {
    // Nobody listens there: the port was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = settings(&format!("http://{address}/api/"), APP, BOT);
    let findings = probe(&settings, &Net::new().unwrap()).await;
    let told = told(&findings);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("warning: Slack could not be asked: 127.0.0.1: "),
        "{told:?}"
    );
}

#[tokio::test]
async fn page_that_is_not_slacks_is_a_warning() {
    let slack = Slack::start(|_, _| body("<html>Sign in to the proxy</html>")).await;
    let told = told(&slack.probe().await);
    assert_eq!(
        told,
        [
            "warning: Slack could not be asked: 127.0.0.1: HTTP 200 OK, and what came back is not \
             Slack's; see that this machine reaches Slack; the tokens may be right all the same"
        ]
    );
}
