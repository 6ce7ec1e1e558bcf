//! Greedy-Dual-Size-Frequency (L. Cherkasova, HP Labs Technical Report HPL-98-69R1, 1998), with unit cost.
//!
//! An object's priority is `floor + uses / size`; the lowest leaves, and the floor rises to its priority, so that
//! what was popular long ago ages out. It keeps many small objects rather than few large ones, which is what spares
//! requests; it does not spare bytes.

use super::Slot;
use alloc::vec::Vec;

/// Children per heap node: four keep the tree shallow and a family in one cache line.
const ARITY: usize = 4;
/// Where a slot that is not in the heap stands.
const ABSENT: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Item {
    priority: f64,
    /// Breaks ties: whoever was ranked first leaves first.
    turn: u64,
    slot: Slot,
}

impl Item {
    fn leaves_before(&self, other: &Self) -> bool {
        self.priority.total_cmp(&other.priority).then(self.turn.cmp(&other.turn)).is_lt()
    }
}

#[derive(Clone, Copy, Debug)]
struct Use {
    size: u64,
    count: u32,
    /// Where the slot stands in the heap.
    place: u32,
}

/// An indexed heap over the slots, lowest priority first.
#[derive(Debug)]
pub(crate) struct Gdsf {
    heap: Vec<Item>,
    uses: Vec<Use>,
    floor: f64,
    turn: u64,
}

impl Gdsf {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), uses: Vec::new(), floor: 0.0, turn: 0 }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, size: u64) {
        if self.uses.len() <= slot.index() {
            self.uses.resize(slot.index() + 1, Use { size: 0, count: 0, place: ABSENT });
        }
        let place = self.heap.len();
        self.uses[slot.index()] = Use { size, count: 1, place: place_of(place) };
        let item = self.rank(slot);
        self.heap.push(item);
        self.rise(place);
    }

    pub(super) fn on_used(&mut self, slot: Slot) {
        let used = &mut self.uses[slot.index()];
        used.count = used.count.saturating_add(1);
        let place = used.place as usize;
        // A use never lowers a priority, for the floor never falls.
        self.heap[place] = self.rank(slot);
        self.sink(place);
    }

    pub(super) fn on_evicted(&mut self, slot: Slot) {
        let place = self.uses[slot.index()].place as usize;
        self.floor = self.heap[place].priority;
        self.on_removed(slot);
    }

    pub(super) fn on_removed(&mut self, slot: Slot) {
        let place = self.uses[slot.index()].place as usize;
        self.uses[slot.index()].place = ABSENT;
        let last = self.heap.pop().expect("the slot being removed stands in the heap");
        if place < self.heap.len() {
            self.put(place, last);
            let place = self.sink(place);
            self.rise(place);
        }
    }

    pub(super) fn victim(&self) -> Option<Slot> {
        self.heap.first().map(|item| item.slot)
    }

    #[expect(clippy::cast_precision_loss, reason = "a priority is an estimate; 53 bits of a size are enough")]
    fn rank(&mut self, slot: Slot) -> Item {
        let Use { size, count, .. } = self.uses[slot.index()];
        self.turn += 1;
        Item { priority: self.floor + f64::from(count) / size.max(1) as f64, turn: self.turn, slot }
    }

    fn put(&mut self, place: usize, item: Item) {
        self.heap[place] = item;
        self.uses[item.slot.index()].place = place_of(place);
    }

    /// Moves the item at `place` towards the root while it leaves before its parent.
    fn rise(&mut self, mut place: usize) {
        let item = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if !item.leaves_before(&self.heap[parent]) {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, item);
    }

    /// Moves the item at `place` towards the leaves while a child leaves before it; says where it came to stand.
    fn sink(&mut self, mut place: usize) -> usize {
        let item = self.heap[place];
        loop {
            let children = place * ARITY + 1..(place * ARITY + 1 + ARITY).min(self.heap.len());
            let first =
                children.reduce(
                    |best, child| {
                        if self.heap[child].leaves_before(&self.heap[best]) { child } else { best }
                    },
                );
            match first {
                Some(child) if self.heap[child].leaves_before(&item) => {
                    self.put(place, self.heap[child]);
                    place = child;
                }
                Some(_) | None => break,
            }
        }
        self.put(place, item);
        place
    }
}

/// Heap places are slots' numbers, of which there are fewer than `u32::MAX`.
fn place_of(place: usize) -> u32 {
    u32::try_from(place).expect("a heap has no more places than there are slots, and those are u32")
}
