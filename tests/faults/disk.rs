//! A full disk: nothing is acknowledged that is not kept, and it heals without a restart.

use super::*;

#[tokio::test]
async fn full_nothing_is_acknowledged_and_when_there_is_space_it_goes_on() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let warm = world.platform.write("a", "while there is space");
    world.platform.settled(&warm).await;

    let before = world.limit_files(Some(0));
    let id = world.platform.write("a", "into a full disk");
    world.platform.refused_to_record(&id).await;
    assert!(
        !world.platform.is_acked(&id),
        "acknowledged although it is not on disk"
    );

    world.limit_files(before);
    world.platform.acked(&id).await;
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: into a full disk"
    );
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["while there is space", "into a full disk"]);
    world.finish().await;
}
