//! A channel under the real limits of its service, and under limits that come out of nowhere.

use std::time::{Duration, SystemTime};

use tieline_channel::{Channel as _, Conversation, Post, PostKey, PostKind, SendError};

use crate::support::mock::Fault;
use crate::support::running::Running;
use crate::support::service::Service;

/// Posts so many answers to a new thread, one after the other; each is there once, in order.
pub(crate) async fn deliver_all<S: Service>(running: &Running<S>, n: usize) {
    let to = S::thread(&running.service);
    let posts: Vec<_> = (0..n).map(|number| post(number, &to)).collect();
    for post in &posts {
        deliver(running, post).await;
    }
    let thread = to.thread.as_ref().map(|it| it.as_str());
    running.service.shared.look(|state| {
        let places = state.answers();
        let seen = places[&(to.chat.as_str(), thread)].iter();
        let seen: Vec<_> = seen.map(|answer| &answer.text).collect();
        let expected: Vec<_> = posts.iter().map(|post| &post.text).collect();
        assert_eq!(seen, expected);
    });
}

pub(crate) async fn a_storm_of_failures_ends_with_each_post_there_once<S: Service>(
    options: S::Options,
    refusals: &[S::Error],
) {
    let running = Running::<S>::start(options).await;
    let mut faults = vec![
        Fault::RateLimited(1),
        Fault::AnswerLost,
        Fault::Broken(503),
        Fault::DoneButBroken(502),
        Fault::Dropped,
        Fault::RateLimited(1),
    ];
    faults.extend(refusals.iter().cloned().map(Fault::Error));
    let n = faults.len();
    let mut next = faults.into_iter();
    running.service.fail_where(n, move |call| {
        (call.method == S::ANSWERS).then(|| next.next()).flatten()
    });
    deliver_all(&running, 4).await;
    running.finish().await;
}

pub(crate) fn post(number: usize, to: &Conversation) -> Post {
    Post {
        key: PostKey::new(format!("pace-{number}")),
        to: to.clone(),
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Answer,
        text: format!("answer {number}"),
        buttons: Vec::new(),
        file: None,
    }
}

/// Posts as an outbox does: it waits when it is told to, and looks, where it can, before it repeats
/// what is unclear.
pub(crate) async fn deliver<S: Service>(running: &Running<S>, post: &Post) {
    loop {
        match running.channel.post(post).await {
            Ok(_) => return,
            Err(SendError::Again { after, .. }) => {
                tokio::time::sleep(after.unwrap_or(Duration::from_secs(1))).await;
            }
            Err(SendError::Unclear { .. }) => {
                let since = SystemTime::now() - Duration::from_secs(60);
                if let Ok(Some(_)) = running.channel.find(post, since).await {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}
