//! Requests that end before their time: the origin breaks off, or the client leaves.

use crate::world::{Ending, Rig, Script, get, memory_and_disk, memory_only, read};
use std::{sync::atomic::Ordering, time::Duration};
use tiergate_driver::Answer;
use tiergate_engine::{
    AbortReason, End, Event, FetchEnd, FetchEvent, OnAbandon, OriginFailure, RawConfig, RawFill, Refusal,
    RequestEvent, ResidenceEvent,
};
use tokio::task::JoinSet;

fn cancelling(raw: RawConfig) -> RawConfig {
    RawConfig { fill: RawFill { on_abandon: OnAbandon::Cancel, ..raw.fill }, ..raw }
}

/// Thirty clients read a body that breaks off: each sees it broken, again and again, and no tier keeps any of
/// it.
async fn check_broken(ending: Ending, failure: OriginFailure) {
    let rig = Rig::new(memory_and_disk()).await;
    let script = Script::chunks(4, 1000).field("content-length", "8000").ending(ending);
    rig.script("/torn", &script);
    let mut clients = JoinSet::new();
    for _ in 0..30 {
        let driver = rig.driver.clone();
        clients.spawn(async move {
            match get(&driver, "/torn").await {
                Answer::Serve(mut served) => [read(&mut served.body).await, read(&mut served.body).await],
                Answer::Pass(bypass) => panic!("passed: {bypass:?}"),
                Answer::Refuse(refusal) => panic!("refused: {refusal:?}"),
            }
        });
    }
    for ends in clients.join_all().await {
        let broken = Err(AbortReason::Origin(failure));
        assert_eq!(ends, [broken.clone(), broken]);
    }
    rig.settle().await;
    assert!(!rig.is_in_l0("/torn"));
    assert_eq!(rig.tier.stored(), []);
    assert_eq!(rig.events.count(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { .. }))), 0);
}

/// The connection to the origin breaks.
#[tokio::test(start_paused = true)]
async fn a_broken_origin_breaks_every_body() {
    check_broken(Ending::Fails(OriginFailure::Broken), OriginFailure::Broken).await;
}

/// The task that reads from the origin dies (failures T3, T6).
#[tokio::test(start_paused = true)]
async fn a_fetch_that_dies_is_no_end() {
    check_broken(Ending::Panics, OriginFailure::Abandoned).await;
}

/// The origin ends early and calls it an end.
#[tokio::test(start_paused = true)]
async fn a_short_body_is_no_end() {
    check_broken(Ending::Complete, OriginFailure::TooShort).await;
}

/// Without a head from the origin the client is refused.
#[tokio::test(start_paused = true)]
async fn an_unreachable_origin_refuses() {
    let rig = Rig::new(memory_only()).await;
    match get(&rig.driver, "/nowhere").await {
        Answer::Refuse(why) => assert_eq!(why, Refusal::Origin(OriginFailure::Unreachable)),
        Answer::Serve(_) | Answer::Pass(_) => panic!("there was nothing to serve"),
    }
    rig.settle().await;
}

/// A client that leaves before the head came is told to the engine, which releases the fetch.
#[tokio::test(start_paused = true)]
async fn dropping_a_request_leaves() {
    let rig = Rig::new(cancelling(memory_and_disk())).await;
    let mut script = Script::chunks(4, 1000);
    script.pace = Duration::from_secs(3600);
    rig.script("/slow", &script);
    let waited = tokio::time::timeout(Duration::from_millis(10), get(&rig.driver, "/slow")).await;
    assert!(waited.is_err(), "the head takes an hour");
    assert_eq!(rig.origin.asked(), ["/slow"]);
    rig.settle().await;
    let left = |event: &Event| {
        matches!(
            event,
            Event::Request(RequestEvent::Served { end: End::Aborted(AbortReason::ClientLeft), .. })
        )
    };
    assert_eq!(rig.events.count(left), 1);
}

/// A client that leaves in the middle of the body is told to the engine, which cancels the fetch and keeps
/// nothing.
#[tokio::test(start_paused = true)]
async fn dropping_a_body_leaves_and_cancels() {
    let rig = Rig::new(cancelling(memory_and_disk())).await;
    rig.script("/a", &Script::chunks(100, 1000));
    let mut served = rig.served("/a").await;
    assert_eq!(served.body.next().await.map(|chunk| chunk.map(|bytes| bytes.len())), Ok(Some(1000)));
    assert_eq!(rig.origin.open.load(Ordering::Relaxed), 1);
    drop(served);
    rig.settle().await;
    let cancelled = |event: &Event| {
        matches!(event, Event::Fetch(FetchEvent::FetchEnded { end: FetchEnd::Cancelled, .. }))
    };
    assert_eq!(rig.events.count(cancelled), 1);
    assert!(!rig.is_in_l0("/a"));
    assert_eq!(rig.tier.stored(), []);
}

/// By default an abandoned fetch is finished for the tiers.
#[tokio::test(start_paused = true)]
async fn an_abandoned_fetch_is_finished_when_it_may_be() {
    let rig = Rig::new(memory_and_disk()).await;
    rig.script("/a", &Script::chunks(10, 1000));
    let mut served = rig.served("/a").await;
    assert!(served.body.next().await.is_ok());
    drop(served);
    rig.settle().await;
    assert!(rig.is_in_l0("/a"));
    assert_eq!(rig.tier.stored().len(), 1);
}

/// The end of a body waits for a client that is busy elsewhere, behind the chunks that came before it.
#[tokio::test(start_paused = true)]
async fn an_end_waits_for_a_busy_client() {
    let rig = Rig::new(memory_only()).await;
    rig.script("/torn", &Script::chunks(2, 10).ending(Ending::Fails(OriginFailure::Broken)));
    let mut served = rig.served("/torn").await;
    assert!(served.body.next().await.is_ok_and(|chunk| chunk.is_some()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rest = read(&mut served.body).await;
    assert_eq!(rest, Err(AbortReason::Origin(OriginFailure::Broken)));
    rig.settle().await;
}

/// An engine that panics takes its shard along: who asks it panics with the reason, and who leaves it leaves
/// quietly.
#[tokio::test(start_paused = true)]
async fn a_panic_is_not_survived_by_its_shard() {
    let rig = Rig::new(memory_only()).await;
    rig.script("/a", &Script::chunks(100, 10));
    let (first, second) = (rig.served("/a").await, rig.served("/a").await);
    rig.events.dies.store(true, Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(first) });
    let died = tasks.join_next().await.expect("one task was spawned");
    assert!(died.is_err_and(|error| error.is_panic()));

    drop(second);
    let driver = rig.driver.clone();
    tasks.spawn(async move { drop(get(&driver, "/a").await) });
    let asked = tasks.join_next().await.expect("one task was spawned");
    let panic = asked.expect_err("the shard is gone").into_panic();
    let reason = panic.downcast_ref::<String>().expect("`expect` panics with a string");
    assert!(reason.starts_with("an engine that panicked has lost its state"), "{reason}");
}
