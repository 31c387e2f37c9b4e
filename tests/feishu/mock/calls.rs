//! The Open API.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::client::start;
use crate::support::feishu::{Asked, BOT, Fault, Options, Tally};

fn card(markdown: &str) -> Value {
    json!({"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": markdown}]}})
}

/// Returns what a call was refused with, and why.
fn refusal((status, answer): &(u16, Value)) -> (i64, String) {
    assert_eq!(*status, 400, "{answer}");
    (
        answer["code"].as_i64().unwrap(),
        answer["msg"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_call_needs_a_token_that_is_still_good() {
    let mut options = Options::default();
    options.timing.token = Duration::from_secs(3_600);
    let (feishu, mut client) = start(options).await;
    let path = "/open-apis/bot/v3/info";
    let answer = client.send(Method::GET, path, "", None).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], 99_991_661);
    let info = client.get("bot/v3/info").await;
    assert_eq!(info["bot"]["open_id"], BOT);
    // The same one, as long as it is good for more than half an hour.
    let first = client.renew().await;
    assert_eq!(
        first["tenant_access_token"],
        client.renew().await["tenant_access_token"]
    );
    feishu.expire_tokens();
    let refused = client.call(Method::GET, "bot/v3/info", None).await;
    assert_eq!(refusal(&refused).0, 99_991_663);
    client.renew().await;
    assert_eq!(client.get("bot/v3/info").await["code"], 0);
    feishu.finish();
}

#[tokio::test]
async fn a_missing_scope_is_named_with_where_to_ask() {
    let options = Options::default().without_scope("im:message:send_as_bot");
    let (feishu, client) = start(options).await;
    let ops = feishu.group("ops");
    let answer = client.text(&ops, "hello", "u1").await;
    assert_eq!(answer["code"], 99_991_672);
    assert!(
        answer["msg"]
            .as_str()
            .unwrap()
            .contains("https://open.feishu.cn/app/cli_")
    );
    let named = &answer["error"]["permission_violations"][0]["subject"];
    assert_eq!(named, "im:message:send_as_bot");
    assert_eq!(feishu.count_posts(), 0);
}

#[tokio::test]
async fn one_uuid_is_one_message() {
    let mut options = Options::default();
    options.timing.sending = Duration::from_millis(100);
    let (feishu, client) = start(options).await;
    let ops = feishu.group("ops");
    let first = client.text(&ops, "hello", "u1").await;
    let second = client.text(&ops, "hello", "u1").await;
    assert_eq!(first["data"]["message_id"], second["data"]["message_id"]);
    assert_eq!(feishu.count_posts(), 1);
    feishu.fail("messages.create", 1, Fault::AnswerLost);
    let body = json!({
        "receive_id": ops, "msg_type": "text", "content": r#"{"text":"x"}"#, "uuid": "u2",
    });
    let path = "im/v1/messages?receive_id_type=chat_id";
    let url = format!("{}/open-apis/{path}", feishu.base_url());
    let token = client_token(&feishu);
    let lost = client.net.http().post(url).bearer_auth(token).json(&body);
    assert!(lost.send().await.is_err());
    assert_eq!(feishu.count_posts(), 2);
    // It is still being sent, and then it was.
    let mut codes = Vec::new();
    while codes.last() != Some(&0) {
        codes.push(client.post(path, &body).await["code"].as_i64().unwrap());
    }
    codes.dedup();
    assert_eq!(codes, [230_049, 0]);
    assert_eq!(feishu.count_posts(), 2);
    feishu.finish();
    client.text(&ops, "something else", "u1").await;
    assert_eq!(feishu.violations().len(), 1);
    assert_eq!(
        client.text(&ops, "x", &"u".repeat(51)).await["code"],
        99_992_402
    );
}

fn client_token(feishu: &crate::support::feishu::MockFeishu) -> String {
    let calls = feishu.calls("messages.create");
    let (_, value) = calls[0]
        .headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap();
    value.strip_prefix("Bearer ").unwrap().to_owned()
}

#[tokio::test]
async fn content_that_feishu_refuses_is_refused() {
    let (feishu, client) = start(Options::default()).await;
    let ops = feishu.group("ops");
    let mei = feishu.person("Mei");
    let table = "\n| a | b |\n|---|---|\n| 1 | 2 |\n\n";
    let md =
        |text: &str| json!({"zh_cn": {"title": "", "content": [[{"tag": "md", "text": text}]]}});
    let table: [(&str, Value, i64, &str); 17] = [
        ("text", json!({"text": "hello"}), 0, ""),
        ("text", json!({"text": ""}), 230_001, "text"),
        ("text", json!({"text": "x".repeat(150_000)}), 230_025, ""),
        ("text", json!(["hello"]), 230_001, "no object"),
        ("post", md("**hello**"), 0, ""),
        ("post", json!({"content": [[]]}), 230_001, "languages"),
        ("post", md(&"x".repeat(30_000)), 230_025, ""),
        ("interactive", card("hello"), 0, ""),
        ("interactive", card(&"x".repeat(30_000)), 230_025, ""),
        ("interactive", card(&table.repeat(3)), 0, ""),
        (
            "interactive",
            card(&table.repeat(4)),
            230_099,
            "ErrCode: 11310;",
        ),
        (
            "interactive",
            card("![x](https://x.test/)"),
            230_099,
            "ErrCode: 200570;",
        ),
        (
            "interactive",
            card("<at id=ou_nobody></at>"),
            230_099,
            "ErrCode: 100290;",
        ),
        (
            "interactive",
            card(&format!("<at id={mei}></at> `<at id=x>`")),
            0,
            "",
        ),
        (
            "interactive",
            json!({"elements": []}),
            230_099,
            "ErrCode: 200621;",
        ),
        (
            "interactive",
            json!({"schema": "2.0", "body": {"elements": [{"tag": "note"}]}}),
            230_099,
            "ErrCode: 200861;",
        ),
        (
            "image",
            json!({"image_key": "img_nowhere"}),
            230_001,
            "image_key",
        ),
    ];
    for (number, (kind, content, code, why)) in table.iter().enumerate() {
        let answer = client
            .create(&ops, kind, content, &format!("u{number}"))
            .await;
        let short: String = content.to_string().chars().take(80).collect();
        assert_eq!(answer["code"], *code, "{kind} {short}: {answer}");
        let said = answer["msg"].as_str().unwrap();
        assert!(said.contains(why), "{kind} {short}: {answer}");
    }
    assert_eq!(feishu.posts()[3].pings, Vec::<String>::new());
    assert!(feishu.posts().last().unwrap().pings.contains(&mei));
    feishu.finish();
    let body = json!({"receive_id": ops, "msg_type": "text", "content": {"text": "x"}});
    let answer = client
        .post("im/v1/messages?receive_id_type=chat_id", &body)
        .await;
    assert_eq!(answer["code"], 99_992_402);
    let body = json!({"receive_id": ops, "msg_type": "text", "content": "x", "key": 1});
    let answer = client
        .post("im/v1/messages?receive_id_type=chat_id", &body)
        .await;
    assert_eq!(answer["code"], 230_001);
    assert_eq!(feishu.violations().len(), 2, "{:#?}", feishu.violations());
}

#[tokio::test]
async fn replies_stay_in_their_topic() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let text = json!({"msg_type": "text", "content": r#"{"text":"x"}"#});
    let reply = async |message: &str, in_thread: bool| {
        let mut body = text.clone();
        body["reply_in_thread"] = json!(in_thread);
        let path = format!("im/v1/messages/{message}/reply");
        client.post(&path, &body).await
    };
    let topics = feishu.topic_group("topics");
    let root = feishu.say(&mei, &topics, "a topic");
    let topic = feishu.topic_of(&root);
    assert_eq!(reply(&root, false).await["data"]["thread_id"], topic);
    let below = feishu.reply(&mei, &topics, &root, "more");
    let answer = reply(&below, false).await;
    assert_eq!(answer["data"]["parent_id"], root);
    assert_eq!(feishu.posts_in(&topics, Some(&topic)).len(), 2);

    let ops = feishu.group("ops");
    let top = feishu.say(&mei, &ops, "plain");
    assert_eq!(reply(&top, false).await["data"]["thread_id"], Value::Null);
    let opened = reply(&top, true).await;
    assert_eq!(opened["data"]["thread_id"], feishu.topic_of(&top));
    let direct = feishu.say(&mei, &feishu.p2p(&mei), "hello");
    assert_eq!(reply(&direct, true).await["code"], 230_071);
    feishu.recall(&direct);
    assert_eq!(reply(&direct, false).await["code"], 230_011);
    feishu.remove_bot(&ops);
    assert_eq!(reply(&top, false).await["code"], 230_002);
    feishu.finish();
}

#[tokio::test]
async fn only_cards_are_patched_and_only_own_messages_change() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let ops = feishu.group("ops");
    let sent = async |answer: Value| {
        assert_eq!(answer["code"], 0, "{answer}");
        answer["data"]["message_id"].as_str().unwrap().to_owned()
    };
    let text = sent(client.text(&ops, "before", "u1").await).await;
    let shown = sent(
        client
            .create(&ops, "interactive", &card("before"), "u2")
            .await,
    )
    .await;
    let path = |id: &str| format!("im/v1/messages/{id}");
    let after = json!({"msg_type": "text", "content": r#"{"text":"after"}"#});
    let new_card = json!({"content": card("after").to_string()});
    let call = async |method, id: &str, body: &Value| {
        client.call(method, &path(id), Some(body)).await.1["code"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(call(Method::PUT, &text, &after).await, 0);
    assert_eq!(call(Method::PATCH, &shown, &new_card).await, 0);
    assert_eq!(call(Method::PATCH, &text, &new_card).await, 230_001);
    let texts: Vec<_> = feishu.posts().into_iter().map(|it| it.text).collect();
    assert_eq!(texts, ["after", "after"]);
    for _ in 0..19 {
        assert_eq!(call(Method::PUT, &text, &after).await, 0);
    }
    assert_eq!(call(Method::PUT, &text, &after).await, 230_072);
    let foreign = feishu.say(&mei, &ops, "mine");
    assert_eq!(call(Method::PUT, &foreign, &after).await, 230_071);
    let delete =
        async |id: &str| client.call(Method::DELETE, &path(id), None).await.1["code"].clone();
    assert_eq!(delete(&text).await, 0);
    assert_eq!(delete(&text).await, 230_011);
    assert_eq!(delete(&foreign).await, 230_026);
    assert_eq!(
        client.get(&path(&text)).await["data"]["items"][0]["deleted"],
        true
    );
    feishu.finish();
}

#[tokio::test]
async fn history_is_read_in_pages_and_topics_on_their_own() {
    let options = Options {
        page_size: 2,
        ..Options::default()
    };
    let (feishu, client) = start(options).await;
    let mei = feishu.person("Mei");
    let ops = feishu.group("ops");
    let old = Duration::from_secs(86_400);
    let root = feishu
        .write(&mei, &ops)
        .text("old")
        .ago(old)
        .unheard()
        .send();
    for text in ["1", "2", "3"] {
        feishu.say_unheard(&mei, &ops, text);
    }
    feishu.reply(&mei, &ops, &root, "in the topic");
    let list = async |more: &str| {
        let path = format!("im/v1/messages?container_id_type=chat&container_id={ops}{more}");
        client.get(&path).await
    };
    let ids = |answer: &Value| {
        let items = answer["data"]["items"].as_array().unwrap();
        let contents = items
            .iter()
            .map(|it| it["body"]["content"].as_str().unwrap());
        contents.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = list("").await;
    assert_eq!(ids(&first), [r#"{"text":"old"}"#, r#"{"text":"1"}"#]);
    assert_eq!(first["data"]["has_more"], true);
    let token = first["data"]["page_token"].as_str().unwrap();
    let second = list(&format!("&page_token={token}")).await;
    assert_eq!(ids(&second), [r#"{"text":"2"}"#, r#"{"text":"3"}"#]);
    assert_eq!(second["data"]["has_more"], false);
    let since = std::time::SystemTime::now() - Duration::from_secs(60);
    let since = since
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let recent = list(&format!("&start_time={since}&sort_type=ByCreateTimeDesc")).await;
    assert_eq!(ids(&recent), [r#"{"text":"3"}"#, r#"{"text":"2"}"#]);
    let topic = feishu.topic_of(&root);
    let path = format!("im/v1/messages?container_id_type=thread&container_id={topic}");
    assert_eq!(ids(&client.get(&path).await).len(), 2);
    let ranged = client.get(&format!("{path}&start_time={since}")).await;
    assert_eq!(ranged["code"], 230_001);
    feishu.finish();
}

#[tokio::test]
async fn reactions_have_names_that_exist() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let message = feishu.say(&mei, &feishu.p2p(&mei), "hello");
    let path = format!("im/v1/messages/{message}/reactions");
    let react = async |name: &str| {
        let body = json!({"reaction_type": {"emoji_type": name}});
        client.post(&path, &body).await
    };
    let answer = react("Typing").await;
    assert_eq!(feishu.reactions(&message), ["Typing"]);
    let id = answer["data"]["reaction_id"].as_str().unwrap();
    let path = format!("{path}/{id}");
    let delete = async || client.call(Method::DELETE, &path, None).await.1["code"].clone();
    assert_eq!(delete().await, 0);
    assert_eq!(delete().await, 231_011);
    assert!(feishu.reactions(&message).is_empty());
    feishu.finish();
    assert_eq!(react("EYES").await["code"], 231_001);
    assert_eq!(feishu.violations().len(), 1);
}

#[tokio::test]
async fn an_upload_becomes_a_message_and_resources_are_fetched_by_message() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let chat = feishu.p2p(&mei);
    let token = client.text(&chat, "first", "u0").await;
    assert_eq!(token["code"], 0);
    let token = client_token(&feishu);
    let upload = async |content: &'static [u8]| {
        let part = Part::bytes(content).file_name("a.txt");
        let form = Form::new()
            .text("file_type", "stream")
            .text("file_name", "a.txt");
        let url = format!("{}/open-apis/im/v1/files", feishu.base_url());
        let request = client.net.http().post(url).bearer_auth(&token);
        let answer = request.multipart(form.part("file", part)).send().await;
        answer.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(upload(b"").await["code"], 234_010);
    let answer = upload(b"content\r\n--").await;
    let content = json!({"file_key": answer["data"]["file_key"]});
    assert_eq!(
        client.create(&chat, "file", &content, "u1").await["code"],
        0
    );
    let post = feishu.posts().pop().unwrap();
    assert_eq!(
        post.files,
        [("a.txt".to_owned(), b"content\r\n--".to_vec())]
    );

    let key = feishu.file(&mei, "b.png", b"pixels");
    let message = feishu.write(&mei, &chat).file(&key).send();
    let get = async |query: &str| {
        let path = format!("/open-apis/im/v1/messages/{message}/resources/{key}{query}");
        client.send(Method::GET, &path, &token, None).await.unwrap()
    };
    assert_eq!(
        get("?type=image").await.bytes().await.unwrap(),
        &b"pixels"[..]
    );
    assert_eq!(
        get("?type=file").await.json::<Value>().await.unwrap()["code"],
        234_003
    );
    assert_eq!(
        get("").await.json::<Value>().await.unwrap()["code"],
        99_992_402
    );
    let path = format!("im/v1/images/{key}");
    assert_eq!(client.get(&path).await["code"], 234_008);
    feishu.lose_file(&key);
    assert_eq!(
        get("?type=image").await.json::<Value>().await.unwrap()["code"],
        234_003
    );
    feishu.finish();
}

#[tokio::test]
async fn names_are_told_as_far_as_scopes_go() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let ops = feishu.group("ops");
    let path = format!("contact/v3/users/{mei}?user_id_type=open_id");
    assert_eq!(client.get(&path).await["data"]["user"]["name"], "Mei");
    let path = format!(
        "contact/v3/users/{}?user_id_type=open_id",
        feishu.outsider("Zoe")
    );
    assert_eq!(client.get(&path).await["code"], 41_050);
    let path = format!("im/v1/chats/{ops}");
    assert_eq!(client.get(&path).await["data"]["name"], "ops");
    let scopes = client.get("application/v6/scopes").await;
    let scopes = scopes["data"]["scopes"].as_array().unwrap();
    assert!(scopes.iter().any(|it| it["grant_status"] == 2));
    feishu.finish();
    let options = Options::default().without_scope("contact:user.base:readonly");
    let (feishu, client) = start(options).await;
    let path = format!(
        "contact/v3/users/{}?user_id_type=open_id",
        feishu.person("Mei")
    );
    let answer = client.get(&path).await;
    assert_eq!(
        (&answer["code"], &answer["data"]["user"]["name"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn who_is_told_to_wait_waits() {
    let (feishu, client) = start(Options::default()).await;
    let ops = feishu.group("ops");
    feishu.fail("messages.create", 1, Fault::RateLimited(7));
    let body = json!({"receive_id": ops, "msg_type": "text", "content": r#"{"text":"x"}"#});
    let path = "/open-apis/im/v1/messages?receive_id_type=chat_id";
    let answer = client
        .send(Method::POST, path, "t-0", Some(&body))
        .await
        .unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["x-ogw-ratelimit-reset"], "7");
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], 99_991_400);
    tokio::time::sleep(Duration::from_millis(300)).await; // what was on its way is forgiven
    assert_eq!(client.text(&ops, "x", "u1").await["code"], 99_991_400);
    assert_eq!(feishu.violations().len(), 1);
}

#[tokio::test]
async fn a_chat_takes_five_posts_a_second() {
    let (feishu, client) = start(Options::default().with_real_rates()).await;
    let ops = feishu.group("ops");
    let mut codes = Vec::new();
    for number in 0..6 {
        let answer = client.text(&ops, "x", &format!("u{number}")).await;
        codes.push(answer["code"].as_i64().unwrap());
    }
    assert_eq!(codes, [0, 0, 0, 0, 0, 230_020]);
    assert_eq!(client.text(&feishu.group("dev"), "x", "v").await["code"], 0);
}

#[tokio::test]
async fn the_tally_tells_what_went_wrong() {
    let (feishu, client) = start(Options::default()).await;
    let mei = feishu.person("Mei");
    let ops = feishu.topic_group("ops");
    let right = feishu.ask(&mei, &ops, "right");
    let lost = feishu.ask(&mei, &ops, "lost");
    let twice = feishu.ask(&mei, &ops, "twice");
    let misplaced = feishu.ask(&mei, &ops, "misplaced");
    let unclear = feishu.ask(&mei, &ops, "unclear");
    let first = feishu.ask_directly(&mei, "first");
    let second = feishu.ask_directly(&mei, "second");
    let answer = async |it: &Asked, text: &str| {
        let content = json!({ "text": text }).to_string();
        let body = json!({"msg_type": "text", "content": content});
        let path = format!("im/v1/messages/{}/reply", it.message);
        assert_eq!(client.post(&path, &body).await["code"], 0);
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
    assert_eq!(feishu.tally(&asked), expected);
}
