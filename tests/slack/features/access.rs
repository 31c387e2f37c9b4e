//! Those who may not.

use super::scene::Setting;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_may_not_see_nothing_and_the_operator_sees_them() {
    let mut friend = String::new();
    let mut scene = Setting::of("thread")
        .access("direct = \"listed\"\ngroups = \"listed\"")
        .set_with(|slack| {
            friend = slack.person("Friend");
            format!("users = [\"team:{friend}\"]")
        })
        .await;
    scene.start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let direct = slack.direct(mei);
    let written = [
        (direct.clone(), slack.say(mei, &direct, "let me in")),
        (
            ops.clone(),
            slack.say(mei, ops, &slack.mention("let me in")),
        ),
    ];
    slack.command(mei, ops, "/agent", "let me in");
    slack.all_acknowledged().await;
    let end = slack.ask_directly(&friend, "the end");
    let at = scene.said("the end").await;
    assert_eq!(at.channel, end.chat);
    assert_eq!(slack.count_posts(), 1);
    for (channel, ts) in written {
        assert_eq!(slack.reactions(&channel, &ts), Vec::<String>::new());
    }
    assert_eq!(scene.told("let me in"), Vec::<String>::new());
    let messages = scene.tieline(&["messages"]).await.stdout;
    let refused = messages.lines().filter(|it| it.contains("refused")).count();
    assert_eq!(refused, 3, "{messages}");
    assert!(!messages.contains("let me in"), "{messages}");
    scene.finish().await;
}
