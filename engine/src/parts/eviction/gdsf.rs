//! Greedy-Dual-Size-Frequency (L. Cherkasova, HP Labs Technical Report HPL-98-69R1, 1998).
//!
//! An object's priority is `floor + uses × worth`; the lowest leaves, and the floor rises to its priority, so
//! that what was popular long ago ages out. For requests the worth is one per byte of size, which keeps many
//! small objects rather than few large ones; for bytes it is one, which makes this LFU with dynamic aging.

use super::{Object, Slot, heap::Heap, worth};
use crate::config::Objective;
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct Gdsf {
    heap: Heap,
    uses: Vec<u32>,
    floor: f64,
    objective: Objective,
}

impl Gdsf {
    pub(super) const fn new(objective: Objective) -> Self {
        Self { heap: Heap::new(), uses: Vec::new(), floor: 0.0, objective }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, object: Object) {
        super::put(&mut self.uses, slot, 1);
        self.heap.push(slot, self.floor + worth(self.objective, object.size));
    }

    pub(super) fn on_used(&mut self, slot: Slot, object: Object) {
        let uses = &mut self.uses[slot.index()];
        *uses = uses.saturating_add(1);
        // A use never lowers a priority, for the floor never falls.
        self.heap.raise(slot, self.floor + f64::from(*uses) * worth(self.objective, object.size));
    }

    pub(super) fn on_removed(&mut self, slot: Slot) {
        self.heap.remove(slot);
    }

    pub(super) fn evict(&mut self) -> Option<Slot> {
        let (victim, priority) = self.heap.first()?;
        self.floor = priority;
        self.heap.remove(victim);
        Some(victim)
    }

    #[cfg(test)]
    pub(super) fn dump(&self) -> super::Dump {
        alloc::vec![("heap", self.heap.dump())]
    }
}
