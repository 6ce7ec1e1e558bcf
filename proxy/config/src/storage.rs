//! `storage`: what the tiers below L0 are.

use super::{
    error::Problem,
    origin,
    s3::{RawS3, S3Bucket},
    servers::{PostgresServer, RawPostgres, RawRedis, RedisServer},
};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use tiergate_engine::{ByteCount, RawConfig, RawDiskTier, store::Geometry};
use tiergate_tiers::{IoChoice, SyncPolicy};

/// How often L2 is synced when nobody says otherwise, and the bounds of that.
const SYNC_MS_DEFAULT: u64 = 1_000;
const SYNC_MS_MIN: u64 = 10;
const SYNC_MS_MAX: u64 = 3_600_000;
/// More directories than this are a mistake.
const DIRECTORIES_MAX: usize = 64;

/// `storage`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStorage {
    /// The memory store that edges share. Goes with `cache.l1`.
    pub l1: Option<RawSharedMemory>,
    /// The local disk. Goes with `cache.l2`.
    pub l2: Option<RawDiskStorage>,
    /// The durable store. Goes with `cache.l3`.
    pub l3: Option<RawDurableStorage>,
    /// Where the log lies that tells edges of each other's purges. Goes with `cache.feed`. Default: where
    /// `l3.index` is, unless that is a bucket.
    pub feed: Option<RawSharedStorage>,
}

/// `storage.l1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawSharedMemory {
    /// A Redis server.
    Redis(RawRedis),
    /// A memcached of version 1.6 or later: `host:port`.
    Memcached(String),
}

/// The memory store that edges share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedMemory {
    /// A Redis.
    Redis(RedisServer),
    /// A memcached, `host:port`.
    Memcached(String),
}

/// `storage.l3`. Any blobs go with any index.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDurableStorage {
    /// Where bodies are.
    pub blobs: RawBlobs,
    /// Where it is said which of them are current.
    pub index: RawIndex,
    /// What to do where the edges that share the index have other terms in `cache.l3`. Default `compare`.
    #[serde(default)]
    pub terms: RawSharedTerms,
}

/// `storage.l3.terms`. Who has an index of its own has nobody to agree with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawSharedTerms {
    /// This edge does not start.
    #[default]
    Compare,
    /// This edge's take their place: for the first one that is started after all were stopped.
    Replace,
}

/// `storage.l3.blobs`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawBlobs {
    /// A directory of this process alone. One is made if only its own name is missing.
    Dir(PathBuf),
    /// A bucket of a service that speaks S3, of every process that reaches it.
    S3(Box<RawS3>),
}

/// `storage.l3.index`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawIndex {
    /// A file of this process alone. One is made if only its own name is missing.
    Embedded(PathBuf),
    /// A Redis server that evicts nothing and keeps its file.
    Redis(RawRedis),
    /// A PostgreSQL database. Only programs built with the feature `postgres` have it.
    Postgres(RawPostgres),
    /// A bucket of a service that speaks S3 and keeps conditions, which is tried at start.
    S3(Box<RawS3>),
}

/// Where bodies are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blobs {
    /// In this directory, of this process alone.
    Dir(PathBuf),
    /// In this bucket.
    S3(S3Bucket),
}

/// Where rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    /// In this file, of this process alone.
    Embedded(PathBuf),
    /// In a Redis.
    Redis(RedisServer),
    /// In a PostgreSQL database.
    Postgres(PostgresServer),
    /// In this bucket.
    S3(S3Bucket),
}

/// The durable store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Where bodies are.
    pub blobs: Blobs,
    /// Where its rows are.
    pub index: Index,
    /// What to do with other edges' terms.
    pub terms: RawSharedTerms,
}

/// Where the feed's log lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedLog {
    /// Beside the rows of the durable store.
    Index,
    /// In this Redis.
    Redis(RedisServer),
}

/// `storage.feed`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSharedStorage {
    /// A Redis server.
    pub redis: RawRedis,
}

/// `storage.l2`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDiskStorage {
    /// A directory that nobody else writes to, or a list of them, one for each disk. One is made if only its
    /// own name is missing. `cache.l2.capacity` is of all together, evenly, and taken from the disks at
    /// start. With another number of directories most of what is stored is not found any more.
    pub directory: RawDirectories,
    /// How the disk is asked for what is not in memory. Default `auto`.
    #[serde(default)]
    pub io: RawIo,
    /// When what was stored is made durable. Default every 1000 ms.
    #[serde(default)]
    pub sync: RawSync,
}

impl RawDiskStorage {
    /// One directory, and defaults.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: RawDirectories(vec![directory.to_owned()]),
            io: RawIo::default(),
            sync: RawSync::default(),
        }
    }
}

/// A path, or a list of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDirectories(pub Vec<PathBuf>);

impl<'de> Deserialize<'de> for RawDirectories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Paths;
        impl<'de> Visitor<'de> for Paths {
            type Value = RawDirectories;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a directory, or a list of directories")
            }

            fn visit_str<E>(self, path: &str) -> Result<RawDirectories, E> {
                Ok(RawDirectories(vec![path.into()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawDirectories, A::Error> {
                let mut paths = Vec::new();
                while let Some(path) = items.next_element()? {
                    paths.push(path);
                }
                Ok(RawDirectories(paths))
            }
        }
        deserializer.deserialize_any(Paths)
    }
}

/// `storage.l2.io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawIo {
    /// By io_uring where the system allows it, by a pool of threads elsewhere.
    #[default]
    Auto,
    /// By io_uring; where it is refused, the server does not start.
    IoUring,
    /// By a pool of threads.
    Pool,
}

/// `storage.l2.sync`: what a crash of the system, or a loss of power, takes with it. A crash of the server
/// alone takes nothing, whatever this says, and a purge that was acknowledged stays done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum RawSync {
    /// Nothing is synced, not even purges: L2 is empty after each boot of the system.
    Never,
    /// Synced when a segment is full, and for each purge. What was stored since the last segment was full may
    /// be lost.
    OnSeal,
    /// That, and so often. What was stored in that time may be lost. From 10 to 3600000.
    EveryMs(u64),
}

impl Default for RawSync {
    fn default() -> Self {
        Self::EveryMs(SYNC_MS_DEFAULT)
    }
}

impl RawSync {
    /// What the log of L2 is told.
    ///
    /// # Errors
    /// It is synced too often, or hardly ever.
    pub fn check(self) -> Result<SyncPolicy, Problem> {
        match self {
            Self::Never => Ok(SyncPolicy::Never),
            Self::OnSeal => Ok(SyncPolicy::OnSeal),
            Self::EveryMs(ms) if (SYNC_MS_MIN..=SYNC_MS_MAX).contains(&ms) => {
                Ok(SyncPolicy::Every(Duration::from_millis(ms)))
            }
            Self::EveryMs(ms) => Err(Problem::value("storage.l2.sync.every_ms", ms, "from 10 to 3600000")),
        }
    }
}

/// The directories that are L2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// At least one.
    pub directories: Vec<PathBuf>,
    /// How they are asked.
    pub io: IoChoice,
    /// When they are synced.
    pub sync: SyncPolicy,
    /// What they hold together.
    pub capacity: ByteCount,
}

/// What stands behind the tiers, and the feed.
pub(super) struct Storage {
    pub(super) shared: Option<SharedMemory>,
    pub(super) disk: Option<Disk>,
    pub(super) durable: Option<Durable>,
    pub(super) feed: Option<FeedLog>,
}

impl RawDurableStorage {
    fn check(self) -> Result<Durable, Problem> {
        let Self { blobs, index, terms } = self;
        let is_file = |key: &str, path: &Path, bound: &str| match path.as_os_str().is_empty() {
            true => Err(Problem::value(key, "empty", bound)),
            false => Ok(()),
        };
        let blobs = match blobs {
            RawBlobs::Dir(directory) => {
                let bound = "a directory, such as /var/lib/tiergate/blobs";
                is_file("storage.l3.blobs.dir", &directory, bound)?;
                Blobs::Dir(directory)
            }
            RawBlobs::S3(s3) => Blobs::S3(s3.check("storage.l3.blobs.s3")?),
        };
        let index = match index {
            RawIndex::Embedded(file) => {
                is_file("storage.l3.index.embedded", &file, "a file, such as /var/lib/tiergate/index.redb")?;
                Index::Embedded(file)
            }
            RawIndex::Redis(redis) => Index::Redis(redis.check("storage.l3.index.redis")?),
            RawIndex::Postgres(postgres) => Index::Postgres(postgres.check("storage.l3.index.postgres")?),
            RawIndex::S3(s3) => Index::S3(s3.check("storage.l3.index.s3")?),
        };
        Ok(Durable { blobs, index, terms })
    }
}

impl RawSharedMemory {
    fn check(self) -> Result<SharedMemory, Problem> {
        match self {
            Self::Redis(redis) => redis.check("storage.l1.redis").map(SharedMemory::Redis),
            Self::Memcached(authority) if origin::is_authority(&authority) => {
                Ok(SharedMemory::Memcached(authority))
            }
            Self::Memcached(authority) => {
                let bound = "host:port, such as 127.0.0.1:11211";
                Err(Problem::value("storage.l1.memcached", authority, bound))
            }
        }
    }
}

/// A tier is described twice, by what it does (`cache`) and by what it is (`storage`): one without the other
/// would be a tier that silently does nothing. L2's gate becomes what its log can hold.
pub(super) fn check(cache: &mut RawConfig, storage: RawStorage) -> Result<Storage, Problem> {
    check_pairs(cache, &storage)?;
    check_memory(cache)?;
    let shared = storage.l1.map(RawSharedMemory::check).transpose()?;
    let feed = storage.feed.map(|feed| feed.redis.check("storage.feed.redis")).transpose()?;
    let feed = feed.map(FeedLog::Redis).or_else(|| cache.feed.map(|_| FeedLog::Index));
    let durable = storage.l3.map(RawDurableStorage::check).transpose()?;
    let disk = match (storage.l2, &mut cache.l2) {
        (Some(l2), Some(tier)) => Some(l2.check(tier)?),
        (Some(_) | None, Some(_) | None) => None,
    };
    Ok(Storage { shared, disk, durable, feed })
}

fn check_pairs(cache: &RawConfig, storage: &RawStorage) -> Result<(), Problem> {
    let lone = |there: &str, absent: &str, advice: &str| {
        Problem::field(
            there.to_owned(),
            format!("is given, but `{absent}` is not: write {advice}, or remove `{there}`"),
        )
    };
    match (&cache.l1, &storage.l1) {
        (Some(_), None) => {
            let advice = "storage: { l1: { redis: \"127.0.0.1:6379\" } }";
            return Err(lone("cache.l1", "storage.l1", advice));
        }
        (None, Some(_)) => return Err(lone("storage.l1", "cache.l1", "cache: { l1: {} }")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (&cache.l2, &storage.l2) {
        (Some(_), None) => {
            let advice = "storage: { l2: { directory: \"/var/cache/tiergate\" } }";
            return Err(lone("cache.l2", "storage.l2", advice));
        }
        (None, Some(_)) => return Err(lone("storage.l2", "cache.l2", "cache: { l2: {} }")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (&cache.l3, &storage.l3) {
        (Some(_), None) => {
            let advice = "storage: { l3: { blobs: { dir: \"/var/lib/tiergate/blobs\" }, index: { embedded: \
                          \"/var/lib/tiergate/index.redb\" } } }";
            return Err(lone("cache.l3", "storage.l3", advice));
        }
        (None, Some(_)) => return Err(lone("storage.l3", "cache.l3", "cache: { l3: {} }")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (&cache.feed, &storage.feed) {
        (Some(_), None) if storage.l3.as_ref().is_none_or(|l3| matches!(l3.index, RawIndex::S3(_))) => {
            // A bucket tells nobody of what is new in it.
            let advice = "storage: { feed: { redis: \"127.0.0.1:6379\" } }";
            return Err(lone("cache.feed", "storage.feed", advice));
        }
        (None, Some(_)) => return Err(lone("storage.feed", "cache.feed", "cache: { feed: {} }")),
        (Some(_), Some(_) | None) | (None, None) => {}
    }
    Ok(())
}

/// A cache without a tier would fetch everything, and a gate that no object of its size can pass through
/// would look like more room than there is.
fn check_memory(cache: &RawConfig) -> Result<(), Problem> {
    let Some(l0) = &cache.l0 else {
        let has_other = cache.l1.is_some() || cache.l2.is_some() || cache.l3.is_some();
        return if has_other {
            Ok(())
        } else {
            Err(Problem::field(
                "cache.l0",
                "is null, and there is no other tier, so nothing would be stored: remove `l0: null`, or configure \
                 `cache.l1`, `cache.l2` or `cache.l3`",
            ))
        };
    };
    if l0.gate != ByteCount::UNLIMITED && l0.gate > l0.capacity {
        let bound = format!("at most `cache.l0.capacity`, which is {}, or unlimited", l0.capacity);
        return Err(Problem::value("cache.l0.gate", l0.gate, &bound));
    }
    Ok(())
}

impl RawDiskStorage {
    fn check(self, tier: &mut RawDiskTier) -> Result<Disk, Problem> {
        let Self { directory: RawDirectories(directories), io, sync } = self;
        let wrong = |value: &str, bound| Err(Problem::value("storage.l2.directory", value, bound));
        if directories.is_empty() || directories.iter().any(|path| path.as_os_str().is_empty()) {
            return wrong("empty", "a directory, such as /var/cache/tiergate");
        }
        if directories.len() > DIRECTORIES_MAX {
            return wrong(&directories.len().to_string(), "at most 64 directories");
        }
        let distinct: BTreeSet<&PathBuf> = directories.iter().collect();
        if distinct.len() < directories.len() {
            return wrong("a list that names a directory twice", "a list of different directories");
        }
        check_room(tier, directories.len() as u64)?;
        let io = match io {
            RawIo::Auto => IoChoice::Auto,
            RawIo::IoUring => IoChoice::IoUring,
            RawIo::Pool => IoChoice::Pool,
        };
        Ok(Disk { directories, io, sync: sync.check()?, capacity: tier.capacity })
    }
}

/// Each directory has an equal share of the capacity, and none may be too small for a log, or for the gate.
fn check_room(tier: &mut RawDiskTier, directories: u64) -> Result<(), Problem> {
    let of_each = if directories == 1 { "" } else { " for each directory" };
    let capacity = tier.capacity.0 / directories;
    let geometry = Geometry::for_capacity(capacity).map_err(|error| {
        let value = format!("{}, which is {capacity} bytes{of_each}", tier.capacity);
        let value = if directories == 1 { tier.capacity.to_string() } else { value };
        Problem::value("cache.l2.capacity", value, &format!("{}{of_each}", error.bound))
    })?;
    let largest = geometry.object_max();
    if tier.gate != ByteCount::UNLIMITED && tier.gate > largest {
        let bound =
            format!("at most a quarter of `cache.l2.capacity`{of_each}, which is {largest}, or unlimited");
        return Err(Problem::value("cache.l2.gate", tier.gate, &bound));
    }
    tier.gate = tier.gate.min(largest);
    Ok(())
}
