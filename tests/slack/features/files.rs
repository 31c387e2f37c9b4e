//! Files in both directions, and answers of any length.

use serde_json::Value;

use super::scene::{Scene, Setting};
use crate::support::slack::{Fault, Post};

/// One red pixel.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90\x77\x53\xde\
    \0\0\0\x0cIDAT\x78\x9c\x63\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\
    \0\0\0\0IEND\xae\x42\x60\x82";

/// Returns the value of an attribute, unescaped as far as paths need it.
fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

/// Returns the attachments that the model was told of with a message.
fn attachments(told: &str) -> Vec<&str> {
    told.lines()
        .filter(|it| it.starts_with("<attachment"))
        .collect()
}

/// Returns the images that the model has seen.
fn images(scene: &Scene) -> Vec<Value> {
    let requests = scene.world.model.requests();
    let items = requests.last().unwrap().items().to_vec();
    items
        .iter()
        .filter_map(|item| item["content"].as_array())
        .flatten()
        .filter(|part| part["type"] == "input_image")
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_reach_the_model_as_paths_and_images_as_images() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let notes = "Äpfel\nund <Birnen>\n".repeat(1000);
    let text = slack.file(
        mei,
        "notes \"of\" today.txt",
        "text/plain",
        notes.as_bytes(),
    );
    let image = slack.file(mei, "screen.png", "image/png", PNG);
    slack
        .write(mei, ops)
        .text(&slack.mention("look at these"))
        .file(&text)
        .file(&image)
        .send();
    // The echo is of what Codex says behind an image.
    slack.wait_for_posts(1).await;

    let told = scene.told_once("look at these");
    let files = attachments(&told);
    assert_eq!(files.len(), 2, "{told}");
    assert_eq!(
        attribute(files[0], "name"),
        Some("notes &quot;of&quot; today.txt")
    );
    assert_eq!(attribute(files[0], "mime"), Some("text/plain"));
    let path = attribute(files[0], "path").unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), notes);
    let path = attribute(files[1], "path").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), PNG);
    let images = images(&scene);
    assert_eq!(
        images.len(),
        1,
        "{:#?}",
        scene.world.model.requests().last().unwrap().items()
    );
    let url = images[0]["image_url"].as_str().unwrap();
    assert!(url.starts_with("data:image/png;base64,"), "{url}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_had_is_said_to_be_missing() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let gone = slack.file(mei, "gone.txt", "text/plain", b"soon gone");
    let large = slack.file(
        mei,
        "large.bin",
        "application/octet-stream",
        &vec![7; 51 << 20],
    );
    let send = |key: &str, file: &str| {
        slack
            .write(mei, ops)
            .text(&slack.mention(key))
            .file(file)
            .send()
    };
    send("too large", &large);
    scene.said("too large").await;
    let told = scene.told_once("too large");
    assert_eq!(attribute(&told, "path"), None, "{told}");
    let missing = attribute(&told, "missing").unwrap();
    assert!(missing.contains("50 MB"), "{missing}");

    let hold = scene
        .echo
        .hold("before it", crate::support::model::Point::MidStream);
    let root = slack.say(mei, ops, &slack.mention("before it"));
    hold.reached().await;
    slack
        .write(mei, ops)
        .in_thread(&root)
        .text("not there")
        .file(&gone)
        .send();
    slack.all_acknowledged().await;
    slack.lose_file(&gone);
    hold.release();
    scene.said("not there").await;
    let told = scene.told_once("not there");
    assert_eq!(attribute(&told, "path"), None, "{told}");
    assert!(
        attribute(&told, "missing")
            .unwrap()
            .contains("could not be fetched"),
        "{told}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_read_files_the_login_page_is_no_file() {
    let options = crate::support::slack::Options::default()
        .hasty()
        .without_scope("files:read");
    let scene = Setting::of("thread").options(options).start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let file = slack.file(mei, "notes.txt", "text/plain", b"some notes");
    slack
        .write(mei, ops)
        .text(&slack.mention("read this"))
        .file(&file)
        .send();
    scene.said("read this").await;
    let told = scene.told_once("read this");
    assert_eq!(attribute(&told, "path"), None, "{told}");
    let missing = attribute(&told, "missing").unwrap();
    assert!(missing.contains("files:read"), "{missing}");
    scene.finish().await;
}

/// Returns numbered paragraphs of about this many characters together.
fn paragraphs(length: usize) -> String {
    let mut text = String::new();
    let mut number = 0;
    while text.len() < length {
        number += 1;
        text.push_str(&format!(
            "Paragraph {number}. {}\n\n",
            "Some words. ".repeat(40).trim_end()
        ));
    }
    text.trim_end().to_owned()
}

/// Asks something, has the model answer with this text, and returns what people see of it: all
/// until `last`.
async fn answer(scene: &Scene, key: &str, text: &str, last: &str) -> Vec<Post> {
    scene.will_say(key, text);
    let root = scene
        .slack
        .say(&scene.mei, &scene.ops, &scene.slack.mention(key));
    scene.said(last).await;
    scene.slack.posts_in(&scene.ops, Some(&root))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_very_long_answer_arrives_complete_as_a_file_with_its_beginning_as_text() {
    let scene = Setting::of("thread").start().await;
    let text = paragraphs(200_000);
    scene.will_say("much", &text);
    let root = scene.slack.ask(&scene.mei, &scene.ops, "much").message;
    scene
        .slack
        .wait_for_post("a file", |it| !it.files.is_empty())
        .await;
    let posts = scene.slack.posts_in(&scene.ops, Some(&root));
    let mut files = posts.iter().flat_map(|it| &it.files);
    let (name, content) = files.next().expect("a file");
    assert_eq!(files.next(), None);
    assert!(name.ends_with(".md"), "{name}");
    assert_eq!(String::from_utf8_lossy(content), text);
    assert!(posts.len() <= 2, "{posts:#?}");
    assert!(
        posts[0].visible().contains("Paragraph 1."),
        "{:#?}",
        posts[0]
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_cut_between_blocks_and_comes_in_order() {
    let scene = Setting::of("thread").start().await;
    let text = paragraphs(30_000);
    let posts = answer(&scene, "more", &text, text.rsplit("\n\n").next().unwrap()).await;
    assert!(posts.len() > 2, "{} posts", posts.len());
    let parts: Vec<String> = posts.iter().map(Post::visible).collect();
    assert!(
        parts.iter().all(|it| it.starts_with("Paragraph ")),
        "{parts:#?}"
    );
    assert_eq!(parts.join("\n\n"), text);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_code_stay_what_they_are() {
    let scene = Setting::of("thread").start().await;
    let table = "| a | b |\n| --- | --- |\n| 1 | `x` |";
    let text = format!(
        "# Two tables\n\n{table}\n\nand\n\n{table}\n\n```rust\nfn main() {{ a < b && c > d; }}\n```\n\n- one\n  - two\n- [x] done"
    );
    let posts = answer(&scene, "shapes", &text, "[x] done").await;
    let all: Vec<String> = posts.iter().map(Post::visible).collect();
    let all = all.join("\n\n");
    for piece in [
        "```rust\nfn main() { a < b && c > d; }\n```",
        "- one\n  - two",
        "| 1 | `x` |",
    ] {
        assert!(all.contains(piece), "{piece:?} in {all}");
    }
    // Slack takes one table a message; the other is code, which keeps its columns.
    assert_eq!(all.matches("| a | b |").count(), 1, "{all}");
    assert!(all.contains("```\na | b\n--|--\n1 | x\n```"), "{all}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_alarms_nobody() {
    let scene = Setting::of("thread").start().await;
    let text = "Hello <!channel>, <!here> and <@U0000001>, see <#C1|x> and `<!everyone>`.";
    let posts = answer(&scene, "shout", text, "Hello").await;
    assert_eq!(posts.len(), 1);
    let sent = format!(
        "{} {}",
        posts[0].text,
        serde_json::to_string(&posts[0].blocks).unwrap()
    );
    for token in ["<!channel", "<!here", "<@U", "<#C1", "<!everyone"] {
        assert!(!sent.contains(token), "{token} in {sent}");
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slack_refuses_as_blocks_is_posted_as_text() {
    let scene = Setting::of("thread").start().await;
    scene.slack.fail_where(1, |call| {
        let has_blocks = call.method == "chat.postMessage";
        has_blocks.then_some(Fault::Error("invalid_blocks"))
    });
    let posts = answer(&scene, "plain", "**bold** & <plain>", "bold").await;
    assert_eq!(posts.len(), 1);
    assert!(posts[0].blocks.is_empty(), "{posts:#?}");
    assert_eq!(posts[0].text, "*bold* &amp; &lt;plain&gt;");
    scene.finish().await;
}
