//! `reply = "tool"`: only what the model sends by tool reaches people.

use super::*;

fn only_tools() -> Choices {
    Choices::standard().with("reply = \"tool\"")
}

#[tokio::test]
async fn the_final_answer_stays_where_it_is_and_the_message_is_settled() {
    let echo = Echo::new();
    let mut world = running(&echo, &only_tools()).await;
    will_call(&echo, "question", "reply", r#"{"text":"the answer"}"#);
    let id = world.platform.write("a", "question");
    let settling = world.platform.settled(&id).await;
    assert_eq!((&*settling[0].kind, &*settling[0].text), ("answer", ""));
    assert_eq!(texts(&world, "a"), ["the answer", ""]);
    let told = world.model.requests();
    let told = told.last().unwrap().developer_texts().join("\n");
    assert!(told.contains("Only what you send with a tool"), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn a_turn_that_sends_nothing_says_so_in_the_language_of_the_chat() {
    for (choices, expected) in [
        (only_tools(), "wrote you nothing"),
        (only_tools().in_chinese(), "没有给你任何回复"),
    ] {
        let echo = Echo::new();
        let mut world = running(&echo, &choices).await;
        let id = world.platform.write("a", "question");
        let settling = world.platform.settled(&id).await;
        assert!(settling[0].text.contains(expected), "{settling:#?}");
        assert_eq!(settling[0].kind, "notice");
        assert_eq!(texts(&world, "a").len(), 1);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_refused_call_sends_nothing() {
    let echo = Echo::new();
    let mut world = running(&echo, &only_tools()).await;
    will_call(&echo, "question", "reply", "{}");
    let id = world.platform.write("a", "question");
    let settling = world.platform.settled(&id).await;
    assert!(
        settling[0].text.contains("wrote you nothing"),
        "{settling:#?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn all_that_is_sent_arrives_in_order() {
    let echo = Echo::new();
    let mut world = running(&echo, &only_tools()).await;
    will_call(&echo, "question", "reply", r#"{"text":"one"}"#);
    for arguments in [r#"{"text":"two"}"#, r#"{"text":"three"}"#] {
        echo.once("output: posted", Fault::Call("reply", arguments));
    }
    let id = world.platform.write("a", "question");
    world.platform.settled(&id).await;
    assert_eq!(texts(&world, "a"), ["one", "two", "three", ""]);
    world.finish().await;
}

#[tokio::test]
async fn with_final_answers_a_turn_may_end_without_one_after_a_reply() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    will_call(&echo, "question", "reply", r#"{"text":"the answer"}"#);
    echo.once("output: posted", Fault::Nothing);
    let id = world.platform.write("a", "question");
    let settling = world.platform.settled(&id).await;
    assert_eq!((&*settling[0].kind, &*settling[0].text), ("answer", ""));
    assert_eq!(texts(&world, "a"), ["the answer", ""]);
    world.finish().await;
}

#[tokio::test]
async fn an_emoji_says_enough_to_those_who_wrote() {
    for (choices, last) in [
        (Choices::standard(), Fault::Nothing),
        (only_tools(), Fault::TwoMessages),
    ] {
        let echo = Echo::new();
        let mut world = running(&echo, &choices).await;
        will_call(&echo, "done, thanks", "react", r#"{"emoji":"thumbs_up"}"#);
        echo.once("output: reacted", last);
        let id = world.platform.write("a", "done, thanks");
        let settling = world.platform.settled(&id).await;
        assert_eq!((&*settling[0].kind, &*settling[0].text), ("answer", ""));
        assert_eq!(texts(&world, "a"), ["👍", ""]);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_conversation_is_told_when_what_reaches_people_changes() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let first = world.platform.write("a", "hello");
    assert_eq!(world.platform.settled(&first).await[0].text, "echo: hello");
    for (reply, sentence, expected) in [
        (
            "tool",
            "Only what you send with a tool",
            "wrote you nothing",
        ),
        ("final", "Your final answer is posted", "echo: now final"),
    ] {
        assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
        let path = world.path().join("tieline.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let lines = config.lines().filter(|line| !line.starts_with("reply = "));
        let config: Vec<_> = lines.collect();
        let config = config.join("\n");
        let setting = format!("[dispatchers.test]\nreply = {reply:?}");
        std::fs::write(&path, config.replace("[dispatchers.test]", &setting)).unwrap();
        world.start();
        for text in ["now", "still"] {
            let id = world.platform.write("a", &format!("{text} {reply}"));
            let settling = world.platform.settled(&id).await;
            let expected = expected.replace("now", text);
            assert!(settling[0].text.contains(&expected), "{settling:#?}");
        }
        let requests = world.model.requests();
        let told = requests.last().unwrap().developer_texts();
        let is_news = |text: &&&str| text.contains("settings-changed") && text.contains(sentence);
        assert_eq!(told.iter().filter(is_news).count(), 1, "{told:#?}");
    }
    world.finish().await;
}
