//! A disk in memory that fails as it is told.

use crate::log::{BootId, Device, Medium, OpenError, Opened};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

const PAGE: u64 = 4096;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MediumFault {
    #[default]
    None,
    /// Writes find no room.
    Full,
    /// Reads and writes fail.
    Broken,
    /// Syncs fail.
    Unsyncable,
    /// It cannot be opened, and what is open is nobody's.
    Gone,
}

#[derive(Debug, Default)]
struct Disk {
    pages: BTreeMap<u64, Vec<u8>>,
    /// As it was made last.
    bytes: u64,
    fault: MediumFault,
    boot: u8,
    writes: u32,
    syncs: u32,
    openings: u32,
}

/// The disk, which outlives those who use it.
#[derive(Clone, Debug)]
pub(super) struct MemoryMedium {
    disk: Arc<Mutex<Disk>>,
    /// Reads and writes wait while this is shut.
    gate: watch::Sender<Gate>,
    now: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Shut,
}

/// Does it have everything at hand?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    Always,
    Never,
}

/// The pages of a range: which, from where in it, and where in the range that is.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let place = offset + at as u64;
        let from = (place % PAGE) as usize;
        let end = length.min(at + PAGE as usize - from);
        let part = at..end;
        at = end;
        (!part.is_empty()).then_some((place / PAGE, from, part))
    })
}

impl MemoryMedium {
    pub(super) fn new(now: Now) -> Self {
        Self { disk: Arc::default(), gate: watch::Sender::new(Gate::Open), now }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn suffer(&self, fault: MediumFault) {
        self.disk().fault = fault;
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    /// The system is booted anew.
    pub(super) fn boot(&self) {
        self.disk().boot += 1;
    }

    pub(super) fn writes(&self) -> u32 {
        self.disk().writes
    }

    pub(super) fn syncs(&self) -> u32 {
        self.disk().syncs
    }

    pub(super) fn openings(&self) -> u32 {
        self.disk().openings
    }

    /// How large it was made last.
    pub(super) fn bytes(&self) -> u64 {
        self.disk().bytes
    }

    /// Empties it.
    pub(super) fn wipe(&self) {
        self.disk().pages.clear();
    }

    /// Changes a bit of each page in a range that holds something. Says how many.
    pub(super) fn rot(&self, range: Range<u64>) -> usize {
        let mut disk = self.disk();
        let pages = disk.pages.range_mut(range.start / PAGE..range.end.div_ceil(PAGE));
        pages.map(|(_, page)| page[30] ^= 1).count()
    }

    /// Where something is stored.
    pub(super) fn used(&self, range: Range<u64>) -> Vec<u64> {
        let disk = self.disk();
        let pages = disk.pages.range(range.start / PAGE..range.end.div_ceil(PAGE));
        pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0)).map(|(page, _)| page * PAGE).collect()
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let disk = self.disk();
        match disk.fault {
            MediumFault::None | MediumFault::Full | MediumFault::Unsyncable => {}
            MediumFault::Broken | MediumFault::Gone => return Err(io::Error::from_raw_os_error(5)),
        }
        let mut bytes = vec![0; length];
        for (page, from, part) in parts(offset, length) {
            if let Some(held) = disk.pages.get(&page) {
                let size = part.len();
                bytes[part].copy_from_slice(&held[from..from + size]);
            }
        }
        Ok(bytes.into())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.writes += 1;
        match disk.fault {
            MediumFault::None | MediumFault::Unsyncable => {}
            MediumFault::Full => return Err(io::Error::from_raw_os_error(28)),
            MediumFault::Broken | MediumFault::Gone => return Err(io::Error::from_raw_os_error(5)),
        }
        for (page, from, part) in parts(offset, bytes.len()) {
            let held = disk.pages.entry(page).or_insert_with(|| vec![0; PAGE as usize]);
            let size = part.len();
            held[from..from + size].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    async fn pass(&self) {
        let mut gate = self.gate.subscribe();
        drop(gate.wait_for(|gate| *gate == Gate::Open).await);
    }
}

impl Medium for MemoryMedium {
    type Device = MemoryMedium;

    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn open(&self) -> Result<Opened<MemoryMedium>, OpenError> {
        let mut disk = self.disk();
        disk.openings += 1;
        match disk.fault {
            MediumFault::Gone => Err(OpenError::NoLog { name: self.name() }),
            MediumFault::None | MediumFault::Full | MediumFault::Broken | MediumFault::Unsyncable => {
                Ok(Opened { device: self.clone(), boot: BootId([disk.boot; 16]) })
            }
        }
    }
}

impl Device for MemoryMedium {
    async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.pass().await;
        MemoryMedium::read(self, offset, length)
    }

    async fn write(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.pass().await;
        MemoryMedium::write(self, offset, &bytes)
    }

    async fn sync(&self) -> io::Result<()> {
        self.pass().await;
        let mut disk = self.disk();
        disk.syncs += 1;
        match disk.fault {
            MediumFault::None | MediumFault::Full => Ok(()),
            MediumFault::Broken | MediumFault::Unsyncable | MediumFault::Gone => {
                Err(io::Error::from_raw_os_error(5))
            }
        }
    }

    fn try_read_now(&self, offset: u64, length: usize) -> Option<Bytes> {
        match self.now {
            Now::Always => MemoryMedium::read(self, offset, length).ok(),
            Now::Never => None,
        }
    }

    async fn resize(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.bytes = bytes;
        disk.pages.split_off(&bytes.div_ceil(PAGE));
        Ok(())
    }

    async fn probe(&self) -> io::Result<()> {
        match self.disk().fault {
            MediumFault::Gone => Err(io::ErrorKind::NotFound.into()),
            MediumFault::None | MediumFault::Full | MediumFault::Broken | MediumFault::Unsyncable => Ok(()),
        }
    }
}
