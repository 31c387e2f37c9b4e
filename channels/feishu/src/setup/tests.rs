//! The check of an app, against a Feishu of a few lines.

use std::sync::{Arc, Mutex};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::setup::Severity;
use tieline_channel::{ChannelId, Language};
use tieline_net::Net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Bot, Findings, SCOPES, probe};
use crate::Settings;

const SECRET: &str = "hunter2-secret";
const TOKEN: &str = "t-hunter2";

/// Returns the answer to a path.
type Script = fn(&str) -> Value;

/// A Feishu that answers by a script, and notes what it was asked.
struct Feishu {
    settings: Settings,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Feishu {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let noted = Arc::clone(&asked);
        serving.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                answer(connection, script, &noted).await;
            }
        });
        Self {
            settings: settings(&format!("http://{address}/")),
            asked,
            _serving: serving,
        }
    }

    async fn probe(&self) -> Findings {
        let findings = probe(&self.settings, &Net::new().unwrap()).await;
        let shown = format!("{findings:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        findings
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn settings(base_url: &str) -> Settings {
    Settings {
        id: ChannelId::new("team"),
        app_id: "cli_1".to_owned(),
        app_secret: SECRET.to_owned().into(),
        base_url: base_url.parse().unwrap(),
        reactions: true,
        language: Language::English,
    }
}

/// Answers one request, which must have the secret or the token: whichever belongs there.
async fn answer(mut connection: TcpStream, script: Script, asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let (head, body) = loop {
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
    let path = head.split(' ').nth(1).unwrap().to_owned();
    if path.contains("tenant_access_token") {
        let expected = json!({"app_id": "cli_1", "app_secret": SECRET});
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    } else if path.contains("ws/endpoint") {
        let expected = json!({"AppID": "cli_1", "AppSecret": SECRET});
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    } else {
        assert!(head.contains(&format!("Bearer {TOKEN}")), "{head}");
    }
    let body = script(&path).to_string();
    asked.lock().unwrap().push(path);
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(response.as_bytes()).await.unwrap();
}

fn all_is_well(path: &str) -> Value {
    match path {
        "/open-apis/auth/v3/tenant_access_token/internal" => {
            json!({"code": 0, "msg": "ok", "tenant_access_token": TOKEN, "expire": 7200})
        }
        "/open-apis/bot/v3/info" => {
            json!({"code": 0, "bot": {"activate_status": 2, "app_name": "coder", "open_id": "ou_1"}})
        }
        "/open-apis/application/v6/scopes" => granted(|_| true),
        "/callback/ws/endpoint" => {
            let url = "ws://127.0.0.1:1/ws?device_id=7&service_id=1&ticket=hunter2";
            json!({"code": 0, "msg": "", "data": {"URL": url, "ClientConfig": {}}})
        }
        path => panic!("{path} was not needed"),
    }
}

fn granted(is_granted: impl Fn(&str) -> bool) -> Value {
    let scopes: Vec<_> = SCOPES
        .iter()
        .map(|scope| {
            let status = if is_granted(scope.name) { 1 } else { 2 };
            json!({"scope_name": scope.name, "grant_status": status})
        })
        .collect();
    json!({"code": 0, "data": {"scopes": scopes}})
}

/// Writes the problems down, a line each.
fn problems(findings: &Findings) -> String {
    let line = |problem: &tieline_channel::setup::Problem| {
        let mark = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!("{mark}: {}\n  {}\n", problem.what, problem.remedy)
    };
    findings.problems.iter().map(line).collect()
}

#[tokio::test]
async fn good_app_has_no_problem_and_is_asked_about_once() {
    let feishu = Feishu::start(all_is_well).await;
    let findings = feishu.probe().await;
    let bot = Bot {
        name: "coder".to_owned(),
        open_id: "ou_1".to_owned(),
    };
    assert_eq!(
        findings,
        Findings {
            bot: Some(bot),
            connects: true,
            lacks_scopes: Some(false),
            problems: Vec::new(),
        }
    );
    assert_eq!(
        feishu.asked(),
        [
            "/open-apis/auth/v3/tenant_access_token/internal",
            "/open-apis/bot/v3/info",
            "/open-apis/application/v6/scopes",
            "/callback/ws/endpoint",
        ]
    );
}

#[tokio::test]
async fn missing_scopes_are_named_with_where_to_add_them_and_wider_ones_count() {
    let feishu = Feishu::start(|path| match path {
        "/open-apis/application/v6/scopes" => granted(|name| {
            !matches!(
                name,
                "im:message.p2p_msg:readonly" | "im:resource" | "im:chat:read"
            )
        }),
        path => all_is_well(path),
    })
    .await;
    let findings = feishu.probe().await;
    assert!(findings.connects && !findings.refuses());
    assert_eq!(findings.lacks_scopes, Some(true));
    let shown = problems(&findings).replace(feishu.settings.base_url.as_str(), "$BASE/");
    insta::assert_snapshot!(shown, @r"
    error: the app lacks the scope `im:message.p2p_msg:readonly` (hearing direct messages)
      open $BASE/app/cli_1/auth?q=im:message.p2p_msg:readonly (or Permissions & Scopes → Batch import in the developer console), add it, then create a version and publish it
    warning: the app lacks the scopes `im:resource` (sending files and images), `im:chat:read` (knowing the names of groups)
      open $BASE/app/cli_1/auth?q=im:resource,im:chat:read (or Permissions & Scopes → Batch import in the developer console), add them, then create a version and publish it
    ");
}

#[tokio::test]
async fn wrong_secret_is_the_only_thing_that_is_told() {
    let feishu = Feishu::start(|path| match path {
        "/open-apis/auth/v3/tenant_access_token/internal" => {
            json!({"code": 10014, "msg": "app secret invalid"})
        }
        path => panic!("{path} was not needed"),
    })
    .await;
    let findings = feishu.probe().await;
    assert!(findings.refuses());
    insta::assert_snapshot!(problems(&findings), @r"
    error: auth/v3/tenant_access_token: code 10014: app_id and app_secret do not fit: app secret invalid
      check app_id and app_secret against Credentials in the developer console
    ");
}

#[tokio::test]
async fn app_that_is_not_published_is_told_by_its_status_and_by_discovery() {
    let feishu = Feishu::start(|path| match path {
        "/open-apis/bot/v3/info" => {
            json!({"code": 0, "bot": {"activate_status": 3, "app_name": "coder", "open_id": "ou_1"}})
        }
        "/callback/ws/endpoint" => json!({"code": 1_000_040_345_i64, "msg": "invalid"}),
        path => all_is_well(path),
    })
    .await;
    let findings = feishu.probe().await;
    assert!(!findings.refuses() && !findings.connects);
    insta::assert_snapshot!(problems(&findings), @r"
    error: the app is not enabled in the organisation (activate_status 3)
      in the developer console: Version Management & Release → create a version and publish it; an administrator may have to approve or enable it
    error: Feishu gives no connection (discovery: code 1000040345: invalid)
      check app_id and app_secret in the developer console under Credentials, and that a version of the app is published
    ");
}

#[tokio::test]
async fn what_passes_by_itself_is_only_warned_of() {
    let feishu = Feishu::start(|path| match path {
        "/callback/ws/endpoint" => json!({"code": 1_000_040_350_i64, "msg": "limit"}),
        "/open-apis/application/v6/scopes" => json!({"code": 99_991_400, "msg": "slow down"}),
        path => all_is_well(path),
    })
    .await;
    let findings = feishu.probe().await;
    assert_eq!(findings.lacks_scopes, None);
    let severities: Vec<_> = findings.problems.iter().map(|p| p.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Warning]);
}

#[tokio::test]
async fn feishu_that_is_not_there_is_no_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let findings = probe(&settings(&url), &Net::new().unwrap()).await;
    let [problem] = &findings.problems[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(problem.severity, Severity::Warning);
    assert!(
        problem
            .what
            .starts_with("Feishu could not be asked: 127.0.0.1: "),
        "{}",
        problem.what
    );
    assert!(!findings.refuses());
}
