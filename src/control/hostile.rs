//! Clients that mean harm, or do not know better: they disturb nobody else.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::control::Client;
use crate::control::teammates::tests::dispatcher;
use crate::control::tests::{Fixed, Running};

/// A safety net, never a measure.
const LONG: Duration = Duration::from_secs(60);

async fn start() -> Running {
    Running::with_dispatchers(Arc::new(Fixed), |directory, ledger| {
        vec![dispatcher(directory, ledger, "flow", "")]
    })
    .await
}

/// Sends bytes and returns all that comes back until the server ends the connection, which may break, for
/// what is not understood is not read to its end.
async fn send(running: &Running, bytes: &[u8]) -> String {
    exchange(running, bytes, false).await
}

/// The same, but says that there is no more: a server may take that for a client that has gone.
async fn send_and_go(running: &Running, bytes: &[u8]) -> String {
    exchange(running, bytes, true).await
}

async fn exchange(running: &Running, bytes: &[u8], goes: bool) -> String {
    let mut stream = UnixStream::connect(&running.socket).await.unwrap();
    let exchange = async {
        let _broken = stream.write_all(bytes).await;
        if goes {
            let _broken = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let _broken = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer = timeout(LONG, exchange).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Fails unless others are served, and nothing is left when the server ends.
async fn assert_undisturbed(running: Running) {
    assert!(Client::new(&running.socket).status().await.is_ok());
    running.end().await;
}

/// Fails unless each answer in `text` is one, in our shape where it is not a success.
fn assert_answers(text: &str, sent: &[u8]) {
    let shown = String::from_utf8_lossy(sent);
    for answer in text.split("HTTP/1.1 ").skip(1) {
        let status: u16 = answer[..3].parse().unwrap();
        assert!(
            (200..500).contains(&status) || status == 503,
            "{shown:?}: {text}"
        );
        if let Some((head, body)) = answer.split_once("\r\n\r\n")
            && head.contains("content-type: application/json")
            && !body.is_empty()
            && status >= 400
        {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(body["error"]["code"].is_string(), "{shown:?}: {text}");
        }
    }
}

#[tokio::test]
async fn tricks_with_paths_and_methods_lead_nowhere() {
    let running = start().await;
    for (request, status) in [
        ("GET /v1/../etc/passwd", "404"),
        ("GET /v1/%2e%2e/status", "404"),
        ("GET //v1/status", "404"),
        ("GET /v1/status/", "404"),
        ("GET /V1/STATUS", "404"),
        ("GET /v1/dispatchers/..", "404"),
        ("GET /v1/dispatchers/%2e%2e", "404"),
        ("GET /v1/dispatchers/%00", "400"),
        ("GET /v1/dispatchers/flow%00", "400"),
        ("GET /v1/dispatchers/%ff", "400"),
        ("GET /v1/dispatchers/%zz", "400"),
        ("GET /v1/lanes/flow%2F..%2F..%2Fx", "404"),
        ("GET /v1/messages/%2e%2e%2fstatus", "400"),
        ("GET /v1/messages?limit=1&limit=2", "400"),
        ("GET /v1/messages?text=%", "400"),
        ("GET http://elsewhere/v1/status", "200"),
        ("GET *", "40"),
        ("OPTIONS *", "40"),
        ("CONNECT elsewhere:443", "40"),
        ("TRACE /v1/status", "405"),
        ("PUT /v1/status", "405"),
        ("PATCH /v1/dispatchers/flow", "405"),
        ("POST /v1/messages", "405"),
        ("BREW /v1/status", "405"),
        ("HEAD /v1/status", "200"),
    ] {
        let bytes = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = send(&running, bytes.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
        assert_answers(&answer, bytes.as_bytes());
    }
    assert_undisturbed(running).await;
}

#[tokio::test]
async fn what_is_malformed_or_too_large_is_refused() {
    let running = start().await;
    let long_header = format!(
        "GET /v1/status HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let many_headers = format!(
        "GET /v1/status HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(5_000)
    );
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let post = "POST /v1/dispatchers/flow/teammates HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let deep = "[".repeat(100_000);
    let deep = format!(
        "{post}content-length: {}\r\n\r\n{{\"name\":{deep}",
        deep.len() + 8
    );
    let cases: [(&[u8], &str); 14] = [
        (long_header.as_bytes(), "HTTP/1.1 431"),
        (many_headers.as_bytes(), "HTTP/1.1 431"),
        (long_path.as_bytes(), "HTTP/1.1 4"),
        (deep.as_bytes(), "HTTP/1.1 400"),
        (
            b"GET /v1/dispatchers/\xff HTTP/1.1\r\nhost: x\r\n\r\n",
            "HTTP/1.1 4",
        ),
        (b"GET /v1/status HTTP/9.9\r\n\r\n", "HTTP/1.1 400"),
        (b"GET\r\n\r\n", "HTTP/1.1 400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""),
        (b"\r\n\r\n\r\n", ""),
        (
            b"GET /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 400",
        ),
        (
            b"GET /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 400",
        ),
        (
            b"GET /v1/status HTTP/1.1\r\nhost: x\r\ntransfer-encoding: nonsense\r\n\r\n",
            "HTTP/1.1 4",
        ),
        (
            b"GET /v1/status HTTP/1.1\r\nbad header\r\n\r\n",
            "HTTP/1.1 400",
        ),
        (b"", ""),
    ];
    for (bytes, begins) in cases {
        let answer = send_and_go(&running, bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        assert!(answer.starts_with(begins), "{shown:?}: {answer}");
        assert_answers(&answer, bytes);
    }
    // Said to be larger than any body may be, and in pieces.
    for (head, body) in [
        (
            format!("{post}content-length: 99999999999\r\n\r\n"),
            Vec::new(),
        ),
        (
            format!("{post}transfer-encoding: chunked\r\n\r\n"),
            [
                b"100000\r\n".to_vec(),
                vec![b'x'; 0x10_0000],
                b"\r\n".to_vec(),
            ]
            .concat()
            .repeat(3),
        ),
    ] {
        let answer = send_and_go(&running, &[head.as_bytes(), &body].concat()).await;
        assert!(
            answer.is_empty()
                || answer.starts_with("HTTP/1.1 413")
                || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    assert_undisturbed(running).await;
}

#[tokio::test]
async fn what_comes_after_garbage_on_a_connection_is_not_carried_out() {
    let running = start().await;
    let good = "GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = send(&running, format!("{good}garbage\r\n\r\n{good}").as_bytes()).await;
    assert_eq!(
        answer.matches("HTTP/1.1 200").count(),
        1,
        "the one before it"
    );
    // Many at once on one connection are answered one by one.
    let last = good.replace("host", "connection: close\r\nhost");
    let answer = send(&running, (good.repeat(49) + &last).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 50);
    assert_undisturbed(running).await;
}

#[tokio::test]
async fn two_hundred_connections_at_once_are_all_served() {
    let running = start().await;
    let request = b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let all = (0..200).map(|_| send(&running, request));
    let answers = futures_util::future::join_all(all).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.starts_with("HTTP/1.1 200"))
    );
    assert_undisturbed(running).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_nothing_or_never_ends_is_cut_off() {
    let running = start().await;
    let post = "POST /v1/dispatchers/flow/teammates HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (begun, answered) in [
        ("", ""),
        ("GET /v1/sta", ""),
        ("GET /v1/status HTTP/1.1\r\nhost: x\r\n", ""),
        (
            &*format!("{post}content-length: 100\r\n\r\n{{"),
            "HTTP/1.1 408",
        ),
        (
            &*format!("{post}transfer-encoding: chunked\r\n\r\n5\r\n{{    \r\n"),
            "HTTP/1.1 408",
        ),
    ] {
        let mut stream = UnixStream::connect(&running.socket).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(10 * LONG, stream.read_to_end(&mut answer)).await;
        let ended = ended.unwrap_or_else(|_| panic!("{begun:?} holds a connection for ever"));
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(answered), "{begun:?}: {answer}");
    }
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_drips_a_body_is_cut_off() {
    let running = start().await;
    let mut stream = UnixStream::connect(&running.socket).await.unwrap();
    let head = "POST /v1/dispatchers/flow/teammates HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        loop {
            if write.write_all(b" ").await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut answer = vec![0; 12];
    tokio::select! {
        () = drip => {}
        read = timeout(10 * LONG, read.read_exact(&mut answer)) => drop(read.unwrap().unwrap()),
    }
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    running.end().await;
}

#[test]
fn random_requests_are_answered_or_refused_and_disturb_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let running = runtime.block_on(start());
    let token = prop_oneof![
        Just(b"GET ".to_vec()),
        Just(b"POST ".to_vec()),
        Just(b"/v1/dispatchers/flow/teammates".to_vec()),
        Just(b"/v1/messages?".to_vec()),
        Just(b"limit=".to_vec()),
        Just(b" HTTP/1.1\r\n".to_vec()),
        Just(b"host: x\r\n".to_vec()),
        Just(b"content-type: application/json\r\n".to_vec()),
        Just(b"content-length: 7\r\n".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"idempotency-key: \xff\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"{\"name\":".to_vec()),
        Just(b"%00%".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let requests = prop::collection::vec(token, 0..16).prop_map(|tokens| tokens.concat());
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&requests, |bytes| {
            let answer = runtime.block_on(send_and_go(&running, &bytes));
            prop_assert!(
                answer.is_empty() || answer.starts_with("HTTP/1."),
                "{}",
                answer
            );
            Ok(())
        })
        .unwrap();
    runtime.block_on(assert_undisturbed(running));
}
