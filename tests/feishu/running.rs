//! The channel alone, between the mock and an intake that the test looks at.

use std::sync::Arc;

use tieline_channel::Language;
use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{Channel as _, ChannelId, Event, Health, Intake, Link, RunError};
use tieline_feishu::{FeishuChannel, Settings};
use tieline_net::Net;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::feishu::{APP_ID, APP_SECRET, MockFeishu, Options};
use crate::support::model::within;

/// A running channel over a mock.
pub(super) struct Running {
    pub(super) feishu: MockFeishu,
    pub(super) channel: Arc<FeishuChannel>,
    pub(super) intake: Arc<RecordingIntake>,
    pub(super) stop: CancellationToken,
    tasks: JoinSet<Result<(), RunError>>,
}

/// Makes a channel over a mock.
pub(super) fn channel(feishu: &MockFeishu) -> Arc<FeishuChannel> {
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

impl Running {
    pub(super) async fn start(options: Options) -> Self {
        let this = Self::begin(options).await;
        this.feishu.wait_for_connections(1).await;
        this
    }

    /// Starts it, whether or not it comes up.
    pub(super) async fn begin(options: Options) -> Self {
        Self::over(MockFeishu::start(options).await)
    }

    /// Starts it over a mock that the test has prepared.
    pub(super) fn over(feishu: MockFeishu) -> Self {
        let channel = channel(&feishu);
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
            feishu,
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
        self.feishu.all_acknowledged().await;
        self.stop.cancel();
        let ended = within("the end", self.tasks.join_next()).await;
        assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
        self.feishu
            .until("TCP to end", |feishu| {
                (feishu.tcp_connections() == 0).then_some(())
            })
            .await;
        self.feishu.finish();
    }
}
