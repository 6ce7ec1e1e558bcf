//! A device of sectors: what was written can be read at once, and survives a crash once it was synced.
//!
//! A write that is not synced, or is under way, is kept, lost or cut by a crash, sector by sector and in any
//! order; sectors may also come to hold garbage. Beside that the device can be told to misbehave while it
//! runs: see [`DeviceFault`].

use bytes::Bytes;
use std::collections::BTreeMap;
use tiergate_engine::{
    Random,
    store::{Effect, Input, Io},
};

/// How a device misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceFault {
    /// A read fails.
    ReadFails,
    /// A read gives fewer bytes than asked for.
    ShortRead,
    /// A write fails and changes nothing.
    WriteFails,
    /// A write fails because the device is full: so do all others until somebody makes room, which nobody
    /// does.
    Full,
    /// A write fails after some of its sectors were written.
    TornWrite,
    /// A sync fails, and what it was to make durable is lost by the next crash.
    SyncFails,
    /// A write is said to be done and was not.
    PhantomWrite,
    /// A write lands in another place.
    MisdirectedWrite,
    /// A bit turns over, for good.
    Rot,
    /// An operation is over long after those that were asked for later.
    Slow,
}

impl DeviceFault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ReadFails,
        Self::ShortRead,
        Self::WriteFails,
        Self::Full,
        Self::TornWrite,
        Self::SyncFails,
        Self::PhantomWrite,
        Self::MisdirectedWrite,
        Self::Rot,
        Self::Slow,
    ];

    /// Does it hit an operation like this?
    const fn hits(self, effect: &Effect) -> bool {
        match self {
            Self::ReadFails | Self::ShortRead => matches!(effect, Effect::Read { .. }),
            Self::WriteFails | Self::Full | Self::TornWrite | Self::PhantomWrite | Self::MisdirectedWrite => {
                matches!(effect, Effect::Write { .. })
            }
            Self::SyncFails => matches!(effect, Effect::Sync { .. }),
            Self::Rot | Self::Slow => true,
        }
    }
}

/// What a crash does to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// None is there.
    Lost,
    /// All are there, those under way too.
    Kept,
    /// Each begins to be there: its first sectors are, the others are not.
    Torn,
    /// Any sectors of any of them are there.
    Shuffled,
    /// The same, and some of the others hold garbage.
    Garbage,
}

impl Crash {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Lost, Self::Kept, Self::Torn, Self::Shuffled, Self::Garbage];
}

#[derive(Clone, Debug)]
struct Unsynced {
    begin: usize,
    bytes: Bytes,
}

/// An operation that is under way.
#[derive(Clone, Debug)]
struct UnderWay {
    effect: Effect,
    fault: Option<DeviceFault>,
    /// Of a sync: how many of the unsynced writes it covers.
    covers: usize,
}

/// The device.
#[derive(Clone, Debug)]
pub struct Device {
    sector_bytes: usize,
    segment_bytes: usize,
    /// What a read gives.
    seen: Vec<u8>,
    /// What a crash leaves, at least.
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    under_way: Vec<UnderWay>,
    chance: Random,
    /// One operation in so many is hit by a fault.
    faults: Vec<(DeviceFault, u64)>,
    is_full: bool,
    fired: BTreeMap<DeviceFault, u64>,
}

impl Device {
    /// A device without a fault that holds zeros.
    pub fn new(segments: usize, segment_bytes: usize, sector_bytes: usize, chance: Random) -> Self {
        let image = vec![0; segments * segment_bytes];
        Self {
            sector_bytes,
            segment_bytes,
            seen: image.clone(),
            durable: image,
            unsynced: Vec::new(),
            under_way: Vec::new(),
            chance,
            faults: Vec::new(),
            is_full: false,
            fired: BTreeMap::new(),
        }
    }

    /// Plans a fault for one in `one_in` operations that it can hit. None are planned with an empty list.
    pub fn plan(&mut self, faults: &[(DeviceFault, u64)]) {
        self.faults = faults.to_vec();
    }

    /// How often each fault really hit.
    pub const fn fired(&self) -> &BTreeMap<DeviceFault, u64> {
        &self.fired
    }

    /// Has a sync failed, or is the device full?
    pub fn has_failed_for_good(&self) -> bool {
        self.is_full || self.fired.contains_key(&DeviceFault::SyncFails)
    }

    /// What a read would give.
    pub fn image(&self) -> &[u8] {
        &self.seen
    }

    /// Turns a bit over.
    pub fn flip(&mut self, bit: usize) {
        for image in [&mut self.seen, &mut self.durable] {
            image[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Adds so many segments of zeros.
    pub fn grow(&mut self, segments: usize) {
        for image in [&mut self.seen, &mut self.durable] {
            image.resize(image.len() + segments * self.segment_bytes, 0);
        }
    }

    /// Forgets everything from a byte on.
    pub fn truncate(&mut self, length: usize) {
        for image in [&mut self.seen, &mut self.durable] {
            image[length..].fill(0);
        }
    }

    /// Takes an operation.
    pub fn submit(&mut self, effect: Effect) {
        let mut fault = None;
        for (planned, one_in) in &self.faults {
            if fault.is_none() && planned.hits(&effect) && self.chance.chance(1, *one_in) {
                fault = Some(*planned);
            }
        }
        if self.is_full && matches!(effect, Effect::Write { .. }) {
            fault = Some(DeviceFault::Full);
        }
        self.under_way.push(UnderWay { effect, fault, covers: self.unsynced.len() });
    }

    /// How many operations are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Ends one of them and says what came of it. The slow ones are the last.
    pub fn complete(&mut self) -> Input {
        let ready: Vec<usize> = (0..self.under_way.len())
            .filter(|place| self.under_way[*place].fault != Some(DeviceFault::Slow))
            .collect();
        let among = if ready.is_empty() { (0..self.under_way.len()).collect() } else { ready };
        let place = among[usize::try_from(self.chance.below(among.len() as u64)).expect("a place in a list")];
        let UnderWay { effect, fault, covers } = self.under_way.remove(place);
        if let Some(fault) = fault {
            *self.fired.entry(fault).or_default() += 1;
        }
        if fault == Some(DeviceFault::Rot) {
            let bit = self.chance.below(8 * self.seen.len() as u64);
            self.flip(usize::try_from(bit).expect("a place in memory"));
        }
        match effect {
            Effect::Read { io, segment, offset, length, check } => {
                let read = self.read(fault, segment, offset, length);
                read.map_or(Input::Failed { io }, |bytes| Input::ReadDone { io, checked: check.run(bytes) })
            }
            Effect::Write { io, segment, offset, blocks } => {
                let begin = self.place(segment, offset);
                self.write(io, fault, begin, &blocks.seal())
            }
            Effect::Sync { io } => self.sync(io, fault, covers),
        }
    }

    fn place(&self, segment: u32, offset: u64) -> usize {
        segment as usize * self.segment_bytes + usize::try_from(offset).expect("a place in memory")
    }

    /// What it gives, if it does not fail.
    fn read(&mut self, fault: Option<DeviceFault>, segment: u32, offset: u64, length: u64) -> Option<Bytes> {
        let begin = self.place(segment, offset);
        let mut length = usize::try_from(length).expect("a length in memory");
        assert_eq!((begin % self.sector_bytes, length % self.sector_bytes), (0, 0), "a read off the sectors");
        if fault == Some(DeviceFault::ReadFails) {
            return None;
        }
        if fault == Some(DeviceFault::ShortRead) {
            length = usize::try_from(self.chance.below(length as u64)).expect("a length in memory");
        }
        Some(Bytes::copy_from_slice(&self.seen[begin..begin + length]))
    }

    fn write(&mut self, io: Io, fault: Option<DeviceFault>, begin: usize, bytes: &Bytes) -> Input {
        assert_eq!(
            (begin % self.sector_bytes, bytes.len() % self.sector_bytes),
            (0, 0),
            "a write off the sectors"
        );
        let sectors = bytes.len() / self.sector_bytes;
        let mut part = bytes.clone();
        let mut at = begin;
        let mut answer = Input::Done { io };
        match fault {
            Some(DeviceFault::WriteFails) => return Input::Failed { io },
            Some(DeviceFault::Full) => {
                self.is_full = true;
                return Input::Failed { io };
            }
            Some(DeviceFault::TornWrite) => {
                let kept = usize::try_from(self.chance.below(sectors as u64)).expect("a length in memory");
                part = bytes.slice(..kept * self.sector_bytes);
                answer = Input::Failed { io };
            }
            Some(DeviceFault::PhantomWrite) => part = Bytes::new(),
            Some(DeviceFault::MisdirectedWrite) => {
                let places = (self.seen.len() - bytes.len()) / self.sector_bytes + 1;
                let place = usize::try_from(self.chance.below(places as u64)).expect("a place in memory");
                at = place * self.sector_bytes;
            }
            Some(
                DeviceFault::ReadFails
                | DeviceFault::ShortRead
                | DeviceFault::SyncFails
                | DeviceFault::Rot
                | DeviceFault::Slow,
            )
            | None => {}
        }
        self.seen[at..at + part.len()].copy_from_slice(&part);
        self.unsynced.push(Unsynced { begin: at, bytes: part });
        answer
    }

    fn sync(&mut self, io: Io, fault: Option<DeviceFault>, covers: usize) -> Input {
        let covers = covers.min(self.unsynced.len());
        let covered: Vec<Unsynced> = self.unsynced.drain(..covers).collect();
        if fault == Some(DeviceFault::SyncFails) {
            return Input::Failed { io };
        }
        for Unsynced { begin, bytes } in covered {
            self.durable[begin..begin + bytes.len()].copy_from_slice(&bytes);
        }
        // A sync under way covers what is left of those that were there when it began.
        for other in &mut self.under_way {
            other.covers = other.covers.saturating_sub(covers);
        }
        Input::Done { io }
    }

    /// The power fails.
    pub fn crash(&mut self, how: Crash) {
        let mut pending = std::mem::take(&mut self.unsynced);
        for UnderWay { effect, .. } in std::mem::take(&mut self.under_way) {
            if let Effect::Write { segment, offset, blocks, .. } = effect {
                pending.push(Unsynced { begin: self.place(segment, offset), bytes: blocks.seal() });
            }
        }
        for Unsynced { begin, bytes } in pending {
            let sectors = bytes.len() / self.sector_bytes;
            let cut = usize::try_from(self.chance.below(sectors as u64 + 1)).expect("a length in memory");
            for (sector, new) in bytes.chunks(self.sector_bytes).enumerate() {
                let at = begin + sector * self.sector_bytes;
                let old = &mut self.durable[at..at + self.sector_bytes];
                match how {
                    Crash::Lost => {}
                    Crash::Kept => old.copy_from_slice(new),
                    Crash::Torn if sector < cut => old.copy_from_slice(new),
                    Crash::Torn => {}
                    Crash::Shuffled | Crash::Garbage if self.chance.chance(1, 2) => old.copy_from_slice(new),
                    Crash::Garbage if self.chance.chance(1, 4) => {
                        for word in old.chunks_mut(8) {
                            let bits = self.chance.bits().to_le_bytes();
                            word.copy_from_slice(&bits[..word.len()]);
                        }
                    }
                    Crash::Shuffled | Crash::Garbage => {}
                }
            }
        }
        self.seen.clone_from(&self.durable);
    }
}
