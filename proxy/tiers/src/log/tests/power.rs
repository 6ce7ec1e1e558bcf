//! A disk in memory that loses its power at a chosen operation.

use crate::log::{BootId, Device, Medium, OpenError, Opened};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const SECTOR: usize = 4096;

/// What of the changes that were not synced is there when the power is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    None,
    All,
    /// Of each change, some sectors.
    Some,
}

/// A change that was not synced.
#[derive(Clone, Debug)]
enum Change {
    Written(u64, Bytes),
    /// All from there on is gone.
    Cut(u64),
}

#[derive(Clone, Debug, Default)]
struct Disk {
    seen: BTreeMap<u64, Bytes>,
    durable: BTreeMap<u64, Bytes>,
    changes: Vec<Change>,
    bytes: u64,
    /// Writes, syncs and cuts that are left until the power fails; none if it does not.
    left: Option<u64>,
    operations: u64,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(super) struct PoweredMedium(Arc<Mutex<Disk>>);

impl Change {
    fn apply(&self, image: &mut BTreeMap<u64, Bytes>, mut keeps: impl FnMut() -> bool) {
        match self {
            Self::Written(offset, bytes) => {
                for (number, at) in (offset / SECTOR as u64..).zip((0..bytes.len()).step_by(SECTOR)) {
                    if keeps() {
                        image.insert(number, bytes.slice(at..at + SECTOR));
                    }
                }
            }
            Self::Cut(end) if keeps() => drop(image.split_off(&(end / SECTOR as u64))),
            Self::Cut(_) => {}
        }
    }
}

impl Disk {
    fn is_off(&self) -> bool {
        self.left == Some(0)
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.changes.push(change.clone());
        self.count()?;
        change.apply(&mut self.seen, || true);
        Ok(())
    }

    /// One more operation. It is under way when the power fails, and the last that leaves anything.
    fn count(&mut self) -> io::Result<()> {
        self.operations += 1;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        if self.is_off() { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }
}

impl PoweredMedium {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk with what this one holds, whose power fails at so many operations from now.
    pub(super) fn copy(&self, left: Option<u64>) -> Self {
        let disk = Disk { left, operations: 0, ..self.disk().clone() };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// A disk with what this one holds once the power is back.
    pub(super) fn restarted(&self, left: Left, seed: u64) -> Self {
        let mut disk = self.disk().clone();
        let mut state = seed;
        for change in std::mem::take(&mut disk.changes) {
            change.apply(&mut disk.durable, || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                match left {
                    Left::None => false,
                    Left::All => true,
                    Left::Some => state >> 63 == 0,
                }
            });
        }
        let (seen, durable) = (disk.durable.clone(), disk.durable);
        Self(Arc::new(Mutex::new(Disk { seen, durable, ..Disk::default() })))
    }

    pub(super) fn is_off(&self) -> bool {
        self.disk().is_off()
    }

    /// How large it was made last.
    pub(super) fn bytes(&self) -> u64 {
        self.disk().bytes
    }

    /// Writes, syncs and cuts so far.
    pub(super) fn operations(&self) -> u64 {
        self.disk().operations
    }
}

impl Medium for PoweredMedium {
    type Device = PoweredMedium;

    fn name(&self) -> String {
        "power".to_owned()
    }

    async fn open(&self) -> Result<Opened<PoweredMedium>, OpenError> {
        Ok(Opened { device: self.clone(), boot: BootId([0; 16]) })
    }
}

impl Device for PoweredMedium {
    async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let disk = self.disk();
        if disk.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        let mut bytes = Vec::with_capacity(length);
        for sector in offset / SECTOR as u64..(offset + length as u64) / SECTOR as u64 {
            match disk.seen.get(&sector) {
                Some(held) => bytes.extend_from_slice(held),
                None => bytes.resize(bytes.len() + SECTOR, 0),
            }
        }
        Ok(bytes.into())
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        assert_eq!((offset % SECTOR as u64, bytes.len() % SECTOR), (0, 0), "a write off the sectors");
        let mut disk = self.disk();
        if disk.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        disk.change(Change::Written(offset, bytes))
    }

    async fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        disk.count()?;
        disk.changes.clear();
        disk.durable = disk.seen.clone();
        Ok(())
    }

    fn try_read_now(&self, _offset: u64, _length: usize) -> Option<Bytes> {
        None
    }

    async fn resize(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        if bytes < disk.bytes {
            disk.change(Change::Cut(bytes))?;
        }
        disk.bytes = bytes;
        Ok(())
    }
}
