//! What people order in a chat, read as they read it.

use crate::support::crowd::{Crowd, Sessions};
use crate::support::mock::Asked;
use crate::support::model::Point;
use crate::support::service::Service;

/// Everything that is said in one chat: commands in English and Chinese, and work between them.
const SAID: [&str; 26] = [
    "/status",
    "threads",
    "stop",
    "model",
    "remember the milk",
    "where",
    "new",
    "remember the bread",
    "threads",
    "resume 1",
    "resume 9",
    "what was it",
    "fork",
    "compact",
    "会话列表",
    "状态",
    "新会话",
    "停止全部",
    "模型",
    "model o9-mini",
    "teammates",
    "/new thing",
    "/typo",
    "/etc/hosts",
    "help",
    "帮助",
];

/// A chat of commands.
struct Chat<S: Service> {
    crowd: Crowd<S>,
    person: String,
}

impl<S: Service> Chat<S> {
    async fn start(options: S::Options, sessions: Sessions) -> Self {
        let crowd = Crowd::<S>::start_with(options, sessions).await;
        let person = S::person(&crowd.service, "Lin");
        Self { crowd, person }
    }

    fn write(&self, text: &str) -> Asked {
        S::ask_directly(&self.crowd.service, &self.person, text)
    }

    /// Returns everything that the bot said where something was asked.
    fn said(&self, asked: &Asked) -> Vec<String> {
        self.crowd.service.shared.look(|state| said(state, asked))
    }

    /// Waits until the bot has said so much there.
    async fn until_said(&self, asked: &Asked, n: usize) -> Vec<String> {
        let is_said = |state: &S| Some(said(state, asked)).filter(|it| it.len() >= n);
        let what = format!("{n} posts");
        self.crowd.service.wait_for(&what, is_said).await
    }

    async fn finish(self) {
        self.crowd.world.at_rest().await;
        self.crowd.world.assert_keeps(S::SECRETS);
        self.crowd.world.finish().await;
        self.crowd.service.finish();
    }
}

fn said<S: Service>(state: &S, asked: &Asked) -> Vec<String> {
    let places = state.answers();
    let here = places.get(&asked.place());
    here.map(|it| it.iter().map(|answer| answer.text.clone()).collect())
        .unwrap_or_default()
}

/// Makes a text the same in every run: times in seconds are not.
pub(crate) fn steady(text: &str) -> String {
    let mut steady = String::new();
    let mut rest = text;
    let next = |text: &str| {
        [" s ago", " s,", " 秒"]
            .iter()
            .filter_map(|it| text.find(it))
            .min()
    };
    while let Some(at) = next(rest) {
        let (before, after) = rest.split_at(at);
        steady += before.trim_end_matches(|c: char| c.is_ascii_digit());
        steady += "1 ";
        rest = after.trim_start();
    }
    steady + rest
}

/// Says every command once. Returns what was said, and what was answered to it.
pub(crate) async fn every_command_is_answered<S: Service>(options: S::Options) -> String {
    let chat = Chat::<S>::start(options, Sessions::Chat).await;
    let mut told = Vec::new();
    for (number, text) in SAID.into_iter().enumerate() {
        let asked = chat.write(text);
        let answers = chat.until_said(&asked, number + 1).await;
        told.push(format!("> {text}\n{}", steady(&answers[number])));
    }
    let asked = chat.write("the last word");
    let answers = chat.until_said(&asked, SAID.len() + 1).await;
    assert_eq!(answers.len(), SAID.len() + 1, "{answers:#?}");
    chat.finish().await;
    told.join("\n\n")
}

/// The daemon is killed between orders and what they do.
pub(crate) async fn orders_are_carried_out_once_although_the_daemon_is_killed<S: Service>(
    options: S::Options,
) {
    let mut chat = Chat::<S>::start(options, Sessions::Chat).await;
    let first = chat.write("remember the milk");
    chat.until_said(&first, 1).await;
    let hold = chat.crowd.script.hold("the long one", Point::MidStream);
    chat.write("the long one");
    hold.reached().await;
    for (number, text) in ["fork", "new", "resume 1"].into_iter().enumerate() {
        chat.write(text);
        let answers = chat.until_said(&first, number + 2).await;
        assert!(answers[number + 1].contains("As soon as"), "{answers:#?}");
    }
    chat.crowd.kill_daemon().await;
    chat.crowd.world.start();
    hold.release();
    let is_done = |texts: &[String]| {
        texts
            .last()
            .is_some_and(|it| it.contains("Back in thread 1"))
    };
    let what = "the last order to be carried out";
    let done = |state: &S| Some(said(state, &first)).filter(|it| is_done(it));
    chat.crowd.service.wait_for(what, done).await;
    let last = chat.write("what was it");
    let echo = |state: &S| {
        let texts = said(state, &last);
        texts.last()?.contains("what was it").then_some(())
    };
    chat.crowd.service.wait_for("the last answer", echo).await;
    let texts = chat.said(&first);
    for sign in ["🔀", "🆕", "↩️", "the long one"] {
        let times = texts.iter().filter(|it| it.contains(sign)).count();
        assert_eq!(times, 1, "{sign}: {texts:#?}");
    }
    let request = chat.crowd.world.model.requests().pop().unwrap();
    assert!(request.user_texts().join("\n").contains("milk"));
    chat.finish().await;
}

/// Somebody stops what runs for them in a lane that all chats share; others cannot, nor see its threads.
pub(crate) async fn what_is_shared_is_stopped_by_those_it_is_for<S: Service>(options: S::Options) {
    let chat = Chat::<S>::start(options, Sessions::Shared).await;
    let hold = chat.crowd.script.hold("a secret task", Point::MidStream);
    let secret = chat.write("a secret task");
    hold.reached().await;
    let stranger = S::person(&chat.crowd.service, "Somebody");
    let ask = |text: &str| S::ask_directly(&chat.crowd.service, &stranger, text);
    for (n, text, expected) in [
        (1, "stop", "for another chat"),
        (2, "threads", "begun in another chat"),
        (3, "new", "`approvers`"),
        (4, "status", "for another conversation"),
        (5, "where", "Nothing of this conversation"),
    ] {
        let asked = ask(text);
        let answers = chat.until_said(&asked, n).await;
        let answer = answers[n - 1].as_str();
        assert!(answer.contains(expected.trim_matches('`')), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
    chat.write("stop");
    let answers = chat.until_said(&secret, 2).await;
    assert!(
        answers.iter().any(|it| it.contains("Stopping it")),
        "{answers:#?}"
    );
    assert!(
        answers.iter().any(|it| it.contains("Stopped.")),
        "{answers:#?}"
    );
    chat.finish().await;
}
