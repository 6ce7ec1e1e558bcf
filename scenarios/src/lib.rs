//! A scenario: a world, its configuration, its workload, its faults, and what must hold. Data, and the types
//! that read it.
//!
//! Nothing here runs anything. Start at [`Scenario`], which is what a checked file says; [`load`] reads one.

mod check;
mod expect;
mod fault;
#[cfg(test)]
mod fuzz;
mod read;
#[cfg(feature = "schema")]
mod schema;
mod time;
mod workload;

pub use check::{DISK_MAX, Disk, Mistakes, OutOfBounds, Scenario};
pub use expect::{Expectation, Expectations, Figure, Phase, Scope, Sum, spelled};
pub use fault::{Direction, Fault, FaultKey, FaultKind, Faults, Link, RawFault, RawFaults, When, Which};
pub use read::{BUNDLES, LoadError, Loaded, ScenarioFile, load, load_all, parse};
#[cfg(feature = "schema")]
pub use schema::{reference, schema};
pub use time::Millis;
pub use workload::{ADMIN_REQUESTS, ODD_REQUESTS, Popularity, PurgeOf, Request, Requests, Workload};

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer as _, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};
use tiergate_config::{RawForward, RawLimits, RawOriginLimits, RawSync, RawTimeouts};
use tiergate_engine::{ByteCount, RawConfig};

/// A scenario as written. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawScenario {
    /// Its name, as tables show it: lower-case letters, digits and hyphens.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[a-z0-9-]+$")))]
    pub name: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// Which hosts there are.
    pub topology: Topology,
    /// How long a message takes, in simulated time. Each seed draws its own range within this one. Default
    /// `[0s, 8ms]`; at most 1s.
    #[serde(rename = "latency", default = "default_latency", deserialize_with = "time::between_ms")]
    #[cfg_attr(feature = "schema", schemars(with = "Between<Millis>"))]
    pub latency_ms: Between<u64>,
    /// The edges' configuration: the same section, of the same type, as in a proxy's file. Where `l2` is there,
    /// its `capacity` is 16MiB to 256MiB.
    pub cache: RawConfig,
    /// What stands behind the tiers. Default: each with its defaults.
    #[serde(default)]
    pub storage: RawStorage,
    /// How large a request's head may be, and how many there may be. In a proxy's file `connections` and
    /// `connections_per_address` are here, too; in this world they do nothing.
    #[serde(default)]
    pub limits: RawLimits,
    /// How long a client is waited for.
    #[serde(default)]
    pub timeouts: RawTimeouts,
    /// How large the head of an origin's response may be.
    #[serde(default)]
    pub origin_limits: RawOriginLimits,
    /// What becomes of a request's fields on the way to the origin.
    #[serde(default)]
    pub forward: RawForward,
    /// What the origin is told in `Host`. Default: what the client asked for.
    #[serde(default)]
    pub origin_host: Option<String>,
    /// Whose word on clients counts: addresses, and networks such as `10.0.0.0/8`. Default: nobody's. In this
    /// world every host is in `192.168.0.0/16`.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    /// Does each connection of a client begin with a header of the PROXY protocol? Then the client hosts are
    /// load balancers with many clients, and `trusted_proxies` must name them. Default `false`.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// How long an operation of a disk takes, in simulated time; at most 1s. Default `[0s, 2ms]`. What is in
    /// the page cache takes none.
    #[serde(
        rename = "disk_latency",
        default = "default_disk_latency",
        deserialize_with = "time::between_ms"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Between<Millis>"))]
    pub disk_latency_ms: Between<u64>,
    /// What the origin serves.
    pub objects: Objects,
    /// What the clients do.
    pub workload: Workload,
    /// What goes wrong. A kind that is not named never happens.
    #[serde(default)]
    pub faults: RawFaults,
    /// Does each seed draw which of the faults and workload habits it has? Default `half`.
    #[serde(default)]
    pub swarm: Swarm,
    /// Until when faults may happen; then the world heals. 1ms to 30min.
    #[serde(rename = "faults_until", deserialize_with = "time::ms")]
    #[cfg_attr(feature = "schema", schemars(with = "Millis"))]
    pub faults_until_ms: u64,
    /// When everything must have come to its end. After `faults_until`, at most 30min.
    #[serde(rename = "settle", deserialize_with = "time::ms")]
    #[cfg_attr(feature = "schema", schemars(with = "Millis"))]
    pub settle_ms: u64,
    /// The ids of the rules that must hold. Default: every rule.
    #[serde(default)]
    pub invariants: Option<Vec<String>>,
    /// What must come of it beside that. Where nothing is said of service, half of all requests must be
    /// answered.
    #[serde(default)]
    pub expect: Expectations,
    /// Only these seeds, whatever the command says: a failure that is kept. Default: those of the command.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub seeds: Option<Vec<u64>>,
}

/// What stands behind the tiers.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawStorage {
    /// Behind L1: the server that all edges share. Default `redis`.
    pub l1: Option<SharedMemory>,
    /// Behind L2: a disk for each edge, of `cache.l2.capacity` bytes.
    pub l2: Option<RawDisk>,
}

/// A server of the shared tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SharedMemory {
    /// A Redis.
    #[default]
    Redis,
    /// A memcached.
    Memcached,
}

/// A disk.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawDisk {
    /// When what is written is made durable, in the words of a proxy's file. What is not yet may be lost with
    /// the power, but never comes back wrong; a purge is durable before it is answered.
    pub sync: RawSync,
}

fn default_disk_latency() -> Between<u64> {
    Between(0, 2)
}

fn default_latency() -> Between<u64> {
    Between(0, 8)
}

/// Which hosts there are, beside the one origin and, if `cache` has `l1`, the one shared tier.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Edges. 1 to 6: the network's cost grows with the cube of the hosts.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 6)))]
    pub edges: u32,
    /// Client hosts. 1 to 6.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 6)))]
    pub clients: u32,
    /// Shards of each edge: engines that share its keys. 1 to 16. Default 1.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 16)))]
    pub shards: u32,
    /// Is the origin asked over TLS? Default `false`.
    #[serde(default)]
    pub origin_tls: bool,
}

fn one() -> u32 {
    1
}

fn all() -> u8 {
    100
}

/// What the origin serves.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// How many objects. 1 to 10000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10000)))]
    pub count: u32,
    /// The length of a version's body. At most 16MiB.
    pub size: Between<ByteCount>,
    /// Some objects that are larger. Default: none.
    #[serde(default)]
    pub large: Option<Large>,
    /// How many of a hundred objects are sent in chunks, without a length before them.
    pub chunked_percent: u8,
    /// How many of a hundred objects a shared cache may not store.
    pub not_storable_percent: u8,
    /// How long a version may be used once served, in whole seconds: at most 24h.
    #[serde(rename = "lifetime", deserialize_with = "time::between_s")]
    #[cfg_attr(feature = "schema", schemars(with = "Between<time::Seconds>"))]
    pub lifetime_s: Between<u64>,
    /// How long until an object's next version. At least 1ms.
    #[serde(rename = "version_every", deserialize_with = "time::between_ms")]
    #[cfg_attr(feature = "schema", schemars(with = "Between<Millis>"))]
    pub version_every_ms: Between<u64>,
    /// How many of a hundred objects have a body for each of three languages (`Vary: Accept-Language`), of
    /// which each request wants one. Default 0.
    #[serde(default)]
    pub vary_percent: u8,
    /// How many tags there are (`Surrogate-Key`): the n-th object has the n-th, and so on in turn. At most
    /// 100. Default 0.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 100)))]
    pub tags: u32,
    /// How many of a hundred objects come with an entity tag, so that they can be asked about. Default 100.
    #[serde(default = "all")]
    pub validators_percent: u8,
    /// How many of a hundred objects come with a `Date`, in whole seconds, so that ages may seem up to a
    /// second more than they are. Default 0.
    #[serde(default)]
    pub date_percent: u8,
    /// How many of a hundred objects come with a `Set-Cookie`. Default 0.
    #[serde(default)]
    pub cookie_percent: u8,
    /// How many of a hundred objects come after an interim response (`103 Early Hints`). Default 0.
    #[serde(default)]
    pub interim_percent: u8,
    /// Some objects may be used stale while they are asked about (`stale-while-revalidate`). Default: none.
    #[serde(default)]
    pub stale_while_revalidate: Option<Window>,
    /// Some objects may be used stale while the origin fails (`stale-if-error`). Default: none.
    #[serde(default)]
    pub stale_if_error: Option<Window>,
    /// How many of a hundred objects must be asked about before each use (`no-cache`). They all come with an
    /// entity tag. Default 0.
    #[serde(default)]
    pub no_cache_percent: u8,
    /// How many of a hundred objects must not be used once they are stale (`must-revalidate`). Default 0.
    #[serde(default)]
    pub must_revalidate_percent: u8,
    /// How many of a hundred entity tags are weak. Default 0.
    #[serde(default)]
    pub weak_percent: u8,
    /// How many of a hundred objects are redirects, of which each version leads elsewhere: 301, 302, 307 or
    /// 308. Default 0.
    #[serde(default)]
    pub redirect_percent: u8,
    /// Of those that are no redirects, how many of a hundred are not there: 404, or 410. Default 0.
    #[serde(default)]
    pub missing_percent: u8,
}

/// What some objects may be used for when they are stale.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How many of a hundred objects. 1 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub percent: u8,
    /// For how long after their lifetime, in whole seconds: at most 24h.
    #[serde(rename = "for", deserialize_with = "time::between_s")]
    #[cfg_attr(feature = "schema", schemars(with = "Between<time::Seconds>"))]
    pub for_s: Between<u64>,
}

/// Objects that are larger than the others.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Large {
    /// How many of a hundred objects are larger. 1 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub percent: u8,
    /// The length of a version's body. At most 16MiB.
    pub size: Between<ByteCount>,
}

/// Which of the faults and workload habits a seed has. Seeds that differ in shape find far more than seeds
/// that are all alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Swarm {
    /// Each with a chance of one half.
    #[default]
    Half,
    /// All of them.
    All,
}

/// A range to draw from, both ends included; written `[least, most]`, or as one value where both are the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between<T>(pub T, pub T);

impl<'de, T: Deserialize<'de> + Copy> Deserialize<'de> for Between<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ends(PhantomData))
    }
}

struct Ends<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Copy> Visitor<'de> for Ends<T> {
    type Value = Between<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value, or two in brackets to draw between")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Between<T>, A::Error> {
        let two = || de::Error::custom("two values belong into the brackets, the least and the most");
        let least = seq.next_element()?.ok_or_else(two)?;
        let most = seq.next_element()?.ok_or_else(two)?;
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(two());
        }
        Ok(Between(least, most))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Between<T>, E> {
        T::deserialize(text.into_deserializer()).map(|both| Between(both, both))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Between<T>, E> {
        self.visit_str(&number.to_string())
    }
}
