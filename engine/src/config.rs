//! What an operator may choose, and within which bounds.
//!
//! [`RawConfig`] is what a file says; [`Config`] is what the engine runs on. The one conversion between them
//! checks every bound, so whoever holds a `Config` need not check again. Both a proxy's configuration and a
//! scenario contain this same section: what is simulated is what is deployed.

mod conversion;
mod eviction;
mod http;
mod l3;
mod resilience;
#[cfg(feature = "schema")]
mod schema;

pub use eviction::{Eviction, Objective, RawEviction};
pub use http::RawHttp;
pub use l3::RawDurableTier;
pub(crate) use resilience::ResiliencePolicy;
pub use resilience::{RawBreaker, RawDeadline, RawHedge, RawResilience, RawRetry};

use crate::{
    durable::Terms,
    feed::{FeedPolicy, RawFeed},
    language::{head::Head, id::TierId, units::ByteCount},
    plant::{Fault, Plant},
    rules::Policy,
};
use alloc::{format, string::String, sync::Arc};
use core::{fmt, ops::RangeInclusive, time::Duration};
use serde::{Deserialize, Serialize};

/// The `cache` section as written. Every key may be left out; unknown keys are errors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// The tier in process memory; `null` switches it off. Default: 256 MiB.
    pub l0: Option<RawMemoryTier>,
    /// The memory store that edges share. Default: none.
    pub l1: Option<RawSharedTier>,
    /// The local disk. Default: none, unless the proxy brings one.
    pub l2: Option<RawDiskTier>,
    /// The durable store, blobs and an index, that edges share. Default: none.
    pub l3: Option<RawDurableTier>,
    /// What moves up on a hit.
    pub promotion: RawPromotion,
    /// How requests for one key share a fetch.
    pub collapse: RawCollapse,
    /// How a body travels.
    pub fill: RawFill,
    /// What the HTTP caching rules leave open.
    pub http: RawHttp,
    /// What is done about tiers and origins that fail or are slow.
    pub resilience: RawResilience,
    /// How a purge reaches the other edges, through a log that they share. Default: not at all.
    pub feed: Option<RawFeed>,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            l0: Some(RawMemoryTier::default()),
            l1: None,
            l2: None,
            l3: None,
            promotion: RawPromotion::default(),
            collapse: RawCollapse::default(),
            fill: RawFill::default(),
            http: RawHttp::default(),
            resilience: RawResilience::default(),
            feed: None,
        }
    }
}

/// `l0`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawMemoryTier {
    /// Bytes of heads and bodies held at most. Default 256MiB; at least 1.
    pub capacity: ByteCount,
    /// The largest body admitted. Default 2MiB.
    pub gate: ByteCount,
    /// Who leaves when room is needed. Default: `ghost_gdsf`, to spare requests.
    pub eviction: RawEviction,
}

impl Default for RawMemoryTier {
    fn default() -> Self {
        Self { capacity: ByteCount::mib(256), gate: ByteCount::mib(2), eviction: RawEviction::default() }
    }
}

/// `l1`. Capacity and eviction are the store's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawSharedTier {
    /// The largest body admitted. Default 64MiB.
    pub gate: ByteCount,
}

impl Default for RawSharedTier {
    fn default() -> Self {
        Self { gate: ByteCount::mib(64) }
    }
}

/// `l2`. One store for all shards; who leaves when room is needed is decided by its log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawDiskTier {
    /// Bytes of the disk that are used. Default 10GiB; at least 1.
    pub capacity: ByteCount,
    /// The largest body admitted. Default unlimited, which means the largest that the tier can hold.
    pub gate: ByteCount,
}

impl Default for RawDiskTier {
    fn default() -> Self {
        Self { capacity: ByteCount::mib(10 << 10), gate: ByteCount::UNLIMITED }
    }
}

/// `promotion`: what a hit in one tier copies into a faster one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawPromotion {
    /// From the shared memory store to L0.
    pub l1_to_l0: Promotion,
    /// From the local disk to L0.
    pub l2_to_l0: Promotion,
    /// From the local disk to the shared memory store.
    pub l2_to_l1: Promotion,
    /// From the durable store to L0.
    pub l3_to_l0: Promotion,
    /// From the durable store to the shared memory store.
    pub l3_to_l1: Promotion,
    /// From the durable store to the local disk.
    pub l3_to_l2: Promotion,
}

/// When a hit copies the object into a faster tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Promotion {
    /// Not at all, at no cost.
    Never,
    /// While it streams to a client; it becomes visible once the whole of it was read.
    #[default]
    OnStreamCommitAtFinish,
    /// The same, but not for responses whose head does not tell their length.
    NeverIfLengthUnknown,
    /// The same, from the n-th hit on that this edge has counted below L0. 1 to 1000.
    AfterHits(u32),
}

/// `collapse`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawCollapse {
    /// Clients that may read one fill at a time; one more is refused. Default 10000; 1 to 1000000.
    pub waiters_max: u32,
    /// Fetches under way at a time, per shard; one more is refused. Default 1024; 1 to 1000000.
    pub fills_max: u32,
    /// Seconds for which a key whose response could not be stored is remembered: its requests do not wait for
    /// one another meanwhile, and look in no tier below L0. 0 remembers none. Default 60; 0 to 120.
    pub uncacheable_s: u32,
}

impl Default for RawCollapse {
    fn default() -> Self {
        Self { waiters_max: 10_000, fills_max: 1024, uncacheable_s: 60 }
    }
}

/// `fill`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawFill {
    /// Bytes of an arriving body kept in memory for its readers. Default 4MiB; at least 64KiB.
    pub window: ByteCount,
    /// Bytes that all windows of a process may hold together beyond what a reader without company needs: when
    /// they are used up, no window grows, and those that have grown shrink as their readers read. Shards have
    /// equal shares. Default 256MiB.
    pub memory: ByteCount,
    /// Chunks that may wait to be written into one tier. Default 64; 1 to 65536.
    pub lane_chunks_max: u32,
    /// How long the slowest tier may hold a fill back before it is left behind. Default 2000; 1 to 600000.
    pub lane_stall_ms_max: u32,
    /// Bytes read from a tier at a time. Default 256KiB; at least 1.
    pub read_size: ByteCount,
    /// What becomes of a fetch that nobody reads any more. Default `finish`.
    pub on_abandon: OnAbandon,
    /// What is fetched for a `HEAD`, or for one range, of what is not stored. Default `whole`.
    pub on_range: OnRange,
    /// The largest response that `on_range: whole` fetches: a few bytes of a request can cost as many of the
    /// origin's. Default 64MiB.
    pub on_range_max: ByteCount,
}

impl Default for RawFill {
    fn default() -> Self {
        Self {
            window: ByteCount::mib(4),
            memory: ByteCount::mib(256),
            lane_chunks_max: 64,
            lane_stall_ms_max: 2_000,
            read_size: ByteCount::kib(256),
            on_abandon: OnAbandon::Finish,
            on_range: OnRange::Whole,
            on_range_max: ByteCount::mib(64),
        }
    }
}

/// What becomes of a fetch when its last client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnAbandon {
    /// It goes on as long as a tier keeps it.
    Finish,
    /// It is cancelled.
    Cancel,
}

/// What is fetched for those who want less than the whole of what is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnRange {
    /// The whole, for the tiers. A `HEAD` gets its head; a range is served as it arrives, and goes around the
    /// cache where it lies far behind.
    Whole,
    /// Nothing: such requests go around the cache.
    Never,
}

/// A configuration that holds together. Deserializing one reads a [`RawConfig`] and checks it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    pub(crate) l0: Option<MemoryTier>,
    /// Fastest first.
    pub(crate) tiers: Arc<[ByteTier]>,
    pub(crate) waiters_max: usize,
    pub(crate) fills_max: usize,
    pub(crate) uncacheable: Duration,
    pub(crate) window: u64,
    pub(crate) windows_memory: ByteCount,
    pub(crate) lane_chunks_max: usize,
    pub(crate) lane_stall_max: Duration,
    pub(crate) read_size: u64,
    pub(crate) on_abandon: OnAbandon,
    /// The largest response that is fetched whole for those who want a part of it, or its head.
    pub(crate) whole_for_part_max: Option<ByteCount>,
    heads: Heads,
    pub(crate) policy: Policy,
    pub(crate) resilience: ResiliencePolicy,
    pub(crate) feed: Option<FeedPolicy>,
    pub(crate) plant: Plant,
    written: Arc<RawConfig>,
}

/// L0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryTier {
    pub capacity: ByteCount,
    pub gate: ByteCount,
    pub eviction: Eviction,
    pub objective: Objective,
}

/// A tier below L0, as a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteTier {
    pub id: TierId,
    pub gate: ByteCount,
    /// The largest response that it could ever hold.
    pub capacity: ByteCount,
    pub reach: Reach,
    pub index: IndexKeeper,
    pub on_full: OnFull,
    /// Into which faster tiers, and when.
    pub promotes: [Option<(TierId, Promotion)>; 3],
}

impl ByteTier {
    /// Are its records named by an index of their own?
    pub(crate) const fn is_durable(&self) -> bool {
        matches!(self.index, IndexKeeper::Durable { .. })
    }
}

/// What a fill does when a tier takes its chunks more slowly than the origin sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// It leaves the tier behind at once.
    Drop,
    /// It waits, up to `fill.lane_stall_ms_max`: late readers live on what the local disk has.
    Wait,
}

/// Who uses a byte tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This edge alone. The tier keeps bans over a restart, and is asked once it has joined.
    Local,
    /// Other edges, too.
    Shared,
}

/// Who knows what a byte tier holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IndexKeeper {
    /// The tier itself: it is asked, and evicts as it likes.
    Tier,
    /// An index store that edges share, asked as `durable` says.
    Durable {
        terms: Terms,
        /// Time between two rounds of the collector, if this engine has one.
        collect_every: Option<Duration>,
        /// The largest body that lies in its row.
        row_body_max: ByteCount,
    },
}

/// Does a head cost room?
#[derive(Clone, Copy, Debug)]
enum Heads {
    Counted,
    Free,
}

/// A key with a value that is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key's path below `cache`.
    pub field: &'static str,
    /// What the file says.
    pub value: String,
    /// What it may say.
    pub bound: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, but must be {}", self.field, self.value, self.bound)
    }
}

impl core::error::Error for ConfigError {}

pub(crate) fn check(
    holds: bool,
    field: &'static str,
    value: impl fmt::Display,
    bound: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { field, value: format!("{value}"), bound }) }
}

/// [`check`] for a number.
pub(crate) fn within(
    value: u32,
    bounds: RangeInclusive<u32>,
    field: &'static str,
    bound: &'static str,
) -> Result<(), ConfigError> {
    check(bounds.contains(&value), field, value, bound)
}

impl Config {
    /// This configuration for one of `shards` engines that share the key space evenly.
    pub fn for_shard(&self, shards: u32) -> Self {
        let share = |capacity: ByteCount| ByteCount(capacity.0.div_ceil(u64::from(shards.max(1))));
        let mut config = self.clone();
        if let Some(l0) = &mut config.l0 {
            l0.capacity = share(l0.capacity);
        }
        config.windows_memory = share(config.windows_memory);
        config.resilience = config.resilience.for_shard(shards);
        config
    }

    /// This configuration without the collector of orphans. A sweep covers the whole store, so one of the
    /// engines of a process does it for all.
    pub fn without_collector(mut self) -> Self {
        for tier in Arc::make_mut(&mut self.tiers) {
            if let IndexKeeper::Durable { collect_every, .. } = &mut tier.index {
                *collect_every = None;
            }
        }
        self
    }

    /// The part of one of `shards` engines, numbered from 0.
    pub fn for_one_of(&self, shard: u32, shards: u32) -> Self {
        let share = self.for_shard(shards);
        // One engine sweeps the durable store for all.
        if shard == 0 { share } else { share.without_collector() }
    }

    /// What it was made from, before anything was divided among shards.
    pub fn as_written(&self) -> &RawConfig {
        &self.written
    }

    /// The terms of the durable tier, if there is one.
    pub fn durable_terms(&self) -> Option<Terms> {
        self.tiers.iter().find_map(|tier| match tier.index {
            IndexKeeper::Durable { terms, .. } => Some(terms),
            IndexKeeper::Tier => None,
        })
    }

    /// The largest body that the durable tier keeps in its row; none, without one.
    pub(crate) fn row_body_max(&self) -> ByteCount {
        let of_tiers = self.tiers.iter().filter_map(|tier| match tier.index {
            IndexKeeper::Durable { row_body_max, .. } => Some(row_body_max),
            IndexKeeper::Tier => None,
        });
        of_tiers.max().unwrap_or_default()
    }

    /// The terms of the purge feed, if there is one.
    pub const fn feed_policy(&self) -> Option<FeedPolicy> {
        self.feed
    }

    /// The tier that has the last word on a fill (D1): the lowest. L0 alone needs none.
    pub(crate) fn authoritative(&self) -> Option<TierId> {
        self.tiers.last().map(|tier| tier.id)
    }

    /// This configuration with bodies alone counted against capacities, as trace simulators do.
    pub fn without_head_cost(mut self) -> Self {
        self.heads = Heads::Free;
        self
    }

    /// What a response costs in a tier.
    pub(crate) fn cost(&self, length: ByteCount, head: &Head) -> ByteCount {
        match self.heads {
            Heads::Counted => length.plus(head.fields.size().0),
            Heads::Free => length,
        }
    }

    /// Is there an L0?
    pub fn has_memory(&self) -> bool {
        self.l0.is_some()
    }

    /// The tiers that are this edge's alone.
    pub fn local_tiers(&self) -> impl Iterator<Item = TierId> {
        self.tiers.iter().filter(|tier| tier.reach == Reach::Local).map(|tier| tier.id)
    }

    /// The tiers below L0, fastest first.
    pub fn byte_tiers(&self) -> impl Iterator<Item = TierId> {
        self.tiers.iter().map(|tier| tier.id)
    }

    /// This configuration with a fault planted on purpose.
    #[cfg(feature = "plant")]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.plant = Plant::of(fault);
        self.feed = self.feed.map(|policy| policy.with_plant(self.plant));
        for tier in Arc::make_mut(&mut self.tiers) {
            if let IndexKeeper::Durable { terms, .. } = &mut tier.index {
                *terms = terms.with_plant(self.plant);
            }
        }
        self
    }

    /// Was this fault planted? Never, unless the crate was built to plant faults.
    pub(crate) fn is_planted(&self, fault: Fault) -> bool {
        self.plant.is(fault)
    }
}
