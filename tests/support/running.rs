//! A channel alone, between its mock and an intake that the test looks at.

use std::sync::Arc;

use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{Channel as _, Event, Happening, Health, Intake, Link, RunError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mock::Mock;
use super::model::within;
use super::service::Service;

/// A running channel over a mock.
pub(crate) struct Running<S: Service> {
    pub(crate) service: Mock<S>,
    pub(crate) channel: Arc<S::Channel>,
    pub(crate) intake: Arc<RecordingIntake>,
    pub(crate) stop: CancellationToken,
    tasks: JoinSet<Result<(), RunError>>,
}

impl<S: Service> Running<S> {
    pub(crate) async fn start(options: S::Options) -> Self {
        let this = Self::over(S::start(options).await);
        this.service.wait_for_connections(1).await;
        this
    }

    /// Starts it over a mock that the test has prepared, whether or not it comes up.
    pub(crate) fn over(service: Mock<S>) -> Self {
        let channel = S::channel(&service);
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
            service,
            channel,
            intake,
            stop,
            tasks,
        }
    }

    pub(crate) async fn becomes(&self, link: Link) -> Health {
        let mut health = self.channel.health();
        let reached = health.wait_for(|health| health.link == link);
        within("a change of health", reached).await.unwrap().clone()
    }

    pub(crate) async fn took(&self, n: usize) -> Vec<Event> {
        within("events", self.intake.took(n)).await
    }

    pub(crate) async fn finish(mut self) {
        self.service.all_acknowledged().await;
        self.stop.cancel();
        let ended = within("the end", self.tasks.join_next()).await;
        assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
        self.service
            .until("TCP to end", |service| {
                (service.tcp_connections() == 0).then_some(())
            })
            .await;
        self.service.finish();
    }
}

/// Returns what messages say.
pub(crate) fn texts(events: &[Event]) -> Vec<String> {
    let texts = events.iter().map(|event| match &event.happening {
        Happening::Message(message) => message.plain_text(),
        other => panic!("not a message: {other:?}"),
    });
    texts.collect()
}
