//! The purge feed in the engine: what other edges purged is not used here, and without the lease nothing
//! stored is used before the origin has agreed (failure F9).

use crate::rig::{Rig, key, l0_only, with_disk, with_durable, with_shared};
use std::time::Duration;
use tiergate_engine::{
    Config, Event, Input, Instant, Method, PurgeMode, RawConfig, ResidenceEvent, Selector, Tag, TierId,
    WallTime,
    feed::{Notice, RawFeed},
};

const LEASE: Duration = Duration::from_secs(5);

fn with_feed(raw: RawConfig) -> RawConfig {
    RawConfig { feed: Some(RawFeed { poll_ms: 1_000, lease_ms: 5_000 }), ..raw }
}

fn configs() -> Vec<RawConfig> {
    let all = [l0_only(), with_disk(), with_shared(), with_durable()];
    let lower = [with_disk(), with_shared(), with_durable()].map(|raw| RawConfig { l0: None, ..raw });
    all.into_iter().chain(lower).map(with_feed).collect()
}

/// A rig whose lease holds for a minute.
fn current(raw: RawConfig) -> Rig {
    let mut rig = Rig::new(raw);
    rig.feed(Input::LeaseHeld { until: rig.now.after(Duration::from_secs(60)) });
    rig
}

fn store(rig: &mut Rig, target: &str) {
    rig.get(target);
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60, stale-if-error=60")];
    let fields = [fields[0], ("content-length", "60"), ("surrogate-key", "one"), ("etag", "\"e\"")];
    rig.head(target, 200, &fields);
    rig.send(target, 60, 30);
    rig.end(target);
    rig.pass_time(Duration::from_millis(5));
}

/// Is the origin asked when `target` is?
fn asks(rig: &mut Rig, target: &str) -> bool {
    let before = rig.asked.len();
    rig.get(target);
    rig.asked.len() > before
}

fn wall(rig: &Rig) -> WallTime {
    WallTime::from_unix_millis(1_000_000_000_000 + rig.now.as_nanos() / 1_000_000)
}

fn notice(rig: &Rig, selector: Selector, mode: PurgeMode) -> Input<tiergate_engine::Symbol> {
    Input::RemotePurge { notice: Notice { selector, mode, at: wall(rig) } }
}

fn tag() -> Selector {
    Selector::Tag(Tag::new("one").expect("a tag"))
}

fn door_opens(rig: &mut Rig, target: &str) -> bool {
    let fields = std::iter::empty::<(&str, &[u8])>();
    rig.engine.fresh_hit(rig.now, key(target), Method::Get, fields).is_some()
}

/// The keys are checked, and the error names the field, its value and its bound.
#[test]
fn a_feed_out_of_bounds_is_refused() {
    let raw = RawConfig { feed: Some(RawFeed { poll_ms: 10, lease_ms: 19 }), ..l0_only() };
    let error = Config::try_from(raw).expect_err("the lease is too short");
    assert_eq!(error.to_string(), "`feed.lease_ms` is 19, but must be twice `feed.poll_ms` to 3600000");
}

/// F9: what another edge purged, by whatever it purged, is asked for again, and then used again.
#[test]
fn f9_what_is_heard_counts_in_every_tier() {
    for raw in configs() {
        for selector in [Selector::Key(key("/a")), tag(), Selector::All] {
            for mode in [PurgeMode::Hard, PurgeMode::Soft] {
                let mut rig = current(raw.clone());
                rig.get("/a");
                rig.head(
                    "/a",
                    200,
                    &[("cache-control", "max-age=60"), ("surrogate-key", "one"), ("etag", "\"e\"")],
                );
                rig.send("/a", 60, 30);
                rig.end("/a");
                store(&mut rig, "/b");
                assert!(!asks(&mut rig, "/a"));
                let remote = notice(&rig, selector.clone(), mode);
                rig.feed(remote);
                rig.pass_time(Duration::from_millis(5));
                assert!(!door_opens(&mut rig, "/a"), "{selector:?} {mode:?}");
                let is_l3 = raw.l3.is_some() && raw.l0.is_none() && selector == Selector::Key(key("/a"));
                assert!(asks(&mut rig, "/a") || is_l3, "{selector:?} {mode:?} {raw:?}");
                rig.answer("/a", 70, 30);
                assert!(!asks(&mut rig, "/a"), "{selector:?} {mode:?}: what came later stays");
                rig.assert_idle();
            }
        }
    }
}

/// F9: who came without a lease does not get what was found before a purge was heard, though the lease comes
/// back and the origin fails.
#[test]
fn f9_what_was_found_before_a_purge_stands_in_for_nothing() {
    for raw in configs() {
        for selector in [Selector::Key(key("/a")), tag(), Selector::All] {
            let mut rig = current(raw.clone());
            store(&mut rig, "/a");
            rig.pass_time(Duration::from_secs(61));
            let client = rig.get("/a");
            let remote = notice(&rig, selector, PurgeMode::Hard);
            rig.feed(remote);
            rig.feed(Input::LeaseHeld { until: rig.now.after(Duration::from_secs(60)) });
            rig.refuse("/a");
            assert!(rig.client(client).reply.is_none(), "{raw:?}");
            rig.assert_idle();
        }
    }
}

/// F9, F1: a fill that began before a purge was heard reaches its readers and no tier, and nobody joins it
/// any more.
#[test]
fn f9_what_is_under_way_is_closed() {
    for raw in configs() {
        let mut rig = current(raw);
        rig.get("/a");
        let remote = notice(&rig, Selector::Key(key("/a")), PurgeMode::Hard);
        rig.feed(remote);
        rig.pass_time(Duration::from_millis(5));
        assert!(asks(&mut rig, "/a"), "nobody joins what began before");
    }
}

/// F9 (seed 61200 of explore): a purge is heard of while a shared tier freshens what it covers: the tier's
/// answer counts for nothing.
#[test]
fn f9_a_freshening_that_a_purge_overtook_counts_for_nothing() {
    let mut rig = current(with_feed(RawConfig { l0: None, ..with_shared() }));
    store(&mut rig, "/a");
    rig.pass_time(Duration::from_secs(200));
    rig.feed(Input::LeaseHeld { until: rig.now.after(Duration::from_secs(60)) });
    rig.get("/a");
    rig.tiers.get_mut(&TierId::L1).expect("configured").is_held = true;
    rig.head("/a", 304, &[("cache-control", "max-age=60"), ("etag", "\"e\"")]);
    let remote = notice(&rig, Selector::Key(key("/a")), PurgeMode::Hard);
    rig.feed(remote);
    rig.release_tier(TierId::L1);
    assert_eq!(rig.count(|event| matches!(event, Event::Residence(ResidenceEvent::Freshened { .. }))), 0);
    assert!(asks(&mut rig, "/a"));
}

/// F9: a purge of our own counts on when one that another edge was asked for earlier is heard of after it:
/// what comes back into a shared tier from before ours is not used.
#[test]
fn f9_an_older_purge_that_is_heard_late_changes_nothing() {
    let mut rig = current(with_feed(RawConfig { l0: None, ..with_shared() }));
    store(&mut rig, "/a");
    let shared = &rig.tiers[&TierId::L1];
    let (records, current) = (shared.records.clone(), shared.current.clone());
    rig.pass_time(Duration::from_secs(1));
    let at = WallTime::from_unix_millis(1_000_000_000_000 - 60_000);
    rig.purge("/a");
    let shared = rig.tiers.get_mut(&TierId::L1).expect("configured");
    (shared.records, shared.current) = (records, current);
    let notice = Notice { selector: Selector::Key(key("/a")), mode: PurgeMode::Hard, at };
    rig.feed(Input::RemotePurge { notice });
    assert!(asks(&mut rig, "/a"));
}

/// F9: notices that nobody has any more bar everything until then.
#[test]
fn f9_missed_notices_bar_what_is_older() {
    for raw in configs() {
        let mut rig = current(raw);
        store(&mut rig, "/a");
        let through = wall(&rig);
        rig.feed(Input::PurgesMissed { through });
        rig.pass_time(Duration::from_millis(5));
        assert!(!door_opens(&mut rig, "/a"));
        assert!(asks(&mut rig, "/a"));
        rig.answer("/a", 70, 30);
        assert!(!asks(&mut rig, "/a"));
    }
}

/// A notice that is read long after it was made spares what is younger.
#[test]
fn an_old_notice_spares_what_is_younger() {
    for raw in [with_feed(with_disk()), with_feed(RawConfig { l0: None, ..with_disk() })] {
        for selector in [Selector::Key(key("/a")), tag()] {
            let mut rig = current(raw.clone());
            let remote = notice(&rig, selector.clone(), PurgeMode::Hard);
            rig.pass_time(LEASE + Duration::from_secs(1));
            store(&mut rig, "/a");
            rig.feed(remote);
            let is_swept = raw.l0.is_some() && selector == tag();
            assert!(!asks(&mut rig, "/a"), "{selector:?}, swept from L0: {is_swept}");
        }
    }
}

/// Before the lease is had, and once it is lost, the fast path is closed and the origin has to agree first,
/// whatever windows for stale responses are open; when it is had again, all is as before.
#[test]
fn f9_without_the_lease_everything_is_revalidated() {
    for raw in configs() {
        let mut rig = Rig::new(raw.clone());
        store(&mut rig, "/a");
        assert!(!door_opens(&mut rig, "/a"));
        assert!(asks(&mut rig, "/a"), "the lease was not had yet");
        rig.head("/a", 304, &[("etag", "\"e\""), ("cache-control", "max-age=60")]);
        let until = rig.now.after(LEASE);
        rig.feed(Input::LeaseHeld { until });
        assert_eq!(door_opens(&mut rig, "/a"), raw.l0.is_some());
        assert!(!asks(&mut rig, "/a"));
        rig.pass_time(LEASE - Duration::from_nanos(1));
        assert!(!asks(&mut rig, "/a"));
        rig.pass_time(Duration::from_nanos(1));
        assert!(!door_opens(&mut rig, "/a"));
        let late = rig.get("/a");
        rig.refuse("/a");
        assert!(rig.client(late).refusal.is_some(), "no stale response stands in for the origin");
        rig.feed(Input::LeaseHeld { until: rig.now.after(LEASE) });
        assert!(!asks(&mut rig, "/a"));
        rig.assert_idle();
    }
}

/// Without the lease, who comes when a fetch is older than it asks for itself; who comes before joins.
#[test]
fn f9_nobody_joins_a_fetch_that_is_older_than_the_lease() {
    for has_head in [false, true] {
        let mut rig = Rig::new(with_feed(l0_only()));
        rig.get("/a");
        if has_head {
            rig.head("/a", 200, &[("cache-control", "max-age=60"), ("content-length", "60")]);
        }
        rig.pass_time(LEASE - Duration::from_millis(3));
        assert!(!asks(&mut rig, "/a"));
        rig.pass_time(Duration::from_millis(3));
        assert!(asks(&mut rig, "/a"));
    }
}

/// A feed that is not configured asks nothing of anybody.
#[test]
fn without_a_feed_no_lease_is_needed() {
    let mut rig = Rig::new(l0_only());
    store(&mut rig, "/a");
    assert!(door_opens(&mut rig, "/a"));
    assert_eq!(rig.now, Instant::ZERO.after(Duration::from_millis(5)));
    assert!(rig.tiers.keys().all(|tier| *tier != TierId::L1));
}
