//! Stopping: no new connections, transfers to their end or the deadline, what is being stored to its end
//! (failure R9).

use crate::{access_log::AccessLog, readiness::Readiness, tls::Certificates, world::Production};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tiergate_driver::Driver;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

/// How often a drain looks whether the last tier has finished its writing. Nothing announces that.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The signals that a server listens to. One that it did not listen to would kill it without a drain.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// What a signal tells a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// SIGTERM, SIGINT, or SIGQUIT, which nginx drains at, too.
    Stop,
    /// SIGUSR1, which programs that rotate logs send.
    Reopen,
    /// SIGHUP, of which others read their configuration anew.
    Reload,
    /// SIGUSR2, of which others start their next version.
    Upgrade,
}

impl Signals {
    /// From now on the signals are ours.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.quit.recv() => Told::Stop,
            _ = self.user_1.recv() => Told::Reopen,
            _ = self.hangup.recv() => Told::Reload,
            _ = self.user_2.recv() => Told::Upgrade,
        }
    }

    /// Waits until the server is told to stop, and does what else it is told.
    async fn stop(&mut self, log: Option<&AccessLog>, certificates: Option<&Certificates>) {
        loop {
            match (self.next().await, log) {
                (Told::Stop, _) => return,
                (Told::Reopen, Some(log)) => log.reopen(),
                (Told::Reopen, None) => {
                    tracing::warn!("SIGUSR1: there is no access log that could be opened anew");
                }
                (Told::Reload, _) => reload(certificates),
                (Told::Upgrade, _) => tracing::warn!("SIGUSR2: there is nothing that it would do"),
            }
        }
    }
}

fn reload(certificates: Option<&Certificates>) {
    match certificates.map(Certificates::reload) {
        Some(Ok(())) => tracing::warn!("SIGHUP: the certificates were read anew, and nothing else"),
        Some(Err(error)) => tracing::error!(%error, "SIGHUP: the certificates stay as they were"),
        None => tracing::warn!("SIGHUP: the configuration is read at start only, and was not read anew"),
    }
}

/// A server that takes requests.
pub(super) struct Running {
    pub(super) signals: Signals,
    /// Turned to `true`, it ends the service, and every connection after its current response.
    pub(super) stop: watch::Sender<bool>,
    pub(super) services: JoinSet<()>,
    /// Ends when the last connection does.
    pub(super) closed: mpsc::Receiver<Infallible>,
    pub(super) driver: Driver<Production>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) log: Option<Arc<AccessLog>>,
    pub(super) certificates: Option<Arc<Certificates>>,
}

/// Waits for a signal, then drains for at most `drain_max`; a second signal cuts that short.
pub(super) async fn until_told(running: Running, drain_max: Duration) {
    let Running { mut signals, stop, mut services, mut closed, driver, readiness, log, certificates } =
        running;
    let (log, certificates) = (log.as_deref(), certificates.as_deref());
    signals.stop(log, certificates).await;
    readiness.drains();
    tracing::info!(seconds_max = drain_max.as_secs(), "stopping: finishing what is under way");
    stop.send_replace(true);
    let deadline = Instant::now() + drain_max;
    let drained = async {
        // One that panicked has no listener any more, which is all that is waited for.
        while services.join_next().await.is_some() {}
        while closed.recv().await.is_some() {}
        while !driver.audit().is_idle() {
            sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::select! {
        ended = timeout_at(deadline, drained) => match ended {
            Ok(()) => tracing::info!("stopped: everything was finished"),
            Err(_elapsed) => tracing::warn!("stopped: `drain_seconds` are over, and transfers were cut"),
        },
        () = signals.stop(log, certificates) => tracing::warn!("stopped: a second signal came, and transfers were cut"),
    }
}
