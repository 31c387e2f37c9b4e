//! Each tool from the model to the chat and back.

use super::*;

const TOOLS: [&str; 4] = ["reply", "react", "send_file", "ask_user"];

#[tokio::test]
async fn a_reply_is_there_before_the_answer_and_settles_nothing() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    will_call(&echo, "a lot", "reply", r#"{"text":"I have **begun**."}"#);
    let id = world.platform.write("a", "a lot");
    let settling = world.platform.settled(&id).await;
    assert_eq!(settling[0].text, "echo: a lot\nposted");
    assert_eq!(
        texts(&world, "a"),
        ["I have **begun**.", "echo: a lot\nposted"]
    );
    let replies = &world.platform.posts("a")[0];
    assert_eq!((&*replies.kind, replies.settles.len()), ("answer", 0));

    let offered = world.model.requests();
    let offered = offered.last().unwrap().tools();
    for tool in TOOLS {
        assert!(offered.iter().any(|it| it == tool), "{offered:?}");
    }
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn an_emoji_is_shown_before_the_answer_and_is_no_answer() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    will_call(&echo, "thank you", "react", r#"{"emoji":"heart"}"#);
    let id = world.platform.write("a", "thank you");
    let settling = world.platform.settled(&id).await;
    assert_eq!(settling[0].text, "echo: thank you\nreacted");
    assert_eq!(texts(&world, "a"), ["❤️", "echo: thank you\nreacted"]);
    let reaction = &world.platform.posts("a")[0];
    assert_eq!((&*reaction.kind, reaction.settles.len()), ("notice", 0));
    assert!(reaction.key.ends_with(&id), "{reaction:?}");
    // Twice is once.
    will_call(&echo, "truly", "react", r#"{"emoji":"heart"}"#);
    echo.once(
        "output: reacted",
        Fault::Call("react", r#"{"emoji":"heart"}"#),
    );
    let id = world.platform.write("a", "truly");
    world.platform.settled(&id).await;
    assert_eq!(texts(&world, "a")[2..], ["❤️", "echo: truly\nreacted"]);
    let calls = world.logged("a tool was called");
    assert_eq!(calls.len(), 3, "{}", world.log());
    world.finish().await;
}

#[tokio::test]
async fn a_question_is_numbered_text_where_there_are_no_buttons_and_its_answer_a_message() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    will_call(
        &echo,
        "deploy",
        "ask_user",
        r#"{"question":"Where to?","choices":["Staging","Production"]}"#,
    );
    let id = world.platform.write("a", "deploy");
    let settling = world.platform.settled(&id).await;
    assert_eq!(
        settling[0].text,
        "echo: deploy\nasked; the answer will come as a message"
    );
    assert_eq!(
        texts(&world, "a")[0],
        "Where to?\n\nAnswer with the number of your choice:\n\n1. Staging\n2. Production"
    );
    let id = world.platform.write("a", "2");
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: 2");
    world.finish().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said_to_the_model_and_nobody_else() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let table = [
        ("reply", "{}", "nothing was done: `text` is missing"),
        ("reply", r#"{"text":"hi","to":"C1"}"#, "there is no `to`"),
        (
            "reply",
            r#"{"text":["hi"]}"#,
            "`text` is a list and not a text",
        ),
        (
            "ask_user",
            r#"{"question":"So?","choices":["Yes"]}"#,
            "must have 2 to 10",
        ),
        (
            "react",
            r#"{"emoji":"eyes"}"#,
            "`emoji` is \"eyes\" and not one of thumbs_up, ",
        ),
        (
            "send_file",
            r#"{"path":"a.txt"}"#,
            "this chat takes no files",
        ),
    ];
    for (number, (tool, arguments, expected)) in table.into_iter().enumerate() {
        let text = format!("try {number}");
        will_call(&echo, &text, tool, arguments);
        let id = world.platform.write("a", &text);
        let settling = world.platform.settled(&id).await;
        assert!(settling[0].text.contains(expected), "{settling:#?}");
    }
    assert_eq!(texts(&world, "a").len(), table.len());
    world.finish().await;
}

#[tokio::test]
async fn a_reply_goes_where_the_running_turn_was_asked_though_chats_share_a_thread() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    choices.dispatcher = choices.dispatcher.replace("\"chat\"", "\"shared\"");
    let mut world = running(&echo, &choices).await;
    will_call(&echo, "from a", "reply", r#"{"text":"to a"}"#);
    will_call(&echo, "from b", "reply", r#"{"text":"to b"}"#);
    let ids = [
        world.platform.write("a", "from a"),
        world.platform.write("b", "from b"),
    ];
    for id in &ids {
        world.platform.settled(id).await;
    }
    assert_eq!(texts(&world, "a"), ["to a", "echo: from a\nposted"]);
    assert_eq!(texts(&world, "b"), ["to b", "echo: from b\nposted"]);
    world.finish().await;
}
