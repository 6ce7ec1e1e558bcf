//! Starting and stopping: listener, tiers, driver, front, signals, drain.
//!
//! Pingora's own `Server` is not used. It binds only while it starts (a taken port is a panic after 30
//! tries), and on SIGTERM it sleeps a fixed time, whether or not anything is under way. Here the port is
//! bound before anything else, and a drain ends with the last connection. Everything of Pingora's that serves
//! requests is the same: its service, its listener, its proxy.

mod admin;
#[cfg(feature = "s3")]
mod bucket;
mod demo;
mod drain;
mod error;
mod listening;
mod machine;
mod recording;
mod servers;
mod storage;

pub(crate) use error::StartError;

use listening::Admission;

use crate::{
    Failure,
    access_log::AccessLog,
    args::Serve,
    config::{self, AccessLogPolicy, Destination, Log, Overrides, ResponseLimits, ServerConfig},
    front::{Doors, Front, Opening, Watchers},
    metrics::{Metrics, Sources},
    origin_connect::OriginConnect,
    readiness::Readiness,
    tap::Tap,
    tls::Certificates,
    world::{Journal, Production},
};
use std::{
    fmt::Write as _,
    io::Write,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};
use storage::Storage;
use tiergate_driver::{Driver, Parts, TokioClock, TokioSpawn};
use tiergate_engine::{Seed, TierId};
use tiergate_tiers::{HostField, HttpOrigin, Io, OriginOptions};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How long the origin may take to accept a connection at start, before a warning says that it does not.
const ORIGIN_PROBE_TIME_MAX: Duration = Duration::from_secs(2);

/// How long the access log may take to write its last lines.
const LOG_TIME_MAX: Duration = Duration::from_secs(2);

/// `tiergate serve`.
pub(crate) fn serve(arguments: Serve) -> Result<(), Failure> {
    let Serve { config, listen, origin } = arguments;
    let overrides = Overrides { listen, origin };
    let prepared = match &config {
        Some(file) => Prepared::configured(config::load(file, &overrides)?)?,
        None => demo::prepare(overrides)?,
    };
    start_log(prepared.config.log);
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let ended = runtime.block_on(run(prepared));
    // What is left has had its time: a drain that took too long, or a probe of the origin.
    runtime.shutdown_background();
    Ok(ended?)
}

/// A configuration with its port bound.
struct Prepared {
    config: ServerConfig,
    listener: TcpListener,
    address: SocketAddr,
    /// There in a demonstration.
    demo: Option<demo::Demo>,
}

impl Prepared {
    fn configured(config: ServerConfig) -> Result<Self, StartError> {
        let (listener, address) = bind(config.listen)?;
        Ok(Self { config, listener, address, demo: None })
    }
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Tells whoever started us. That nobody reads it is no reason to stop.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

fn start_log(log: Log) {
    let level = match log {
        Log::Warnings => tracing::Level::WARN,
        Log::Access => tracing::Level::INFO,
        Log::Debug => tracing::Level::DEBUG,
    };
    // What the crate warns of is what strangers send, who could fill the log with it.
    let told = Targets::new().with_default(level).with_target("h2", LevelFilter::OFF);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // A log that nobody reads any more is no reason to stop either.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .finish()
        .with(told)
        .init();
}

/// From a bound port to the end of the drain.
async fn run(prepared: Prepared) -> Result<(), StartError> {
    let Prepared { mut config, listener, address, demo } = prepared;
    let signals = drain::Signals::new().map_err(StartError::Runtime)?;
    let encrypted = config.tls.clone().map(Encrypted::open).transpose()?;
    let admin = config.admin.as_ref().map(admin::Bound::new).transpose()?;
    let admin_address = admin.as_ref().map(|admin| admin.address);
    let access_log = config.access_log.as_ref().map(start_access_log).transpose()?.map(Arc::new);
    if let Some(demo) = &demo {
        config.origin = demo.start_origin(config.origin).await?;
    }
    let tap = config.tap_shard.map(|shard| Tap::start(shard, config.cache.as_written())).transpose();
    let tap = tap.map_err(StartError::Runtime)?;
    let watched = tap.as_ref().map(|tap| Arc::clone(tap.counts()));
    let mut storage = Storage::open(&config).await?;
    let disk = storage.io().map_or("", Io::as_str);
    let sources =
        Sources { log: access_log.as_ref().map(|log| Arc::clone(log.counts())), tap: watched.clone() };
    let observers = Observers::new(&config, sources);
    let driver = start_driver(&config, &mut storage, &observers, tap).await?;
    let admin = admin.map(|admin| admin.serve(&driver, &observers)).transpose()?;
    let (open, closed) = mpsc::channel(1);
    let id = getrandom::u64().map_err(StartError::Chance)?;
    let watchers = Watchers { metrics: Arc::clone(&observers.metrics), access_log: access_log.clone() };
    let front = Front::new(driver.clone(), config.origin.clone(), config.front.clone(), watchers, id, open);
    let (stop, stopping) = watch::channel(false);
    let certificates = encrypted.as_ref().map(|encrypted| Arc::clone(&encrypted.certificates));
    let doors = Doors::new(front, config.origin_tls.ca_file.as_deref());
    let mut services = JoinSet::new();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Runtime)?;
    let admission = Admission::new(config.connections);
    let opening = Opening { told_by: config.told_by, tls: None };
    services.spawn(listening::accept(
        listener,
        opening,
        Arc::clone(&admission),
        doors.clone(),
        stopping.clone(),
    ));
    let mut listens = format!("http://{address}");
    if let Some(Encrypted { listener, address, opening, .. }) = encrypted {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Runtime)?;
        services.spawn(listening::accept(listener, opening, admission, doors, stopping));
        write!(listens, ", https://{address}").expect("a String takes everything");
    } else {
        // The last connection shall be the last that holds the front.
        drop(doors);
    }

    machine::prepare(&config);
    say(&match &demo {
        Some(demo) => demo.announcement(address, &config.origin, disk, admin_address),
        None => announcement(&listens, &config.origin, disk, admin_address),
    });
    let probe = tokio::spawn(probe_origin(config.origin.clone()));
    let readiness = observers.readiness;
    let log = access_log.clone();
    let running = drain::Running { signals, stop, services, closed, driver, readiness, log, certificates };
    drain::until_told(running, config.drain).await;
    probe.abort();
    if let Some(admin) = admin {
        admin.abort();
    }
    if let Some(log) = access_log
        && !log.finish(LOG_TIME_MAX)
    {
        tracing::warn!("the access log could not be written to its end");
    }
    if let Some(watched) = watched {
        let (checked, broken) = (watched.checked(), watched.broken());
        tracing::info!(checked, ?broken, "events of the tapped shard, and the rules that they broke");
    }
    Ok(())
}

/// A listener for TLS, and what its connections begin with.
struct Encrypted {
    listener: TcpListener,
    address: SocketAddr,
    opening: Opening,
    certificates: Arc<Certificates>,
}

impl Encrypted {
    fn open(tls: config::Tls) -> Result<Self, StartError> {
        let certificates = Certificates::load(tls.certificates).map_err(StartError::Certificate)?;
        let (listener, address) = bind(tls.listen)?;
        let acceptor = TlsAcceptor::from(Arc::new(certificates.server_config()));
        let opening = Opening { told_by: tls.told_by, tls: Some(acceptor) };
        Ok(Self { listener, address, opening, certificates })
    }
}

/// Where everything is, in one line.
fn announcement(
    listens: &str,
    origin: &config::OriginAddress,
    disk: &str,
    admin: Option<SocketAddr>,
) -> String {
    let mut line = format!("tiergate: listening on {listens}, origin {origin}");
    if !disk.is_empty() {
        line.push_str(&format!(", l2 through {disk}"));
    }
    if let Some(admin) = admin {
        line.push_str(&format!(", admin on http://{admin}"));
    }
    line.push('\n');
    line
}

/// Who watches the driver.
struct Observers {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl Observers {
    fn new(config: &ServerConfig, sources: Sources) -> Self {
        Self {
            metrics: Arc::new(Metrics::new(&config.cache, config.shards, sources)),
            readiness: Arc::new(Readiness::awaiting(config.cache.local_tiers(), config.shards.get())),
        }
    }
}

fn start_access_log(policy: &AccessLogPolicy) -> Result<AccessLog, StartError> {
    let AccessLogPolicy { destination, format } = policy;
    AccessLog::start(destination.clone(), *format).map_err(|error| match destination {
        Destination::StandardError => StartError::Runtime(error),
        Destination::File(file) => StartError::AccessLog { file: file.clone(), error },
    })
}

async fn start_driver(
    config: &ServerConfig,
    storage: &mut Storage,
    observers: &Observers,
    tap: Option<Tap>,
) -> Result<Driver<Production>, StartError> {
    // L3 is made of stores, not of records.
    let of_records = config.cache.byte_tiers().filter(|tier| *tier != TierId::L3);
    let tiers = of_records.map(|tier| (tier, storage.take(tier))).collect();
    let recording = config.recording.as_ref().map(recording::create).transpose()?;
    let connect = OriginConnect::new(&config.origin, &config.origin_tls).map_err(StartError::Roots)?;
    let host = config.front.origin_host.clone().map_or(HostField::Forwarded, HostField::Fixed);
    let ResponseLimits { head_bytes_max, field_lines_max } = config.front.response_limits;
    let origin_options = OriginOptions { host, head_bytes_max, field_lines_max, ..OriginOptions::default() };
    let parts = Parts {
        clock: TokioClock::new(),
        spawn: TokioSpawn::current(),
        origin: HttpOrigin::new(connect, config.origin.authority(), origin_options),
        tiers,
        durable: storage.take_durable(),
        feed: storage.take_feed(),
        observer: Journal::new(
            Arc::clone(&observers.metrics),
            Arc::clone(&observers.readiness),
            recording,
            tap,
        ),
    };
    let seed = Seed(getrandom::u64().map_err(StartError::Chance)?);
    Driver::start(parts, &config.cache, seed, config.shards).await.map_err(StartError::Tier)
}

/// An origin that is not there yet is no reason not to start: it may come, and until then the tiers have what
/// they have.
async fn probe_origin(origin: config::OriginAddress) {
    let connecting = tokio::net::TcpStream::connect(origin.authority().to_owned());
    let reason = match tokio::time::timeout(ORIGIN_PROBE_TIME_MAX, connecting).await {
        Ok(Ok(_stream)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "no answer".to_owned(),
    };
    tracing::warn!(
        %origin,
        reason,
        "the origin cannot be reached; requests for what is not stored fail until it can"
    );
}
