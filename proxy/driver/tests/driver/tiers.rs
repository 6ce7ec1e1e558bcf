//! What the driver does with tiers: calls in order, failures that no client observes, purges, recovery, time.

use crate::map_tier::Temper;
use crate::world::{Rig, Script, disk_only, key, memory_and_disk, parts_without_tiers, read};
use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tiergate_driver::Driver;
use tiergate_engine::{
    ByteCount, Config, CopyEvent, Event, LaneEnd, Outcome, PurgeMode, PurgeOutcome, ResilienceEvent, Seed,
    Selector, Tag, TierId,
};

/// What one driver stored, the next one finds, whatever the number of shards.
#[tokio::test(start_paused = true)]
async fn a_restart_finds_what_was_stored() {
    let rig = Rig::with_shards(disk_only(), 1).await;
    let script = Script::chunks(3, 1000);
    for object in 0..10 {
        let target = format!("/{object}");
        rig.script(&target, &script);
        let mut served = rig.served(&target).await;
        assert_eq!(read(&mut served.body).await, Ok(script.body()));
    }
    rig.settle().await;

    let again = Rig::on(disk_only(), 4, Arc::clone(&rig.tier)).await;
    for object in 0..10 {
        let mut served = again.served(&format!("/{object}")).await;
        assert_eq!(served.outcome, Outcome::Hit { tier: TierId::L2 });
        assert_eq!(read(&mut served.body).await, Ok(script.body()));
    }
    assert_eq!(again.origin.asked(), Vec::<String>::new());
    again.settle().await;
}

/// Clients leave at every stage of a read from a slow tier: each handle is closed once its calls are over,
/// and not before.
#[tokio::test(start_paused = true)]
async fn handles_are_closed_after_their_last_call() {
    let rig = Rig::new(disk_only()).await;
    rig.script("/a", &Script::chunks(10, 1000));
    let mut first = rig.served("/a").await;
    assert!(read(&mut first.body).await.is_ok());
    rig.settle().await;
    rig.temper(Temper::Paced(Duration::from_millis(10)));
    for patience in 1..30 {
        let limit = Duration::from_millis(patience);
        let whole = tokio::time::timeout(limit, async {
            let mut served = rig.served("/a").await;
            read(&mut served.body).await
        })
        .await;
        match whole {
            Ok(whole) => assert_eq!(whole.map(|body| body.len()), Ok(10_000)),
            Err(_) => assert!(patience <= 21, "a lookup and a read take 20 ms"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    rig.settle().await;
}

/// A lookup takes longer than the engine waits: the client is served from the origin, and what the lookup
/// still opens is closed when it is over, and not before.
#[tokio::test(start_paused = true)]
async fn what_a_late_lookup_opens_is_closed() {
    let rig = Rig::new(disk_only()).await;
    let script = Script::chunks(2, 1000);
    rig.script("/a", &script);
    assert!(read(&mut rig.served("/a").await.body).await.is_ok());
    rig.settle().await;
    rig.temper(Temper::Paced(Duration::from_secs(3)));
    let begun = tokio::time::Instant::now();
    let mut served = rig.served("/a").await;
    assert!(begun.elapsed() < Duration::from_secs(1), "it waits half a second for the tier");
    assert_eq!(read(&mut served.body).await, Ok(script.body()));
    assert_eq!(rig.origin.asked().len(), 2);
    rig.settle().await;
    let late =
        rig.events.count(|event| matches!(event, Event::Resilience(ResilienceEvent::LateAnswer { .. })));
    assert_eq!(late, 2, "the lookup's, and that of the copy which stalled");
}

/// Clients leave at every stage of a fill into a slow tier, and the fill is cancelled each time.
#[tokio::test(start_paused = true)]
async fn writers_are_closed_after_their_last_call() {
    let mut raw = disk_only();
    raw.fill.on_abandon = tiergate_engine::OnAbandon::Cancel;
    let rig = Rig::new(raw).await;
    rig.temper(Temper::Paced(Duration::from_millis(10)));
    for patience in 1..40 {
        let target = format!("/{patience}");
        rig.script(&target, &Script::chunks(50, 100));
        let limit = Duration::from_millis(patience);
        let whole = tokio::time::timeout(limit, async {
            let mut served = rig.served(&target).await;
            read(&mut served.body).await
        })
        .await;
        assert!(whole.is_err(), "the origin takes 50 ms");
    }
    rig.settle().await;
    assert_eq!(rig.tier.stored(), []);
}

/// A tier that refuses everything costs the client nothing, and is reported.
#[tokio::test(start_paused = true)]
async fn a_failing_tier_is_not_observed() {
    let rig = Rig::new(memory_and_disk()).await;
    rig.temper(Temper::Fails);
    let script = Script::chunks(10, 1000);
    rig.script("/a", &script);
    let mut served = rig.served("/a").await;
    assert_eq!(read(&mut served.body).await, Ok(script.body()));
    rig.settle().await;
    assert!(rig.events.tier_failures() > 0);
    assert!(rig.is_in_l0("/a"));
}

/// A tier that never answers a write is left behind when the engine's timer rings, and the client gets all of
/// it.
#[tokio::test(start_paused = true)]
async fn the_timer_wakes_the_engine() {
    let mut raw = disk_only();
    raw.fill.window = tiergate_engine::ByteCount::kib(64);
    raw.fill.lane_chunks_max = 4;
    let rig = Rig::new(raw).await;
    rig.temper(Temper::Stuck);
    let script = Script::chunks(200, 4096);
    rig.script("/a", &script);
    let begun = tokio::time::Instant::now();
    let mut served = rig.served("/a").await;
    assert!(read(&mut served.body).await == Ok(script.body()));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let left_behind = |event: &Event| {
        matches!(
            event,
            Event::Copy(CopyEvent::LaneDropped {
                tier: TierId::L2,
                why: LaneEnd::Stalled | LaneEnd::Full,
                ..
            })
        )
    };
    assert_eq!(rig.events.count(left_behind), 1);
}

/// A purge reaches L0 and the disk, and says what it saw there; a second one finds nothing.
#[tokio::test(start_paused = true)]
async fn a_purge_reports_each_tier() {
    let rig = Rig::new(memory_and_disk()).await;
    rig.script("/a", &Script::chunks(2, 1000));
    let mut served = rig.served("/a").await;
    assert!(read(&mut served.body).await.is_ok());
    rig.settle().await;
    let size = rig
        .tier
        .stored()
        .first()
        .map(|record| record.length.plus(record.head.fields.size().0))
        .expect("it was stored");

    let mut report = rig.driver.purge(key("/a")).await.tiers;
    report.sort_by_key(|(tier, _)| *tier);
    let seen = [(TierId::L0, PurgeOutcome::Removed(size)), (TierId::L2, PurgeOutcome::RemovedUnseen)];
    assert_eq!(report, seen);
    assert!(!rig.is_in_l0("/a"));
    assert_eq!(rig.tier.stored(), []);

    let mut report = rig.driver.purge(key("/a")).await.tiers;
    report.sort_by_key(|(tier, _)| *tier);
    assert_eq!(report, [(TierId::L0, PurgeOutcome::Absent), (TierId::L2, PurgeOutcome::Absent)]);
    rig.settle().await;
}

/// A purge by tag reaches every shard, and adds up what each of them saw.
#[tokio::test(start_paused = true)]
async fn f2_a_purge_by_tag_reaches_every_shard() {
    let rig = Rig::with_shards(memory_and_disk(), 4).await;
    let script = Script::chunks(2, 1000).field("surrogate-key", "odd");
    let targets: Vec<_> = (0..10).map(|object| format!("/{object}")).collect();
    for target in &targets {
        rig.script(target, &script);
        let mut served = rig.served(target).await;
        assert!(read(&mut served.body).await.is_ok());
    }
    rig.settle().await;
    assert!(targets.iter().all(|target| rig.is_in_l0(target)));
    let stored = rig.tier.stored();
    let sum = stored.iter().fold(0, |sum, record| sum + record.length.plus(record.head.fields.size().0).0);

    let odd = Selector::Tag(Tag::new("odd").expect("a tag"));
    let report = rig.driver.purge_selected(&odd, PurgeMode::Hard).await.tiers;
    let removed = PurgeOutcome::Removed(ByteCount(sum));
    assert_eq!(report, [(TierId::L0, removed), (TierId::L2, PurgeOutcome::Barred)]);
    assert!(!targets.iter().any(|target| rig.is_in_l0(target)));
    for target in &targets {
        let served = rig.served(target).await;
        assert!(matches!(served.outcome, Outcome::Miss { .. }), "{target} is {:?}", served.outcome);
    }
}

/// When the calendar jumps, what is stored from then on bears the new date.
#[tokio::test(start_paused = true)]
async fn the_engine_is_told_of_a_calendar_that_jumped() {
    let rig = Rig::new(disk_only()).await;
    rig.script("/a", &Script::chunks(1, 10));
    let before = rig.calendar_ms.fetch_add(3_600_000, Ordering::Relaxed);
    let mut served = rig.served("/a").await;
    assert!(read(&mut served.body).await.is_ok());
    rig.settle().await;
    let stored = rig.tier.stored();
    let as_of = stored.first().expect("it was stored").freshness.as_of.as_unix_millis();
    let since_jump = as_of - (before + 3_600_000);
    assert!(since_jump < 1000, "stored {since_jump} ms after the jump");
}

/// A configured tier that was not brought is an error that names it.
#[tokio::test(start_paused = true)]
async fn a_missing_tier_is_refused_at_start() {
    let config = Config::try_from(disk_only()).expect("the configuration is within bounds");
    let started = Driver::start(parts_without_tiers(), &config, Seed(1), NonZeroU32::MIN).await;
    let error = started.err().expect("l2 is missing");
    assert_eq!(error.to_string(), "the configuration names tier l2, but the driver was given no such tier");
}
