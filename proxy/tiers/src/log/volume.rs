//! One medium and its log: opened, recovered, given up when the disk fails, and tried again until it works.
//!
//! ```text
//! Recovering ──▶ Up ──the disk fails──▶ Down ──after a while, again and again──▶ Recovering
//!     ╰──────it cannot be read──────────▲
//! ```
//!
//! While it is down, every call fails at once. Each change is one line in the log. A device is opened again
//! only after everything that was asked of it before is over: a write that came late would hit what is new.

mod prepare;

pub(super) use prepare::{Prepared, Smaller, prepare};

use super::{
    SyncPolicy,
    bans::BanAreas,
    device::{Device, Medium},
    error::OpenError,
    session::{Answer, Session, Syncs, failed},
};
use std::{io, sync::Arc, time::Duration};
use tiergate_driver::{Contents, TierError};
use tiergate_engine::{Ban, ByteCount, Seed};
use tokio::{
    sync::{Mutex, Notify, oneshot, watch},
    time::{Instant, interval, sleep},
};

/// How long the first wait is before a disk that failed is tried again, and the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A disk that has worked for so long is not the one that failed before.
const SOUND_AFTER: Duration = Duration::from_secs(60);
/// How often the medium is looked at: a removed directory is noticed by nothing else.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How often what takes long says so.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What a volume is run with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Of this volume.
    pub(super) capacity: ByteCount,
    pub(super) sync: SyncPolicy,
    pub(super) seed: Seed,
}

impl Settings {
    const fn syncs(&self) -> Syncs {
        match self.sync {
            SyncPolicy::Never => Syncs::Nothing,
            SyncPolicy::OnSeal | SyncPolicy::Every(_) => Syncs::Device,
        }
    }
}

/// One medium and its log.
pub(super) struct Volume<M: Medium> {
    medium: M,
    settings: Settings,
    bans: Mutex<BanAreas>,
    state: watch::Sender<VolumeState<M::Device>>,
    /// Told when any volume of the tier has come up.
    risen: Arc<Notify>,
}

pub(super) enum VolumeState<D: Device> {
    /// What it holds is being found out; then it may have to become smaller.
    Recovering(Arc<Session<D>>, Option<Smaller>),
    Up(Arc<Session<D>>, Contents),
    /// With the reason, for people.
    Down(Arc<str>),
}

/// What the log has last said of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Down,
}

impl<M: Medium> Volume<M> {
    /// A volume on a medium that was opened and prepared. [`run`](Volume::run) is its life.
    pub(super) fn new(
        medium: M,
        settings: Settings,
        prepared: Prepared<M::Device>,
        risen: Arc<Notify>,
    ) -> Self {
        let Prepared { device, geometry, smaller, bans, seed } = prepared;
        let session = Session::new(device, geometry, settings.syncs(), seed);
        let state = watch::Sender::new(VolumeState::Recovering(session, smaller));
        Self { medium, settings, bans: Mutex::new(bans), state, risen }
    }

    pub(super) fn medium(&self) -> &M {
        &self.medium
    }

    /// The session that answers questions.
    pub(super) fn session(&self) -> Result<Arc<Session<M::Device>>, TierError> {
        match &*self.state.borrow() {
            VolumeState::Up(session, _) => Ok(Arc::clone(session)),
            VolumeState::Recovering(..) => Err(failed("what it holds is not known yet")),
            VolumeState::Down(why) => Err(failed(&format!("it is down: {why}"))),
        }
    }

    /// The same, once recovery is over.
    pub(super) async fn recovered(&self) -> Result<Arc<Session<M::Device>>, TierError> {
        let mut state = self.state.subscribe();
        let is_known = |state: &VolumeState<M::Device>| match state {
            VolumeState::Recovering(..) => false,
            VolumeState::Up(..) | VolumeState::Down(_) => true,
        };
        // The sender is ours, so it is there.
        drop(state.wait_for(is_known).await);
        self.session()
    }

    /// What it held when it came up; nothing while it is down. Waits for a recovery that is under way.
    pub(super) async fn contents(&self) -> Option<Contents> {
        // Why it failed is in the log.
        drop(self.recovered().await);
        match &*self.state.borrow() {
            VolumeState::Up(_, contents) => Some(*contents),
            VolumeState::Recovering(..) | VolumeState::Down(_) => None,
        }
    }

    pub(super) async fn bans(&self) -> Vec<Ban> {
        self.bans.lock().await.in_force()
    }

    /// Puts a ban into force, and makes it durable. If that fails, it is in force all the same, and written
    /// when the disk is well again.
    pub(super) async fn store_ban(&self, ban: &Ban) -> Result<(), TierError> {
        let mut bans = self.bans.lock().await;
        bans.push(ban);
        if !bans.is_unsettled() {
            // Each shard of a process has it stored, and one of them was the first.
            return Ok(());
        }
        let session = match &*self.state.borrow() {
            VolumeState::Recovering(session, _) | VolumeState::Up(session, _) => Arc::clone(session),
            VolumeState::Down(why) => return Err(failed(&format!("it is down: {why}"))),
        };
        let device = session.device();
        bans.store(device, || sync(device, self.settings.syncs())).await.map_err(|error| {
            let why = format!("storing a ban failed: {error}");
            session.end(&why);
            failed(&why)
        })
    }

    /// Recovers, watches, and begins anew when the disk fails.
    pub(super) async fn run(self: Arc<Self>) {
        let (mut failures, mut said) = (0, Said::Nothing);
        loop {
            let (session, smaller) = match &*self.state.borrow() {
                VolumeState::Recovering(session, smaller) => (Arc::clone(session), *smaller),
                VolumeState::Up(..) | VolumeState::Down(_) => {
                    unreachable!("each round begins with a recovery")
                }
            };
            let recovered = self.recover(&session).await;
            let began = Instant::now();
            let why = match recovered {
                Ok(contents) => {
                    let (directory, objects) = (self.medium.name(), contents.objects);
                    match std::mem::replace(&mut said, Said::Nothing) {
                        Said::Nothing => tracing::debug!(directory, objects, "L2 is ready"),
                        Said::Down => tracing::warn!(directory, objects, "L2 is back"),
                    }
                    let shrinking = self.shrink(&session, smaller);
                    self.state.send_replace(VolumeState::Up(Arc::clone(&session), contents));
                    self.risen.notify_waiters();
                    self.watch(&session, shrinking).await
                }
                Err(why) => why,
            };
            if began.elapsed() >= SOUND_AFTER {
                failures = 0;
            }
            if said == Said::Nothing {
                let directory = self.medium.name();
                tracing::warn!(directory, %why, "L2 is down, and is tried again; requests go on without it");
                said = Said::Down;
            }
            self.state.send_replace(VolumeState::Down(why));
            session.is_quiet().await;
            drop(session);
            self.rise(&mut failures).await;
        }
    }

    /// Opens the medium again, however often it takes.
    async fn rise(&self, failures: &mut u32) {
        loop {
            sleep(PAUSE_FIRST.saturating_mul(1 << (*failures).min(10)).min(PAUSE_MAX)).await;
            *failures += 1;
            // A ban that comes meanwhile waits, and then finds the new device.
            let mut known = self.bans.lock().await;
            match self.open_again(&known.in_force()).await {
                Ok(Prepared { device, geometry, smaller, bans, seed }) => {
                    *known = bans;
                    let session = Session::new(device, geometry, self.settings.syncs(), seed);
                    self.state.send_replace(VolumeState::Recovering(session, smaller));
                    return;
                }
                Err(error) => tracing::debug!(directory = self.medium.name(), %error, "L2 is still down"),
            }
        }
    }

    async fn open_again(&self, known: &[Ban]) -> Result<Prepared<M::Device>, OpenError> {
        let opened = self.medium.open().await?;
        prepare(&self.medium, opened, &self.settings, known).await
    }

    async fn recover(&self, session: &Arc<Session<M::Device>>) -> Result<Contents, Arc<str>> {
        let recovering = session.recover();
        tokio::pin!(recovering);
        let began = Instant::now();
        loop {
            tokio::select! {
                biased;
                recovered = &mut recovering => return recovered,
                () = sleep(PROGRESS_INTERVAL) => {
                    let (directory, reads) = (self.medium.name(), session.operations());
                    let seconds = began.elapsed().as_secs();
                    tracing::warn!(directory, seconds, reads, "L2 is being recovered; requests go on without it");
                }
            }
        }
    }

    /// Has the store empty what lies beyond the new end, if there is one, before anything else is asked of
    /// it; the log goes on meanwhile. What this returns waits for it, and then makes the device end there.
    fn shrink(
        self: &Arc<Self>,
        session: &Arc<Session<M::Device>>,
        smaller: Option<Smaller>,
    ) -> impl Future<Output = ()> + use<M> {
        let asked = smaller.map(|smaller| (smaller, session.begin_shrinking(smaller.geometry)));
        let (volume, session) = (Arc::clone(self), Arc::clone(session));
        async move {
            // Where the session has ended, another one begins it again.
            let Some((smaller, Ok(answer))) = asked else { return };
            if volume.until_empty(&session, answer).await {
                volume.end_there(session, smaller).await;
            }
        }
    }

    /// Waits until nothing lies beyond the new end. Says whether that came.
    async fn until_empty(&self, session: &Session<M::Device>, mut answer: oneshot::Receiver<Answer>) -> bool {
        let emptied = session.settle(&mut answer);
        tokio::pin!(emptied);
        let began = Instant::now();
        loop {
            tokio::select! {
                biased;
                answer = &mut emptied => return matches!(answer, Ok((Answer::Done, _))),
                () = sleep(PROGRESS_INTERVAL) => {
                    let (directory, segments) = (self.medium.name(), session.segments_beyond());
                    let seconds = began.elapsed().as_secs();
                    tracing::info!(directory, seconds, segments, "L2 moves what lies beyond the new end of its disk");
                }
            }
        }
    }

    /// The device ends there from now on.
    async fn end_there(self: &Arc<Self>, session: Arc<Session<M::Device>>, smaller: Smaller) {
        let volume = Arc::clone(self);
        // A task of its own: it must not end in the middle because the session does. It holds up the next
        // opening.
        let settling = tokio::spawn(async move {
            let _bans = volume.bans.lock().await;
            let (directory, capacity) = (volume.medium.name(), smaller.geometry.capacity().0);
            match smaller.settle(session.device()).await {
                Ok(()) => tracing::info!(directory, capacity, "L2 is as small as it is to be"),
                Err(error) => session.end(&format!("making it smaller failed: {error}")),
            }
        });
        // It fails with the runtime alone.
        drop(settling.await);
    }

    /// Looks after a session until it ends, and says why.
    async fn watch(
        &self,
        session: &Arc<Session<M::Device>>,
        shrinking: impl Future<Output = ()>,
    ) -> Arc<str> {
        let ended = session.ended();
        tokio::pin!(ended, shrinking);
        let mut is_shrinking = true;
        let mut probes = interval(PROBE_INTERVAL);
        let mut syncs = match self.settings.sync {
            SyncPolicy::Every(every) => Some(interval(every)),
            SyncPolicy::Never | SyncPolicy::OnSeal => None,
        };
        let mut next_sync = async || match &mut syncs {
            Some(syncs) => drop(syncs.tick().await),
            None => std::future::pending().await,
        };
        loop {
            tokio::select! {
                biased;
                why = &mut ended => return why,
                () = &mut shrinking, if is_shrinking => is_shrinking = false,
                _ = probes.tick() => {
                    if let Err(error) = session.device().probe().await {
                        session.end(&format!("the log is gone: {error}"));
                    }
                }
                () = next_sync() => {
                    if session.take_news() {
                        session.sync().await;
                    }
                }
            }
        }
    }
}

async fn sync(device: &impl Device, syncs: Syncs) -> io::Result<()> {
    match syncs {
        Syncs::Device => device.sync().await,
        Syncs::Nothing => Ok(()),
    }
}
