//! What the model calls, as people in Feishu see it.

use crate::support::daemon::{Choices, World};
use crate::support::feishu::{MockFeishu, Options};
use crate::support::model::{Echo, Fault, times_told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_by_buttons_and_files_are_sent() {
    let feishu = MockFeishu::start(Options::default().hasty()).await;
    let mei = feishu.person("Mei");
    let jun = feishu.person("Jun");
    let ops = feishu.group("ops");
    let topics = feishu.topic_group("topics");
    let echo = Echo::new();
    let choices = Choices::standard().with_feishu(&feishu, "");
    let mut world = World::new(echo.start().await, &choices);
    std::fs::write(world.path().join("work/报告.txt"), "内容").unwrap();
    world.start();
    world.ready(0).await;
    feishu.wait_for_connections(1).await;
    for (chat, key) in [(&ops, "in the group"), (&topics, "in a topic")] {
        let ask = r#"{"question":"去哪里？","choices":["测试环境","生产环境"]}"#;
        echo.once(key, Fault::Call("ask_user", ask));
        feishu.say(&mei, chat, &feishu.mention(key));
        feishu
            .wait_for_post("the answer", |it| it.text.contains(key))
            .await;
        let is_question =
            |it: &crate::support::feishu::Post| it.chat == *chat && it.text.contains("去哪里？");
        let question = feishu.wait_for_post("the question", is_question).await;
        let before = feishu.count_posts();
        feishu.press(&jun, &question.id, "生产环境");
        let answer = feishu.wait_for_posts(before + 1).await.pop().unwrap();
        assert!(answer.text.contains("echo: 生产环境"), "{answer:#?}");
        assert_eq!((&answer.chat, &answer.thread), (chat, &question.thread));
    }
    assert_eq!(times_told(&world.model, "去哪里？</quote>\n生产环境"), 2);

    let arguments = r#"{"path":"报告.txt","text":"给你"}"#;
    echo.once("the report", Fault::Call("send_file", arguments));
    feishu.say(&mei, &ops, &feishu.mention("the report"));
    let sent = feishu
        .wait_for_post("the file", |it| !it.files.is_empty())
        .await;
    let (name, content) = &sent.files[0];
    assert!(
        name.starts_with("报告-") && name.ends_with(".txt"),
        "{name}"
    );
    assert_eq!(content, "内容".as_bytes());
    feishu
        .wait_for_post("the answer", |it| it.text.contains("the report"))
        .await;
    world.finish().await;
    feishu.finish();
}
