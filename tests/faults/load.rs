//! Many lanes in one child, in bursts.

use super::*;

#[tokio::test]
async fn fifty_lanes_and_a_thousand_messages_in_bursts_keep_their_order() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let mut texts = Vec::new();
    for round in 0..20 {
        for lane in 0..50 {
            let text = format!("lane {lane} round {round} over");
            world.platform.write(&format!("chat{lane}"), &text);
            texts.push(text);
        }
    }
    world.platform.all_settled().await;
    let tally = world.platform.tally();
    tally.assert_exactly_once();
    assert_eq!(tally.answered, 1000);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_told_once(&world, &texts);
    world.finish().await;
}
