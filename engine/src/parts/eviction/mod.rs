//! Who leaves a tier when room is needed.
//!
//! A policy orders slots; it never sees keys, bodies or time, and it holds no bytes to account.
//! [`Space`](crate::parts::space::Space) tells it what came, was used and went, and asks it for a victim.
//! `docs/eviction.md` says what each is good for.

mod gdsf;
mod ghost_gdsf;
mod ghosts;
mod heap;
mod links;
mod lru;
mod rhythm;
mod s3_fifo;
mod sieve;
mod sketch;
mod w_tiny_lfu;

use crate::config::{Eviction, Objective};
use alloc::vec::Vec;
use gdsf::Gdsf;
use ghost_gdsf::GhostGdsf;
use lru::Lru;
use s3_fifo::S3Fifo;
use sieve::Sieve;
use w_tiny_lfu::WTinyLfu;

/// A place in a space's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a policy may know of an object. The space has it, so that a policy need not keep it a second time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    /// In bytes.
    pub(crate) size: u64,
    /// A salted hash of its key, by which it is known when it comes back.
    pub(crate) fingerprint: u64,
}

/// Queues by name, each in its own order.
#[cfg(test)]
pub(crate) type Dump = Vec<(&'static str, Vec<Slot>)>;

/// One policy's order over the slots in use. Where a method takes `object`, it says what is in any slot in
/// use.
#[derive(Debug)]
pub(crate) enum Order {
    Lru(Lru),
    Sieve(Sieve),
    S3Fifo(S3Fifo),
    WTinyLfu(WTinyLfu),
    Gdsf(Gdsf),
    GhostGdsf(GhostGdsf),
}

impl Order {
    pub(crate) fn new(eviction: Eviction, objective: Objective, capacity: u64) -> Self {
        match eviction {
            Eviction::Lru => Self::Lru(Lru::new()),
            Eviction::Sieve => Self::Sieve(Sieve::new()),
            Eviction::S3Fifo => Self::S3Fifo(S3Fifo::new(capacity)),
            Eviction::WTinyLfu => Self::WTinyLfu(WTinyLfu::new(capacity)),
            Eviction::Gdsf => Self::Gdsf(Gdsf::new(objective)),
            Eviction::GhostGdsf => Self::GhostGdsf(GhostGdsf::new(objective, capacity)),
        }
    }

    /// Would an object of `size`, which the capacity could hold, be admitted?
    pub(crate) fn admits(&self, size: u64) -> bool {
        match self {
            Self::S3Fifo(s3_fifo) => s3_fifo.admits(size),
            Self::Lru(_) | Self::Sieve(_) | Self::WTinyLfu(_) | Self::Gdsf(_) | Self::GhostGdsf(_) => true,
        }
    }

    /// An object came into `slot`, which was free.
    pub(crate) fn on_admitted(&mut self, slot: Slot, object: Object) {
        match self {
            Self::Lru(lru) => lru.on_admitted(slot, object),
            Self::Sieve(sieve) => sieve.on_admitted(slot, object),
            Self::S3Fifo(s3_fifo) => s3_fifo.on_admitted(slot, object),
            Self::WTinyLfu(w_tiny_lfu) => w_tiny_lfu.on_admitted(slot, object),
            Self::Gdsf(gdsf) => gdsf.on_admitted(slot, object),
            Self::GhostGdsf(ghost_gdsf) => ghost_gdsf.on_admitted(slot, object),
        }
    }

    /// The object in `slot` was used.
    pub(crate) fn on_used(&mut self, slot: Slot, object: impl Fn(Slot) -> Object) {
        match self {
            Self::Lru(lru) => lru.on_used(slot, object(slot)),
            Self::Sieve(sieve) => sieve.on_used(slot),
            Self::S3Fifo(s3_fifo) => s3_fifo.on_used(slot),
            Self::WTinyLfu(w_tiny_lfu) => w_tiny_lfu.on_used(slot, object),
            Self::Gdsf(gdsf) => gdsf.on_used(slot, object(slot)),
            Self::GhostGdsf(ghost_gdsf) => ghost_gdsf.on_used(slot),
        }
    }

    /// The object in `slot` went, and not to make room.
    pub(crate) fn on_removed(&mut self, slot: Slot, object: Object) {
        match self {
            Self::Lru(lru) => lru.on_removed(slot, object),
            Self::Sieve(sieve) => sieve.on_removed(slot, object),
            Self::S3Fifo(s3_fifo) => s3_fifo.on_removed(slot, object),
            Self::WTinyLfu(w_tiny_lfu) => w_tiny_lfu.on_removed(slot, object),
            Self::Gdsf(gdsf) => gdsf.on_removed(slot),
            Self::GhostGdsf(ghost_gdsf) => ghost_gdsf.on_removed(slot, object),
        }
    }

    /// The object in `slot` went, and a newer one of its key comes next. Policies with a memory remember it.
    pub(crate) fn on_replaced(&mut self, slot: Slot, object: Object) {
        match self {
            Self::S3Fifo(s3_fifo) => s3_fifo.on_replaced(slot, object),
            Self::GhostGdsf(ghost_gdsf) => ghost_gdsf.on_replaced(slot, object),
            Self::Lru(_) | Self::Sieve(_) | Self::WTinyLfu(_) | Self::Gdsf(_) => {
                self.on_removed(slot, object)
            }
        }
    }

    /// Takes out who should leave to make room for `incoming`; nobody, if nobody is in.
    pub(crate) fn evict(&mut self, incoming: Object, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        match self {
            Self::Lru(lru) => lru.evict(object),
            Self::Sieve(sieve) => sieve.evict(object),
            Self::S3Fifo(s3_fifo) => s3_fifo.evict(incoming, object),
            Self::WTinyLfu(w_tiny_lfu) => w_tiny_lfu.evict(incoming.size, object),
            Self::Gdsf(gdsf) => gdsf.evict(),
            Self::GhostGdsf(ghost_gdsf) => ghost_gdsf.evict(incoming.size, object),
        }
    }

    #[cfg(test)]
    pub(crate) fn dump(&self) -> Dump {
        match self {
            Self::Lru(lru) => lru.dump(),
            Self::Sieve(sieve) => sieve.dump(),
            Self::S3Fifo(s3_fifo) => s3_fifo.dump(),
            Self::WTinyLfu(w_tiny_lfu) => w_tiny_lfu.dump(),
            Self::Gdsf(gdsf) => gdsf.dump(),
            Self::GhostGdsf(ghost_gdsf) => ghost_gdsf.dump(),
        }
    }
}

/// What one use of an object of `size` is worth.
#[expect(clippy::cast_precision_loss, reason = "a worth is an estimate; 53 bits of a size are enough")]
fn worth(objective: Objective, size: u64) -> f64 {
    match objective {
        Objective::Requests => 1.0 / size.max(1) as f64,
        Objective::Bytes => 1.0,
    }
}

/// Sets what a table by slot has at `slot`, growing it to there.
fn put<T: Copy>(table: &mut Vec<T>, slot: Slot, value: T) {
    if table.len() <= slot.index() {
        table.resize(slot.index() + 1, value);
    }
    table[slot.index()] = value;
}

#[cfg(test)]
mod tests;
