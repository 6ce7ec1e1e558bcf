//! W-TinyLFU (Einziger, Friedman, Manes: ACM Transactions on Storage 2017): a small window in the order of
//! use, behind it a segmented LRU, and a sketch of how often keys were seen that decides between what leaves
//! the one and the other.

use super::{
    Object, Slot,
    links::{Links, Queue},
    sketch::Sketch,
};
use alloc::vec::Vec;

/// The window's part of the capacity, as a divisor.
const WINDOW_DIVISOR: u64 = 100;
/// The protected segment's part of the rest, in fifths.
const PROTECTED_FIFTHS: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Window,
    Probation,
    Protected,
}

#[derive(Debug)]
pub(crate) struct WTinyLfu {
    links: Links,
    places: Vec<Place>,
    window: Queue,
    probation: Queue,
    protected: Queue,
    sketch: Sketch,
    objects: usize,
    window_max: u64,
    main_max: u64,
    protected_max: u64,
}

impl WTinyLfu {
    pub(super) fn new(capacity: u64) -> Self {
        let window_max = capacity / WINDOW_DIVISOR;
        let main_max = capacity - window_max;
        Self {
            links: Links::new(),
            places: Vec::new(),
            window: Queue::new(),
            probation: Queue::new(),
            protected: Queue::new(),
            sketch: Sketch::new(),
            objects: 0,
            window_max,
            main_max,
            protected_max: main_max / 5 * PROTECTED_FIFTHS,
        }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, object: Object) {
        self.objects += 1;
        self.sketch.fit(self.objects);
        self.sketch.count(object.fingerprint);
        self.enter(slot, Place::Window, object.size);
    }

    /// `object` says of any slot in use what is there: a use can push others out of the protected segment.
    pub(super) fn on_used(&mut self, slot: Slot, object: impl Fn(Slot) -> Object) {
        let of = object(slot);
        self.sketch.count(of.fingerprint);
        let place = match self.places[slot.index()] {
            Place::Window => Place::Window,
            Place::Probation | Place::Protected => Place::Protected,
        };
        self.leave(slot, of.size);
        self.enter(slot, place, of.size);
        while self.protected.bytes > self.protected_max {
            let Some(oldest) = self.protected.oldest() else { return };
            self.shift(oldest, Place::Probation, &object);
        }
    }

    pub(super) fn on_removed(&mut self, slot: Slot, object: Object) {
        self.objects -= 1;
        self.leave(slot, object.size);
    }

    pub(super) fn evict(&mut self, incoming: u64, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        let victim = self.victim(incoming, &object)?;
        self.on_removed(victim, object(victim));
        Some(victim)
    }

    fn victim(&mut self, incoming: u64, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        while self.window.bytes + incoming > self.window_max {
            let Some(candidate) = self.window.oldest() else { break };
            let of = object(candidate);
            if self.probation.bytes + self.protected.bytes + of.size <= self.main_max {
                self.shift(candidate, Place::Probation, &object);
                continue;
            }
            let Some(victim) = self.main_oldest() else { return Some(candidate) };
            let is_better =
                self.sketch.estimate(of.fingerprint) > self.sketch.estimate(object(victim).fingerprint);
            return Some(if is_better { victim } else { candidate });
        }
        self.main_oldest().or(self.window.oldest())
    }

    fn main_oldest(&self) -> Option<Slot> {
        self.probation.oldest().or(self.protected.oldest())
    }

    fn shift(&mut self, slot: Slot, place: Place, object: impl Fn(Slot) -> Object) {
        let size = object(slot).size;
        self.leave(slot, size);
        self.enter(slot, place, size);
    }

    fn enter(&mut self, slot: Slot, place: Place, size: u64) {
        super::put(&mut self.places, slot, place);
        let queue = match place {
            Place::Window => &mut self.window,
            Place::Probation => &mut self.probation,
            Place::Protected => &mut self.protected,
        };
        self.links.push(queue, slot, size);
    }

    fn leave(&mut self, slot: Slot, size: u64) {
        let queue = match self.places[slot.index()] {
            Place::Window => &mut self.window,
            Place::Probation => &mut self.probation,
            Place::Protected => &mut self.protected,
        };
        self.links.remove(queue, slot, size);
    }

    #[cfg(test)]
    pub(super) fn dump(&self) -> super::Dump {
        alloc::vec![
            ("window", self.links.dump(&self.window)),
            ("probation", self.links.dump(&self.probation)),
            ("protected", self.links.dump(&self.protected)),
        ]
    }
}
