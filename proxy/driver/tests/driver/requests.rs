//! Requests that go well: hits, sharing, pace.

use crate::world::{Rig, Script, get, head, key, memory_and_disk, memory_only, nothing_kept, read};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tiergate_driver::{Answer, Heard};
use tiergate_engine::{ByteCount, Event, MissReason, Outcome, RawFill, RecordName, RequestEvent, TierId};
use tokio::task::JoinSet;

/// The second request for an object is answered from memory; the origin is asked once.
#[tokio::test(start_paused = true)]
async fn a_miss_is_followed_by_a_hit() {
    let rig = Rig::new(memory_only()).await;
    let script = Script::chunks(5, 1000);
    rig.script("/a", &script);

    let mut first = rig.served("/a").await;
    let missed = Outcome::Miss { reason: MissReason::Absent, collapsed: false, storing: true };
    assert_eq!(first.outcome, missed);
    assert_eq!(read(&mut first.body).await, Ok(script.body()));
    let mut second = rig.served("/a").await;
    assert_eq!(second.outcome, Outcome::Hit { tier: TierId::L0 });
    assert_eq!(read(&mut second.body).await, Ok(script.body()));

    assert!(rig.is_in_l0("/a"));
    assert_eq!(rig.origin.asked(), ["/a"]);
    rig.settle().await;
}

/// A hit of the fast path has no event, and the observer is told of it by its shard; what the fast path does
/// not find it is not told of.
#[tokio::test(start_paused = true)]
async fn the_observer_is_told_of_fresh_hits() {
    let rig = Rig::with_shards(memory_and_disk(), 4).await;
    rig.script("/a", &Script::chunks(1, 10));
    assert!(!rig.is_in_l0("/a"));
    assert_eq!(read(&mut rig.served("/a").await.body).await.map(|body| body.len()), Ok(10));
    let before = rig.events.log().len();
    assert!(rig.is_in_l0("/a") && rig.is_in_l0("/a") && !rig.is_in_l0("/b"));
    let shards = rig.events.shards(|event| matches!(event, Event::Request(RequestEvent::Requested { .. })));
    assert_eq!(rig.events.fresh_hits(), [*shards.first().expect("one was asked"); 2]);
    assert_eq!(rig.events.log().len(), before);
    rig.settle().await;
}

/// What the origin says before its response is for the one whose request it is, in order and only so much of
/// it; who shares the fetch hears the response alone.
#[tokio::test(start_paused = true)]
async fn interim_responses_are_for_who_leads() {
    let rig = Rig::new(memory_only()).await;
    let script = Script { interims: 20, ..Script::chunks(2, 10) };
    rig.script("/a", &script);
    let ask = || rig.driver.ask(key("/a"), Arc::new(head("/a")));
    let (mut leader, mut follower) = (ask(), ask());
    let mut heard = Vec::new();
    let answer = loop {
        match leader.next().await {
            Heard::Interim(head) => heard.push(head.status),
            Heard::Answer(answer) => break answer,
        }
    };
    assert_eq!(heard, (102..110).collect::<Vec<_>>());
    let (Answer::Serve(mut first), Heard::Answer(Answer::Serve(mut second))) =
        (answer, follower.next().await)
    else {
        panic!("both are served")
    };
    assert_eq!(read(&mut first.body).await, Ok(script.body()));
    assert_eq!(read(&mut second.body).await, Ok(script.body()));
    assert_eq!(rig.origin.asked(), ["/a"]);
    rig.settle().await;
}

/// A body that was read to its end stays at its end, whole or streamed.
#[tokio::test(start_paused = true)]
async fn after_the_end_comes_the_end() {
    let rig = Rig::new(memory_only()).await;
    rig.script("/a", &Script::chunks(2, 10));
    for _ in 0..2 {
        let mut served = rig.served("/a").await;
        assert_eq!(read(&mut served.body).await.map(|body| body.len()), Ok(20));
        assert_eq!(served.body.next().await, Ok(None));
        assert_eq!(served.body.next().await, Ok(None));
    }
    rig.settle().await;
}

/// A hundred clients want one absent object: one fetch, and each gets all of it. Twenty objects, on four
/// shards.
#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_fetch() {
    let rig = Rig::with_shards(memory_and_disk(), 4).await;
    let script = Script::chunks(20, 500);
    let mut clients = JoinSet::new();
    for object in 0..20 {
        let target: Arc<str> = format!("/{object}").into();
        rig.script(&target, &script);
        for _ in 0..100 {
            let (driver, target) = (rig.driver.clone(), Arc::clone(&target));
            clients.spawn(async move {
                match get(&driver, &target).await {
                    Answer::Serve(mut served) => read(&mut served.body).await,
                    Answer::Pass(bypass) => panic!("passed: {bypass:?}"),
                    Answer::Refuse(refusal) => panic!("refused: {refusal:?}"),
                }
            });
        }
    }
    for body in clients.join_all().await {
        assert_eq!(body, Ok(script.body()));
    }
    assert_eq!(rig.origin.asked().len(), 20);
    assert_eq!(
        rig.events.count(|event| matches!(event, Event::Request(RequestEvent::Collapsed { .. }))),
        20 * 99
    );
    let requested = |event: &Event| matches!(event, Event::Request(RequestEvent::Requested { .. }));
    assert_eq!(rig.events.shards(requested), [0, 1, 2, 3].into());
    rig.settle().await;
    let names: BTreeSet<RecordName> = rig.tier.stored().iter().map(|record| record.name).collect();
    assert_eq!(names.len(), 20, "shards draw their names from seeds of their own");
}

/// The origin runs no further ahead of a reader than the window, however long the body is, and the reader
/// still gets all of it.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_origin_back() {
    let window = ByteCount::kib(64);
    let fill = RawFill { window, ..RawFill::default() };
    let rig = Rig::new(tiergate_engine::RawConfig { fill, ..nothing_kept() }).await;
    let script = Script::chunks(1000, 4096);
    rig.script("/long", &script);

    let mut served = rig.served("/long").await;
    let mut body = Vec::new();
    for chunks_read in 0..50 {
        let sent = rig.origin.chunks_sent.load(Ordering::Relaxed);
        let ahead = (sent - chunks_read) as u64 * 4096;
        assert!(ahead <= window.0 + 4096, "{ahead} bytes ahead of the reader");
        let chunk = served.body.next().await.expect("the origin does not fail");
        body.extend_from_slice(&chunk.expect("the body is longer than what was read"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    body.extend(read(&mut served.body).await.expect("the origin does not fail"));
    assert!(body == script.body(), "the reader got every byte in order");
    rig.settle().await;
}

/// A `next` that is given up half way loses no chunk and demands none twice.
#[tokio::test(start_paused = true)]
async fn an_interrupted_wait_loses_nothing() {
    let rig = Rig::new(memory_only()).await;
    let mut script = Script::chunks(10, 100);
    script.pace = Duration::from_millis(50);
    rig.script("/slow", &script);

    let mut served = rig.served("/slow").await;
    let (mut body, mut interrupted) = (Vec::new(), 0);
    loop {
        match tokio::time::timeout(Duration::from_millis(7), served.body.next()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => break,
            Ok(Err(why)) => panic!("{why:?}"),
            Err(_) => interrupted += 1,
        }
    }
    assert_eq!(body, script.body());
    assert!(interrupted > 10, "only {interrupted} waits were interrupted");
    rig.settle().await;
}

/// When the driver and the last body are gone, every task ends, timers too.
#[tokio::test(start_paused = true)]
async fn nothing_runs_on_when_the_driver_is_dropped() {
    let rig = Rig::with_shards(memory_and_disk(), 3).await;
    rig.script("/a", &Script::chunks(5, 100));
    let mut served = rig.served("/a").await;
    let Rig { driver, tasks, .. } = rig;
    drop(driver);
    assert_eq!(read(&mut served.body).await.map(|body| body.len()), Ok(500));
    drop(served);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(tasks.load(Ordering::Relaxed), 0);
}
