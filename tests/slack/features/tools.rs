//! What the model calls, as people in Slack see it.

use std::fs;
use std::os::unix::fs::symlink;

use super::scene::{Scene, Setting};
use crate::support::model::Fault;
use crate::support::slack::{Fault as SlackFault, Post};

/// The model calls a tool when it is asked `key`, and somebody asks it in `#ops`. Returns the thread.
fn asks(scene: &Scene, key: &str, tool: &'static str, arguments: &'static str) -> String {
    scene.echo.once(key, Fault::Call(tool, arguments));
    let text = scene.slack.mention(key);
    scene.slack.say(&scene.mei, &scene.ops, &text)
}

/// Waits for a file, and returns all that was posted in a thread by then.
async fn posts_once_there_is_a_file(scene: &Scene, root: &str) -> Vec<Post> {
    scene
        .slack
        .wait_for_post("a file", |it| !it.files.is_empty())
        .await;
    scene.slack.posts_in(&scene.ops, Some(root))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_the_workspace_is_sent_with_its_text_and_nothing_else_is() {
    let scene = Setting::of("thread").start().await;
    let work = scene.world.path().join("work");
    fs::create_dir(work.join("out")).unwrap();
    let content = b"%PDF \xff\xfe not really".to_vec();
    fs::write(work.join("out/report.pdf"), &content).unwrap();
    symlink("../tieline.toml", work.join("link")).unwrap();
    fs::File::create(work.join("huge"))
        .unwrap()
        .set_len(50_000_001)
        .unwrap();

    let arguments = r#"{"path":"out/report.pdf","text":"The **report**."}"#;
    let root = asks(&scene, "send it", "send_file", arguments);
    scene.said("send it").await;
    let posts = posts_once_there_is_a_file(&scene, &root).await;
    let with_file = posts.iter().find(|post| !post.files.is_empty()).unwrap();
    assert!(with_file.visible().contains("report"), "{with_file:#?}");
    let (name, sent) = &with_file.files[0];
    assert!(
        name.starts_with("report-") && name.ends_with(".pdf"),
        "{name}"
    );
    assert_eq!(*sent, content);
    assert_eq!(posts.len(), 2, "{posts:#?}");

    for (key, arguments, refusal) in [
        (
            "climb",
            r#"{"path":"../tieline.toml"}"#,
            "outside of the workspace",
        ),
        ("follow", r#"{"path":"link"}"#, "outside of the workspace"),
        (
            "absolute",
            r#"{"path":"/etc/passwd"}"#,
            "outside of the workspace",
        ),
        ("nothing", r#"{"path":"gone"}"#, "there is no file"),
        ("directory", r#"{"path":"out"}"#, "no regular file"),
        ("much", r#"{"path":"huge"}"#, "more than 50000000 bytes"),
    ] {
        let root = asks(&scene, key, "send_file", arguments);
        let answer = scene.said(key).await;
        assert!(answer.visible().contains(refusal), "{answer:#?}");
        assert_eq!(scene.slack.posts_in(&scene.ops, Some(&root)).len(), 1);
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sent_by_the_next_daemon_as_it_was_when_the_model_called() {
    let mut scene = Setting::of("thread").start().await;
    let report = scene.world.path().join("work/report.txt");
    fs::write(&report, "as it was").unwrap();
    let (upload, silence) = ("files.getUploadURLExternal", SlackFault::Silence);
    scene.slack.fail(upload, 1, silence);
    let root = asks(&scene, "send it", "send_file", r#"{"path":"report.txt"}"#);
    scene
        .slack
        .until("an attempt", |slack| {
            (slack.count_calls(upload) > 0).then_some(())
        })
        .await;
    fs::write(&report, "changed").unwrap();
    scene.world.kill_daemon().await;
    scene.start().await;
    scene.said("send it").await;
    let posts = posts_once_there_is_a_file(&scene, &root).await;
    let files: Vec<_> = posts.iter().flat_map(|post| &post.files).collect();
    assert_eq!(files.len(), 1, "{posts:#?}");
    assert_eq!(files[0].1, b"as it was");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pressed_button_is_a_message_of_whoever_pressed_it() {
    let scene = Setting::of("thread").start().await;
    let jun = scene.slack.person("Jun");
    let root = asks(
        &scene,
        "deploy",
        "ask_user",
        r#"{"question":"Where to?","choices":["Staging","Production"]}"#,
    );
    let question = scene.said("Where to?").await;
    assert_eq!(question.thread_ts.as_ref(), Some(&root));
    scene.said("deploy").await;
    scene
        .slack
        .press(&jun, &scene.ops, &question.ts, "Production");
    scene.said("echo: Production").await;
    let told = scene.told_once("Production\n");
    assert!(told.contains(&format!("sender=\"{jun}\"")), "{told}");
    assert!(told.contains("Where to?</quote>"), "{told}");
    assert_eq!(scene.lane_of("deploy"), scene.lane_of("Production\n"));
    // Another one is another message, though it is the same button.
    scene
        .slack
        .press(&scene.mei, &scene.ops, &question.ts, "Production");
    scene
        .slack
        .until("both answers", |slack| {
            let posts = slack.posts_in(&scene.ops, Some(&root));
            let answers = posts
                .iter()
                .filter(|it| it.visible().contains("echo: Production"));
            (answers.count() == 2).then_some(())
        })
        .await;
    scene.slack.all_acknowledged().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_presses_a_button_says_nothing() {
    let setting = Setting::of("thread").access("direct = \"listed\"\ngroups = \"off\"");
    let mut ana = String::new();
    let mut scene = setting
        .set_with(|slack| {
            ana = slack.person("Ana");
            format!("users = [\"team:{ana}\"]")
        })
        .await;
    scene.start().await;
    let direct = scene.slack.direct(&ana);
    scene.echo.once(
        "which",
        Fault::Call("ask_user", r#"{"question":"So?","choices":["Yes","No"]}"#),
    );
    scene.slack.say(&ana, &direct, "which");
    let question = scene.said("So?").await;
    scene.said("echo: which").await;
    scene.slack.press(&scene.mei, &direct, &question.ts, "Yes");
    scene.slack.press(&ana, &direct, &question.ts, "No");
    scene.said("echo: No").await;
    scene.slack.all_acknowledged().await;
    assert_eq!(scene.told("Yes\n"), Vec::<String>::new());
    scene.finish().await;
}
