//! Doubly linked queues through numbered places, several in one table. A place stands in one queue at most.

use super::Slot;
use alloc::vec::Vec;

/// The end of a queue.
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

/// The links of all places. Those of places that stand in no queue are stale and never followed.
#[derive(Debug)]
pub(super) struct Links(Vec<Link>);

/// One queue, and the sum of the sizes in it.
#[derive(Debug)]
pub(super) struct Queue {
    newest: u32,
    oldest: u32,
    pub(super) bytes: u64,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { newest: NIL, oldest: NIL, bytes: 0 }
    }

    pub(super) fn is_newest(&self, slot: Slot) -> bool {
        self.newest == slot.0
    }

    pub(super) fn oldest(&self) -> Option<Slot> {
        some(self.oldest)
    }
}

impl Links {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a place that stands in no queue at the newest end of one.
    pub(super) fn push(&mut self, queue: &mut Queue, slot: Slot, size: u64) {
        if self.0.len() <= slot.index() {
            self.0.resize(slot.index() + 1, Link { newer: NIL, older: NIL });
        }
        self.0[slot.index()] = Link { newer: NIL, older: queue.newest };
        match queue.newest {
            NIL => queue.oldest = slot.0,
            newest => self.0[newest as usize].newer = slot.0,
        }
        queue.newest = slot.0;
        queue.bytes += size;
    }

    /// Takes a place out of the queue that it stands in.
    pub(super) fn remove(&mut self, queue: &mut Queue, slot: Slot, size: u64) {
        let Link { newer, older } = self.0[slot.index()];
        match newer {
            NIL => queue.newest = older,
            _ => self.0[newer as usize].older = older,
        }
        match older {
            NIL => queue.oldest = newer,
            _ => self.0[older as usize].newer = newer,
        }
        queue.bytes -= size;
    }

    /// Who came next into the queue of `slot`.
    pub(super) fn newer(&self, slot: Slot) -> Option<Slot> {
        some(self.0[slot.index()].newer)
    }

    /// A queue, oldest first.
    #[cfg(test)]
    pub(super) fn dump(&self, queue: &Queue) -> Vec<Slot> {
        core::iter::successors(queue.oldest(), |slot| self.newer(*slot)).collect()
    }
}

fn some(place: u32) -> Option<Slot> {
    (place != NIL).then_some(Slot(place))
}
