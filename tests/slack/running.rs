//! The channel alone, between the mock and an intake that the test looks at.

use std::sync::Arc;

use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{Channel as _, ChannelId, Event, Health, Intake, Language, Link, RunError};
use tieline_net::Net;
use tieline_slack::{Settings, SlackChannel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::model::within;
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, MockSlack, Options};

/// A running channel over a mock.
pub(super) struct Running {
    pub(super) slack: MockSlack,
    pub(super) channel: Arc<SlackChannel>,
    pub(super) intake: Arc<RecordingIntake>,
    pub(super) stop: CancellationToken,
    tasks: JoinSet<Result<(), RunError>>,
}

impl Running {
    pub(super) async fn start(options: Options) -> Self {
        let this = Self::begin(options).await;
        this.slack.wait_for_connections(1).await;
        this
    }

    /// Starts it, whether or not it comes up.
    pub(super) async fn begin(options: Options) -> Self {
        let slack = MockSlack::start(options).await;
        let settings = Settings {
            id: ChannelId::new("team"),
            app_token: APP_TOKEN.into(),
            bot_token: BOT_TOKEN.into(),
            api_url: slack.api_url().parse().unwrap(),
            reactions: true,
            thread_direct: false,
            language: Language::English,
        };
        let channel = Arc::new(SlackChannel::new(settings, Net::new().unwrap()));
        let intake = Arc::new(RecordingIntake::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let channel = Arc::clone(&channel);
            let intake: Arc<dyn Intake> = Arc::<RecordingIntake>::clone(&intake);
            let stop = stop.clone();
            async move { channel.run(intake, stop).await }
        });
        Self {
            slack,
            channel,
            intake,
            stop,
            tasks,
        }
    }

    pub(super) async fn becomes(&self, link: Link) -> Health {
        let mut health = self.channel.health();
        let reached = health.wait_for(|health| health.link == link);
        within("a change of health", reached).await.unwrap().clone()
    }

    pub(super) async fn took(&self, n: usize) -> Vec<Event> {
        within("events", self.intake.took(n)).await
    }

    pub(super) async fn finish(mut self) {
        self.slack.all_acknowledged().await;
        self.stop.cancel();
        let ended = within("the end", self.tasks.join_next()).await;
        assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
        self.slack
            .until("TCP to end", |slack| {
                (slack.tcp_connections() == 0).then_some(())
            })
            .await;
        self.slack.finish();
    }
}
