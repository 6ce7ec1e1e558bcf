//! The configuration file: what it may say, and what is wrong with it.
//!
//! [`RawServerConfig`] is what a file says; [`ServerConfig`] is what the server runs on, and whoever holds
//! one need not check again. The `cache` section is the engine's own: a scenario contains the same text.
//! Nothing here opens a socket or a file other than the configuration itself. Start at [`load`].

mod access_log;
mod admin;
mod clients;
mod error;
mod forward;
mod front;
mod origin;
mod places;
mod recording;
mod s3;
mod servers;
mod storage;
mod tls;
mod trust;
mod trusted;
mod unforwarded;

pub use access_log::{AccessLogPolicy, Destination, Format, RawAccessLog, RawFormat};
pub use admin::{ADMIN_LISTEN_DEFAULT, Access, Admin, RawAdmin, Token};
pub use clients::{RawLimits, RawTimeouts};
pub use error::{ConfigError, Problem};
pub use forward::RawForward;
pub use front::{
    ClearText, ConnectionLimits, FIELD_LINES_MOST, FrontOptions, HeadLimits, Rate, RawFront, RequestLimits,
    ResponseLimits, Timeouts,
};
pub use origin::{OriginAddress, RawOriginLimits};
pub use recording::{RawRecording, Recording};
pub use s3::{NamedIn, RawS3, RawS3Credentials, S3Bucket};
pub use servers::{
    Encryption, Password, PostgresServer, RawPostgres, RawPostgresServer, RawRedis, RawRedisServer,
    RedisServer,
};
pub use storage::{
    Blobs, Disk, Durable, FeedLog, Index, RawBlobs, RawDirectories, RawDiskStorage, RawDurableStorage,
    RawIndex, RawIo, RawSharedMemory, RawSharedStorage, RawSharedTerms, RawStorage, RawSync, SharedMemory,
};
pub use tiergate_tiers::SyncPolicy;
pub use tls::{CertificateFiles, OriginTls, RawCertificate, RawTls, Tls};
pub use trust::{Network, Standing, ToldBy, TrustedProxies};
pub use trusted::told_by;
pub use unforwarded::Unforwarded;

use places::Places;
use serde::Deserialize;
use std::{fs, net::SocketAddr, num::NonZeroU32, path::Path, time::Duration};
use tiergate_engine::{ByteCount, Config, RawConfig, RawDiskTier};

/// Where the server listens when nobody says otherwise.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// Shards for each core: with this many, two busy cores seldom want one lock.
const SHARDS_PER_CORE: usize = 4;
/// More shards than this only divide the capacity further.
const SHARDS_MAX: u32 = 4096;
/// A shard of L0 holds at least this many objects of the largest size it admits, or it could not choose
/// between them.
const GATES_PER_SHARD: u64 = 4;
/// What a demonstration takes of a disk that nobody offered, and that may be memory.
const DEMO_CAPACITY: ByteCount = ByteCount::mib(256);
const DRAIN_SECONDS_DEFAULT: u64 = 30;
const DRAIN_SECONDS_MAX: u64 = 86_400;

/// A configuration file as written. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawServerConfig {
    /// Where clients connect: an IP address and a port. Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: Option<String>,
    /// Whether each connection there begins with a header of the PROXY protocol, version 1 or 2. Default
    /// `false`.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Whether HTTP/2 may be spoken there, in clear text, by a client that knows beforehand that it may.
    /// Default `false`.
    #[serde(default)]
    pub h2c: bool,
    /// Where responses come from: `http://host:port`. Needed.
    pub origin: Option<String>,
    /// What the origin is told in `Host`. Default: what the client asked for.
    pub origin_host: Option<String>,
    /// TLS towards the origin, where its URL says `https`.
    #[serde(default)]
    pub origin_tls: OriginTls,
    /// How large the head of one of its responses may be.
    #[serde(default)]
    pub origin_limits: RawOriginLimits,
    /// What becomes of a request's fields on the way to the origin.
    #[serde(default)]
    pub forward: RawForward,
    /// What to cache where. The engine's section.
    #[serde(default)]
    pub cache: RawConfig,
    /// What the tiers below L0 are.
    #[serde(default)]
    pub storage: RawStorage,
    /// What a `PURGE` at the clients' listener must know, as a bearer token. Default: none, and it is
    /// refused.
    pub purge_token: Option<Token>,
    /// TLS towards clients. Default: none.
    pub tls: Option<RawTls>,
    /// Whose word on clients counts: addresses, and networks such as `10.0.0.0/8`. Default: nobody's.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    /// How large a request's head may be.
    #[serde(default)]
    pub limits: RawLimits,
    /// How long a client is waited for.
    #[serde(default)]
    pub timeouts: RawTimeouts,
    /// Independent slices of the key space, each behind its own lock. Default: 4 for each core.
    pub shards: Option<u32>,
    /// How long transfers may go on after SIGTERM. Default 30; at most 86400.
    pub drain_seconds: Option<u64>,
    /// Where operators ask about the server, and purge. Default: nowhere. `{}` is a loopback address.
    pub admin: Option<RawAdmin>,
    /// A line for each response. Default: none.
    pub access_log: Option<RawAccessLog>,
    /// What is written to standard error. Default `warnings`.
    #[serde(default)]
    pub log: Log,
    /// What one shard decides, to be lived again. Default: nothing.
    pub recording: Option<RawRecording>,
    /// Which shard is watched by the rules of simulation; `null` is none. Default 0; below `shards`.
    #[serde(default = "tap_default")]
    pub tap_shard: Option<u32>,
}

/// One shard of all is a sample at little cost.
const fn tap_default() -> Option<u32> {
    Some(0)
}

/// What is written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// What somebody should look at.
    #[default]
    Warnings,
    /// That, and one line for each request.
    Access,
    /// That, and what the engine did.
    Debug,
}

/// What a server runs on.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Who says whose a connection there is.
    pub told_by: ToldBy,
    /// Where responses come from.
    pub origin: OriginAddress,
    /// TLS towards it.
    pub origin_tls: OriginTls,
    /// What to cache where.
    pub cache: Config,
    /// What L1 is. There if and only if `cache` has an L1.
    pub shared: Option<SharedMemory>,
    /// Where the feed's log is. There if and only if `cache` has a feed.
    pub feed: Option<FeedLog>,
    /// What L3 is. There if and only if `cache` has an L3.
    pub durable: Option<Durable>,
    /// The directories that are L2. There if and only if `cache` has an L2.
    pub disk: Option<Disk>,
    /// TLS towards clients, if there is any.
    pub tls: Option<Tls>,
    /// How many clients there may be.
    pub connections: ConnectionLimits,
    /// How clients are treated; whether their requests are logged, `log` says.
    pub front: FrontOptions,
    /// Engines.
    pub shards: NonZeroU32,
    /// How long transfers may go on after a signal.
    pub drain: Duration,
    /// Where operators ask.
    pub admin: Option<Admin>,
    /// Where responses are logged.
    pub access_log: Option<AccessLogPolicy>,
    /// What to log.
    pub log: Log,
    /// What to record.
    pub recording: Option<Recording>,
    /// Which shard is watched.
    pub tap_shard: Option<u32>,
}

/// What the command line puts in place of what the file says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Instead of `listen`.
    pub listen: Option<String>,
    /// Instead of `origin`.
    pub origin: Option<String>,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// The file cannot be read or is no YAML, a key is unknown, a value is out of bounds, or two keys contradict
/// each other. The error says where.
pub fn load(path: &Path, overrides: &Overrides) -> Result<ServerConfig, ConfigError> {
    check_overrides(overrides)?;
    let at = |problem: Problem| ConfigError::new(path, problem);
    let text = fs::read_to_string(path).map_err(|error| {
        at(Problem::whole(format!("cannot be read: {error}; name an existing file with -c")))
    })?;
    parse(&text, overrides).map_err(at)
}

/// What a server without a file runs on: defaults, and L2 in `directory`. Without an origin, the caller has
/// its own.
///
/// # Errors
/// An override is out of bounds.
pub fn for_demo(overrides: Overrides, directory: &Path) -> Result<ServerConfig, ConfigError> {
    check_overrides(&overrides)?;
    let Overrides { listen, origin } = overrides;
    let raw = RawServerConfig {
        listen,
        proxy_protocol: false,
        h2c: false,
        origin: origin.or_else(|| Some(format!("http://{LISTEN_DEFAULT}"))),
        origin_host: None,
        origin_tls: OriginTls::default(),
        origin_limits: RawOriginLimits::default(),
        forward: RawForward::default(),
        cache: RawConfig {
            l2: Some(RawDiskTier { capacity: DEMO_CAPACITY, ..RawDiskTier::default() }),
            ..RawConfig::default()
        },
        storage: RawStorage { l2: Some(RawDiskStorage::in_directory(directory)), ..RawStorage::default() },
        purge_token: None,
        tls: None,
        trusted_proxies: Vec::new(),
        limits: RawLimits::default(),
        timeouts: RawTimeouts::default(),
        shards: None,
        drain_seconds: None,
        // On a free port: a demonstration may run beside a server.
        admin: Some(RawAdmin { listen: Some("127.0.0.1:0".to_owned()), ..RawAdmin::default() }),
        access_log: None,
        log: Log::default(),
        recording: None,
        tap_shard: tap_default(),
    };
    check(raw).map_err(|problem| ConfigError::new(Path::new("the demonstration"), problem))
}

/// Before the file is looked at, so that nobody searches it for a mistake that stands on the command line.
fn check_overrides(overrides: &Overrides) -> Result<(), ConfigError> {
    let Overrides { listen, origin } = overrides;
    let at = |problem: Problem| ConfigError::new(Path::new("command line"), problem);
    if let Some(listen) = listen {
        check_listen("--listen", listen).map_err(at)?;
    }
    if let Some(origin) = origin {
        check_origin("--origin", origin).map_err(at)?;
    }
    Ok(())
}

fn check_listen(key: &str, text: &str) -> Result<SocketAddr, Problem> {
    let bound = "an IP address and a port, such as 127.0.0.1:8080";
    text.parse().map_err(|_| Problem::value(key, text, bound))
}

fn check_origin(key: &str, text: &str) -> Result<OriginAddress, Problem> {
    text.parse().map_err(|bound: &str| Problem::value(key, text, bound))
}

/// The text of a file, as what a server runs on.
fn parse(text: &str, overrides: &Overrides) -> Result<ServerConfig, Problem> {
    let places = Places::of(text);
    let mut raw: RawServerConfig =
        serde_saphyr::from_str(text).map_err(|error| Problem::unreadable(&error, &places))?;
    let Overrides { listen, origin } = overrides.clone();
    raw.listen = listen.or(raw.listen);
    raw.origin = origin.or(raw.origin);
    check(raw).map_err(|problem| problem.located(&places))
}

/// The one conversion from what is written to what is used.
fn check(raw: RawServerConfig) -> Result<ServerConfig, Problem> {
    let RawServerConfig {
        listen,
        proxy_protocol,
        h2c,
        origin,
        origin_host,
        origin_tls,
        origin_limits,
        forward,
        mut cache,
        storage,
        purge_token,
        tls,
        trusted_proxies,
        limits,
        timeouts,
        shards,
        drain_seconds,
        admin,
        access_log,
        log,
        recording,
        tap_shard,
    } = raw;
    let listen = check_listen("listen", listen.as_deref().unwrap_or(LISTEN_DEFAULT))?;
    let origin = origin.ok_or_else(|| {
        Problem::field("origin", "is missing: name the server to cache, such as http://127.0.0.1:9000")
    })?;
    let origin = check_origin("origin", &origin)?;
    let shards = shard_count(shards, &cache)?;
    if let Some(shard) = tap_shard
        && shard >= shards.get()
    {
        let bound = format!("below `shards`, which is {shards}, or null");
        return Err(Problem::value("tap_shard", shard, &bound));
    }
    let connections = limits.check_connections()?;
    let front = RawFront { origin_host, origin_limits, forward, trusted_proxies, limits, timeouts };
    let front = FrontOptions {
        clear_text: if h2c { ClearText::Both } else { ClearText::Http1 },
        purge_token: purge_token.map(|token| token.check("purge_token")).transpose()?,
        traces: match log {
            Log::Warnings => false,
            Log::Access | Log::Debug => true,
        },
        ..front.check()?
    };
    let told_by = trusted::told_by("proxy_protocol", proxy_protocol, &front.trusted)?;
    let tls = tls.map(|tls| tls.check(&front.trusted)).transpose()?;
    let recording = recording.map(|recording| recording.check(shards)).transpose()?;
    let drain_seconds = drain_seconds.unwrap_or(DRAIN_SECONDS_DEFAULT);
    if drain_seconds > DRAIN_SECONDS_MAX {
        return Err(Problem::value("drain_seconds", drain_seconds, "from 0 to 86400"));
    }
    let admin = admin.map(|admin| admin.check(listen)).transpose()?;
    let access_log = access_log.map(RawAccessLog::check).transpose()?;
    let storage::Storage { shared, disk, durable, feed } = storage::check(&mut cache, storage)?;
    let cache = Config::try_from(cache)
        .map_err(|error| Problem::value(format!("cache.{}", error.field), error.value, error.bound))?;
    Ok(ServerConfig {
        listen,
        told_by,
        origin,
        origin_tls,
        cache,
        shared,
        feed,
        durable,
        disk,
        tls,
        connections,
        front,
        shards,
        drain: Duration::from_secs(drain_seconds),
        admin,
        access_log,
        log,
        recording,
        tap_shard,
    })
}

/// As many as asked for; otherwise as many as the cores make use of, but not so many that a shard of L0
/// becomes too small for what the gate lets in.
fn shard_count(asked: Option<u32>, cache: &RawConfig) -> Result<NonZeroU32, Problem> {
    if let Some(asked) = asked {
        return NonZeroU32::new(asked)
            .filter(|count| count.get() <= SHARDS_MAX)
            .ok_or_else(|| Problem::value("shards", asked, "from 1 to 4096"));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let useful = u32::try_from(cores.saturating_mul(SHARDS_PER_CORE)).unwrap_or(SHARDS_MAX);
    let roomy = cache.l0.as_ref().map_or(SHARDS_MAX, |l0| {
        let room = l0.gate.0.saturating_mul(GATES_PER_SHARD).max(1);
        u32::try_from(l0.capacity.0 / room).unwrap_or(SHARDS_MAX)
    });
    let count = useful.min(roomy).clamp(1, SHARDS_MAX);
    Ok(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
