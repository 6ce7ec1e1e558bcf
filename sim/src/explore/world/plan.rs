//! What one seed is about: configuration, workload and faults, each drawn from a pure hash of the seed and
//! its name.
//!
//! Swarm testing (Groce et al., ISSTA 2012): most seeds leave most faults out and push the others hard, which
//! finds far more than every fault at a sensible rate in every run. Because each value has its own draw, a
//! new one moves no other. Of several values the first is the simplest: the one that a shrunk case falls back
//! to.

use crate::explore::{
    world::draws::Draw,
    world::profile::{Calm, Profile, calmed_faults, calmed_work},
    world::silence::Silences,
};
use std::time::Duration;
use tiergate_engine::{
    BreakerCount, ByteCount, Config, Eviction, Objective, OnAbandon, OnFull, OnRange, Promotion, RawBreaker,
    RawCollapse, RawConfig, RawDeadline, RawDiskTier, RawDurableTier, RawEviction, RawFill, RawHedge,
    RawHttp, RawMemoryTier, RawPromotion, RawResilience, RawRetry, RawSharedTier, RetryWhen, Seed,
    feed::RawFeed,
};
use tiergate_invariants::Gates;

/// In how many of a thousand cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) struct PerMille(pub u64);

/// Everything that is drawn before the first step.
#[derive(Clone, Debug)]
pub(in crate::explore) struct Plan {
    pub seed: Seed,
    /// Is all calm?
    pub calm: Option<Calm>,
    pub config: Config,
    pub gates: Gates,
    pub has_l1: bool,
    pub has_l2: bool,
    pub durable: Durable,
    pub edges: u32,
    pub work: Work,
    pub faults: Faults,
    pub style: Style,
    /// The configuration as it was written, for rules that need a bound.
    pub raw: RawConfig,
    /// What the monotonic clock says at the first instant.
    pub clock: Duration,
}

/// What a workload is like, on the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::explore) enum Shape {
    /// Each of its values is drawn by itself: what is rare elsewhere is common here.
    Mixed,
    /// As a busy edge sees it: plain requests for objects that change seldom, may be stored, and have room in
    /// L0.
    Busy,
}

/// The workload.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) struct Work {
    pub shape: Shape,
    pub requests: u32,
    pub objects: u32,
    /// The longest body.
    pub size_max: u64,
    /// Chunks that a body comes in, at most.
    pub chunks_max: u64,
    /// The longest that a message travels.
    pub latency: Duration,
    /// The mean time between two requests.
    pub gap: Duration,
    /// Requests that ask for what was asked for just before, at once.
    pub herd: PerMille,
    /// Requests that go around the cache.
    pub around: PerMille,
    /// Requests for a head, for parts, or under a condition.
    pub special: PerMille,
    /// Requests with which a new version is published.
    pub publish: PerMille,
    /// Versions that may not be stored.
    pub unstorable: PerMille,
    /// Versions that depend on what clients say, and how many things they say.
    pub vary: PerMille,
    pub wishes: u64,
    /// Versions that do not announce their length.
    pub chunked: PerMille,
    /// The longest lifetime.
    pub lifetime_max: Duration,
    /// Lengths that are exactly, or just above, what a tier may take; and answers after which somebody asks
    /// at the very moment from which on what was sent is stale.
    pub exact: PerMille,
}

/// How likely each kind of fault is, wherever it can occur.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::explore) struct Faults {
    pub origin_fails: PerMille,
    pub origin_errs: PerMille,
    pub origin_cuts: PerMille,
    pub origin_stalls: PerMille,
    /// It never answers.
    pub origin_hangs: PerMille,
    /// It promises a length and ends, as if all were well, with another.
    pub origin_lies: PerMille,
    pub client_leaves: PerMille,
    pub client_slow: PerMille,
    pub client_stuck: PerMille,
    pub tier_fails: PerMille,
    pub tier_ambiguous: PerMille,
    pub tier_slow: PerMille,
    pub tier_loses: PerMille,
    /// It opens another record than it was asked for.
    pub tier_mixes: PerMille,
    /// It reads less than it was asked for.
    pub tier_shorts: PerMille,
    /// Blobs of L3 are torn, or change their bytes.
    pub tier_rots: PerMille,
    /// Reads of a record that find it rotten.
    pub record_rots: PerMille,
    /// Starts after which the local tier can be asked later than requests come.
    pub tier_joins_late: PerMille,
    pub purges: PerMille,
    pub crashes: u64,
    pub feed: FeedFaults,
    pub silences: Silences,
}

/// The faults of the purge feed, where there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::explore) struct FeedFaults {
    pub fails: PerMille,
    pub ambiguous: PerMille,
    pub slow: PerMille,
    /// Appends after which the log is trimmed.
    pub trims: PerMille,
    /// How often it is away.
    pub outages: u64,
}

/// What the durable tier's stores are like.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) struct Durable {
    /// How far the index's clock is from two hours behind the edges'.
    pub skew_ms: u64,
    /// Does it drop rows as soon as it may?
    pub forgets: bool,
    /// Time between two rounds of the collector, if it runs.
    pub collect_every: Option<Duration>,
    /// Long enough for every lease and grace to run out.
    pub patience: Duration,
}

/// What a driver is free to do either way.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) struct Style {
    /// Is the fast path tried first?
    pub fast_path: bool,
    /// Do answers still come for what was cancelled?
    pub answers_after_cancel: bool,
    /// Is a leave reported for responses that have ended, too?
    pub leaves_after_end: bool,
    /// Wakes that nobody asked for, per step.
    pub idle_wakes: PerMille,
    /// Lookups that bring along what they find.
    pub bodies_along: PerMille,
}

impl Plan {
    pub(in crate::explore) fn of(draw: &Draw, seed: Seed, requests: u32, profile: Profile) -> Self {
        let is_calm = profile != Profile::Faulty;
        let size_max = draw.of("work.size", &[40, 5_000, 100_000, 300_000, 1_000_000]);
        let has = |name, per_mille| draw.coin(name, per_mille) || is_calm;
        let (has_l1, has_l2, has_l3) = (has("config.l1", 500), has("config.l2", 600), has("config.l3", 400));
        let mut work = work(draw, requests, size_max);
        if is_calm {
            work = calmed_work(work);
        }
        let has_feed = draw.coin("config.feed", 350);
        let mut raw = raw_config(draw, &work, has_l1, has_l2, has_l3);
        raw.feed = has_feed.then(|| raw_feed(draw, work.latency));
        if work.shape == Shape::Busy {
            let l0 = raw.l0.get_or_insert_default();
            (l0.capacity, l0.gate) = (ByteCount(size_max * 50 + 9_000), ByteCount::UNLIMITED);
        }
        let mut calm = None;
        if let Profile::Calm(disabled) = profile {
            let (calmed, how) = disabled.calmed(draw, raw, &work);
            (raw, calm) = (calmed, Some(how));
        }
        if let Some(l2) = &mut raw.l2 {
            // As the proxy does: no body is larger than a quarter of the log.
            l2.gate = l2.gate.min(ByteCount(l2.capacity.0 / 4));
        }
        let (has_l1, has_l2, has_l3) = (raw.l1.is_some(), raw.l2.is_some(), raw.l3.is_some());
        let durable = durable(draw, &raw);
        let gates = Gates {
            l0: raw.l0.as_ref().map_or(ByteCount::ZERO, |tier| tier.gate),
            l1: raw.l1.as_ref().map_or(ByteCount::ZERO, |tier| tier.gate),
        };
        let edges = if is_calm {
            1
        } else if has_l3 && draw.coin("edges.l3", 500) {
            draw.of("edges.l3.count", &[2, 2, 3])
        } else if has_l1 && draw.coin("edges", 400) || has_feed && draw.coin("edges.feed", 700) {
            2
        } else {
            1
        };
        let mut faults = faults(draw);
        if is_calm {
            faults = calmed_faults(faults);
        }
        if work.shape == Shape::Busy {
            faults.purges = PerMille(faults.purges.0.min(20));
        }
        // An edge knows by its birth what another publishes too late into a tier they share, but only as long
        // as it remembers its purges, and only the feed tells it after a restart. So with two edges and no
        // feed: purges or crashes. L3's index remembers them for all.
        if edges > 1 && has_l1 && !has_feed && faults.purges != PerMille(0) {
            faults.crashes = 0;
        }
        Self {
            seed,
            calm,
            config: raw.clone().try_into().expect("every drawn value is within its bounds"),
            gates,
            has_l1,
            has_l2,
            durable,
            edges,
            work,
            faults,
            raw,
            // Where a clock of 32 bits begins anew, and where one of 64 is far.
            clock: Duration::from_millis(draw.of("clock", &[0, (1 << 32) - 20_000, 1 << 43])),
            style: Style {
                fast_path: draw.coin("style.fast_door", 500),
                answers_after_cancel: draw.coin("style.answers_after_cancel", 500),
                leaves_after_end: draw.coin("style.leaves_after_end", 500),
                bodies_along: PerMille(draw.of("style.bodies_along", &[0, 0, 0, 500, 1_000])),
                idle_wakes: PerMille(if is_calm { 0 } else { draw.of("style.idle_wakes", &[0, 0, 20]) }),
            },
        }
    }
}

impl Draw {
    /// Off in most seeds; otherwise one of `rates`.
    fn fault(&self, name: &str, rates: &[u64]) -> PerMille {
        let on = self.coin(&format!("{name}.on"), 400);
        PerMille(if on { self.of(name, rates) } else { 0 })
    }
}

fn raw_config(draw: &Draw, work: &Work, has_l1: bool, has_l2: bool, has_l3: bool) -> RawConfig {
    let Work { size_max, latency, .. } = *work;
    let gate = |name| draw.of(name, &[ByteCount::UNLIMITED, ByteCount(size_max), ByteCount(size_max / 3)]);
    let eviction = |name: &str| RawEviction {
        policy: draw.of(name, &Eviction::ALL),
        objective: draw
            .of(&format!("{name}.objective"), &[None, Some(Objective::Requests), Some(Objective::Bytes)]),
    };
    let capacity =
        |name| ByteCount(draw.of(name, &[size_max * 50 + 9_000, size_max * 2 + 600, size_max / 2 + 200, 1]));
    // A log takes no body that is larger than its quarter.
    let log = |name| {
        ByteCount(draw.of(name, &[size_max * 50 + 9_000, size_max * 9 + 2_400, size_max * 4 + 800, 1]))
    };
    let promotion = |name| {
        draw.of(
            name,
            &[
                Promotion::Never,
                Promotion::OnStreamCommitAtFinish,
                Promotion::OnStreamCommitAtFinish,
                Promotion::NeverIfLengthUnknown,
                Promotion::AfterHits(2),
            ],
        )
    };
    // Small reads of large bodies make many events and show nothing new.
    let reads: &[u64] =
        if size_max < 1_000 { &[4_096, 7, 1] } else { &[256 << 10, size_max / 5, size_max / 20] };
    RawConfig {
        l0: draw.coin("config.l0", 850).then(|| RawMemoryTier {
            capacity: capacity("l0.capacity"),
            gate: gate("l0.gate"),
            eviction: eviction("l0.eviction"),
        }),
        l1: has_l1.then(|| RawSharedTier { gate: gate("l1.gate") }),
        l2: has_l2.then(|| RawDiskTier { capacity: log("l2.capacity"), gate: gate("l2.gate") }),
        l3: has_l3.then(|| raw_durable(draw, gate("l3.gate"), size_max)),
        promotion: RawPromotion {
            l3_to_l0: promotion("promotion.l3_to_l0"),
            l3_to_l1: promotion("promotion.l3_to_l1"),
            l3_to_l2: promotion("promotion.l3_to_l2"),
            l1_to_l0: promotion("promotion.l1_to_l0"),
            l2_to_l0: promotion("promotion.l2_to_l0"),
            l2_to_l1: promotion("promotion.l2_to_l1"),
        },
        collapse: RawCollapse {
            waiters_max: draw.of("collapse.waiters_max", &[10_000, 10_000, 10_000, 2]),
            fills_max: draw.of("collapse.fills_max", &[1_024, 1_024, 1_024, 1_024, 2]),
            uncacheable_s: draw.of("collapse.uncacheable_s", &[0, 1, 60]),
        },
        http: RawHttp {
            stale_if_error_s: draw.of("http.stale_if_error_s", &[0, 1, 3]),
            stale_while_revalidate_s: draw.of("http.stale_while_revalidate_s", &[0, 0, 2]),
            ..RawHttp::default()
        },
        resilience: raw_care(draw, latency),
        feed: None,
        fill: RawFill {
            window: draw.of("fill.window", &[ByteCount::mib(4), ByteCount::kib(128), ByteCount::kib(64)]),
            memory: draw.of("fill.memory", &[ByteCount::mib(256), ByteCount::kib(256), ByteCount::ZERO]),
            lane_chunks_max: draw.of("fill.lane_chunks_max", &[64, 8, 2, 1]),
            lane_stall_ms_max: draw.of("fill.lane_stall_ms_max", &[2_000, 50, 1]),
            read_size: ByteCount(draw.of("fill.read_size", reads)),
            on_abandon: draw.of("fill.on_abandon", &[OnAbandon::Finish, OnAbandon::Cancel]),
            on_range: draw.of("fill.on_range", &[OnRange::Whole, OnRange::Whole, OnRange::Never]),
            on_range_max: ByteCount(draw.of("fill.on_range_max", &[64 << 20, size_max / 3, 0])),
        },
    }
}

/// Patient care and hasty resilience, each knob by itself; but never so hasty that a healthy world is too
/// slow for it.
fn raw_care(draw: &Draw, latency: Duration) -> RawResilience {
    let way_back = 1 + 2 * u32::try_from(latency.as_millis()).expect("latencies are drawn from short ones");
    let open_ms_max = draw.of("care.breaker.open_ms_max", &[1, 50, 1_000, 5_000]);
    let delay_ms_max = draw.of("care.retry.delay_ms_max", &[0, 10, 1_000]);
    let head_ms_max = draw.of("care.deadline.head_ms_max", &[10_000, 1_000, way_back]);
    let lookup_ms_max = draw.of("care.deadline.lookup_ms_max", &[10_000, 500, way_back]);
    RawResilience {
        breaker: RawBreaker {
            count: draw.of("care.breaker.count", &[BreakerCount::NoAnswer, BreakerCount::ServerErrors]),
            window_ms: draw.of("care.breaker.window_ms", &[100, 10_000]),
            calls_min: draw.of("care.breaker.calls_min", &[1_000, 20, 1]),
            failure_percent: draw.of("care.breaker.failure_percent", &[1, 50, 100]),
            failures_in_a_row: draw.of("care.breaker.failures_in_a_row", &[1_000, 5, 2, 1]),
            open_ms_first: draw.of("care.breaker.open_ms_first", &[1, 50, 1_000]).min(open_ms_max),
            open_ms_max,
            probes: draw.of("care.breaker.probes", &[1, 3]),
            probe_ms_max: head_ms_max.max(lookup_ms_max),
        },
        retry: RawRetry {
            when: draw.of("care.retry.when", &[RetryWhen::NoAnswer, RetryWhen::TemporaryErrors]),
            attempts_max: draw.of("care.retry.attempts_max", &[1, 2, 3, 10]),
            delay_ms_first: draw.of("care.retry.delay_ms_first", &[0, 5, 50]).min(delay_ms_max),
            delay_ms_max,
            retry_after_ms_max: draw.of("care.retry.retry_after_ms_max", &[0, 1_000, 2_000]),
            budget_percent: draw.of("care.retry.budget_percent", &[0, 20, 100]),
            budget_floor_per_s: draw.of("care.retry.budget_floor_per_s", &[0, 1, 100]),
            budget_burst: draw.of("care.retry.budget_burst", &[1, 10, 1_000]),
        },
        hedge: draw.coin("care.hedge", 500).then(|| RawHedge {
            quantile_percent: draw.of("care.hedge.quantile_percent", &[50, 95]),
            delay_ms_min: draw.of("care.hedge.delay_ms_min", &[1, 5]),
            budget_percent: draw.of("care.hedge.budget_percent", &[5, 100]),
            budget_burst: draw.of("care.hedge.budget_burst", &[1, 10]),
        }),
        deadline: RawDeadline {
            lookup_ms_max,
            head_ms_max,
            answer_ms_max: draw
                .of("care.deadline.answer_ms_max", &[30_000, 3_000, 10 * way_back])
                .max(head_ms_max),
            chunk_ms_max: draw.of("care.deadline.chunk_ms_max", &[30_000, 1_000, way_back]),
        },
    }
}

fn raw_durable(draw: &Draw, gate: ByteCount, size_max: u64) -> RawDurableTier {
    let idle_s = draw.of("l3.idle_s", &[2, 10, 3_600]);
    RawDurableTier {
        gate,
        // In half of the worlds every body is a blob.
        row_body_max: ByteCount(draw.of("l3.row_body_max", &[0, 0, size_max / 8, size_max]).min(256 << 10)),
        on_full: draw.of("l3.on_full", &[OnFull::Drop, OnFull::Wait]),
        lease_ms: draw.of("l3.lease_ms", &[1_000, 5_000, 60_000]),
        fetch_ms_max: draw.of("l3.fetch_ms_max", &[2_000, idle_s * 1_000]),
        idle_s,
        total_s: draw.of("l3.total_s", &[idle_s, 2 * idle_s]),
        grace_s: draw.of("l3.grace_s", &[0, 2, 20]),
        // Longer than anything is under way in this world.
        linger_ms: 20_000,
        tries_max: draw.of("l3.tries_max", &[1, 2, 5]),
        collect_s: draw.of("l3.collect_s", &[0, 5, 60, 1]),
    }
}

fn durable(draw: &Draw, raw: &RawConfig) -> Durable {
    let l3 = raw.l3.unwrap_or_default();
    Durable {
        skew_ms: draw.of("l3.skew_ms", &[7_200_000, 0, 20_000_000]),
        forgets: draw.coin("l3.forgets", 500),
        collect_every: (l3.collect_s > 0).then(|| Duration::from_secs(l3.collect_s.into())),
        patience: Duration::from_millis(l3.lease_ms.into()) + Duration::from_secs(l3.grace_s.into()),
    }
}

/// Hasty and patient, but never so hasty that a healthy log is too slow for it.
fn raw_feed(draw: &Draw, latency: Duration) -> RawFeed {
    let way_back = 1 + 2 * u32::try_from(latency.as_millis()).expect("latencies are drawn from short ones");
    let poll_ms = draw.of("feed.poll_ms", &[10, 200, 1_000]);
    let lease_ms = draw.of("feed.lease_ms", &[2 * poll_ms, 5 * poll_ms, 5_000]);
    RawFeed { poll_ms, lease_ms: lease_ms.max(2 * poll_ms + 4 * way_back) }
}

fn work(draw: &Draw, requests: u32, size_max: u64) -> Work {
    let mixed = mixed_work(draw, requests, size_max);
    if draw.coin("work.busy", 60) { busy(mixed) } else { mixed }
}

/// The same where nearly everything is a hit.
fn busy(work: Work) -> Work {
    let never = PerMille(0);
    Work {
        shape: Shape::Busy,
        objects: work.objects.max(10),
        latency: Duration::from_micros(50),
        gap: Duration::from_millis(1),
        around: never,
        special: never,
        publish: never,
        unstorable: never,
        vary: never,
        lifetime_max: Duration::from_secs(3_600),
        ..work
    }
}

fn mixed_work(draw: &Draw, requests: u32, size_max: u64) -> Work {
    Work {
        shape: Shape::Mixed,
        requests,
        objects: draw.of("work.objects", &[1, 3, 10, 40]),
        size_max,
        chunks_max: draw.of("work.chunks", &[1, 4, 20]),
        latency: Duration::from_micros(draw.of("work.latency", &[50, 5_000, 50_000, 200])),
        gap: Duration::from_micros(draw.of("work.gap", &[100, 5_000, 50_000, 1_000_000])),
        herd: PerMille(draw.of("work.herd", &[0, 300, 900])),
        around: PerMille(draw.of("work.around", &[0, 0, 50])),
        special: PerMille(draw.of("work.special", &[0, 100, 500])),
        publish: PerMille(draw.of("work.publish", &[0, 20, 200])),
        unstorable: PerMille(draw.of("work.unstorable", &[0, 100, 700])),
        vary: PerMille(draw.of("work.vary", &[0, 0, 300, 1_000])),
        wishes: draw.of("work.wishes", &[2, 3]),
        chunked: PerMille(draw.of("work.chunked", &[0, 500, 1_000])),
        lifetime_max: Duration::from_secs(draw.of("work.lifetime", &[1, 10, 3_600])),
        exact: PerMille(draw.of("work.exact", &[0, 100, 400])),
    }
}

fn faults(draw: &Draw) -> Faults {
    Faults {
        origin_fails: draw.fault("origin_fails", &[20, 200, 600]),
        origin_errs: draw.fault("origin_errs", &[20, 200]),
        origin_cuts: draw.fault("origin_cuts", &[20, 200, 600]),
        origin_stalls: draw.fault("origin_stalls", &[20, 200]),
        origin_hangs: draw.fault("origin_hangs", &[10, 100]),
        origin_lies: draw.fault("origin_lies", &[20, 200]),
        client_leaves: draw.fault("client_leaves", &[50, 300, 900]),
        client_slow: draw.fault("client_slow", &[50, 300, 700]),
        client_stuck: draw.fault("client_stuck", &[20, 200]),
        tier_fails: draw.fault("tier_fails", &[5, 100, 500]),
        tier_ambiguous: draw.fault("tier_ambiguous", &[5, 100]),
        tier_slow: draw.fault("tier_slow", &[5, 100, 500]),
        tier_loses: draw.fault("tier_loses", &[5, 50]),
        tier_mixes: draw.fault("tier_mixes", &[20, 200]),
        tier_shorts: draw.fault("tier_shorts", &[20, 200]),
        tier_rots: draw.fault("tier_rots", &[5, 50, 300]),
        record_rots: draw.fault("record_rots", &[50, 400]),
        tier_joins_late: draw.fault("tier_joins_late", &[300, 1_000]),
        purges: draw.fault("purges", &[20, 100, 500]),
        crashes: draw.fault("crashes", &[1, 2, 5]).0,
        feed: FeedFaults {
            fails: draw.fault("feed.fails", &[20, 200, 600]),
            ambiguous: draw.fault("feed.ambiguous", &[20, 200]),
            slow: draw.fault("feed.slow", &[20, 200]),
            trims: draw.fault("feed.trims", &[100, 500]),
            outages: draw.fault("feed.outages", &[1, 3]).0,
        },
        silences: Silences {
            index: draw.fault("silence.index", &[1, 3]).0,
            blobs: draw.fault("silence.blobs", &[1, 3]).0,
            feed: draw.fault("silence.feed", &[1, 3]).0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::world::draws::{DrawSource, Keep};

    fn plan(seed: u64) -> Plan {
        let draw = Draw::new(&DrawSource::Seed { seed, requests: 50, keep: Keep::Nothing });
        Plan::of(&draw, Seed(seed), 50, Profile::Faulty)
    }

    /// One seed, one plan; and over some seeds, every fault is both off and on.
    #[test]
    fn plans_are_repeatable_and_differ() {
        assert_eq!(format!("{:?}", plan(7)), format!("{:?}", plan(7)));
        let plans: Vec<_> = (0..200).map(plan).collect();
        let purging = plans.iter().filter(|plan| plan.faults.purges != PerMille(0)).count();
        let crashing = plans.iter().filter(|plan| plan.faults.crashes > 0).count();
        let shared = plans.iter().filter(|plan| plan.edges > 1).count();
        let busy = plans.iter().filter(|plan| plan.work.shape == Shape::Busy).count();
        assert!((20..150).contains(&purging), "{purging} of 200 seeds purge");
        assert!((20..150).contains(&crashing), "{crashing} of 200 seeds crash");
        assert!((20..120).contains(&shared), "{shared} of 200 seeds share a tier");
        assert!((2..40).contains(&busy), "{busy} of 200 seeds are about a busy edge");
    }
}
