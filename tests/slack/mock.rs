//! The mock bites: what a strict Slack would refuse, it refuses.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tieline_net::{Net, WebSocket};
use tokio_tungstenite::tungstenite::Message;

use crate::support::model::within;
use crate::support::slack::{
    APP_TOKEN, Asked, BOT_TOKEN, BOT_USER, Fault, Hangup, MentionOrder, MockSlack, Options,
    Redirect, Tally,
};

/// A client that does exactly what it is told.
struct Client {
    net: Net,
    api_url: String,
}

impl Client {
    fn of(slack: &MockSlack) -> Self {
        Self {
            net: Net::new().unwrap(),
            api_url: slack.api_url(),
        }
    }

    async fn send(
        &self,
        method: &str,
        token: &str,
        form: &[(&str, &str)],
    ) -> reqwest::Result<reqwest::Response> {
        let request = self.net.http().post(format!("{}{method}", self.api_url));
        request.bearer_auth(token).form(form).send().await
    }

    async fn call(&self, method: &str, form: &[(&str, &str)]) -> Value {
        let token = if method.starts_with("apps.") {
            APP_TOKEN
        } else {
            BOT_TOKEN
        };
        let response = self.send(method, token, form).await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn error(&self, method: &str, form: &[(&str, &str)]) -> String {
        let answer = self.call(method, form).await;
        assert_eq!(answer["ok"], false, "{answer}");
        answer["error"].as_str().unwrap().to_owned()
    }

    async fn post(&self, form: &[(&str, &str)]) -> String {
        let answer = self.call("chat.postMessage", form).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["ts"].as_str().unwrap().to_owned()
    }

    async fn connect(&self) -> Socket {
        let answer = self.call("apps.connections.open", &[]).await;
        let mut socket = self.open(answer["url"].as_str().unwrap()).await.unwrap();
        assert_eq!(socket.hear().await["type"], "hello");
        socket
    }

    async fn open(&self, url: &str) -> Option<Socket> {
        let deadline = std::time::Duration::from_secs(30);
        let opened = self.net.open_websocket(url, 1 << 20, deadline).await;
        opened.ok().map(|(socket, _)| Socket(socket))
    }
}

struct Socket(WebSocket);

impl Socket {
    /// Returns the next text frame that is JSON.
    async fn hear(&mut self) -> Value {
        within("a frame", async {
            loop {
                let frame = self.0.next().await.expect("a connection").unwrap();
                if let Message::Text(text) = frame
                    && let Ok(value) = serde_json::from_str(text.as_str())
                {
                    return value;
                }
            }
        })
        .await
    }

    async fn say(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    async fn ack(&mut self, envelope: &Value) {
        self.say(&json!({"envelope_id": envelope["envelope_id"]}))
            .await;
    }

    async fn end(&mut self) {
        within("the end", async {
            // TCP stays after the close handshake.
            while let Some(Ok(frame)) = self.0.next().await {
                if frame.is_close() {
                    break;
                }
            }
        })
        .await;
    }
}

async fn start() -> (MockSlack, Client) {
    let slack = MockSlack::start(Options::default().hasty()).await;
    let client = Client::of(&slack);
    (slack, client)
}

#[tokio::test]
async fn each_token_opens_its_own_doors() {
    let (slack, client) = start().await;
    let error = async |method, token| {
        let response = client.send(method, token, &[]).await.unwrap();
        let answer: Value = response.json().await.unwrap();
        answer["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(error("auth.test", "xoxb-nobody").await, "invalid_auth");
    assert_eq!(
        error("apps.connections.open", BOT_TOKEN).await,
        "not_allowed_token_type"
    );
    assert_eq!(
        error("chat.postMessage", APP_TOKEN).await,
        "not_allowed_token_type"
    );
    let url = format!("{}auth.test", client.api_url);
    let response = client.net.http().post(url).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"], "not_authed");
    assert_eq!(slack.take_violations().len(), 2);
    assert_eq!(client.call("auth.test", &[]).await["user_id"], BOT_USER);
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let slack = MockSlack::start(Options::default().without_scope("users:read")).await;
    let mei = slack.person("Mei");
    let answer = Client::of(&slack)
        .call("users.info", &[("user", &mei)])
        .await;
    assert_eq!(answer["error"], "missing_scope");
    assert_eq!(answer["needed"], "users:read");
    assert!(answer["provided"].as_str().unwrap().contains("chat:write"));
}

#[tokio::test]
async fn json_is_taken_only_where_it_is_documented() {
    let (slack, client) = start().await;
    let channel = slack.public("ops");
    let send = async |method: &str, body: Value| -> Value {
        let request = client
            .net
            .http()
            .post(format!("{}{method}", client.api_url));
        let request = request.bearer_auth(BOT_TOKEN).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    };
    let answer = send(
        "chat.postMessage",
        json!({"channel": channel, "text": "hi"}),
    )
    .await;
    assert_eq!(answer["ok"], true, "{answer}");
    let answer = send("conversations.info", json!({"channel": channel})).await;
    assert_eq!(answer["error"], "invalid_arguments");
    assert_eq!(slack.take_violations().len(), 1);
    let answer = send(
        "chat.postMessage",
        json!({"channel": channel, "text": "hi", "thread_ts": 1.5}),
    )
    .await;
    assert_eq!(answer["error"], "invalid_thread_ts");
    assert_eq!(slack.take_violations().len(), 1);
}

#[tokio::test]
async fn posts_keep_to_the_limits() {
    let (slack, client) = start().await;
    let mei = slack.person("Mei");
    let channel = slack.public("ops");
    let error = async |form: &[(&str, &str)]| {
        let mut all = vec![("channel", channel.as_str())];
        all.extend(form);
        client.error("chat.postMessage", &all).await
    };
    let markdown = |n: usize| json!([{"type": "markdown", "text": "x".repeat(n)}]).to_string();
    assert_eq!(error(&[]).await, "no_text");
    assert_eq!(
        error(&[("text", "x"), ("blocks", &markdown(11_300))]).await,
        "msg_blocks_too_long"
    );
    let button = json!({"type": "button", "text": {"type": "plain_text", "text": "x".repeat(76)}, "action_id": "a"});
    let actions = json!([{"type": "actions", "elements": [button]}]).to_string();
    assert_eq!(
        error(&[("text", "x"), ("blocks", &actions)]).await,
        "invalid_blocks"
    );
    let tables = "|a|b|\n|-|-|\n|1|2|\n\ntext\n\n|a|b|\n|-|-|\n|1|2|\n";
    let tables = json!([{"type": "markdown", "text": tables}]).to_string();
    assert_eq!(
        error(&[("text", "x"), ("blocks", &tables)]).await,
        "invalid_attachments"
    );
    assert_eq!(
        error(&[("text", "x"), ("metadata", "{}")]).await,
        "invalid_metadata_format"
    );
    let elsewhere = client
        .error("chat.postMessage", &[("channel", "C1"), ("text", "x")])
        .await;
    assert_eq!(elsewhere, "channel_not_found");
    assert_eq!(
        error(&[("text", "x"), ("thread_ts", "1700000000.000001")]).await,
        "thread_not_found"
    );
    slack.finish();

    let root = slack.say(&mei, &channel, "root");
    let reply = slack.reply(&mei, &channel, &root, "reply");
    assert_eq!(
        error(&[("text", "x"), ("thread_ts", &reply)]).await,
        "cannot_reply_to_message"
    );
    assert_eq!(slack.take_violations().len(), 1);
    let ts = client
        .post(&[
            ("channel", &channel),
            ("text", "x"),
            ("blocks", &markdown(11_000)),
            ("thread_ts", &root),
        ])
        .await;
    let long = "y".repeat(4_001);
    let update = [("channel", channel.as_str()), ("ts", &ts), ("text", &long)];
    assert_eq!(client.error("chat.update", &update).await, "msg_too_long");
    // Without blocks, the old ones hide the new text.
    let update = [("channel", channel.as_str()), ("ts", &ts), ("text", "new")];
    assert_eq!(
        client.call("chat.update", &update).await["message"]["ts"],
        Value::Null
    );
    assert!(slack.posts()[0].visible().starts_with("xxx"));
    slack.finish();
}

#[tokio::test]
async fn a_private_channel_without_the_bot_does_not_exist() {
    let (slack, client) = start().await;
    let channel = slack.public("ops");
    slack.remove_bot(&channel);
    let post = [("channel", channel.as_str()), ("text", "x")];
    assert_eq!(
        client.error("chat.postMessage", &post).await,
        "not_in_channel"
    );
    slack.invite_bot(&channel);
    slack.archive(&channel);
    assert_eq!(client.error("chat.postMessage", &post).await, "is_archived");
}

#[tokio::test]
async fn history_comes_in_pages_and_is_exclusive() {
    let (slack, client) = start().await;
    let mei = slack.person("Mei");
    let channel = slack.public("ops");
    let tss: Vec<String> = (0..5)
        .map(|n| slack.say(&mei, &channel, &n.to_string()))
        .collect();
    slack.reply(&mei, &channel, &tss[0], "a reply is no part of it");
    let read = async |form: &[(&str, &str)]| {
        let mut all = vec![("channel", channel.as_str())];
        all.extend(form);
        let answer = client.call("conversations.history", &all).await;
        let messages = answer["messages"].as_array().unwrap().clone();
        let texts: Vec<String> = messages
            .iter()
            .map(|it| it["text"].as_str().unwrap().to_owned())
            .collect();
        let cursor = answer["response_metadata"]["next_cursor"]
            .as_str()
            .unwrap()
            .to_owned();
        (texts, cursor)
    };
    let (first, cursor) = read(&[("limit", "2")]).await;
    assert_eq!(first, ["4", "3"]);
    let (second, _) = read(&[("limit", "10"), ("cursor", &cursor)]).await;
    assert_eq!(second, ["2", "1", "0"]);
    let (after, cursor) = read(&[("oldest", &tss[3])]).await;
    assert_eq!((after, cursor), (vec!["4".to_owned()], String::new()));
    let (from, _) = read(&[("oldest", &tss[3]), ("inclusive", "true")]).await;
    assert_eq!(from, ["4", "3"]);
    let replies = client
        .call(
            "conversations.replies",
            &[("channel", &channel), ("ts", &tss[0])],
        )
        .await;
    assert_eq!(replies["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_mention_comes_twice_and_an_ack_ends_it() {
    let mut options = Options::default().hasty();
    options.mention_order = MentionOrder::MentionFirst;
    let slack = MockSlack::start(options).await;
    let client = Client::of(&slack);
    let mut socket = client.connect().await;
    let mei = slack.person("Mei");
    let channel = slack.public("ops");
    let ts = slack.say(&mei, &channel, &slack.mention("hello"));
    let (first, second) = (socket.hear().await, socket.hear().await);
    assert_eq!(first["payload"]["event"]["type"], "app_mention");
    assert_eq!(second["payload"]["event"]["type"], "message");
    assert_ne!(first["payload"]["event_id"], second["payload"]["event_id"]);
    assert_eq!(first["payload"]["event"]["ts"], ts);
    socket.ack(&first).await;
    socket.ack(&second).await;
    slack.settle_with(&mut socket).await;
    assert_eq!(slack.acks().len(), 2);
    slack.finish();
    socket.ack(&first).await;
    socket.say(&json!({"envelope_id": "nonsense"})).await;
    socket
        .say(&json!({"envelope_id": second["envelope_id"], "more": 1}))
        .await;
    slack.settle_with(&mut socket).await;
    assert_eq!(slack.violations().len(), 3);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_in_a_new_envelope() {
    let mut options = Options::default().hasty();
    options.timing.ack = std::time::Duration::from_millis(100);
    let slack = MockSlack::start(options).await;
    let mut socket = Client::of(&slack).connect().await;
    let mei = slack.person("Mei");
    slack.say(&mei, &slack.direct(&mei), "hello");
    let first = socket.hear().await;
    let second = socket.hear().await;
    assert_eq!(first["retry_attempt"], 0);
    assert_eq!(second["retry_attempt"], 1);
    assert_eq!(second["retry_reason"], "timeout");
    assert_eq!(first["payload"], second["payload"]);
    assert_ne!(first["envelope_id"], second["envelope_id"]);
    socket.ack(&second).await;
    slack.settle_with(&mut socket).await;
    slack.finish();
}

#[tokio::test]
async fn what_met_no_connection_comes_later_as_a_retry() {
    let (slack, client) = start().await;
    let mei = slack.person("Mei");
    slack.say(&mei, &slack.direct(&mei), "hello");
    let mut socket = client.connect().await;
    assert_eq!(socket.hear().await["retry_attempt"], 1);
}

#[tokio::test]
async fn an_ack_by_another_connection_is_no_good() {
    let (slack, client) = start().await;
    let mut one = client.connect().await;
    let mei = slack.person("Mei");
    slack.say(&mei, &slack.direct(&mei), "hello");
    let envelope = one.hear().await;
    let mut two = client.connect().await;
    two.ack(&envelope).await;
    slack
        .until("a violation", |slack| slack.violations().pop())
        .await;
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let (slack, client) = start().await;
    let answer = client.call("apps.connections.open", &[]).await;
    let url = answer["url"].as_str().unwrap();
    assert!(client.open(url).await.is_some());
    assert!(client.open(url).await.is_none());
    assert_eq!(slack.violations().len(), 1);
}

#[tokio::test]
async fn ten_connections_are_enough() {
    let (slack, client) = start().await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(client.connect().await);
    }
    let answer = client.call("apps.connections.open", &[]).await;
    let mut eleventh = client.open(answer["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(eleventh.hear().await["reason"], "too_many_websockets");
    assert_eq!(slack.open_connections(), 10);
}

#[tokio::test]
async fn a_refresh_warns_asks_and_ends() {
    let (slack, client) = start().await;
    let mut socket = client.connect().await;
    slack.refresh();
    assert_eq!(socket.hear().await["reason"], "warning");
    assert_eq!(socket.hear().await["reason"], "refresh_requested");
    socket.end().await;
    drop(socket);
    slack
        .until("TCP to end", |slack| {
            (slack.tcp_connections() == 0).then_some(())
        })
        .await;
    let mut socket = client.connect().await;
    slack.hang_up(Hangup::Drop);
    socket.end().await;
    slack.finish();
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let (slack, client) = start().await;
    let channel = slack.public("ops");
    let form = [("channel", channel.as_str()), ("text", "x")];
    slack.fail("chat.postMessage", 1, Fault::AnswerLost);
    assert!(
        client
            .send("chat.postMessage", BOT_TOKEN, &form)
            .await
            .is_err()
    );
    assert_eq!(slack.count_posts(), 1);
    slack.fail("chat.postMessage", 1, Fault::Dropped);
    assert!(
        client
            .send("chat.postMessage", BOT_TOKEN, &form)
            .await
            .is_err()
    );
    assert_eq!(slack.count_posts(), 1);
    slack.fail("chat.postMessage", 1, Fault::Broken(503));
    let response = client
        .send("chat.postMessage", BOT_TOKEN, &form)
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    slack.fail("chat.postMessage", 1, Fault::Error("restricted_action"));
    assert_eq!(
        client.error("chat.postMessage", &form).await,
        "restricted_action"
    );
    slack.fail("chat.postMessage", 1, Fault::RateLimited(7));
    let response = client
        .send("chat.postMessage", BOT_TOKEN, &form)
        .await
        .unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    // Another channel is not meant; this one still is.
    client
        .post(&[("channel", &slack.public("dev")), ("text", "x")])
        .await;
    let response = client
        .send("chat.postMessage", BOT_TOKEN, &form)
        .await
        .unwrap();
    assert_eq!(response.status(), 429);
}

#[tokio::test]
async fn posts_in_a_channel_are_limited() {
    let slack = MockSlack::start(Options::default().with_real_rates()).await;
    let client = Client::of(&slack);
    let channel = slack.public("ops");
    let form = [("channel", channel.as_str()), ("text", "x")];
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = client
            .send("chat.postMessage", BOT_TOKEN, &form)
            .await
            .unwrap();
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test]
async fn the_tally_tells_what_went_wrong() {
    let (slack, client) = start().await;
    let mei = slack.person("Mei");
    let ops = slack.public("ops");
    let right = slack.ask(&mei, &ops, "right");
    let lost = slack.ask(&mei, &ops, "lost");
    let twice = slack.ask(&mei, &ops, "twice");
    let misplaced = slack.ask(&mei, &ops, "misplaced");
    let unclear = slack.ask(&mei, &ops, "unclear");
    let first = slack.ask_directly(&mei, "first");
    let second = slack.ask_directly(&mei, "second");
    let answer = async |it: &Asked, text: &str| {
        let mut form = vec![("channel", it.chat.as_str()), ("text", text)];
        form.extend(it.thread.as_deref().map(|ts| ("thread_ts", ts)));
        client.post(&form).await
    };
    answer(&right, "echo: right").await;
    answer(&twice, "echo: twice").await;
    answer(&twice, "echo: twice").await;
    answer(&lost, "echo: misplaced").await;
    answer(&unclear, "❓ nobody knows").await;
    answer(&second, "echo: second").await;
    answer(&first, "echo: first").await;
    let asked = [
        right,
        lost,
        twice,
        misplaced,
        unclear,
        first.clone(),
        second,
    ];
    let expected = Tally {
        asked: 7,
        answered: 3,
        unclear: 1,
        lost: vec![asked[1].clone()],
        twice: vec![asked[2].clone()],
        misplaced: vec![asked[3].clone()],
        out_of_order: vec![(first.chat, None)],
    };
    assert_eq!(slack.tally(&asked), expected);
}

#[tokio::test]
async fn an_upload_appears_once_it_is_completed() {
    let (slack, client) = start().await;
    let channel = slack.public("ops");
    let upload = async |length| {
        client
            .call(
                "files.getUploadURLExternal",
                &[("filename", "a.txt"), ("length", length)],
            )
            .await
    };
    assert_eq!(upload("0").await["error"], "missing_argument");
    let answer = upload("5").await;
    let id = answer["file_id"].as_str().unwrap();
    let files = json!([{"id": id, "title": "A"}]).to_string();
    let complete = [
        ("files", files.as_str()),
        ("channel_id", &channel),
        ("initial_comment", "look"),
    ];
    assert_eq!(
        client
            .error("files.completeUploadExternal", &complete)
            .await,
        "file_not_found"
    );
    let send = async |body: &'static str| {
        let request = client
            .net
            .http()
            .post(answer["upload_url"].as_str().unwrap());
        request.body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("four").await, 400);
    assert_eq!(slack.take_violations().len(), 1);
    assert_eq!(send("fives").await, 200);
    assert_eq!(
        client.call("files.completeUploadExternal", &complete).await["ok"],
        true
    );
    let post = slack
        .wait_for_post("the file", |post| !post.files.is_empty())
        .await;
    assert_eq!(post.files, [("a.txt".to_owned(), b"fives".to_vec())]);
    assert_eq!(post.text, "look");
    slack.finish();
    assert_eq!(
        client
            .error("files.completeUploadExternal", &complete)
            .await,
        "file_not_found"
    );
    assert_eq!(slack.violations().len(), 1);
}

#[tokio::test]
async fn a_download_needs_the_token_and_no_other_host_may_see_it() {
    let (slack, client) = start().await;
    let mei = slack.person("Mei");
    let id = slack.file(&mei, "a b.txt", "text/plain", b"content");
    let info = client.call("files.info", &[("file", &id)]).await;
    let url = info["file"]["url_private_download"].as_str().unwrap();
    let get = async |url: &str, token: Option<&str>| {
        let mut request = client.net.http().get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    let page = get(url, None).await;
    assert_eq!(page.status(), 200);
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(
        get(url, Some(BOT_TOKEN)).await.text().await.unwrap(),
        "content"
    );
    slack.redirect_file(&id, Redirect::Elsewhere);
    let there = get(url, Some(BOT_TOKEN)).await.headers()["location"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(get(&there, None).await.text().await.unwrap(), "content");
    slack.finish();
    get(&there, Some(BOT_TOKEN)).await;
    assert_eq!(slack.violations().len(), 1);
}

impl MockSlack {
    /// Settles while the socket is read, so that its pongs go out.
    async fn settle_with(&self, socket: &mut Socket) {
        let reading = async { while let Some(Ok(_)) = socket.0.next().await {} };
        tokio::select! {
            () = self.settle() => {}
            () = reading => {}
        }
    }
}
