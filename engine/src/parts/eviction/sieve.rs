//! SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: NSDI 2024): one queue in the order of arrival, and a hand.
//!
//! A use marks its object and moves nothing. The hand walks from the oldest to the newest and round again: it
//! takes marks off, and evicts the first object that has none, where the next walk goes on.

use super::{
    Object, Slot,
    links::{Links, Queue},
};
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct Sieve {
    links: Links,
    queue: Queue,
    marks: Vec<bool>,
    /// Where the next walk starts; at the oldest, if nowhere.
    hand: Option<Slot>,
}

impl Sieve {
    pub(super) const fn new() -> Self {
        Self { links: Links::new(), queue: Queue::new(), marks: Vec::new(), hand: None }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, object: Object) {
        super::put(&mut self.marks, slot, false);
        self.links.push(&mut self.queue, slot, object.size);
    }

    pub(super) fn on_used(&mut self, slot: Slot) {
        self.marks[slot.index()] = true;
    }

    pub(super) fn on_removed(&mut self, slot: Slot, object: Object) {
        if self.hand == Some(slot) {
            self.hand = self.links.newer(slot);
        }
        self.links.remove(&mut self.queue, slot, object.size);
    }

    pub(super) fn evict(&mut self, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        let mut victim = self.hand.or(self.queue.oldest())?;
        while self.marks[victim.index()] {
            self.marks[victim.index()] = false;
            victim = self.links.newer(victim).or(self.queue.oldest())?;
        }
        self.hand = Some(victim);
        self.on_removed(victim, object(victim));
        Some(victim)
    }

    #[cfg(test)]
    pub(super) fn dump(&self) -> super::Dump {
        let queue = self.links.dump(&self.queue);
        let marked = queue.iter().copied().filter(|slot| self.marks[slot.index()]).collect();
        alloc::vec![("queue", queue), ("marked", marked), ("hand", self.hand.into_iter().collect())]
    }
}
