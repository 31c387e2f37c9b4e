use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

/// Plays the failure, or the answer, that the last user text names.
struct ByName;

#[async_trait]
impl Script for ByName {
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        match request.last_user_text().unwrap_or_default() {
            "two" => {
                responder.message("looking", Phase::Commentary).await?;
                responder.message("found: ä🦀", Phase::FinalAnswer).await
            }
            "run" => responder.command("uname").await,
            "cut at once" => responder.cut().await,
            "cut in the middle" => {
                responder.begin(Phase::Unsaid).await?.say("half").await?;
                responder.cut().await
            }
            "garbage" => {
                responder.raw(b"data: {no json\n\n").await?;
                responder.end().await
            }
            "failed" => responder.failed("slow_down", "not so fast").await,
            "incomplete" => responder.incomplete("max_output_tokens").await,
            "busy" => {
                let headers = [("retry-after", "7")];
                responder
                    .status(StatusCode::TOO_MANY_REQUESTS, &headers, "busy")
                    .await
            }
            "silence" => responder.silence().await,
            "silence in the middle" => {
                responder.begin(Phase::Unsaid).await?.say("half").await?;
                responder.silence().await
            }
            _ => Ok(()),
        }
    }
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// Sends one request; the answer is read by the caller.
async fn ask(model: &ScriptedModel, input: Value) -> TcpStream {
    let tools = json!([{"type": "function", "name": "exec_command"}]);
    let body = json!({"input": input, "tools": tools}).to_string();
    let mut stream = TcpStream::connect(model.address()).await.unwrap();
    let head = format!(
        "POST /v1/responses HTTP/1.1\r\nhost: model\r\nthread-id: t1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

/// Returns everything that comes back until the connection ends.
async fn whole_answer(text: &str) -> String {
    let model = ScriptedModel::start(ByName).await.unwrap();
    let mut answer = Vec::new();
    let mut stream = ask(&model, json!([user(text)])).await;
    stream.read_to_end(&mut answer).await.unwrap();
    model.stop().await;
    String::from_utf8(answer).unwrap()
}

/// Whether the HTTP body was ended as it should be.
fn is_whole(answer: &str) -> bool {
    answer.ends_with("0\r\n\r\n")
}

fn events(answer: &str) -> Vec<Value> {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn messages_are_streamed_in_deltas_that_add_up() {
    let answer = whole_answer("two").await;
    assert!(is_whole(&answer), "{answer}");
    let events = events(&answer);
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.output_item.added",
            "response.output_text.delta",
            "response.output_item.done",
            "response.output_item.added",
            "response.output_text.delta",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!(events[3]["item"]["phase"], "commentary");
    assert_eq!(events[5]["delta"], "found: ä🦀");
    assert_eq!(events[6]["item"]["content"][0]["text"], "found: ä🦀");
    assert_ne!(events[3]["item"]["id"], events[6]["item"]["id"]);
}

#[tokio::test]
async fn commands_call_the_tool_that_is_offered() {
    let events = events(&whole_answer("run").await);
    let item = &events[1]["item"];
    assert_eq!(item["name"], "exec_command");
    let arguments: Value = serde_json::from_str(item["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments["cmd"], "uname");
}

#[tokio::test]
async fn doing_nothing_completes_the_answer() {
    let answer = whole_answer("anything").await;
    assert!(is_whole(&answer), "{answer}");
    assert_eq!(
        events(&answer).last().unwrap()["type"],
        "response.completed"
    );
}

#[tokio::test]
async fn cut_at_once_sends_not_one_byte() {
    assert_eq!(whole_answer("cut at once").await, "");
}

#[tokio::test]
async fn cut_in_the_middle_sends_what_came_before_and_no_end() {
    let answer = whole_answer("cut in the middle").await;
    assert!(!is_whole(&answer), "{answer}");
    assert_eq!(events(&answer).last().unwrap()["delta"], "half");
}

#[tokio::test]
async fn garbage_ends_in_order_but_uncompleted() {
    let answer = whole_answer("garbage").await;
    assert!(is_whole(&answer), "{answer}");
    assert!(answer.contains("data: {no json\n\n"));
    assert!(!answer.contains("response.completed"));
}

#[tokio::test]
async fn failures_are_said_once_and_not_completed() {
    for (text, kind) in [
        ("failed", "response.failed"),
        ("incomplete", "response.incomplete"),
    ] {
        let answer = whole_answer(text).await;
        assert_eq!(events(&answer).last().unwrap()["type"], kind);
        assert!(is_whole(&answer), "{answer}");
    }
}

#[tokio::test]
async fn a_status_comes_with_its_headers_and_body() {
    let answer = whole_answer("busy").await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: 7\r\n"), "{answer}");
    assert!(answer.ends_with("busy"), "{answer}");
}

#[tokio::test]
async fn silence_sends_nothing_and_ends_with_the_model() {
    for (text, expected) in [("silence", ""), ("silence in the middle", "half")] {
        let model = ScriptedModel::start(ByName).await.unwrap();
        let mut stream = ask(&model, json!([user(text)])).await;
        model.wait_for(|requests| requests.len() == 1).await;
        model.stop().await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{answer}");
        assert!(!answer.contains("response.completed"), "{answer}");
    }
}

#[tokio::test]
async fn a_script_learns_that_its_client_has_gone() {
    struct Waits(mpsc::Sender<Gone>);

    #[async_trait]
    impl Script for Waits {
        async fn answer(&self, _: &Request, responder: &mut Responder) -> Result<(), Gone> {
            responder.start().await?;
            let gone = responder.silence().await.unwrap_err();
            self.0.send(gone).await.unwrap();
            Err(gone)
        }
    }

    let (sender, mut gone) = mpsc::channel(1);
    let model = ScriptedModel::start(Waits(sender)).await.unwrap();
    let stream = ask(&model, json!([user("hi")])).await;
    model.wait_for(|requests| requests.len() == 1).await;
    drop(stream);
    assert_eq!(gone.recv().await, Some(Gone));
    model.stop().await;
}

#[tokio::test]
async fn the_log_tells_news_from_history_and_people_from_codex() {
    let model = ScriptedModel::start(ByName).await.unwrap();
    let input = json!([
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        user("<environment_context>…</environment_context>"),
        user("first"),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one"}]},
        user("second"),
        {"type": "function_call", "name": "exec_command", "call_id": "c", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Wall time: 0 s\nOutput:\nLinux\n"},
        user("third"),
    ]);
    drop(ask(&model, input).await);
    model.wait_for(|requests| requests.len() == 1).await;
    let request = model.requests().remove(0);
    assert_eq!(request.thread(), Some("t1"));
    assert_eq!(request.user_texts(), ["first", "second", "third"]);
    assert_eq!(request.fresh_user_texts(), ["third"]);
    assert_eq!(request.developer_texts(), ["rules"]);
    assert_eq!(request.model_texts(), ["one"]);
    assert_eq!(request.fresh_tool_outputs()[0].text(), "Linux");
    assert_eq!(model.forgotten(), 0);
    model.stop().await;
}
