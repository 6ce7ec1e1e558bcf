//! What left a tier not long ago: fingerprints without objects, the oldest forgotten first.

use super::{
    Slot,
    links::{Links, Queue},
};
use alloc::vec::Vec;
use core::fmt::Debug;
use hashbrown::HashTable;

/// What is remembered of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ghost<M> {
    pub(super) fingerprint: u64,
    /// What it counts for against the limit.
    pub(super) weight: u64,
    /// What its policy knew of it.
    pub(super) memory: M,
    /// The number of objects that had become ghosts before it.
    pub(super) turn: u64,
}

/// A queue of ghosts, found by fingerprint. Two keys of one fingerprint, which is 64 salted bits, are one
/// ghost.
#[derive(Debug)]
pub(super) struct Ghosts<M> {
    table: HashTable<Slot>,
    ghosts: Vec<Ghost<M>>,
    free: Vec<Slot>,
    links: Links,
    queue: Queue,
    turn: u64,
}

impl<M: Copy + Debug> Ghosts<M> {
    pub(super) const fn new() -> Self {
        Self {
            table: HashTable::new(),
            ghosts: Vec::new(),
            free: Vec::new(),
            links: Links::new(),
            queue: Queue::new(),
            turn: 0,
        }
    }

    /// Remembers an object that leaves. It weighs 1 at least, so that `limit` bounds the number of ghosts
    /// too.
    pub(super) fn push(&mut self, fingerprint: u64, weight: u64, memory: M, limit: u64) {
        self.remove(fingerprint);
        let ghost = Ghost { fingerprint, weight: weight.max(1), memory, turn: self.turn };
        self.turn += 1;
        while self.queue.bytes + ghost.weight > limit {
            let Some(oldest) = self.queue.oldest() else { return };
            self.take(oldest);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.ghosts.push(ghost);
            Slot(u32::try_from(self.ghosts.len() - 1).expect("memory runs out before four billion ghosts"))
        });
        self.ghosts[place.index()] = ghost;
        self.links.push(&mut self.queue, place, ghost.weight);
        let ghosts = &self.ghosts;
        self.table.insert_unique(fingerprint, place, |place| ghosts[place.index()].fingerprint);
    }

    /// Forgets a ghost, and says what it was.
    pub(super) fn remove(&mut self, fingerprint: u64) -> Option<Ghost<M>> {
        let place =
            *self.table.find(fingerprint, |place| self.ghosts[place.index()].fingerprint == fingerprint)?;
        Some(self.take(place))
    }

    /// How many objects have become ghosts since `ghost` did.
    pub(super) fn since(&self, ghost: &Ghost<M>) -> u64 {
        self.turn - 1 - ghost.turn
    }

    fn take(&mut self, place: Slot) -> Ghost<M> {
        let ghost = self.ghosts[place.index()];
        match self.table.find_entry(ghost.fingerprint, |other| *other == place) {
            Ok(found) => drop(found.remove()),
            Err(_) => unreachable!("a ghost in the queue is in the table: {ghost:?}"),
        }
        self.links.remove(&mut self.queue, place, ghost.weight);
        self.free.push(place);
        ghost
    }

    /// The weights' sum.
    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        assert_eq!(self.table.len() + self.free.len(), self.ghosts.len(), "a ghost is in the table or free");
        self.queue.bytes
    }

    /// Fingerprints, oldest first.
    #[cfg(test)]
    pub(super) fn dump(&self) -> Vec<u64> {
        self.links.dump(&self.queue).iter().map(|place| self.ghosts[place.index()].fingerprint).collect()
    }
}
