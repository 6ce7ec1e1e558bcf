//! Who leaves a tier when room is needed.
//!
//! A policy orders slots; it never sees keys, bodies or time, and it holds no bytes to account. [`Space`](crate::space::Space)
//! tells it what came, was used and went, and asks it for a victim.

mod gdsf;
mod lru;

use crate::config::Eviction;
use gdsf::Gdsf;
use lru::Lru;

/// A place in a space's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One policy's order over the slots in use.
#[derive(Debug)]
pub(crate) enum Order {
    Lru(Lru),
    Gdsf(Gdsf),
}

impl Order {
    pub(crate) fn new(eviction: Eviction) -> Self {
        match eviction {
            Eviction::Lru => Self::Lru(Lru::new()),
            Eviction::Gdsf => Self::Gdsf(Gdsf::new()),
        }
    }

    /// An object of `size` bytes came into `slot`, which was free.
    pub(crate) fn on_admitted(&mut self, slot: Slot, size: u64) {
        match self {
            Self::Lru(lru) => lru.on_admitted(slot),
            Self::Gdsf(gdsf) => gdsf.on_admitted(slot, size),
        }
    }

    /// The object in `slot` was used.
    pub(crate) fn on_used(&mut self, slot: Slot) {
        match self {
            Self::Lru(lru) => lru.on_used(slot),
            Self::Gdsf(gdsf) => gdsf.on_used(slot),
        }
    }

    /// The object in `slot` went, to make room.
    pub(crate) fn on_evicted(&mut self, slot: Slot) {
        match self {
            Self::Lru(lru) => lru.on_removed(slot),
            Self::Gdsf(gdsf) => gdsf.on_evicted(slot),
        }
    }

    /// The object in `slot` went for another reason.
    pub(crate) fn on_removed(&mut self, slot: Slot) {
        match self {
            Self::Lru(lru) => lru.on_removed(slot),
            Self::Gdsf(gdsf) => gdsf.on_removed(slot),
        }
    }

    /// Who should leave next.
    pub(crate) fn victim(&self) -> Option<Slot> {
        match self {
            Self::Lru(lru) => lru.victim(),
            Self::Gdsf(gdsf) => gdsf.victim(),
        }
    }
}
