//! From what a file says to a scenario that holds together: every bound, in one place.

use crate::{
    Between, DiskSync, Expectation, Expectations, FaultKind, Faults, Objects, Popularity, RawScenario, Scope,
    Swarm, Topology, Workload, expect, time::written,
};
use std::fmt::{self, Display};
use tiergate_engine::{ByteCount, Config, TierId};

/// A scenario that holds together; whoever has one need not check again. [`RawScenario`] documents the
/// fields.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is documented at its namesake in `RawScenario`")]
pub struct Scenario {
    pub name: String,
    pub description: String,
    pub topology: Topology,
    pub latency_ms: Between<u64>,
    pub cache: Config,
    /// The largest body that L0 and L1 admit.
    pub gates: [ByteCount; 2],
    /// The longest that the configuration lets anything be served past its lifetime, in seconds.
    pub stale_window_s: u64,
    pub objects: Objects,
    pub workload: Workload,
    pub faults: Faults,
    pub swarm: Swarm,
    pub faults_until_ms: u64,
    pub settle_ms: u64,
    pub invariants: Option<Vec<String>>,
    pub expect: Expectations,
    /// Is what it expects of service a default?
    pub expects_service_by_default: bool,
    pub disk: Disk,
}

/// The disk of each edge, where `cache` has `l2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// When what is written is made durable.
    pub sync: DiskSync,
    /// How long an operation takes, in milliseconds.
    pub latency_ms: Between<u64>,
    /// Its size, as `cache.l2.capacity` has it.
    pub capacity: ByteCount,
}

/// A key with a value that is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// The key's path in the file.
    pub field: String,
    /// What the file says.
    pub value: String,
    /// What it may say.
    pub bound: String,
}

impl Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, but must be {}", self.field, self.value, self.bound)
    }
}

impl Scenario {
    /// Does the world have a shared tier?
    pub fn has_shared_tier(&self) -> bool {
        self.cache.byte_tiers().any(|tier| tier == TierId::L1)
    }

    /// Do its edges have a disk each?
    pub fn has_disks(&self) -> bool {
        self.cache.byte_tiers().any(|tier| tier == TierId::L2)
    }
}

const TEN_MINUTES_MS: u64 = 600_000;

/// The smallest disk that a log can be cut up on.
const DISK_MIN: ByteCount = ByteCount::mib(16);
/// A disk lies in memory, once for each edge of each seed that is lived at a time.
const DISK_MAX: ByteCount = ByteCount::mib(256);

impl TryFrom<RawScenario> for Scenario {
    type Error = OutOfBounds;

    fn try_from(raw: RawScenario) -> Result<Self, OutOfBounds> {
        let cache = Config::try_from(raw.cache.clone()).map_err(|error| OutOfBounds {
            field: format!("cache.{}", error.field),
            value: error.value,
            bound: error.bound.to_owned(),
        })?;
        let has = |wanted: TierId| cache.byte_tiers().any(|tier| tier == wanted);
        holds(!has(TierId::L3), "cache.l3", "present", "absent: this world has no durable store yet")?;
        let name_is_plain = !raw.name.is_empty()
            && raw
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        holds(name_is_plain, "name", format!("`{}`", raw.name), "lower-case letters, digits and hyphens")?;
        check_world(&raw)?;
        check_workload(&raw)?;
        check_faults(&raw, &cache)?;
        check_expectations(&raw, &cache)?;
        let disk = check_disk(&raw)?;
        let http = raw.cache.http;
        let stale_window_s = u64::from(http.stale_if_error_s.max(http.stale_while_revalidate_s));
        let gates = [raw.cache.l0.as_ref().map(|l0| l0.gate), raw.cache.l1.as_ref().map(|l1| l1.gate)]
            .map(|gate| gate.unwrap_or(ByteCount::ZERO));
        let RawScenario {
            name,
            description,
            topology,
            latency_ms,
            cache: _,
            objects,
            workload,
            faults,
            swarm,
            faults_until_ms,
            settle_ms,
            invariants,
            mut expect,
            storage: _,
            disk_latency_ms: _,
        } = raw;
        let expects_service_by_default = !expect.tell_of_service();
        if expects_service_by_default {
            let (figure, expectation) = Expectations::SERVICE;
            expect.expect(figure, expectation);
        }
        Ok(Self {
            name,
            description,
            topology,
            latency_ms,
            cache,
            gates,
            stale_window_s,
            objects,
            workload,
            faults,
            swarm,
            faults_until_ms,
            settle_ms,
            invariants,
            expect,
            expects_service_by_default,
            disk,
        })
    }
}

fn check_world(raw: &RawScenario) -> Result<(), OutOfBounds> {
    number(raw.topology.edges, 1, 6, "topology.edges")?;
    number(raw.topology.clients, 1, 6, "topology.clients")?;
    times(raw.latency_ms, 0, 1_000, "latency")?;
    time(raw.faults_until_ms, 1, TEN_MINUTES_MS, "faults_until")?;
    time(raw.settle_ms, raw.faults_until_ms + 1, TEN_MINUTES_MS, "settle")?;

    let objects = &raw.objects;
    number(objects.count, 1, 10_000, "objects.count")?;
    range(bytes(objects.size), 0, ByteCount::mib(16).0, "objects.size")?;
    if let Some(large) = &objects.large {
        number(large.percent, 1, 100, "objects.large.percent")?;
        range(bytes(large.size), 0, ByteCount::mib(16).0, "objects.large.size")?;
    }
    number(objects.chunked_percent, 0, 100, "objects.chunked_percent")?;
    number(objects.not_storable_percent, 0, 100, "objects.not_storable_percent")?;
    let Between(least, most) = objects.lifetime_s;
    let lifetime_ms = Between(least.saturating_mul(1_000), most.saturating_mul(1_000));
    times(lifetime_ms, 0, 86_400_000, "objects.lifetime")?;
    times(objects.version_every_ms, 1, u64::from(u32::MAX), "objects.version_every")
}

fn check_workload(raw: &RawScenario) -> Result<(), OutOfBounds> {
    let Workload {
        requests,
        streams,
        popularity: Popularity::Even | Popularity::Mild | Popularity::Zipf,
        herd_percent,
        leave_percent,
        slow_percent,
        purge_percent,
        timeout_ms,
    } = raw.workload;
    number(requests, 1, 100_000, "workload.requests")?;
    number(streams, 1, 64, "workload.streams")?;
    number(herd_percent, 0, 100, "workload.herd_percent")?;
    number(leave_percent, 0, 100, "workload.leave_percent")?;
    number(slow_percent, 0, 100, "workload.slow_percent")?;
    number(purge_percent, 0, 100, "workload.purge_percent")?;
    time(timeout_ms, 1, TEN_MINUTES_MS, "workload.timeout")
}

fn check_disk(raw: &RawScenario) -> Result<Disk, OutOfBounds> {
    times(raw.disk_latency_ms, 0, 1_000, "disk_latency")?;
    let storage = raw.storage.l2.unwrap_or_default();
    let Some(l2) = &raw.cache.l2 else {
        holds(raw.storage.l2.is_none(), "storage.l2", "present", "absent, unless `cache.l2` is there")?;
        return Ok(Disk { sync: storage.sync, latency_ms: raw.disk_latency_ms, capacity: ByteCount::ZERO });
    };
    match storage.sync {
        DiskSync::Never | DiskSync::OnSeal => {}
        DiskSync::EveryMs(every_ms) => {
            number(every_ms, 1, TEN_MINUTES_MS, "storage.l2.sync.every_ms")?;
        }
    }
    number(l2.capacity.0, DISK_MIN.0, DISK_MAX.0, "cache.l2.capacity")?;
    Ok(Disk { sync: storage.sync, latency_ms: raw.disk_latency_ms, capacity: l2.capacity })
}

fn check_expectations(raw: &RawScenario, cache: &Config) -> Result<(), OutOfBounds> {
    for (phase, figure, expectation) in raw.expect.iter() {
        let field = expect::path(phase, figure);
        if let Some(needed) = figure.tier() {
            let has = needed == TierId::L0 && raw.cache.l0.is_some()
                || cache.byte_tiers().any(|tier| tier == needed);
            let bound = format!("absent, unless `cache.{}` is there", needed.as_str());
            holds(has, &field, "present", bound)?;
        }
        let Expectation { at_least, at_most, of: Scope::AllSeeds | Scope::EachSeed } = expectation;
        let most = figure.most();
        let upper = if most < f64::MAX { format!(", up to {most}") } else { String::new() };
        let bound = format!("one or two of `at_least` (more than 0) and `at_most`, in order{upper}");
        let value = |bound: Option<f64>| bound.map_or_else(|| "absent".to_owned(), |bound| bound.to_string());
        let is_least = at_least.is_none_or(|least| least > 0.0 && least <= most);
        let is_most = at_most.is_none_or(|bound| (0.0..=most).contains(&bound));
        holds(
            is_least
                && is_most
                && at_least.or(at_most).is_some()
                && at_least.zip(at_most).is_none_or(|(a, b)| a <= b),
            &field,
            format_args!("at_least {}, at_most {}", value(at_least), value(at_most)),
            bound,
        )?;
    }
    Ok(())
}

fn check_faults(raw: &RawScenario, cache: &Config) -> Result<(), OutOfBounds> {
    for kind in FaultKind::ALL.into_iter().filter(|kind| raw.faults.names(*kind)) {
        let Some(needed) = kind.tier() else { continue };
        holds(
            cache.byte_tiers().any(|tier| tier == needed),
            &format!("faults.{}", kind.as_str()),
            "present",
            format_args!("absent, unless `cache.{}` is there", needed.as_str()),
        )?;
    }
    let faults = &raw.faults;
    if let Some(stall) = &faults.origin_stalls {
        number(stall.percent, 1, 100, "faults.origin_stalls.percent")?;
        times(stall.for_ms, 1, TEN_MINUTES_MS, "faults.origin_stalls.for")?;
    }
    for (name, fault) in [
        ("origin_truncates", &faults.origin_truncates),
        ("origin_resets", &faults.origin_resets),
        ("disk_sync_fails", &faults.disk_sync_fails),
        ("disk_short_reads", &faults.disk_short_reads),
    ] {
        if let Some(fault) = fault {
            number(fault.percent, 1, 100, &format!("faults.{name}.percent"))?;
        }
    }
    for (name, fault) in [
        ("partition_origin", &faults.partition_origin),
        ("partition_shared_tier", &faults.partition_shared_tier),
        ("edge_restarts", &faults.edge_restarts),
        ("shared_tier_restarts", &faults.shared_tier_restarts),
        ("disk_full", &faults.disk_full),
    ] {
        if let Some(fault) = fault {
            number(fault.times, 1, 100, &format!("faults.{name}.times"))?;
            times(fault.for_ms, 1, TEN_MINUTES_MS, &format!("faults.{name}.for"))?;
        }
    }
    for (name, slow) in [("shared_tier_slow", &faults.shared_tier_slow), ("disk_slow", &faults.disk_slow)] {
        if let Some(slow) = slow {
            number(slow.times, 1, 100, &format!("faults.{name}.times"))?;
            times(slow.for_ms, 1, TEN_MINUTES_MS, &format!("faults.{name}.for"))?;
            times(slow.delay_ms, 1, TEN_MINUTES_MS, &format!("faults.{name}.delay"))?;
        }
    }
    if let Some(errors) = &faults.disk_errors {
        number(errors.times, 1, 100, "faults.disk_errors.times")?;
        times(errors.for_ms, 1, TEN_MINUTES_MS, "faults.disk_errors.for")?;
        number(errors.percent, 1, 100, "faults.disk_errors.percent")?;
    }
    if let Some(rot) = &faults.disk_rot {
        number(rot.times, 1, 100, "faults.disk_rot.times")?;
        number(rot.percent, 1, 100, "faults.disk_rot.percent")?;
    }
    Ok(())
}

fn holds(holds: bool, field: &str, value: impl Display, bound: impl Display) -> Result<(), OutOfBounds> {
    if holds {
        Ok(())
    } else {
        Err(OutOfBounds { field: field.to_owned(), value: value.to_string(), bound: bound.to_string() })
    }
}

fn bytes(size: Between<ByteCount>) -> Between<u64> {
    Between(size.0.0, size.1.0)
}

fn number(value: impl Into<u64>, least: u64, most: u64, field: &str) -> Result<(), OutOfBounds> {
    let value = value.into();
    holds((least..=most).contains(&value), field, value, format_args!("{least} to {most}"))
}

fn time(value_ms: u64, least_ms: u64, most_ms: u64, field: &str) -> Result<(), OutOfBounds> {
    let bound = format!("{} to {}", written(least_ms), written(most_ms));
    holds((least_ms..=most_ms).contains(&value_ms), field, written(value_ms), bound)
}

fn times(value: Between<u64>, least_ms: u64, most_ms: u64, field: &str) -> Result<(), OutOfBounds> {
    let Between(low, high) = value;
    holds(
        least_ms <= low && low <= high && high <= most_ms,
        field,
        format_args!("[{}, {}]", written(low), written(high)),
        format_args!("two times in order, from {} to {}", written(least_ms), written(most_ms)),
    )
}

fn range(value: Between<u64>, least: u64, most: u64, field: &str) -> Result<(), OutOfBounds> {
    let Between(low, high) = value;
    holds(
        least <= low && low <= high && high <= most,
        field,
        format_args!("[{low}, {high}]"),
        format_args!("two numbers in order, from {least} to {most}"),
    )
}
