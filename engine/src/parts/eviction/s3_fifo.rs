//! S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: SOSP 2023): a small queue on probation, a main one, and ghosts of
//! the small.
//!
//! A use counts and moves nothing. What leaves the small queue with fewer than two uses leaves the tier and
//! becomes a ghost; a ghost that is asked for again comes into the main queue, where a use is good for one
//! more round. Shares and thresholds are those of libCacheSim, with which the miss ratios agree. Like there,
//! an object that would fill the whole small queue is not admitted.

use super::{
    Object, Slot,
    ghosts::Ghosts,
    links::{Links, Queue},
};
use alloc::vec::Vec;

/// The small queue's part of the capacity, as a divisor.
const SMALL_DIVISOR: u64 = 10;
/// Uses in the small queue that earn a place in the main one.
const USES_TO_MAIN: u8 = 2;
/// What a count of uses stops at: two bits.
const USES_MAX: u8 = 3;

#[derive(Clone, Copy, Debug)]
struct State {
    uses: u8,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Small,
    Main,
}

#[derive(Debug)]
pub(crate) struct S3Fifo {
    links: Links,
    states: Vec<State>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts<()>,
    /// The ghost that room is being made for: the ghosts of whoever leaves for it do not push it out.
    awaited: Option<u64>,
    has_evicted: bool,
    small_max: u64,
    main_max: u64,
}

impl S3Fifo {
    pub(super) const fn new(capacity: u64) -> Self {
        let small_max = capacity / SMALL_DIVISOR;
        Self {
            links: Links::new(),
            states: Vec::new(),
            small: Queue::new(),
            main: Queue::new(),
            ghosts: Ghosts::new(),
            awaited: None,
            has_evicted: false,
            small_max,
            main_max: capacity - small_max,
        }
    }

    pub(super) fn admits(&self, size: u64) -> bool {
        size < self.small_max
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, object: Object) {
        let is_ghost = self.ghosts.remove(object.fingerprint).is_some();
        let is_awaited = self.awaited.take() == Some(object.fingerprint);
        // Nothing is probed before anybody has to leave: what the small queue has no room for fills the main
        // one.
        let is_overflow = !self.has_evicted && self.small.bytes >= self.small_max;
        let place = if is_ghost || is_awaited || is_overflow { Place::Main } else { Place::Small };
        self.enter(slot, place, object.size);
    }

    pub(super) fn on_used(&mut self, slot: Slot) {
        let uses = &mut self.states[slot.index()].uses;
        *uses = (*uses + 1).min(USES_MAX);
    }

    pub(super) fn on_removed(&mut self, slot: Slot, object: Object) {
        let queue = match self.states[slot.index()].place {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        };
        self.links.remove(queue, slot, object.size);
    }

    /// The object went, and a newer one of the same key comes: somebody asked for it again.
    pub(super) fn on_replaced(&mut self, slot: Slot, object: Object) {
        self.on_removed(slot, object);
        self.remember(object);
    }

    pub(super) fn evict(&mut self, incoming: Object, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        self.has_evicted = true;
        if self.ghosts.remove(incoming.fingerprint).is_some() {
            self.awaited = Some(incoming.fingerprint);
        }
        if self.main.bytes <= self.main_max {
            while let Some(slot) = self.small.oldest() {
                let of = object(slot);
                self.on_removed(slot, of);
                if self.states[slot.index()].uses < USES_TO_MAIN {
                    self.remember(of);
                    return Some(slot);
                }
                self.enter(slot, Place::Main, of.size);
            }
        }
        self.evict_from_main(object)
    }

    fn evict_from_main(&mut self, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        loop {
            let slot = self.main.oldest().or(self.small.oldest())?;
            let of = object(slot);
            self.on_removed(slot, of);
            let uses = self.states[slot.index()].uses;
            if uses == 0 {
                return Some(slot);
            }
            self.enter(slot, Place::Main, of.size);
            self.states[slot.index()].uses = uses - 1;
        }
    }

    /// At the newest end of a queue, with nothing counted.
    fn enter(&mut self, slot: Slot, place: Place, size: u64) {
        super::put(&mut self.states, slot, State { uses: 0, place });
        let queue = match place {
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        };
        self.links.push(queue, slot, size);
    }

    fn remember(&mut self, object: Object) {
        self.ghosts.push(object.fingerprint, object.size, (), self.main_max);
    }

    #[cfg(test)]
    pub(super) fn dump(&self) -> super::Dump {
        alloc::vec![("small", self.links.dump(&self.small)), ("main", self.links.dump(&self.main))]
    }
}
