//! A client that does exactly what it is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tieline_net::{ConnectError, Net, WebSocket};
use tokio_tungstenite::tungstenite::Message;

use crate::support::feishu::wire::Frame;
use crate::support::feishu::{APP_ID, APP_SECRET, MockFeishu, Options};
use crate::support::model::within;

/// A client that does exactly what it is told.
pub(super) struct Client {
    pub(super) net: Net,
    base_url: String,
    token: String,
}

/// A long connection.
pub(super) struct Socket {
    web: WebSocket,
    pub(super) service: i32,
}

/// Starts a mock and a client that has a token.
pub(super) async fn start(options: Options) -> (MockFeishu, Client) {
    let feishu = MockFeishu::start(options).await;
    let mut client = Client {
        net: Net::new().unwrap(),
        base_url: feishu.base_url(),
        token: String::new(),
    };
    client.renew().await;
    (feishu, client)
}

impl Client {
    /// Gets a token.
    pub(super) async fn renew(&mut self) -> Value {
        let answer = self
            .send(
                Method::POST,
                "/open-apis/auth/v3/tenant_access_token/internal",
                "",
                Some(&json!({"app_id": APP_ID, "app_secret": APP_SECRET})),
            )
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["tenant_access_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.token);
        answer
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{path}", self.base_url);
        let mut request = self.net.http().request(method, url);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await
    }

    /// Makes a call and returns status and body.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let path = format!("/open-apis/{path}");
        let answer = self.send(method, &path, &self.token, body).await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, Some(body)).await.1
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.1
    }

    /// Posts a text into a chat.
    pub(super) async fn text(&self, chat: &str, text: &str, uuid: &str) -> Value {
        let content = json!({ "text": text });
        self.create(chat, "text", &content, uuid).await
    }

    pub(super) async fn create(
        &self,
        chat: &str,
        kind: &str,
        content: &Value,
        uuid: &str,
    ) -> Value {
        let body = json!({
            "receive_id": chat, "msg_type": kind, "content": content.to_string(), "uuid": uuid,
        });
        self.post("im/v1/messages?receive_id_type=chat_id", &body)
            .await
    }

    /// Asks where the long connection is.
    pub(super) async fn endpoint(&self, secret: &str) -> Value {
        let body = json!({"AppID": APP_ID, "AppSecret": secret});
        let answer = self.send(Method::POST, "/callback/ws/endpoint", "", Some(&body));
        answer.await.unwrap().json().await.unwrap()
    }

    pub(super) async fn connect(&self) -> Socket {
        let answer = self.endpoint(APP_SECRET).await;
        assert_eq!(answer["code"], 0, "{answer}");
        self.open(answer["data"]["URL"].as_str().unwrap())
            .await
            .unwrap()
    }

    pub(super) async fn open(&self, url: &str) -> Result<Socket, ConnectError> {
        let parsed = url::Url::parse(url).unwrap();
        let mut parameters = parsed.query_pairs();
        let service = parameters.find(|(name, _)| name == "service_id");
        let service = service.unwrap().1.parse().unwrap();
        let deadline = std::time::Duration::from_secs(30);
        let (web, _) = self.net.open_websocket(url, 1 << 20, deadline).await?;
        Ok(Socket { web, service })
    }
}

impl Socket {
    /// Returns the next frame.
    pub(super) async fn hear(&mut self) -> Frame {
        within("a frame", async {
            loop {
                let frame = self.web.next().await.expect("a connection").unwrap();
                if let Message::Binary(bytes) = frame {
                    return Frame::decode(&bytes).unwrap();
                }
            }
        })
        .await
    }

    pub(super) async fn say(&mut self, frame: &Frame) {
        self.bytes(frame.encode()).await;
    }

    pub(super) async fn bytes(&mut self, bytes: Vec<u8>) {
        self.web.send(Message::binary(bytes)).await.unwrap();
    }

    pub(super) async fn ack(&mut self, push: &Frame, answer: &Value) {
        let mut ack = push.clone();
        ack.headers.push(("biz_rt".to_owned(), "3".to_owned()));
        ack.payload = Some(answer.to_string().into_bytes());
        self.say(&ack).await;
    }

    pub(super) async fn ping(&mut self) {
        let ping = Frame {
            service: self.service,
            headers: vec![("type".to_owned(), "ping".to_owned())],
            ..Frame::default()
        };
        self.say(&ping).await;
    }

    /// Reads on until the mock has settled, so that it has what was said.
    pub(super) async fn settle(&mut self, feishu: &MockFeishu) {
        let reading = async { while let Some(Ok(_)) = self.web.next().await {} };
        tokio::select! {
            () = feishu.settle() => {}
            () = reading => {}
        }
    }

    /// Waits until the connection ends.
    pub(super) async fn end(&mut self) {
        within("the end", async {
            while let Some(Ok(_)) = self.web.next().await {}
        })
        .await;
    }
}

/// Returns the payload of a push.
pub(super) fn payload(frame: &Frame) -> Value {
    serde_json::from_slice(frame.payload.as_deref().unwrap()).unwrap()
}

/// Returns what an answer to a press is packed into.
pub(super) fn packed(answer: &Value) -> Value {
    json!({"code": 200, "data": BASE64.encode(answer.to_string())})
}
