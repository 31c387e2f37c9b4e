//! Programs and people from outside.

use super::scene::Setting;
use crate::support::slack::ChannelKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bots_are_heard_only_when_listed_and_mentioning_and_not_for_ever() {
    let mut bots = Vec::new();
    let mut scene = Setting::of("thread")
        .set_with(|slack| {
            bots = vec![slack.other_bot("ci"), slack.other_bot("spam")];
            format!("bots = [\"team:{}\"]", bots[0])
        })
        .await;
    scene.start().await;
    let (slack, ops) = (&scene.slack, &scene.ops);
    let [ci, spam] = bots.try_into().unwrap();
    slack.say(&spam, ops, &slack.mention("buy apples"));
    slack.say(&ci, ops, "build 1 failed");
    let build = slack.ask(&ci, ops, "build 2 failed");
    slack.all_answered(std::slice::from_ref(&build)).await;
    // The thread goes on without mention for people, not for programs.
    slack.reply(&ci, ops, &build.message, "build 3 failed");
    for number in 4..12 {
        let text = slack.mention(&format!("build {number} failed"));
        slack.reply(&ci, ops, &build.message, &text);
    }
    slack.all_acknowledged().await;
    let end = slack.ask_below(&scene.mei, ops, &build.message, "the end");
    slack.all_answered(&[end]).await;

    let heard: Vec<usize> = (1..12)
        .filter(|it| !scene.told(&format!("build {it} failed")).is_empty())
        .collect();
    assert_eq!(heard, [2, 4, 5, 6, 7]);
    assert_eq!(scene.told("buy apples"), Vec::<String>::new());
    // The bot heard its own posts, too, as every message of a channel.
    let posts = slack.posts();
    assert!(
        posts
            .iter()
            .all(|it| it.thread_ts.as_deref() == Some(&*build.message)),
        "{posts:#?}"
    );
    assert_eq!(scene.told("echo:"), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_another_organisation_are_refused_in_silence() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei) = (&scene.slack, &scene.mei);
    let eve = slack.outsider("Eve");
    let shared = slack.channel(ChannelKind::Private, "shared", &[mei]);
    slack.share_channel(&shared);
    let asked = slack.say(&eve, &shared, &slack.mention("secrets, please"));
    slack.all_acknowledged().await;
    let end = slack.ask(mei, &shared, "the end");
    slack.all_answered(&[end]).await;
    assert_eq!(slack.count_posts(), 1);
    assert_eq!(slack.reactions(&shared, &asked), Vec::<String>::new());
    assert_eq!(scene.told("secrets"), Vec::<String>::new());
    let messages = scene.tieline(&["messages"]).await;
    assert!(
        messages
            .stdout
            .contains("it comes from another organisation"),
        "{}",
        messages.stdout
    );
    scene.finish().await;
}
