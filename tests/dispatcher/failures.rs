//! Each failure of the model has its name, one sentence with what to do, and does not stop the
//! next message.

use std::time::Duration;

use super::*;
use crate::support::model::Fault;

#[tokio::test]
async fn each_failure_of_the_model_has_its_sentence_and_the_lane_goes_on() {
    let cases: &[(&str, Fault, &str, &str)] = &[
        (
            "403",
            Fault::Status(403, "{}", None),
            "provider-auth-failed",
            "codex login",
        ),
        (
            "429",
            Fault::Status(429, "{}", None),
            "provider-rate-limited",
            "usage limit",
        ),
        (
            "quota",
            Fault::Failed("insufficient_quota", "no more"),
            "provider-rate-limited",
            "usage limit",
        ),
        (
            "400",
            Fault::Status(400, "{\"error\":\"bad\"}", None),
            "provider-http-error",
            "refused",
        ),
        (
            "413",
            Fault::Status(413, "{}", None),
            "provider-http-error",
            "refused",
        ),
        (
            "500",
            Fault::Status(500, "{}", None),
            "provider-unavailable",
            "cannot be reached",
        ),
        (
            "503",
            Fault::Status(503, "{}", None),
            "provider-unavailable",
            "cannot be reached",
        ),
        (
            "at once",
            Fault::CutAtOnce,
            "provider-stream-disconnected",
            "broke off",
        ),
        (
            "mid stream",
            Fault::CutMidStream,
            "provider-stream-disconnected",
            "broke off",
        ),
        (
            "no json",
            Fault::Garbage,
            "provider-stream-disconnected",
            "broke off",
        ),
        (
            "early end",
            Fault::EndEarly,
            "provider-stream-disconnected",
            "broke off",
        ),
        (
            "incomplete",
            Fault::Incomplete("max_output_tokens"),
            "backend-response-invalid",
            "without an answer",
        ),
        (
            "nothing",
            Fault::Nothing,
            "backend-response-invalid",
            "without an answer",
        ),
        (
            "commentary only",
            Fault::OnlyCommentary,
            "backend-response-invalid",
            "without an answer",
        ),
    ];
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    for (name, fault, kind, sentence) in cases {
        let text = format!("fail with {name}.");
        echo.once(&text, fault.clone());
        let id = world.platform.write("a", &text);
        let posts = world.platform.settled(&id).await;
        assert_eq!(posts.len(), 1, "{name}: {posts:?}");
        assert_eq!(posts[0].kind, "failure", "{name}: {posts:?}");
        assert!(posts[0].text.contains(sentence), "{name}: {posts:?}");
        assert!(
            world.log().contains(&format!("kind=\"{kind}\"")),
            "{name}: {}",
            world.log()
        );

        let next = world.platform.write("a", &format!("after {name}"));
        let posts = world.platform.settled(&next).await;
        assert_eq!(posts[0].text, format!("echo: after {name}"));
    }
    world.finish().await;
}

#[tokio::test]
async fn people_are_told_of_a_failure_in_the_language_of_their_channel() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard().in_chinese()).await;
    echo.once("fail.", Fault::Status(429, "{}", None));
    let id = world.platform.write("a", "fail.");
    let posts = world.platform.settled(&id).await;
    assert!(posts[0].text.contains("模型的用量已达上限"), "{posts:?}");
    let help = world.platform.write("a", "help");
    let posts = world.platform.settled(&help).await;
    assert!(posts[0].text.contains("`配对 CODE`"), "{posts:?}");
    // What Codex says is left as it is.
    let next = world.platform.write("a", "and now?");
    let posts = world.platform.settled(&next).await;
    assert_eq!(posts[0].text, "echo: and now?");
    world.finish().await;
}

#[tokio::test]
async fn a_silent_model_ends_at_the_idle_limit() {
    let echo = Echo::new();
    let choices = Choices::standard().with("turn_idle_timeout = \"1s\"");
    let mut world = running(&echo, &choices).await;
    for (name, fault) in [
        ("before", Fault::Silence),
        ("within", Fault::SilenceMidStream),
    ] {
        let text = format!("silence {name}");
        echo.once(&text, fault);
        let id = world.platform.write("a", &text);
        let posts = world.platform.settled(&id).await;
        assert!(posts[0].text.contains("no sign of life"), "{posts:?}");
        assert!(world.log().contains("backend-timeout"), "{}", world.log());
        let next = world.platform.write("a", "and now?");
        assert_eq!(
            world.platform.settled(&next).await[0].text,
            "echo: and now?"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_model_that_is_slow_and_never_silent_may_take_longer_than_the_idle_limit() {
    const LIMIT: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(200);
    const PAUSES: u32 = 25;
    assert!(PAUSE * PAUSES >= 2 * LIMIT);
    let echo = Echo::new();
    let choices = Choices::standard().with("turn_idle_timeout = \"2s\"");
    let mut world = running(&echo, &choices).await;
    echo.once("take your time", Fault::Slow(PAUSES, PAUSE));
    let id = world.platform.write("a", "take your time");
    let posts = world.platform.settled(&id).await;
    assert_eq!(posts[0].kind, "answer", "{posts:?}");
    assert!(posts[0].text.ends_with("echo: take your time"), "{posts:?}");
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn tools_that_the_model_calls_wrongly_do_not_fail_the_turn() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.once("unknown tool", Fault::Call("no_such_tool", "{}"));
    echo.once("bad arguments", Fault::Call("shell", "{not json"));
    for text in ["unknown tool", "bad arguments"] {
        let id = world.platform.write("a", text);
        let posts = world.platform.settled(&id).await;
        assert_eq!(posts[0].kind, "answer", "{posts:?}");
        assert!(
            posts[0].text.contains(&format!("echo: {text}")),
            "{posts:?}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn the_final_answer_is_the_last_message_and_progress_comes_before_it() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.once("in two", Fault::TwoMessages);
    let id = world.platform.write("a", "in two");
    let posts = world.platform.settled(&id).await;
    assert_eq!(posts[0].text, "echo: in two");
    let seen = world.platform.seen("a");
    let progress = seen.iter().position(|line| line.contains("working on it"));
    let answer = seen.iter().position(|line| line.contains("echo: in two"));
    assert!(progress.is_some() && progress < answer, "{seen:#?}");
    world.finish().await;
}
