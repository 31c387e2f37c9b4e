//! Results and the people on a chat service who hear of them.

use super::*;
use crate::support::crowd::Crowd;
use crate::support::feishu::Feishu;
use crate::support::mock::Asked;
use crate::support::service::Service;
use crate::support::slack::Slack;

/// Of several threads, the one whose lane is named hears of a result, there and once.
async fn a_result_is_heard_of_in_its_thread<S: Service<Options: Default>>() {
    let mut crowd = Crowd::<S>::start(S::Options::default()).await;
    crowd.open_all(3, 1);
    crowd.answered().await;
    let status = crowd.world.status().await;
    let mut results = Vec::new();
    for (number, asked) in crowd.asked.iter().enumerate() {
        let id = format!("result-{number}");
        // The name of a lane ends with that of its conversation.
        let end = asked.thread.as_deref().unwrap_or(&asked.chat);
        let mut lanes = status.dispatchers[0].lanes.iter();
        let lane = lanes.find(|lane| lane.id.as_str().ends_with(end)).unwrap();
        let named = CompletionReport {
            lane: Some(lane.id.clone()),
            ..report(&id)
        };
        tell(&crowd.world, &named).await;
        results.push(Asked {
            marker: format!("heard of: {id}"),
            ..asked.clone()
        });
    }
    crowd.service.all_answered(&results).await;
    crowd.world.at_rest().await;
    crowd.service.tally(&results).assert_exactly_once();
    let ids = (0..results.len()).map(|number| format!("result-{number}"));
    assert_told_once(&crowd.world, ids);
    crowd.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_hears_of_a_result_in_its_thread() {
    a_result_is_heard_of_in_its_thread::<Slack>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feishu_hears_of_a_result_in_its_topic() {
    a_result_is_heard_of_in_its_thread::<Feishu>().await;
}
