//! Slack as one of several chat services.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::{ChannelId, ChatId, Conversation, Language, ThreadKey};
use tieline_net::Net;
use tieline_slack::{Settings, SlackChannel};

use super::super::daemon::Choices;
use super::super::mock::{Answer, Place};
use super::super::service::Service;
use super::api::Args;
use super::delivery::name_of;
use super::{APP_TOKEN, Asked, BOT_TOKEN, EventId, MockSlack, Options, State, limits, observe};

impl Service for State {
    type Options = Options;
    type Channel = SlackChannel;

    const SECRETS: &'static [&'static str] = &[APP_TOKEN, BOT_TOKEN];
    const OPENS: &'static str = "apps.connections.open";
    const NEEDED: &'static [&'static str] = &["chat.postMessage", Self::OPENS];
    const ANSWERS: &'static str = "chat.postMessage";
    const REFUSES: bool = false;
    const THREADS_DIRECT: bool = true;
    const ENDS: [&'static str; 2] = ["white_check_mark", "x"];
    const REACTS: &'static str = "reactions.add";
    const TADA: &'static str = "tada";
    const EDITS: &'static str = "chat.update";
    const NOT_PERMITTED: &'static str = "missing_scope";
    const MARKED_SOON: usize = 5;

    async fn start(options: Options) -> MockSlack {
        MockSlack::start(options).await
    }

    fn channel(slack: &MockSlack) -> Arc<SlackChannel> {
        let settings = Settings {
            id: ChannelId::new("team"),
            app_token: APP_TOKEN.into(),
            bot_token: BOT_TOKEN.into(),
            api_url: slack.api_url().parse().unwrap(),
            reactions: true,
            thread_direct: false,
            language: Language::English,
        };
        Arc::new(SlackChannel::new(settings, Net::new().unwrap()))
    }

    fn join(slack: &MockSlack, choices: Choices) -> Choices {
        choices.with_slack(slack, "")
    }

    fn person(slack: &MockSlack, name: &str) -> String {
        slack.person(name)
    }

    fn group(slack: &MockSlack, name: &str) -> String {
        slack.public(name)
    }

    fn thread(slack: &MockSlack) -> Conversation {
        let mei = slack.person("Mei");
        let ops = slack.public("ops");
        let root = slack.write(&mei, &ops).text("root").unheard().send();
        Conversation {
            chat: ChatId::new(ops),
            thread: Some(ThreadKey::new(root)),
        }
    }

    fn ask(slack: &MockSlack, person: &str, group: &str, marker: &str) -> Asked {
        slack.ask(person, group, marker)
    }

    fn ask_below(slack: &MockSlack, person: &str, group: &str, root: &str, marker: &str) -> Asked {
        slack.ask_below(person, group, root, marker)
    }

    fn ask_directly(slack: &MockSlack, person: &str, marker: &str) -> Asked {
        slack.ask_directly(person, marker)
    }

    fn about(asked: &Asked) -> String {
        name_of(&asked.chat, &asked.message)
    }

    fn press(slack: &MockSlack, person: &str, chat: &str, message: &str, label: &str) -> EventId {
        slack.press(person, chat, message, label)
    }

    fn repeat(slack: &MockSlack, event: &EventId) {
        if slack.deliveries(event) > 0 {
            slack.repeat_envelope(event);
        }
        slack.redeliver(event);
    }

    fn answers(&self) -> BTreeMap<Place<'_>, Vec<Answer<'_>>> {
        let mut places: BTreeMap<Place<'_>, Vec<Answer<'_>>> = BTreeMap::new();
        for (channel, message) in observe::own(self) {
            let text = match limits::visible(&message.blocks) {
                visible if visible.is_empty() => message.text.clone(),
                visible => visible,
            };
            let answer = Answer {
                message: &message.ts,
                text,
            };
            let place = (channel, message.thread_ts.as_deref());
            places.entry(place).or_default().push(answer);
        }
        places
    }

    fn count_posts(&self) -> usize {
        observe::own(self).count()
    }

    fn between(&self, earlier: &str, later: &str) -> Duration {
        let micros = |ts: &str| -> u64 { ts.replace('.', "").parse().expect("a ts") };
        Duration::from_micros(micros(later).saturating_sub(micros(earlier)))
    }

    fn emoji(args: &Args) -> Option<&str> {
        args.text("name")
    }

    fn reactions(&self, asked: &Asked) -> Vec<String> {
        observe::reactions(self, &asked.chat, &asked.message)
    }

    fn has_buttons(&self, chat: &str, message: &str) -> bool {
        let message = &self.channels[chat].messages[message];
        let mut blocks = message.blocks.iter();
        blocks.any(|block| block["type"] == "actions")
    }

    fn at_work(&self) -> usize {
        observe::statuses(self).count()
    }
}
