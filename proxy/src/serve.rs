//! Starting and stopping: listener, tiers, driver, front, signals, drain.
//!
//! Pingora's own `Server` is not used. It binds only while it starts (a taken port is a panic after 30
//! tries), and on SIGTERM it sleeps a fixed time, whether or not anything is under way. Here the port is
//! bound before anything else, and a drain ends with the last connection. Everything of Pingora's that serves
//! requests is the same: its service, its listener, its proxy.

mod demo;
mod drain;
mod error;
mod listening;
mod recording;
mod storage;

pub(crate) use error::StartError;

use crate::{
    Failure,
    args::Serve,
    config::{self, Log, Overrides, ServerConfig},
    front::{Doors, Front},
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
use tiergate_engine::Seed;
use tiergate_tiers::{HttpOrigin, Io, OriginOptions, TcpConnect};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// How long the origin may take to accept a connection at start, before a warning says that it does not.
const ORIGIN_PROBE_TIME_MAX: Duration = Duration::from_secs(2);

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
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // A log that nobody reads any more is no reason to stop either.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// From a bound port to the end of the drain.
async fn run(prepared: Prepared) -> Result<(), StartError> {
    let Prepared { mut config, listener, address, demo } = prepared;
    let signals = drain::Signals::new().map_err(StartError::Runtime)?;
    let encrypted = config.tls.clone().map(Encrypted::open).transpose()?;
    if let Some(demo) = &demo {
        config.origin = demo.start_origin(config.origin).await?;
    }
    let tap = config.tap_shard.map(|shard| Tap::start(shard, config.cache.as_written())).transpose();
    let tap = tap.map_err(StartError::Runtime)?;
    let watched = tap.as_ref().map(|tap| Arc::clone(tap.counts()));
    let mut storage = Storage::open(&config).await?;
    let disk = storage.io().map_or("", Io::as_str);
    let driver = start_driver(&config, &mut storage, tap).await?;
    let (open, closed) = mpsc::channel(1);
    let id = getrandom::u64().map_err(StartError::Chance)?;
    let front = Front::new(driver.clone(), config.origin.clone(), config.front, id, open);
    let (stop, stopping) = watch::channel(false);
    let doors = Doors::new(front);
    let mut services = JoinSet::new();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Runtime)?;
    services.spawn(listening::accept(listener, None, doors.clone(), stopping.clone()));
    let mut listens = format!("http://{address}");
    if let Some(Encrypted { listener, address, acceptor }) = encrypted {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(StartError::Runtime)?;
        services.spawn(listening::accept(listener, Some(acceptor), doors, stopping));
        write!(listens, ", https://{address}").expect("a String takes everything");
    } else {
        // The last connection shall be the last that holds the front.
        drop(doors);
    }

    say(&match &demo {
        Some(demo) => demo.announcement(address, &config.origin, disk),
        None if disk.is_empty() => {
            format!("tiergate: listening on {listens}, origin {}\n", config.origin)
        }
        None => {
            format!("tiergate: listening on {listens}, origin {}, l2 through {disk}\n", config.origin)
        }
    });
    let probe = tokio::spawn(probe_origin(config.origin.clone()));
    drain::until_told(drain::Running { signals, stop, services, closed, driver }, config.drain).await;
    probe.abort();
    if let Some(watched) = watched {
        let (checked, broken) = (watched.checked(), watched.broken());
        tracing::info!(checked, ?broken, "events of the tapped shard, and the rules that they broke");
    }
    Ok(())
}

/// A listener for TLS, and what it shakes hands with.
struct Encrypted {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
}

impl Encrypted {
    fn open(tls: config::Tls) -> Result<Self, StartError> {
        let certificates = Certificates::load(tls.certificates).map_err(StartError::Certificate)?;
        let (listener, address) = bind(tls.listen)?;
        let acceptor = TlsAcceptor::from(Arc::new(certificates.server_config()));
        Ok(Self { listener, address, acceptor })
    }
}

async fn start_driver(
    config: &ServerConfig,
    storage: &mut Storage,
    tap: Option<Tap>,
) -> Result<Driver<Production>, StartError> {
    let tiers = config.cache.byte_tiers().map(|tier| (tier, storage.take(tier))).collect();
    let recording = config.recording.as_ref().map(recording::create).transpose()?;
    let parts = Parts {
        clock: TokioClock::new(),
        spawn: TokioSpawn::current(),
        origin: HttpOrigin::new(TcpConnect, config.origin.authority(), OriginOptions::default()),
        tiers,
        durable: None,
        feed: None,
        observer: Journal::new(config.shards, recording, tap),
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
