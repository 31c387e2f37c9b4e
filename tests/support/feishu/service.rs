//! Feishu as one of several chat services.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::{ChannelId, ChatId, Conversation, Language, ThreadKey};
use tieline_feishu::{FeishuChannel, Settings};
use tieline_net::Net;

use super::super::daemon::Choices;
use super::super::mock::{Answer, Place};
use super::super::service::Service;
use super::{
    APP_ID, APP_SECRET, Args, Asked, EventId, MockFeishu, Options, State, content, observe,
};

impl Service for State {
    type Options = Options;
    type Channel = FeishuChannel;

    const SECRETS: &'static [&'static str] = &[APP_SECRET];
    const OPENS: &'static str = "endpoint";
    const NEEDED: &'static [&'static str] = &[
        "messages.create",
        Self::ANSWERS,
        Self::OPENS,
        "handshake",
        "token",
    ];
    const ANSWERS: &'static str = "messages.reply";
    const REFUSES: bool = true;
    const THREADS_DIRECT: bool = false;
    const ENDS: [&'static str; 2] = ["DONE", "CrossMark"];
    const REACTS: &'static str = "reactions.create";
    const TADA: &'static str = "PARTY";
    const EDITS: &'static str = "messages.patch";
    const NOT_PERMITTED: i64 = 99_991_672;
    const MARKED_SOON: usize = 200;

    async fn start(options: Options) -> MockFeishu {
        MockFeishu::start(options).await
    }

    fn channel(feishu: &MockFeishu) -> Arc<FeishuChannel> {
        let settings = Settings {
            id: ChannelId::new("team"),
            app_id: APP_ID.to_owned(),
            app_secret: APP_SECRET.into(),
            base_url: feishu.base_url().parse().unwrap(),
            reactions: true,
            language: Language::English,
        };
        Arc::new(FeishuChannel::new(settings, Net::new().unwrap()))
    }

    fn join(feishu: &MockFeishu, choices: Choices) -> Choices {
        choices.with_feishu(feishu, "")
    }

    fn person(feishu: &MockFeishu, name: &str) -> String {
        feishu.person(name)
    }

    fn group(feishu: &MockFeishu, name: &str) -> String {
        feishu.topic_group(name)
    }

    fn thread(feishu: &MockFeishu) -> Conversation {
        let mei = feishu.person("Mei");
        let ops = feishu.topic_group("ops");
        let root = feishu.write(&mei, &ops).text("root").unheard().send();
        Conversation {
            chat: ChatId::new(ops),
            thread: Some(ThreadKey::new(feishu.topic_of(&root))),
        }
    }

    fn ask(feishu: &MockFeishu, person: &str, group: &str, marker: &str) -> Asked {
        feishu.ask(person, group, marker)
    }

    fn ask_below(
        feishu: &MockFeishu,
        person: &str,
        group: &str,
        root: &str,
        marker: &str,
    ) -> Asked {
        feishu.ask_below(person, group, root, marker)
    }

    fn ask_directly(feishu: &MockFeishu, person: &str, marker: &str) -> Asked {
        feishu.ask_directly(person, marker)
    }

    fn about(asked: &Asked) -> String {
        asked.message.clone()
    }

    fn press(feishu: &MockFeishu, person: &str, _: &str, message: &str, label: &str) -> EventId {
        feishu.press(person, message, label)
    }

    fn repeat(feishu: &MockFeishu, event: &EventId) {
        feishu.redeliver(event);
        feishu.duplicate(event);
    }

    fn answers(&self) -> BTreeMap<Place<'_>, Vec<Answer<'_>>> {
        let mut places: BTreeMap<Place<'_>, Vec<Answer<'_>>> = BTreeMap::new();
        for message in observe::own(self) {
            let content = serde_json::from_str(&message.content).unwrap_or_default();
            let answer = Answer {
                message: &message.id,
                text: content::visible(&message.kind, &content),
            };
            let place = (message.chat.as_str(), message.thread_id.as_deref());
            places.entry(place).or_default().push(answer);
        }
        places
    }

    fn count_posts(&self) -> usize {
        observe::own(self).count()
    }

    fn between(&self, earlier: &str, later: &str) -> Duration {
        let at = |message: &str| self.messages[message].at_ms;
        Duration::from_millis(at(later).saturating_sub(at(earlier)))
    }

    fn emoji(args: &Args) -> Option<&str> {
        args.get("reaction_type")?["emoji_type"].as_str()
    }

    fn reactions(&self, asked: &Asked) -> Vec<String> {
        observe::reactions(self, &asked.message)
    }

    /// Nothing but reactions.
    fn has_buttons(&self, _chat: &str, message: &str) -> bool {
        self.messages[message]
            .content
            .contains("\"tag\":\"button\"")
    }

    fn at_work(&self) -> usize {
        0
    }
}
