//! GDSF whose counts outlive eviction, whose uses only mark, and which loops do not wear out: ours.
//!
//! Five things differ from [`Gdsf`](super::gdsf::Gdsf). What leaves is remembered as a ghost, with its count,
//! so that an object which comes back is worth what it was (as in TinyLFU, and in LFU with perfect history).
//! A use only counts; the object is ranked anew, above the floor of that moment, when it would leave
//! otherwise (as in CLOCK and S3-FIFO). Who is new ranks a little lower than its one use is worth. What comes
//! back in even steps ranks last ([`Rhythm`]). And where bytes are to be spared, what was not seen lately
//! waits in a queue of its own, from which it leaves unless it is used (as in S3-FIFO): sizes do not keep
//! scans out there, so the queue must.

use super::{
    Object, Slot,
    ghosts::Ghosts,
    heap::Heap,
    links::{Links, Queue},
    rhythm::Rhythm,
    worth,
};
use crate::config::Objective;
use alloc::vec::Vec;

/// The part of the capacity that newcomers have where bytes are to be spared, as a divisor.
const NEWCOMERS_DIVISOR: u64 = 5;
/// Ghosts for each object that is in.
const GHOSTS_PER_OBJECT: u64 = 2;
/// What an object's first use is worth. Less than a use that was a hit, so that of two the one that proved
/// itself stays.
const FIRST_USE: f64 = 0.9;

#[derive(Clone, Copy, Debug)]
struct State {
    uses: u32,
    rhythm: Rhythm,
    /// Has it been used since it was ranked?
    is_used: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Newcomers,
    Ranked,
}

/// What is remembered of who left.
#[derive(Clone, Copy, Debug)]
struct Memory {
    uses: u32,
    rhythm: Rhythm,
}

#[derive(Debug)]
pub(crate) struct GhostGdsf {
    states: Vec<State>,
    ranked: Heap,
    links: Links,
    newcomers: Queue,
    ghosts: Ghosts<Memory>,
    floor: f64,
    objective: Objective,
    newcomers_max: u64,
    objects: u64,
    /// Counts uses, the first of each stay too.
    clock: u32,
}

impl GhostGdsf {
    pub(super) const fn new(objective: Objective, capacity: u64) -> Self {
        Self {
            states: Vec::new(),
            ranked: Heap::new(),
            links: Links::new(),
            newcomers: Queue::new(),
            ghosts: Ghosts::new(),
            floor: 0.0,
            objective,
            newcomers_max: capacity / NEWCOMERS_DIVISOR,
            objects: 0,
            clock: 0,
        }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, object: Object) {
        self.clock = self.clock.wrapping_add(1);
        let ghost = self.ghosts.remove(object.fingerprint);
        let Memory { uses, rhythm } = match ghost.map(|ghost| ghost.memory) {
            Some(Memory { uses, rhythm }) => {
                Memory { uses: uses.saturating_add(1), rhythm: rhythm.come(self.clock) }
            }
            None => Memory { uses: 1, rhythm: Rhythm::new(self.clock) },
        };
        // Recently is: fewer objects left since than the tier holds, so a tier twice as large would still
        // have it.
        let is_recent = ghost.is_some_and(|ghost| self.ghosts.since(&ghost) <= self.objects);
        let place = match self.objective {
            Objective::Bytes if !is_recent => Place::Newcomers,
            Objective::Bytes | Objective::Requests => Place::Ranked,
        };
        super::put(&mut self.states, slot, State { uses, rhythm, is_used: false, place });
        match place {
            Place::Newcomers => self.links.push(&mut self.newcomers, slot, object.size),
            Place::Ranked if rhythm.is_even() => self.ranked.push(slot, self.floor),
            Place::Ranked => self.ranked.push(slot, self.priority(slot, object.size)),
        }
        self.objects += 1;
    }

    pub(super) fn on_used(&mut self, slot: Slot) {
        let state = &mut self.states[slot.index()];
        state.uses = state.uses.saturating_add(1);
        state.is_used = true;
        state.rhythm.on_used();
        self.clock = self.clock.wrapping_add(1);
    }

    pub(super) fn on_removed(&mut self, slot: Slot, object: Object) {
        match self.states[slot.index()].place {
            Place::Newcomers => self.links.remove(&mut self.newcomers, slot, object.size),
            Place::Ranked => self.ranked.remove(slot),
        }
        self.objects -= 1;
    }

    /// The object went, and a newer one of the same key comes, which goes on where it was.
    pub(super) fn on_replaced(&mut self, slot: Slot, object: Object) {
        self.on_removed(slot, object);
        self.remember(slot, object);
    }

    pub(super) fn evict(&mut self, incoming: u64, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        let victim = self.evict_newcomer(incoming, &object).or_else(|| self.evict_ranked(&object))?;
        self.on_removed(victim, object(victim));
        self.remember(victim, object(victim));
        Some(victim)
    }

    /// The oldest newcomer that was not used, while newcomers have more than their part. Those that were are
    /// ranked.
    fn evict_newcomer(&mut self, incoming: u64, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        while self.newcomers.bytes + incoming > self.newcomers_max || self.ranked.first().is_none() {
            let slot = self.newcomers.oldest()?;
            if !self.states[slot.index()].is_used {
                return Some(slot);
            }
            let Object { size, .. } = object(slot);
            self.links.remove(&mut self.newcomers, slot, size);
            self.states[slot.index()].is_used = false;
            self.states[slot.index()].place = Place::Ranked;
            self.ranked.push(slot, self.priority(slot, size));
        }
        None
    }

    /// Whoever is ranked lowest. The floor rises to it.
    fn evict_ranked(&mut self, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        loop {
            let (slot, priority) = self.ranked.first()?;
            if !self.states[slot.index()].is_used {
                self.floor = priority;
                return Some(slot);
            }
            self.states[slot.index()].is_used = false;
            self.ranked.raise(slot, self.priority(slot, object(slot).size));
        }
    }

    fn priority(&self, slot: Slot, size: u64) -> f64 {
        let uses = match self.states[slot.index()].uses {
            1 => FIRST_USE,
            uses => f64::from(uses),
        };
        self.floor + uses * worth(self.objective, size)
    }

    fn remember(&mut self, slot: Slot, object: Object) {
        let limit = GHOSTS_PER_OBJECT * self.objects + 1;
        let State { uses, rhythm, .. } = self.states[slot.index()];
        self.ghosts.push(object.fingerprint, 1, Memory { uses, rhythm }, limit);
    }

    #[cfg(test)]
    pub(super) fn dump(&self) -> super::Dump {
        alloc::vec![("newcomers", self.links.dump(&self.newcomers)), ("ranked", self.ranked.dump())]
    }
}
