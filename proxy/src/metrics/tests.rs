use super::*;
use std::time::Duration;
use tiergate_engine::{
    AbortReason, CacheKey, End, FillId, Length, OriginFailure, OriginId, PurgeId, PurgeMode, RawConfig,
    RecordName, RequestId,
};

const KEY: CacheKey = CacheKey(7);
const ORIGIN: Dependency = Dependency::Origin(OriginId(0));

/// Of a server with L0 and L2 in two shards.
fn metrics() -> Metrics {
    let raw = RawConfig { l2: Some(Default::default()), ..RawConfig::default() };
    let cache = Config::try_from(raw).expect("defaults are right");
    Metrics::new(&cache, NonZeroU32::new(2).expect("two"), Sources::default())
}

fn at(ms: u64) -> Instant {
    Instant::ZERO.after(Duration::from_millis(ms))
}

fn show<E: Into<Event>>(metrics: &Metrics, shard: u32, events: impl IntoIterator<Item = E>) {
    for event in events {
        metrics.observe(shard, Instant::ZERO, &event.into());
    }
}

/// Does the text have each of these lines, whole?
fn has(metrics: &Metrics, lines: &[&str]) {
    let text = metrics.exposition();
    for line in lines {
        assert!(text.lines().any(|other| other == *line), "no line `{line}` in\n{text}");
    }
}

fn served(request: u64, sent: u64, end: End) -> RequestEvent {
    RequestEvent::Served { request: RequestId(request), key: KEY, sent: ByteCount(sent), end }
}

fn requested(request: u64) -> RequestEvent {
    RequestEvent::Requested { request: RequestId(request), key: KEY }
}

fn missed(request: u64, reason: MissReason) -> RequestEvent {
    RequestEvent::Missed { request: RequestId(request), key: KEY, reason }
}

/// Each request has one outcome: a miss that is refused or passed in the end is that, one that is answered is
/// a miss, and the fast path's hits count as L0's.
#[test]
fn a_request_has_one_outcome() {
    let metrics = metrics();
    metrics.fresh_hit(0);
    metrics.fresh_hit(1);
    let left = End::Aborted(AbortReason::ClientLeft);
    let (miss, stale) = (MissReason::Absent, MissReason::Stale);
    let hit = RequestEvent::Hit { request: RequestId(1), key: KEY, tier: TierId::L2 };
    let refusal = Refusal::Origin(OriginFailure::Unreachable);
    let refused = RequestEvent::Refused { request: RequestId(3), refusal };
    let passed = RequestEvent::Passed { request: RequestId(4), bypass: Bypass::Range };
    let why = StaleUse::IfError;
    let on_error = RequestEvent::ServedStale { request: RequestId(5), key: KEY, tier: TierId::L2, why };
    show(&metrics, 0, [requested(1), hit, served(1, 9, End::Complete)]);
    show(&metrics, 1, [requested(2), missed(2, miss), served(2, 9, End::Complete)]);
    show(&metrics, 1, [requested(3), missed(3, miss), refused]);
    show(&metrics, 1, [requested(4), missed(4, miss), passed]);
    show(&metrics, 1, [requested(5), missed(5, stale), on_error, served(5, 9, End::Complete)]);
    show(&metrics, 1, [requested(6), served(6, 0, left)]);
    show(&metrics, 1, [requested(7), missed(7, miss), served(7, 0, left)]);
    show(&metrics, 1, [requested(8), missed(8, miss), served(8, 1, left)]);
    has(
        &metrics,
        &[
            "tiergate_requests_total{outcome=\"hit\",tier=\"l0\"} 2",
            "tiergate_requests_total{outcome=\"hit\",tier=\"l2\"} 1",
            "tiergate_requests_total{outcome=\"stale\",tier=\"l2\"} 1",
            "tiergate_requests_total{outcome=\"revalidated\",tier=\"l2\"} 0",
            "tiergate_requests_total{outcome=\"miss\",tier=\"none\"} 2",
            "tiergate_requests_total{outcome=\"refused\",tier=\"none\"} 1",
            "tiergate_requests_total{outcome=\"pass\",tier=\"none\"} 1",
            "tiergate_requests_total{outcome=\"client_left\",tier=\"none\"} 2",
            "tiergate_misses_total{reason=\"absent\"} 5",
            "tiergate_misses_total{reason=\"stale\"} 1",
            "tiergate_refusals_total{reason=\"origin_unreachable\"} 1",
            "tiergate_passes_total{reason=\"range\"} 1",
            "tiergate_stale_served_total{reason=\"if_error\"} 1",
        ],
    );
    let text = metrics.exposition();
    for word in ["\"l1\"", "l1_", "_l1", "l3", "l0_read", "lease_lost"] {
        assert!(!text.contains(word), "{word} cannot be: {text}");
    }
}

/// The origin's heads are timed from the question, once each; how fetches end is counted apart.
#[test]
fn the_origin_is_timed_to_its_head() {
    let metrics = metrics();
    let fetched = |fill| FetchEvent::Fetched {
        fill: FillId(fill),
        key: KEY,
        variant: KEY,
        origin: OriginId(0),
        purpose: Purpose::Shared,
    };
    let head = |fill, status| FetchEvent::HeadArrived {
        fill: FillId(fill),
        key: KEY,
        variant: KEY,
        status,
        length: Length::Unknown,
        storable: Storable::No(NotStorable::NoStore),
    };
    let ended =
        |fill, end| FetchEvent::FetchEnded { fill: FillId(fill), key: KEY, received: ByteCount(5), end };
    for (ms, event) in [
        (0, fetched(1)),
        (0, fetched(2)),
        (40, head(1, 200)),
        (90, ended(1, FetchEnd::Complete)),
        (3_000, ended(2, FetchEnd::Failed(OriginFailure::TimedOut))),
        (3_001, head(2, 200)),
    ] {
        metrics.observe(0, at(ms), &event.into());
    }
    has(
        &metrics,
        &[
            "tiergate_origin_fetches_total{purpose=\"shared\"} 2",
            "tiergate_origin_fetches_ended_total{end=\"complete\"} 1",
            "tiergate_origin_fetches_ended_total{end=\"timed_out\"} 1",
            "tiergate_origin_head_seconds_bucket{le=\"0.025\"} 0",
            "tiergate_origin_head_seconds_bucket{le=\"0.05\"} 1",
            "tiergate_origin_head_seconds_count 1",
            "tiergate_origin_head_seconds_sum 0.04",
            "tiergate_origin_body_bytes_total 10",
            "tiergate_origin_responses_total{code=\"2xx\"} 2",
            "tiergate_not_storable_total{reason=\"no_store\"} 2",
        ],
    );
}

/// What is stored of what went around the cache is no fetch, and is counted by how it ends; so is what is
/// not.
#[test]
fn adopted_answers_are_counted_apart() {
    let metrics = metrics();
    let ended = |end| FetchEvent::AdoptionEnded { fill: FillId(1), key: KEY, received: ByteCount(5), end };
    let not = |why| FetchEvent::NotAdopted { key: KEY, why };
    for event in [
        ended(FetchEnd::Complete),
        ended(FetchEnd::Cancelled),
        not(NotAdopted::Forbidden(NotStorable::Private)),
        not(NotAdopted::Purged),
    ] {
        metrics.observe(0, at(1), &event.into());
    }
    has(
        &metrics,
        &[
            "tiergate_adoptions_ended_total{end=\"complete\"} 1",
            "tiergate_adoptions_ended_total{end=\"cancelled\"} 1",
            "tiergate_not_adopted_total{reason=\"forbidden\"} 1",
            "tiergate_not_adopted_total{reason=\"purged\"} 1",
            "tiergate_origin_fetches_ended_total{end=\"complete\"} 0",
            "tiergate_origin_body_bytes_total 0",
        ],
    );
}

/// A promotion is counted by its edge from its begin to its end; the copy of a fill is none.
#[test]
fn promotions_are_counted_by_edge() {
    let metrics = metrics();
    let opened = |name, from: Option<TierId>| CopyEvent::LaneOpened {
        tier: TierId::L0,
        key: CacheKey(name),
        name: Some(RecordName(name)),
        promotes: from.map(|from| (from, RequestId(1))),
    };
    let dropped = |name| CopyEvent::LaneDropped {
        tier: TierId::L0,
        key: CacheKey(name),
        name: Some(RecordName(name)),
        why: LaneEnd::Full,
    };
    let l2 = Some(TierId::L2);
    show(&metrics, 0, [opened(1, l2), opened(2, l2), opened(3, None), dropped(1), dropped(3), dropped(1)]);
    let stored = ResidenceEvent::Stored {
        tier: TierId::L0,
        key: CacheKey(2),
        name: Some(RecordName(2)),
        length: ByteCount(1),
        size: ByteCount(1),
        age: Duration::ZERO,
        from: l2,
    };
    show(&metrics, 0, [stored]);
    has(
        &metrics,
        &[
            "tiergate_promotions_begun_total{edge=\"l2_to_l0\"} 2",
            "tiergate_promotions_committed_total{edge=\"l2_to_l0\"} 1",
            "tiergate_promotions_dropped_total{edge=\"l2_to_l0\",reason=\"full\"} 1",
            "tiergate_lanes_opened_total{tier=\"l0\"} 3",
            "tiergate_lanes_dropped_total{tier=\"l0\",reason=\"full\"} 3",
            "tiergate_stored_total{tier=\"l0\"} 1",
        ],
    );
}

/// A breaker is each shard's own: the first that opens and the last that closes concern the server, and the
/// gauge says how many shards are in which state.
#[test]
fn breakers_are_added_up_over_shards() {
    let metrics = metrics();
    let turn = |shard, state| {
        let event = ResilienceEvent::BreakerChanged { who: ORIGIN, state };
        metrics.observe(shard, Instant::ZERO, &event.into())
    };
    let open = BreakerState::Open { until: at(1) };
    assert_eq!(turn(0, open), Some(BreakerStep { of: ORIGIN, change: BreakerChange::FirstOpened }));
    assert_eq!(turn(1, open), None);
    assert_eq!(turn(0, BreakerState::HalfOpen), None);
    let row = |state, shards| {
        let row = format!("tiergate_breaker_shards{{dependency=\"origin\",state=\"{state}\"}} {shards}");
        has(&metrics, &[&row]);
    };
    row("closed", 0);
    row("open", 1);
    row("half_open", 1);
    assert_eq!(turn(0, BreakerState::Closed), None);
    assert_eq!(turn(1, BreakerState::HalfOpen), None);
    assert_eq!(
        turn(1, BreakerState::Closed),
        Some(BreakerStep { of: ORIGIN, change: BreakerChange::AllClosed })
    );
    row("closed", 2);
    has(&metrics, &["tiergate_breaker_transitions_total{dependency=\"origin\",state=\"half_open\"} 2"]);
}

/// A purge by tag takes place in every shard, and is one purge.
#[test]
fn a_wide_purge_is_counted_once() {
    let metrics = metrics();
    for shard in 0..2 {
        let (purge, mode) = (PurgeId(1), PurgeMode::Hard);
        let what = SelectorKind::Tag;
        show(&metrics, shard, [PurgeEvent::PurgeBegan { purge, what, mode }]);
        show(&metrics, shard, [PurgeEvent::PurgeEnded { purge, what, confirmed: shard == 0 }]);
    }
    let (purge, mode, what) = (PurgeId(2), PurgeMode::Soft, SelectorKind::Key(KEY));
    show(&metrics, 1, [PurgeEvent::PurgeBegan { purge, what, mode }]);
    has(
        &metrics,
        &[
            "tiergate_purges_total{kind=\"tag\"} 1",
            "tiergate_purges_total{kind=\"key\"} 1",
            "tiergate_purges_unconfirmed_total{kind=\"tag\"} 1",
        ],
    );
}

/// What L0 holds is the sum over shards of what each said last.
#[test]
fn residents_are_added_up() {
    let metrics = metrics();
    for (shard, bytes) in [(0, 10), (1, 5), (0, 7)] {
        let (bytes, capacity) = (ByteCount(bytes), ByteCount(100));
        let resident = ResidenceEvent::Resident { tier: TierId::L0, bytes, objects: 1, capacity };
        show(&metrics, shard, [resident]);
    }
    let (tier, key, size, why) = (TierId::L0, KEY, ByteCount(3), Removal::Capacity);
    show(&metrics, 1, [ResidenceEvent::Removed { tier, key, size, why }]);
    has(
        &metrics,
        &[
            "tiergate_l0_resident_bytes 12",
            "tiergate_l0_resident_objects 2",
            "tiergate_l0_capacity_bytes 268435456",
            "tiergate_removals_total{tier=\"l0\",reason=\"capacity\"} 1",
        ],
    );
}

/// The front's counts come from any thread, and a connection counts while its guard lives.
#[test]
fn the_front_counts_from_any_thread() {
    let metrics = Arc::new(metrics());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let metrics = Arc::clone(&metrics);
            std::thread::spawn(move || {
                let _open = metrics.connected();
                metrics.responded(200, 10);
                metrics.responded(503, 1);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it only counts");
    }
    let open = metrics.connected();
    has(
        &metrics,
        &[
            "tiergate_responses_total{code=\"2xx\"} 4",
            "tiergate_responses_total{code=\"5xx\"} 4",
            "tiergate_response_body_bytes_total 44",
            "tiergate_connections_total 5",
            "tiergate_connections_open 1",
        ],
    );
    drop(open);
    has(&metrics, &["tiergate_connections_open 0"]);
}

/// What is written is what Prometheus asks for: each family has one HELP and one TYPE before its rows, names
/// follow the conventions, and no series stands twice.
#[test]
fn the_text_follows_the_conventions() {
    let text = metrics().exposition();
    let mut families = std::collections::BTreeMap::new();
    let mut series = std::collections::BTreeSet::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(help.ends_with('.'), "{line}");
            current = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "{line}");
            assert!(families.insert(name, kind).is_none(), "{name} twice");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name), "{name} twice");
            assert!(name.starts_with(current), "{line} after {current}");
        }
    }
    assert!(families.len() > 35, "{}", families.len());
    assert!(text.ends_with('\n'));
}
