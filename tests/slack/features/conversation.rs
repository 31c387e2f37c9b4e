//! Which messages share a conversation, and where answers go.

use super::scene::Setting;
use crate::support::slack::ChannelKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_goes_on_without_mention_and_another_is_another_conversation() {
    let mut scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);

    let first = slack.ask(mei, ops, "apples");
    let second = slack.ask(mei, ops, "bananas");
    slack.all_answered(&[first.clone(), second.clone()]).await;
    let below = slack.ask_below(mei, ops, &first.message, "cherries");
    slack.all_answered(std::slice::from_ref(&below)).await;
    // Nobody spoke to the bot here.
    let aside = slack.say(mei, ops, "dates");
    slack.reply(mei, ops, &aside, "elderberries");
    slack.all_acknowledged().await;

    scene.world.kill_daemon().await;
    scene.start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let later = slack.ask_below(mei, ops, &first.message, "figs");
    slack.all_answered(std::slice::from_ref(&later)).await;
    slack
        .tally(&[first, second, below, later])
        .assert_exactly_once();

    assert_eq!(scene.lane_of("apples"), scene.lane_of("cherries"));
    assert_eq!(scene.lane_of("apples"), scene.lane_of("figs"));
    assert_ne!(scene.lane_of("apples"), scene.lane_of("bananas"));
    assert_eq!(scene.told("dates"), Vec::<String>::new());
    assert_eq!(scene.told("elderberries"), Vec::<String>::new());
    // What the bot has been told already does not come along again.
    assert_eq!(scene.told("<earlier"), Vec::<String>::new());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_and_everything_can_share_a_conversation() {
    for (sessions, is_shared) in [("chat", false), ("shared", true)] {
        let scene = Setting::of(sessions).start().await;
        let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
        let dev = slack.public("dev");
        let asked = [
            slack.ask(mei, ops, "apples"),
            slack.ask(mei, ops, "bananas"),
            slack.ask(mei, &dev, "cherries"),
            slack.ask_directly(mei, "dates"),
        ];
        slack.all_answered(&asked).await;
        slack.tally(&asked).assert_exactly_once();
        assert_eq!(scene.lane_of("apples"), scene.lane_of("bananas"));
        let lanes = ["apples", "cherries", "dates"].map(|it| scene.lane_of(it));
        let is_one = lanes.iter().all(|lane| *lane == lanes[0]);
        assert_eq!(is_one, is_shared, "{sessions}: {lanes:?}");
        scene.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_are_answered_where_they_were_written() {
    let scene = Setting::of("chat").start().await;
    let (slack, mei) = (&scene.slack, &scene.mei);
    let direct = slack.direct(mei);
    let top = slack.ask_directly(mei, "apples");
    slack.all_answered(std::slice::from_ref(&top)).await;
    let again = slack.ask_directly(mei, "bananas");
    slack.all_answered(&[top.clone(), again.clone()]).await;
    let below = slack.ask_below(mei, &direct, &top.message, "cherries");
    let asked = [top, again, below];
    slack.all_answered(&asked).await;
    slack.tally(&asked).assert_exactly_once();
    assert_eq!(scene.lane_of("apples"), scene.lane_of("cherries"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_conversation_per_thread_each_direct_message_opens_one() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei) = (&scene.slack, &scene.mei);
    let direct = slack.direct(mei);
    let first = slack.say(mei, &direct, "apples");
    let second = slack.say(mei, &direct, "bananas");
    let answer = scene.said("echo: apples").await;
    assert_eq!(answer.thread_ts.as_deref(), Some(first.as_str()));
    let answer = scene.said("echo: bananas").await;
    assert_eq!(answer.thread_ts.as_deref(), Some(second.as_str()));
    slack.reply(mei, &direct, &first, "cherries");
    let answer = scene.said("echo: cherries").await;
    assert_eq!(answer.thread_ts.as_deref(), Some(first.as_str()));
    assert_eq!(scene.lane_of("apples"), scene.lane_of("cherries"));
    assert_ne!(scene.lane_of("apples"), scene.lane_of("bananas"));
    assert_eq!(scene.told("<earlier"), Vec::<String>::new());
    assert_eq!(slack.count_posts(), 3);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_thread_the_earlier_messages_come_along_once_and_bounded() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let kim = slack.person("Kim");
    let root = slack.say(mei, ops, "the site is down &lt;again&gt;");
    for number in 10..50 {
        slack.reply(&kim, ops, &root, &format!("remark {number}"));
    }
    slack.reply(mei, ops, &root, &slack.mention("what now?"));
    scene.said("@coding-agent what now?").await;
    slack.reply(mei, ops, &root, &slack.mention("and then?"));
    scene.said("echo: @coding-agent and then?").await;

    let told = scene.told_once("what now?");
    let earlier: Vec<&str> = told
        .lines()
        .filter(|it| it.starts_with("<earlier"))
        .collect();
    assert_eq!(earlier.len(), 21, "{told}");
    assert!(earlier[0].contains("sender_name=\"Mei\""), "{told}");
    assert!(
        earlier[0].ends_with(">the site is down &lt;again&gt;</earlier>"),
        "{told}"
    );
    assert!(earlier[1].contains("omitted=\"21\""), "{told}");
    assert!(earlier[2].contains("sender_name=\"Kim\""), "{told}");
    assert!(earlier[2].ends_with(">remark 31</earlier>"), "{told}");
    assert!(earlier[20].ends_with(">remark 49</earlier>"), "{told}");
    // Not again.
    assert_eq!(scene.told("remark 49").len(), 1);
    assert!(!scene.told_once("and then?").contains("<earlier"));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_chats_and_private_channels_are_like_channels() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei) = (&scene.slack, &scene.mei);
    let kim = slack.person("Kim");
    for (kind, name) in [(ChannelKind::Group, "trio"), (ChannelKind::Private, "den")] {
        let chat = slack.channel(kind, name, &[mei, &kim]);
        slack.say(&kim, &chat, &format!("{name}: not for the bot"));
        let asked = slack.ask(mei, &chat, &format!("{name}: hello"));
        slack.all_answered(std::slice::from_ref(&asked)).await;
        let below = slack.ask_below(&kim, &chat, &asked.message, &format!("{name}: and on"));
        slack.all_answered(std::slice::from_ref(&below)).await;
        slack.tally(&[asked, below]).assert_exactly_once();
    }
    assert_eq!(scene.told("not for the bot"), Vec::<String>::new());
    scene.finish().await;
}
