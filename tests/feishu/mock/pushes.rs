//! The long connection.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{packed, payload, start};
use crate::support::feishu::wire::Frame;
use crate::support::feishu::{APP_SECRET, Cut, Fault, GARBAGE, Hangup, Options};

#[tokio::test]
async fn an_endpoint_is_for_who_knows_the_secret_and_for_one_connection() {
    let (feishu, client) = start(Options::default()).await;
    assert_eq!(client.endpoint("wrong").await["code"], 1_000_040_345_i64);
    let answer = client.endpoint(APP_SECRET).await;
    let url = answer["data"]["URL"].as_str().unwrap();
    assert_eq!(answer["data"]["ClientConfig"]["PingInterval"], 120);
    let mut socket = client.open(url).await.unwrap();
    feishu.finish();
    assert!(client.open(url).await.is_err());
    assert_eq!(feishu.take_violations().len(), 1);
    // Where the parameters stand is nobody's business.
    let again = client.endpoint(APP_SECRET).await;
    let (first, _) = url.split_once('=').unwrap();
    assert!(!again["data"]["URL"].as_str().unwrap().starts_with(first));
    feishu.hang_up(Hangup::Close);
    socket.end().await;
}

#[tokio::test]
async fn every_code_of_discovery_and_of_handshakes_can_be_had() {
    let (feishu, client) = start(Options::default()).await;
    for code in [1, 403, 514, 1_000_040_343, 1_000_040_350, 1_000_040_351] {
        feishu.fail("endpoint", 1, Fault::Error(code));
        assert_eq!(client.endpoint(APP_SECRET).await["code"], code);
    }
    feishu.fail("handshake", 1, Fault::Error(1_000_040_350));
    let url = client.endpoint(APP_SECRET).await;
    let url = url["data"]["URL"].as_str().unwrap();
    let Err(tieline_net::ConnectError::Refused(response)) = client.open(url).await else {
        panic!("not refused");
    };
    assert_eq!(response.headers()["handshake-status"], "514");
    assert_eq!(response.headers()["handshake-autherrcode"], "1000040350");
}

#[tokio::test]
async fn an_app_has_only_so_many_connections() {
    let (_feishu, client) = start(Options {
        max_connections: 1,
        ..Options::default()
    })
    .await;
    let _first = client.connect().await;
    let answer = client.endpoint(APP_SECRET).await;
    let second = client.open(answer["data"]["URL"].as_str().unwrap()).await;
    assert!(second.is_err());
}

#[tokio::test]
async fn a_ping_has_every_required_field_and_a_pong_says_how_to_go_on() {
    let (feishu, client) = start(Options::default()).await;
    let mut socket = client.connect().await;
    feishu.set_ping(7);
    socket.ping().await;
    let pong = socket.hear().await;
    assert_eq!((pong.method, pong.header("type")), (0, Some("pong")));
    assert_eq!(payload(&pong)["PingInterval"], 7);
    assert_eq!(feishu.pings(), 1);
    feishu.finish();
    // As prost writes it when nothing is required.
    let mut bare = Vec::new();
    crate::support::feishu::wire::put_number(&mut bare, 3, 7);
    socket.bytes(bare).await;
    let mut stranger = Frame {
        service: socket.service + 1,
        headers: vec![("type".to_owned(), "ping".to_owned())],
        ..Frame::default()
    };
    socket.say(&stranger).await;
    stranger.service = socket.service;
    stranger.payload = Some(Vec::new());
    socket.say(&stranger).await;
    socket.settle(&feishu).await;
    assert_eq!(feishu.violations().len(), 3, "{:#?}", feishu.violations());
}

#[tokio::test]
async fn whoever_does_not_ping_is_found() {
    let mut options = Options::default();
    options.timing.ping = 0;
    options.timing.ping_grace = Duration::from_millis(50);
    let (feishu, client) = start(options).await;
    let _socket = client.connect().await;
    feishu
        .until("a violation", |feishu| feishu.violations().pop())
        .await;
}

/// What the mock says against an acknowledgement, and how that is spoilt.
type Spoil = (&'static str, fn(&mut Frame));

#[tokio::test]
async fn an_ack_echoes_everything() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let chat = feishu.p2p(&mei);
    let mut socket = client.connect().await;
    let ok = json!({"code": 200, "headers": null, "data": null});
    let message = feishu.say(&mei, &chat, "hello");
    let push = socket.hear().await;
    let event = payload(&push);
    assert_eq!(event["event"]["message"]["message_id"], message.as_str());
    assert_eq!(event["event"]["message"]["content"], r#"{"text":"hello"}"#);
    socket.ack(&push, &ok).await;
    socket.settle(&feishu).await;
    feishu.all_acknowledged().await;
    assert_eq!(feishu.acks()[0].code, 200);
    feishu.finish();

    let spoil: [Spoil; 8] = [
        ("came twice", |_| {}),
        ("echo", |ack| {
            ack.headers.retain(|(key, _)| key != "instance_id");
        }),
        ("echo", |ack| ack.log_id += 1),
        ("echo", |ack| ack.seq_id = 0),
        ("echo", |ack| ack.service += 1),
        ("echo", |ack| {
            ack.headers.push(("more".into(), String::new()));
        }),
        ("code", |ack| ack.payload = Some(br#"{"code":0}"#.to_vec())),
        ("data", |ack| {
            ack.payload = Some(br#"{"code":200,"data":"e30="}"#.to_vec());
        }),
    ];
    for (why, spoil) in spoil {
        let mut ack = push.clone();
        ack.payload = Some(ok.to_string().into_bytes());
        if why != "came twice" && why != "echo" {
            feishu.say(&mei, &chat, "again");
            ack = socket.hear().await;
        }
        spoil(&mut ack);
        socket.say(&ack).await;
        socket.settle(&feishu).await;
        let violations = feishu.take_violations();
        assert_eq!(violations.len(), 1, "{why}: {violations:#?}");
        assert!(violations[0].contains(why), "{why}: {violations:#?}");
    }
}

#[tokio::test]
async fn an_ack_by_another_connection_is_none() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let mut first = client.connect().await;
    feishu.say(&mei, &feishu.p2p(&mei), "hello");
    let push = first.hear().await;
    let mut second = client.connect().await;
    second.ack(&push, &json!({"code": 200})).await;
    let violation = feishu.until("a violation", |feishu| feishu.violations().pop());
    assert!(violation.await.contains("another connection"));
    assert_eq!(feishu.unacknowledged().len(), 1);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_four_times() {
    let mut options = Options::default();
    options.timing.ack = Duration::from_millis(20);
    options.timing.redeliveries = [Duration::from_millis(20); 4];
    let (feishu, client) = start(options).await;
    let mei = feishu.person("Mei");
    let mut socket = client.connect().await;
    let message = feishu.say(&mei, &feishu.p2p(&mei), "hello");
    let mut ids = Vec::new();
    for attempt in 0..5 {
        let push = socket.hear().await;
        ids.push(payload(&push)["header"]["event_id"].clone());
        if attempt == 1 {
            socket.ack(&push, &json!({"code": 500})).await;
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "another event");
    let event = &feishu.events_of(&message)[0];
    assert_eq!(feishu.deliveries(event), 5);
    assert!(!feishu.is_acked(event));
    let other = feishu.duplicate(event);
    let push = socket.hear().await;
    let copy = payload(&push);
    assert_eq!(copy["header"]["event_id"], other.0.as_str());
    assert_eq!(copy["event"]["message"]["message_id"], message.as_str());
}

#[tokio::test]
async fn what_meets_no_connection_comes_later() {
    let (feishu, client) = start(Options::default().hasty()).await;
    let mei = feishu.person("Mei");
    feishu.say(&mei, &feishu.p2p(&mei), "hello");
    let mut socket = client.connect().await;
    let push = socket.hear().await;
    socket.ack(&push, &json!({"code": 200})).await;
    feishu.all_acknowledged().await;
    feishu.finish();
}

#[tokio::test]
async fn parts_come_in_any_order_and_one_of_them_twice() {
    let (feishu, client) = start(Options::default().cut(Cut::Shuffled(100))).await;
    let mei = feishu.person("Mei");
    let mut socket = client.connect().await;
    feishu.say(&mei, &feishu.p2p(&mei), &"漢字".repeat(50));
    let first = socket.hear().await;
    let sum: usize = first.header("sum").unwrap().parse().unwrap();
    let mut parts = vec![None; sum];
    let mut last = first.clone();
    for number in 0..=sum {
        if number > 0 {
            last = socket.hear().await;
        }
        assert_eq!(last.header("message_id"), first.header("message_id"));
        let seq: usize = last.header("seq").unwrap().parse().unwrap();
        parts[seq] = last.payload.clone();
    }
    let whole: Vec<u8> = parts.into_iter().flatten().flatten().collect();
    let event: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(event["header"]["event_type"], "im.message.receive_v1");
    socket.ack(&last, &json!({"code": 200})).await;
    feishu.all_acknowledged().await;
    feishu.finish();
}

#[tokio::test]
async fn a_press_is_answered_in_base64() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let chat = feishu.p2p(&mei);
    let card = json!({"schema": "2.0", "body": {"elements": [{
        "tag": "button", "text": {"tag": "plain_text", "content": "Yes"},
        "behaviors": [{"type": "callback", "value": {"value": "v1:yes"}}],
    }]}});
    let answer = client.create(&chat, "interactive", &card, "u1").await;
    let message = answer["data"]["message_id"].as_str().unwrap();
    let mut socket = client.connect().await;
    let press = feishu.press(&mei, message, "Yes");
    let push = socket.hear().await;
    let event = payload(&push);
    assert_eq!(event["header"]["event_type"], "card.action.trigger");
    assert_eq!(event["event"]["action"]["value"]["value"], "v1:yes");
    let toast = json!({"toast": {"type": "info", "content": "working"}});
    socket.ack(&push, &packed(&toast)).await;
    feishu.all_acknowledged().await;
    assert_eq!(feishu.response(&press), Some(toast));
    feishu.finish();
    let bad = [
        json!({"code": 200, "data": [123, 125]}),
        json!({"code": 200, "data": "no base64!"}),
        packed(&json!("words")),
        packed(&json!({"toast": {"type": "loud", "content": "x"}})),
    ];
    for answer in bad {
        feishu.press(&mei, message, "Yes");
        let push = socket.hear().await;
        socket.ack(&push, &answer).await;
        socket.settle(&feishu).await;
        assert_eq!(feishu.take_violations().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn groups_are_heard_as_far_as_scopes_go() {
    let hears =
        async |without: &[&str], text: &dyn Fn(&crate::support::feishu::MockFeishu) -> String| {
            let mut options = Options::default();
            for scope in without {
                options = options.without_scope(scope);
            }
            let (feishu, _client) = start(options).await;
            let mei = feishu.person("Mei");
            let ops = feishu.group("ops");
            let message = feishu.say(&mei, &ops, &text(&feishu));
            !feishu.events_of(&message).is_empty()
        };
    let all = "im:message.group_msg";
    let at = "im:message.group_at_msg:readonly";
    assert!(hears(&[], &|_| "plain".into()).await);
    assert!(!hears(&[all], &|_| "plain".into()).await);
    assert!(hears(&[all], &|it| it.mention("hello")).await);
    assert!(!hears(&[all, at], &|it| it.mention("hello")).await);
}

#[tokio::test]
async fn there_are_many_kinds_of_garbage() {
    let (feishu, client) = start(Options::default()).await;
    assert!(GARBAGE.len() >= 17, "{}", GARBAGE.len());
    let mut socket = client.connect().await;
    feishu.send_garbage();
    socket.settle(&feishu).await;
    feishu.finish();
}
