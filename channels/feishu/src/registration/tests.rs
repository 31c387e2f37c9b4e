use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::WithCauses;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// Answers each call with the next line of a script, and takes down what it was asked.
struct Server {
    url: Url,
    script: Arc<Mutex<Script>>,
    _connections: JoinSet<()>,
}

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, String)>,
    asked: Vec<String>,
}

impl Server {
    async fn start(answers: &[(u16, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let script = Arc::new(Mutex::new(Script {
            answers: answers
                .iter()
                .map(|(status, body)| match body {
                    Value::String(raw) => (*status, raw.clone()),
                    body => (*status, body.to_string()),
                })
                .collect(),
            asked: Vec::new(),
        }));
        let mut connections = JoinSet::new();
        let served = Arc::clone(&script);
        connections.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&served);
                open.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&script), request));
                    let _ended = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            url,
            script,
            _connections: connections,
        }
    }

    /// Returns what was asked, and that nothing of the script is left.
    fn asked(&self) -> Vec<String> {
        let script = self.script.lock().unwrap();
        assert!(script.answers.is_empty(), "{:?}", script.answers);
        script.asked.clone()
    }
}

async fn answer(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<String>, hyper::Error> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let kind = request.headers().get("content-type").cloned();
    let mut body = pin!(request.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    let form = String::from_utf8(bytes).unwrap();
    let mut script = script.lock().unwrap();
    script.asked.push(format!("{method} {path} {form}"));
    let good = kind.is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let (status, body) = match script.answers.pop_front() {
        Some(answer) if good => answer,
        _ => (500, "not in the script".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// A clock on which waiting takes no time, and takes down how long it took.
struct FakeClock {
    began: Instant,
    pauses: Mutex<Vec<u64>>,
}

impl FakeClock {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            pauses: Mutex::new(Vec::new()),
        }
    }

    fn pauses(&self) -> Vec<u64> {
        self.pauses.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.began + Duration::from_secs(self.pauses().iter().sum())
    }

    async fn sleep(&self, pause: Duration) {
        self.pauses.lock().unwrap().push(pause.as_secs());
    }
}

const BEGIN: &str = "POST /oauth/v1/app/registration \
    action=begin&archetype=PersonalAgent&auth_method=client_secret&request_user_info=open_id";
const POLL: &str = "POST /oauth/v1/app/registration action=poll&device_code=d-K33P";

fn invited() -> (u16, Value) {
    (
        200,
        json!({
            "device_code": "d-K33P", "user_code": "ABCD", "interval": 5, "expires_in": 600,
            "verification_uri": "https://x.test/verify",
            "verification_uri_complete": "https://x.test/verify?user_code=ABCD",
        }),
    )
}

fn pending() -> (u16, Value) {
    (400, json!({"error": "authorization_pending"}))
}

fn made(brand: &str) -> (u16, Value) {
    (
        200,
        json!({"client_id": "cli_1", "client_secret": "s-K33P",
            "user_info": {"open_id": "ou_1", "tenant_brand": brand}}),
    )
}

struct Outcome {
    registered: Result<Registered, RegistrationError>,
    pauses: Vec<u64>,
}

async fn register(accounts: &Accounts) -> Outcome {
    let net = Net::new().unwrap();
    let clock = FakeClock::new();
    let registered = match begin(&net, accounts, &clock).await {
        Ok(invitation) => wait(&net, accounts, &invitation, &clock).await,
        Err(error) => Err(error),
    };
    Outcome {
        registered,
        pauses: clock.pauses(),
    }
}

/// Plays a script and returns how it ended in words, and the pauses.
async fn play(answers: &[(u16, Value)]) -> (String, Vec<u64>) {
    let server = Server::start(answers).await;
    let Outcome { registered, pauses } =
        register(&Accounts::beginning_at(server.url.clone())).await;
    server.asked();
    let ended = match registered {
        Ok(Registered { app_id, brand, .. }) => format!("{app_id} {brand:?}"),
        Err(error) => WithCauses(&error).to_string(),
    };
    (ended, pauses)
}

#[tokio::test]
async fn an_app_is_made_once_the_user_has_agreed() {
    let server = Server::start(&[invited(), pending(), pending(), made("feishu")]).await;
    let Outcome { registered, pauses } =
        register(&Accounts::beginning_at(server.url.clone())).await;
    let app = registered.unwrap();
    assert_eq!(app.app_id, "cli_1");
    assert_eq!(app.app_secret.expose_secret(), "s-K33P");
    assert_eq!(app.user.as_deref(), Some("ou_1"));
    assert_eq!(app.brand, Brand::Feishu);
    assert_eq!(server.asked(), [BEGIN, POLL, POLL, POLL]);
    assert_eq!(pauses, [5, 5]);
    assert!(!format!("{app:?}").contains("K33P"));
}

#[tokio::test]
async fn the_invitation_says_who_asks_and_hides_its_code() {
    let server = Server::start(&[invited()]).await;
    let accounts = Accounts::beginning_at(server.url.clone());
    let invitation = begin(&Net::new().unwrap(), &accounts, &FakeClock::new())
        .await
        .unwrap();
    assert_eq!(
        invitation.url.as_str(),
        "https://x.test/verify?user_code=ABCD&from=sdk&source=tieline&tp=sdk"
    );
    assert_eq!(invitation.expires_in, Duration::from_secs(600));
    let shown = format!("{invitation:?}");
    assert!(
        !shown.contains("K33P") && !shown.contains("ABCD"),
        "{shown}"
    );
}

#[tokio::test]
async fn slow_down_makes_every_later_pause_longer() {
    let slow_down = (400, json!({"error": "slow_down"}));
    let (ended, pauses) = play(&[
        invited(),
        pending(),
        slow_down.clone(),
        pending(),
        slow_down,
        made("feishu"),
    ])
    .await;
    assert_eq!(ended, "cli_1 Feishu");
    assert_eq!(pauses, [5, 10, 10, 15]);
}

#[tokio::test]
async fn an_account_of_lark_is_asked_for_at_lark_at_once() {
    let of_lark = (
        400,
        json!({"error": "authorization_pending", "user_info": {"tenant_brand": "lark"}}),
    );
    for first_word in [of_lark, made("lark")] {
        let feishu = Server::start(&[invited(), pending(), first_word]).await;
        let lark = Server::start(&[
            (
                400,
                json!({"error": "authorization_pending", "user_info": {"tenant_brand": "lark"}}),
            ),
            made("lark"),
        ])
        .await;
        let Outcome { registered, pauses } = register(&Accounts {
            first: feishu.url.clone(),
            lark: lark.url.clone(),
        })
        .await;
        assert_eq!(registered.unwrap().brand, Brand::Lark);
        assert_eq!(feishu.asked(), [BEGIN, POLL, POLL]);
        assert_eq!(lark.asked(), [POLL, POLL]);
        assert_eq!(pauses, [5, 5]);
    }
}

#[tokio::test]
async fn a_failing_call_in_between_is_only_repeated() {
    let (ended, _) = play(&[
        invited(),
        (502, json!("<html>")),
        (200, json!({})),
        (200, json!({"client_id": "cli_1", "client_secret": ""})),
        (200, json!([])),
        made("feishu"),
    ])
    .await;
    assert_eq!(ended, "cli_1 Feishu");
}

#[tokio::test]
async fn every_end_says_what_to_do() {
    let error = |error: &str| (400, json!({"error": error}));
    let mut all = String::new();
    for answers in [
        vec![invited(), pending(), error("access_denied")],
        vec![invited(), error("expired_token")],
        vec![
            invited(),
            (
                400,
                json!({"error": "invalid_request", "error_description": "no\nsuch archetype"}),
            ),
        ],
        vec![error("unsupported")],
        vec![(404, json!("<html>"))],
        vec![(200, json!({"device_code": "d-K33P"}))],
        vec![(
            200,
            json!({"device_code": "d-K33P", "verification_uri_complete": "javascript:alert"}),
        )],
    ] {
        let (ended, _) = play(&answers).await;
        all.push_str(&ended);
        all.push('\n');
    }
    assert!(!all.contains("K33P"));
    insta::assert_snapshot!(all);
}

#[tokio::test]
async fn an_invitation_expires_by_the_clock() {
    let mut answers = vec![(
        200,
        json!({"device_code": "d-K33P", "interval": 7, "expire_in": 20,
            "verification_uri_complete": "https://x.test/"}),
    )];
    answers.extend([pending(), pending(), pending()]);
    let (ended, pauses) = play(&answers).await;
    assert_eq!(ended, RegistrationError::Expired.to_string());
    assert_eq!(pauses, [7, 7]);
}

#[tokio::test]
async fn who_does_not_answer_is_named_without_the_path() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/K33P", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let Outcome { registered, .. } = register(&Accounts::beginning_at(url)).await;
    let error = registered.unwrap_err();
    assert!(
        matches!(&error, RegistrationError::Unreachable { host, .. } if host == "127.0.0.1"),
        "{error}"
    );
    assert!(!WithCauses(&error).to_string().contains("K33P"));
}

#[test]
fn feishu_leads_to_lark_and_other_places_only_to_themselves() {
    let url = |text| Url::parse(text).unwrap();
    let table = [
        (
            "https://accounts.feishu.cn",
            "https://accounts.larksuite.com",
            Brand::Feishu,
        ),
        (
            "https://accounts.larksuite.com",
            "https://accounts.larksuite.com",
            Brand::Lark,
        ),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/", Brand::Feishu),
    ];
    for (first, lark, brand) in table {
        let accounts = Accounts::beginning_at(url(first));
        assert_eq!(accounts.lark, url(lark));
        assert_eq!(accounts.brand(), brand);
    }
}

#[test]
fn odd_numbers_are_kept_within_bounds() {
    let accounts = Url::parse("https://accounts.feishu.cn").unwrap();
    let table = [
        (json!({}), 5, 600),
        (json!({"interval": 0, "expires_in": 0}), 1, 1),
        (json!({"interval": 999, "expires_in": 99_999}), 60, 3600),
        (json!({"interval": -1, "expires_in": "x"}), 5, 600),
    ];
    for (fields, interval_s, expires_s) in table {
        let mut answer = json!({"device_code": "d", "verification_uri_complete": "https://x.test"});
        for (name, value) in fields.as_object().unwrap() {
            answer[name] = value.clone();
        }
        let Begun::Invited {
            interval,
            expires_in,
            ..
        } = answer::begun(answer.to_string().as_bytes(), &accounts)
        else {
            panic!("no invitation: {answer}");
        };
        assert_eq!(interval.as_secs(), interval_s, "{fields}");
        assert_eq!(expires_in.as_secs(), expires_s, "{fields}");
    }
}
