//! How strangers are let in.

use super::scene::{Scene, Setting};

fn code_in(text: &str) -> String {
    let (_, rest) = text.split_once("`pair ").expect("a code");
    rest.split_once('`').expect("a code").0.to_owned()
}

async fn ask_for_a_code(scene: &Scene, who: &str, text: &str) -> String {
    let direct = scene.slack.direct(who);
    scene.slack.say(who, &direct, text);
    let invitation = scene
        .slack
        .wait_for_post("an invitation", |it| {
            it.channel == direct && it.visible().contains("I do not know you yet")
        })
        .await;
    code_in(&invitation.visible())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_let_in_by_the_operator_and_put_out_again() {
    let scene = Setting::of("chat").access("").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let direct = slack.direct(mei);
    // Not a word in channels.
    let in_ops = slack.say(mei, ops, &slack.mention("anybody here?"));
    let code = ask_for_a_code(&scene, mei, "hello").await;
    let first = slack.posts();
    assert_eq!(first.len(), 1, "{first:#?}");

    let listed = scene.tieline(&["pair"]).await.stdout;
    assert!(listed.contains(&code) && listed.contains("Mei"), "{listed}");
    let paired = scene.tieline(&["pair", &code.to_lowercase()]).await;
    assert_eq!(paired.code, Some(0), "{}", paired.stderr);
    scene.said("You are in").await;
    let asked = slack.ask_directly(mei, "apples");
    slack.all_answered(&[asked]).await;
    assert_eq!(scene.told("hello"), Vec::<String>::new());
    // A code is good once.
    let again = scene.tieline(&["pair", &code]).await;
    assert_eq!(again.code, Some(1), "{}", again.stderr);

    let revoked = scene
        .tieline(&["pair", "--revoke", &format!("team:{mei}")])
        .await;
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    slack.say(mei, &direct, "and now?");
    slack
        .until("another invitation", |slack| {
            let posts = slack.posts_in(&direct, None);
            let invitations = posts
                .iter()
                .filter(|it| it.visible().contains("I do not know you"));
            (invitations.count() == 2).then_some(())
        })
        .await;
    assert_eq!(scene.told("and now?"), Vec::<String>::new());
    assert_eq!(slack.reactions(ops, &in_ops), Vec::<String>::new());
    assert!(slack.posts().iter().all(|it| it.channel == direct));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_lets_a_stranger_in_by_a_message_and_others_cannot() {
    let mut admin = String::new();
    let mut scene = Setting::of("chat")
        .access("")
        .set_with(|slack| {
            admin = slack.person("Ada");
            format!("admins = [\"team:{admin}\"]")
        })
        .await;
    scene.start().await;
    let (slack, mei) = (&scene.slack, &scene.mei);
    let code = ask_for_a_code(&scene, mei, "hello").await;
    // The stranger cannot do it.
    slack.say(mei, &slack.direct(mei), &format!("pair {code}"));
    slack.all_acknowledged().await;
    let desk = slack.direct(&admin);
    slack.say(&admin, &desk, "pair ABCD-2345");
    scene.said("Nobody was given this code").await;
    slack.say(&admin, &desk, &format!("pair {code}"));
    let let_in = scene.said("Mei is in").await;
    assert_eq!(let_in.channel, desk);
    scene.said("You are in").await;
    let asked = slack.ask_directly(mei, "apples");
    slack.all_answered(&[asked]).await;
    assert_eq!(scene.told("pair "), Vec::<String>::new());
    scene.finish().await;
}
