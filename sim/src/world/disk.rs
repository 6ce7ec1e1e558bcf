//! The disks: one for each edge, beside its host, so that a loss of power changes what it holds and does not
//! end it.
//!
//! A disk is late, gives less than asked for, fails, is full, rots and cannot sync as the scenario and its
//! seed say. When its edge loses its power, what was not synced is lost, torn, reordered or spoiled, sector
//! by sector ([`Sectors`]). Start at [`Disk`].

use super::{catalogue::between, log::Log};
use crate::disk::{
    device::Crash,
    sectors::{SECTOR_BYTES, Sectors},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_engine::{Random, Seed};
use tiergate_scenarios::{Between, FaultKind, Faults, Figure};
use tokio::time::sleep;

/// A fault of a disk that comes, lasts and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// Every operation takes this much longer.
    Slow { delay_ms: u64 },
    /// Reads and writes fail.
    Errors {
        /// How many of a hundred.
        percent: u8,
    },
    /// Writes fail.
    Full,
}

impl DiskFault {
    /// The key under which a scenario asks for it.
    pub(crate) const fn kind(self) -> FaultKind {
        match self {
            Self::Slow { .. } => FaultKind::DiskSlow,
            Self::Errors { .. } => FaultKind::DiskErrors,
            Self::Full => FaultKind::DiskFull,
        }
    }
}

/// One edge's disk.
pub(crate) struct Disk {
    log: Arc<Log>,
    inner: Mutex<Inner>,
}

struct Inner {
    sectors: Sectors,
    /// Writes that are under way, with their offsets.
    under_way: BTreeMap<u64, (u64, Bytes)>,
    writes_begun: u64,
    latency_ms: Between<u64>,
    /// How long operations take, and what lies in the page cache.
    pace: Random,
    /// Which operations a fault hits.
    faults: Random,
    /// What a loss of power leaves.
    crashes: Random,
    slow: Spell,
    errors: Spell,
    full: Spell,
    sync_fails_percent: u8,
    short_reads_percent: u8,
    /// Moments of rot that no read has met yet.
    rot_unmet: u32,
    power: Power,
    /// How often it was powered on.
    starts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// What its edge's remains still ask of it is neither done nor answered, and moves no chance.
    Off,
    /// The same, and it has lost nothing.
    Unused,
}

/// Times in which a fault lasts. They may overlap; the last to begin says how bad it is.
#[derive(Debug, Default)]
struct Spell {
    depth: u32,
    /// Of those, how many nobody has observed yet.
    unobserved: u32,
    amount: u64,
}

impl Spell {
    fn begin(&mut self, amount: u64) {
        self.depth += 1;
        self.unobserved += 1;
        self.amount = amount;
    }

    fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.unobserved = self.unobserved.min(self.depth);
    }

    const fn is_on(&self) -> bool {
        self.depth > 0
    }

    /// How bad it is, if it lasts.
    fn amount(&self) -> Option<u64> {
        self.is_on().then_some(self.amount)
    }
}

/// What becomes of an operation.
enum Fate {
    Done,
    Failed(io::Error),
}

impl Disk {
    /// An empty disk. `name` tells its chance from the other disks'.
    pub(crate) fn new(
        name: &str,
        seed: Seed,
        latency_ms: Between<u64>,
        faults: &Faults,
        log: Arc<Log>,
    ) -> Self {
        let percent = |kind| faults.of(kind).iter().map(|fault| fault.percent).max().unwrap_or(0);
        let inner = Inner {
            sectors: Sectors::default(),
            under_way: BTreeMap::new(),
            writes_begun: 0,
            latency_ms,
            pace: seed.split(&format!("{name}: pace")),
            faults: seed.split(&format!("{name}: faults")),
            crashes: seed.split(&format!("{name}: loss of power")),
            slow: Spell::default(),
            errors: Spell::default(),
            full: Spell::default(),
            sync_fails_percent: percent(FaultKind::DiskSyncFails),
            short_reads_percent: percent(FaultKind::DiskShortReads),
            rot_unmet: 0,
            power: Power::On,
            starts: 1,
        };
        Self { log, inner: Mutex::new(inner) }
    }

    /// A fault begins.
    pub(crate) fn begin(&self, fault: DiskFault) {
        self.log.arm(fault.kind());
        let mut inner = self.lock();
        match fault {
            DiskFault::Slow { delay_ms } => inner.slow.begin(delay_ms),
            DiskFault::Errors { percent } => inner.errors.begin(percent.into()),
            DiskFault::Full => inner.full.begin(0),
        }
    }

    /// It is over.
    pub(crate) fn end(&self, fault: DiskFault) {
        let mut inner = self.lock();
        match fault {
            DiskFault::Slow { .. } => inner.slow.end(),
            DiskFault::Errors { .. } => inner.errors.end(),
            DiskFault::Full => inner.full.end(),
        }
    }

    /// Bits turn over in about so many of a hundred sectors.
    pub(crate) fn rot(&self, percent: u8) {
        self.log.arm(FaultKind::DiskRot);
        let mut guard = self.lock();
        let Inner { sectors, faults, rot_unmet, .. } = &mut *guard;
        if sectors.rot(percent, faults) > 0 {
            *rot_unmet += 1;
        }
    }

    /// No fault befalls it any more. What has gone bad stays so.
    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        inner.sync_fails_percent = 0;
        inner.short_reads_percent = 0;
    }

    /// The power fails. Operations that are under way are never answered.
    pub(crate) fn lose_power(&self) {
        let mut guard = self.lock();
        let Inner { sectors, under_way, crashes, power, .. } = &mut *guard;
        *power = Power::Off;
        let under_way = std::mem::take(under_way).into_values().collect();
        let how =
            Crash::ALL[usize::try_from(crashes.below(Crash::ALL.len() as u64)).expect("a small number")];
        let lost = sectors.crash(how, under_way, crashes);
        self.log.count(Figure::SectorsLost, lost);
    }

    /// Its edge's process ends: what the system was told to write, it writes.
    pub(crate) fn end_use(&self) {
        let mut inner = self.lock();
        inner.power = Power::Unused;
        for (offset, bytes) in std::mem::take(&mut inner.under_way).into_values() {
            inner.sectors.write(offset, bytes);
        }
    }

    /// Its edge starts again.
    pub(crate) fn start(&self) {
        let mut inner = self.lock();
        inner.starts += u64::from(inner.power == Power::Off);
        inner.power = Power::On;
    }

    /// How often it was powered on.
    pub(crate) fn starts(&self) -> u64 {
        self.lock().starts
    }

    /// Says whether it can be opened.
    ///
    /// # Errors
    /// It fails operations now, and chance has it that this is one of them.
    pub(crate) async fn open(&self) -> io::Result<()> {
        match self.wait(Inner::errs).await {
            Fate::Done => Ok(()),
            Fate::Failed(error) => Err(error),
        }
    }

    /// At most `length` bytes from an offset on: a sector or more of them, where as much was asked for.
    ///
    /// # Errors
    /// It fails operations now.
    pub(crate) async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        if let Fate::Failed(error) = self.wait(Inner::errs).await {
            return Err(error);
        }
        let mut inner = self.lock();
        let percent = inner.short_reads_percent;
        let most = length as u64;
        let length = if most > SECTOR_BYTES && percent > 0 && inner.faults.chance(percent.into(), 100) {
            self.befall(FaultKind::DiskShortReads);
            let given = between(&mut inner.faults, Between(SECTOR_BYTES, most - 1));
            usize::try_from(given).expect("below a length in memory")
        } else {
            length
        };
        Ok(self.get(&mut inner, offset, length))
    }

    /// The same, all of it and at once, where it lies in the page cache and nothing is slow.
    pub(crate) fn read_now(&self, offset: u64, length: usize) -> Option<Bytes> {
        let mut inner = self.lock();
        if inner.power != Power::On {
            return None;
        }
        if inner.slow.is_on() {
            self.observe_fault(FaultKind::DiskSlow, &mut inner.slow);
            return None;
        }
        (!inner.errors.is_on() && inner.pace.chance(1, 2)).then(|| self.get(&mut inner, offset, length))
    }

    /// Writes all of the bytes from an offset on.
    ///
    /// # Errors
    /// It is full, or fails operations now; then none of it was written.
    pub(crate) async fn write(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let number = {
            let mut inner = self.lock();
            let number = inner.writes_begun;
            inner.writes_begun += 1;
            if inner.power == Power::On {
                inner.under_way.insert(number, (offset, bytes));
            }
            number
        };
        let fate = self.wait(Inner::refuses).await;
        let mut inner = self.lock();
        let under_way = inner.under_way.remove(&number);
        match (fate, under_way) {
            (Fate::Done, Some((offset, bytes))) => {
                inner.sectors.write(offset, bytes);
                Ok(())
            }
            (Fate::Failed(error), _) => Err(error),
            (Fate::Done, None) => Err(io::Error::other("the power has failed since")),
        }
    }

    /// Makes durable what was written before.
    ///
    /// # Errors
    /// It cannot; what it covers is lost with the power.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let mark = self.lock().sectors.mark();
        let fate = self.wait(Inner::cannot_sync).await;
        let mut inner = self.lock();
        match fate {
            Fate::Done => {
                inner.sectors.sync(mark);
                Ok(())
            }
            Fate::Failed(error) => {
                inner.sectors.forget(mark);
                Err(error)
            }
        }
    }

    /// Waits as long as an operation takes, and asks what becomes of it when it is over.
    async fn wait(&self, fate: impl FnOnce(&mut Inner) -> Option<(FaultKind, io::Error)>) -> Fate {
        let takes_ms = {
            let mut inner = self.lock();
            if inner.power != Power::On {
                return Fate::Failed(io::Error::other("the power is off"));
            }
            let latency_ms = inner.latency_ms;
            let delay_ms = inner.slow.amount().unwrap_or(0);
            if delay_ms > 0 {
                self.observe_fault(FaultKind::DiskSlow, &mut inner.slow);
            }
            between(&mut inner.pace, latency_ms) + delay_ms
        };
        if takes_ms > 0 {
            sleep(Duration::from_millis(takes_ms)).await;
        }
        let mut inner = self.lock();
        match fate(&mut inner) {
            None => Fate::Done,
            Some((kind, error)) => {
                match kind {
                    FaultKind::DiskErrors => self.observe_fault(kind, &mut inner.errors),
                    FaultKind::DiskFull => self.observe_fault(kind, &mut inner.full),
                    FaultKind::DiskSyncFails => self.befall(kind),
                    other => unreachable!("{other:?} fails no operation"),
                }
                Fate::Failed(error)
            }
        }
    }

    fn get(&self, inner: &mut Inner, offset: u64, length: usize) -> Bytes {
        if inner.rot_unmet > 0 && inner.sectors.is_rotten(offset, length) {
            for _ in 0..std::mem::take(&mut inner.rot_unmet) {
                self.log.fire(FaultKind::DiskRot);
            }
        }
        inner.sectors.read(offset, length)
    }

    /// Somebody notices that a spell lasts.
    fn observe_fault(&self, kind: FaultKind, spell: &mut Spell) {
        for _ in 0..std::mem::take(&mut spell.unobserved) {
            self.log.fire(kind);
        }
    }

    /// A fault that is drawn for one operation.
    fn befall(&self, kind: FaultKind) {
        self.log.plan(kind, 1);
        self.log.arm(kind);
        self.log.fire(kind);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Does a read or a write fail?
    fn errs(&mut self) -> Option<(FaultKind, io::Error)> {
        let percent = self.errors.amount()?;
        let fails = self.faults.chance(percent, 100);
        fails.then(|| (FaultKind::DiskErrors, io::Error::from_raw_os_error(EIO)))
    }

    /// Does a write fail?
    fn refuses(&mut self) -> Option<(FaultKind, io::Error)> {
        if self.full.is_on() {
            return Some((FaultKind::DiskFull, io::Error::from(io::ErrorKind::StorageFull)));
        }
        self.errs()
    }

    /// Does a sync fail?
    fn cannot_sync(&mut self) -> Option<(FaultKind, io::Error)> {
        let percent = self.sync_fails_percent;
        let fails = percent > 0 && self.faults.chance(percent.into(), 100);
        fails.then(|| (FaultKind::DiskSyncFails, io::Error::from_raw_os_error(EIO)))
    }
}

/// An input/output error, as Linux numbers it.
const EIO: i32 = 5;

#[cfg(test)]
mod tests;
