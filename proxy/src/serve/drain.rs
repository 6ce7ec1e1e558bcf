//! Stopping: no new connections, transfers to their end or the deadline, what is being stored to its end
//! (failure R9).

use crate::world::Production;
use std::{convert::Infallible, io, time::Duration};
use tiergate_driver::Driver;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

/// How often a drain looks whether the last tier has finished its writing. Nothing announces that.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The signals that stop a server.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on the signals are ours.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
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
}

/// Waits for a signal, then drains for at most `drain_max`; a second signal cuts that short.
pub(super) async fn until_told(running: Running, drain_max: Duration) {
    let Running { mut signals, stop, mut services, mut closed, driver } = running;
    signals.next().await;
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
        () = signals.next() => tracing::warn!("stopped: a second signal came, and transfers were cut"),
    }
}
