//! An indexed heap over slots, the lowest priority first; among equals, whoever was ranked first.

use super::Slot;
use alloc::vec::Vec;

/// Children per node: four keep the tree shallow and a family in one cache line.
const ARITY: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Item {
    priority: f64,
    /// Breaks ties. It wraps after four billion rankings, around which ties break the other way.
    turn: u32,
    slot: Slot,
}

impl Item {
    fn leaves_before(&self, other: &Self) -> bool {
        self.priority.total_cmp(&other.priority).then(self.turn.cmp(&other.turn)).is_lt()
    }
}

#[derive(Debug)]
pub(super) struct Heap {
    items: Vec<Item>,
    /// Where each slot stands; stale for slots that stand nowhere.
    places: Vec<u32>,
    turn: u32,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self { items: Vec::new(), places: Vec::new(), turn: 0 }
    }

    /// Who leaves first, and with which priority.
    pub(super) fn first(&self) -> Option<(Slot, f64)> {
        self.items.first().map(|item| (item.slot, item.priority))
    }

    /// Puts in a slot that is not here.
    pub(super) fn push(&mut self, slot: Slot, priority: f64) {
        let (place, item) = (self.items.len(), self.rank(slot, priority));
        self.items.push(item);
        super::put(&mut self.places, slot, 0);
        self.rise(place);
    }

    /// Gives a slot a priority that is no lower than the one it has.
    pub(super) fn raise(&mut self, slot: Slot, priority: f64) {
        let place = self.places[slot.index()] as usize;
        self.items[place] = self.rank(slot, priority);
        self.sink(place);
    }

    /// Takes out a slot that is here.
    pub(super) fn remove(&mut self, slot: Slot) {
        let place = self.places[slot.index()] as usize;
        let last = self.items.pop().expect("the slot being removed stands in the heap");
        if place < self.items.len() {
            self.put(place, last);
            let place = self.sink(place);
            self.rise(place);
        }
    }

    fn rank(&mut self, slot: Slot, priority: f64) -> Item {
        self.turn = self.turn.wrapping_add(1);
        Item { priority, turn: self.turn, slot }
    }

    fn put(&mut self, place: usize, item: Item) {
        self.items[place] = item;
        self.places[item.slot.index()] =
            u32::try_from(place).expect("a heap has no more places than there are slots, and those are u32");
    }

    /// Moves the item at `place` towards the root while it leaves before its parent.
    fn rise(&mut self, mut place: usize) {
        let item = self.items[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if !item.leaves_before(&self.items[parent]) {
                break;
            }
            self.put(place, self.items[parent]);
            place = parent;
        }
        self.put(place, item);
    }

    /// Moves the item at `place` towards the leaves while a child leaves before it; says where it came to
    /// stand.
    fn sink(&mut self, mut place: usize) -> usize {
        let item = self.items[place];
        loop {
            let children = place * ARITY + 1..(place * ARITY + 1 + ARITY).min(self.items.len());
            let first = children.reduce(|best, child| {
                if self.items[child].leaves_before(&self.items[best]) { child } else { best }
            });
            match first {
                Some(child) if self.items[child].leaves_before(&item) => {
                    self.put(place, self.items[child]);
                    place = child;
                }
                Some(_) | None => break,
            }
        }
        self.put(place, item);
        place
    }

    /// All slots, in the order in which they leave.
    #[cfg(test)]
    pub(super) fn dump(&self) -> Vec<Slot> {
        let mut items = self.items.clone();
        items.sort_by(|one, other| one.priority.total_cmp(&other.priority).then(one.turn.cmp(&other.turn)));
        items.iter().map(|item| item.slot).collect()
    }
}
