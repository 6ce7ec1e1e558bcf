//! From what a file says to a scenario that holds together: every bound, in one place. Those of faults are in
//! `faults`, and what a value is compared by in `bounds`.

mod bounds;
mod faults;

use crate::{
    ADMIN_REQUESTS, Between, Expectation, Expectations, Faults, ODD_REQUESTS, Objects, RawScenario, Request,
    Requests, Scope, SharedMemory, Swarm, Topology, Window, Workload, expect,
};
use bounds::{bytes, holds, number, range, time, times};
use faults::check_faults;
use std::fmt::{self, Display};
use tiergate_config::{FrontOptions, Problem, RawFront, SyncPolicy, ToldBy, told_by};
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
    /// How its edges treat clients.
    pub front: FrontOptions,
    /// Who says whose a connection is.
    pub told_by: ToldBy,
    /// How long the origin may take to the end of its head, in milliseconds.
    pub head_ms_max: u64,
    /// The largest body that L0 and L1 admit.
    pub gates: [ByteCount; 2],
    /// The longest that anything may be served past its lifetime, in seconds.
    pub stale_window_s: u64,
    /// For how many seconds the configuration lets what is stale be served that does not say so itself: while
    /// it is asked about, and while the origin fails.
    pub stale_windows_s: [u64; 2],
    pub objects: Objects,
    pub workload: Workload,
    pub faults: Faults,
    pub swarm: Swarm,
    pub faults_until_ms: u64,
    pub settle_ms: u64,
    pub invariants: Option<Vec<String>>,
    pub expect: Expectations,
    pub seeds: Option<Vec<u64>>,
    /// Is what it expects of service a default?
    pub expects_service_by_default: bool,
    pub disk: Disk,
    /// What the shared tier is, where `cache` has `l1`.
    pub shared_memory: SharedMemory,
}

/// The disk of each edge, where `cache` has `l2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// When what is written is made durable.
    pub sync: SyncPolicy,
    /// How long an operation takes, in milliseconds.
    pub latency_ms: Between<u64>,
    /// Its size, as `cache.l2.capacity` has it.
    pub capacity: ByteCount,
}

/// Keys with values that are out of bounds: at least one, and at most one of each section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<OutOfBounds>);

impl From<OutOfBounds> for Mistakes {
    fn from(one: OutOfBounds) -> Self {
        Self(vec![one])
    }
}

impl From<Problem> for Mistakes {
    fn from(problem: Problem) -> Self {
        OutOfBounds::from(problem).into()
    }
}

/// A key with a value that is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// The key's path in the file.
    pub field: String,
    /// The key, what the file says, and what it may say.
    what: String,
}

impl OutOfBounds {
    fn new(field: &str, value: impl Display, bound: impl Display) -> Self {
        Self { field: field.to_owned(), what: format!("`{field}` is {value}, but must be {bound}") }
    }
}

impl From<Problem> for OutOfBounds {
    fn from(problem: Problem) -> Self {
        Self { field: problem.key().unwrap_or_default().to_owned(), what: problem.to_string() }
    }
}

impl Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Scenario {
    /// Does the world have a shared tier?
    pub fn has_shared_tier(&self) -> bool {
        self.cache.byte_tiers().any(|tier| tier == TierId::L1)
    }

    /// Do its edges tell each other of purges? The log lies where the shared tier does.
    pub fn has_feed(&self) -> bool {
        self.cache.feed_policy().is_some()
    }

    /// Does the world have the host of the shared tier and the feed's log?
    pub fn has_store(&self) -> bool {
        self.has_shared_tier() || self.has_feed() || self.has_durable_tier()
    }

    /// Is there a durable tier? Its rows lie where the shared tier does, its bodies in a store of their own.
    pub fn has_durable_tier(&self) -> bool {
        self.cache.byte_tiers().any(|tier| tier == TierId::L3)
    }

    /// Do clients come over TLS?
    pub fn has_tls(&self) -> bool {
        self.workload.tls_percent > 0
            || match &self.workload.requests {
                Requests::Drawn(_) => false,
                Requests::Given(requests) => requests.iter().any(|request| request.tls),
            }
    }

    /// Do its edges have a disk each?
    pub fn has_disks(&self) -> bool {
        self.cache.byte_tiers().any(|tier| tier == TierId::L2)
    }
}

const TEN_MINUTES_MS: u64 = 600_000;
const HALF_AN_HOUR_MS: u64 = 1_800_000;

/// The smallest disk that a log can be cut up on.
const DISK_MIN: ByteCount = ByteCount::mib(16);
/// A disk lies in memory, once for each edge of each seed that is lived at a time.
pub const DISK_MAX: ByteCount = ByteCount::mib(256);

impl TryFrom<RawScenario> for Scenario {
    type Error = Mistakes;

    fn try_from(raw: RawScenario) -> Result<Self, Mistakes> {
        let cache = Config::try_from(raw.cache.clone())
            .map_err(|error| OutOfBounds::new(&format!("cache.{}", error.field), error.value, error.bound))?;
        let name_is_plain = !raw.name.is_empty()
            && raw
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let name =
            holds(name_is_plain, "name", format!("`{}`", raw.name), "lower-case letters, digits and hyphens");
        let (faults, disk) = (check_faults(&raw, &cache), check_disk(&raw));
        let sections = [
            name,
            check_world(&raw),
            check_objects(&raw.objects),
            check_workload(&raw),
            faults.as_ref().map(drop).map_err(Clone::clone),
            check_expectations(&raw, &cache),
            disk.as_ref().map(drop).map_err(Clone::clone),
        ];
        let mistakes: Vec<_> = sections.into_iter().filter_map(Result::err).collect();
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let (faults, disk) = (faults?, disk?);
        let shared_memory = check_shared(&raw, &cache)?;
        let http = raw.cache.http;
        let stale_windows_s = [http.stale_while_revalidate_s, http.stale_if_error_s].map(u64::from);
        let of_objects = [raw.objects.stale_while_revalidate, raw.objects.stale_if_error];
        let longest = of_objects.into_iter().flatten().map(|window| window.for_s.1);
        let stale_window_s = longest.chain(stale_windows_s).max().unwrap_or_default();
        let head_ms_max = u64::from(raw.cache.resilience.deadline.head_ms_max);
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
            faults: _,
            swarm,
            faults_until_ms,
            settle_ms,
            invariants,
            mut expect,
            seeds,
            storage: _,
            disk_latency_ms: _,
            limits,
            timeouts,
            origin_limits,
            forward,
            origin_host,
            trusted_proxies,
            proxy_protocol,
        } = raw;
        // They are for sockets, of which this world has none. They are checked all the same.
        limits.check_connections()?;
        let front = RawFront { origin_host, origin_limits, forward, trusted_proxies, limits, timeouts };
        let front = front.check()?;
        let told_by = told_by("proxy_protocol", proxy_protocol, &front.trusted)?;
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
            front,
            told_by,
            head_ms_max,
            gates,
            stale_window_s,
            stale_windows_s,
            objects,
            workload,
            faults,
            swarm,
            faults_until_ms,
            settle_ms,
            invariants,
            expect,
            seeds,
            expects_service_by_default,
            disk,
            shared_memory,
        })
    }
}

fn check_world(raw: &RawScenario) -> Result<(), OutOfBounds> {
    number(raw.topology.edges, 1, 6, "topology.edges")?;
    number(raw.topology.clients, 1, 6, "topology.clients")?;
    number(raw.topology.shards, 1, 16, "topology.shards")?;
    holds(
        raw.seeds.as_ref().is_none_or(|seeds| !seeds.is_empty()),
        "seeds",
        "[]",
        "absent, or a list of seeds",
    )?;
    times(raw.latency_ms, 0, 1_000, "latency")?;
    time(raw.faults_until_ms, 1, HALF_AN_HOUR_MS, "faults_until")?;
    time(raw.settle_ms, raw.faults_until_ms + 1, HALF_AN_HOUR_MS, "settle")
}

fn check_objects(objects: &Objects) -> Result<(), OutOfBounds> {
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
    times(objects.version_every_ms, 1, u64::from(u32::MAX), "objects.version_every")?;
    number(objects.vary_percent, 0, 100, "objects.vary_percent")?;
    number(objects.tags, 0, 100, "objects.tags")?;
    number(objects.validators_percent, 0, 100, "objects.validators_percent")?;
    number(objects.date_percent, 0, 100, "objects.date_percent")?;
    number(objects.cookie_percent, 0, 100, "objects.cookie_percent")?;
    number(objects.interim_percent, 0, 100, "objects.interim_percent")?;
    for (window, key) in [
        (objects.stale_while_revalidate, "stale_while_revalidate"),
        (objects.stale_if_error, "stale_if_error"),
    ] {
        let Some(Window { percent, for_s: Between(least, most) }) = window else { continue };
        number(percent, 1, 100, &format!("objects.{key}.percent"))?;
        let for_ms = Between(least.saturating_mul(1_000), most.saturating_mul(1_000));
        times(for_ms, 0, 86_400_000, &format!("objects.{key}.for"))?;
    }
    number(objects.no_cache_percent, 0, 100, "objects.no_cache_percent")?;
    number(objects.must_revalidate_percent, 0, 100, "objects.must_revalidate_percent")?;
    number(objects.weak_percent, 0, 100, "objects.weak_percent")?;
    number(objects.redirect_percent, 0, 100, "objects.redirect_percent")?;
    number(objects.missing_percent, 0, 100, "objects.missing_percent")
}

fn check_workload(raw: &RawScenario) -> Result<(), OutOfBounds> {
    let workload = &raw.workload;
    number(workload.streams, 1, 64, "workload.streams")?;
    for (name, percent) in workload.percents() {
        number(percent, 0, 100, &format!("workload.{name}"))?;
    }
    let purges_tags = workload.purges.iter().any(|of| of.is_of_tag());
    holds(!workload.purges.is_empty(), "workload.purges", "[]", "a list of what purges are of")?;
    holds(
        !purges_tags || raw.objects.tags > 0,
        "workload.purges",
        "a list with tags",
        "without, unless `objects.tags` is 1 to 100",
    )?;
    time(workload.timeout_ms, 1, TEN_MINUTES_MS, "workload.timeout")?;
    match &workload.requests {
        Requests::Drawn(count) => number(*count, 1, 100_000, "workload.requests"),
        Requests::Given(requests) => {
            let count = requests.len();
            holds(
                (1..=100_000).contains(&count),
                "workload.requests",
                format_args!("a list of {count}"),
                "one of 1 to 100000",
            )?;
            requests.iter().try_for_each(|request| check_request(raw, *request))
        }
    }
}

fn check_request(raw: &RawScenario, request: Request) -> Result<(), OutOfBounds> {
    let field = |name: &str| format!("workload.requests.{name}");
    time(request.at.0, 0, raw.settle_ms - 1, &field("at"))?;
    number(request.client, 0, u64::from(raw.topology.clients) - 1, &field("client"))?;
    number(request.stream.unwrap_or(0), 0, 63, &field("stream"))?;
    number(request.edge, 0, u64::from(raw.topology.edges) - 1, &field("edge"))?;
    number(request.object, 0, u64::from(raw.objects.count) - 1, &field("object"))?;
    number(request.language, 0, 2, &field("language"))?;
    number(request.odd.unwrap_or(0), 0, ODD_REQUESTS as u64 - 1, &field("odd"))?;
    number(request.admin.unwrap_or(0), 0, ADMIN_REQUESTS as u64 - 1, &field("admin"))?;
    if let Some((first, last)) = request.range {
        range(Between(first, last), 0, ByteCount::mib(16).0, &field("range"))?;
    }
    let tags = raw.objects.tags;
    holds(
        tags > 0 || request.purge.is_none_or(|of| !of.is_of_tag()),
        &field("purge"),
        "of a tag",
        "another, unless `objects.tags` is 1 to 100",
    )?;
    holds(
        !request.everywhere || request.purge.is_some(),
        &field("everywhere"),
        "true",
        "false, unless `purge` is there",
    )?;
    let kinds = [
        request.purge.is_some(),
        request.head,
        request.range.is_some(),
        request.post,
        request.odd.is_some(),
        request.admin.is_some() && request.purge.is_none(),
    ];
    let asked = kinds.into_iter().filter(|is_asked| *is_asked).count();
    holds(
        asked <= 1,
        "workload.requests",
        "several of `purge`, `head`, `range`, `post`, `odd` and `admin`",
        "one of them in one request, and `admin` beside `purge`",
    )
}

fn check_shared(raw: &RawScenario, cache: &Config) -> Result<SharedMemory, OutOfBounds> {
    let has_l1 = cache.byte_tiers().any(|tier| tier == TierId::L1);
    let is_used = has_l1 || raw.storage.l1.is_none();
    holds(is_used, "storage.l1", "present", "absent, unless `cache.l1` is there")?;
    Ok(raw.storage.l1.unwrap_or_default())
}

fn check_disk(raw: &RawScenario) -> Result<Disk, OutOfBounds> {
    times(raw.disk_latency_ms, 0, 1_000, "disk_latency")?;
    let sync = raw.storage.l2.unwrap_or_default().sync.check()?;
    let Some(l2) = &raw.cache.l2 else {
        holds(raw.storage.l2.is_none(), "storage.l2", "present", "absent, unless `cache.l2` is there")?;
        return Ok(Disk { sync, latency_ms: raw.disk_latency_ms, capacity: ByteCount::ZERO });
    };
    number(l2.capacity.0, DISK_MIN.0, DISK_MAX.0, "cache.l2.capacity")?;
    Ok(Disk { sync, latency_ms: raw.disk_latency_ms, capacity: l2.capacity })
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
