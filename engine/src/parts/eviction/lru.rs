//! Least recently used: one queue, to whose newest end every use moves.

use super::{
    Object, Slot,
    links::{Links, Queue},
};

#[derive(Debug)]
pub(crate) struct Lru {
    links: Links,
    queue: Queue,
}

impl Lru {
    pub(super) const fn new() -> Self {
        Self { links: Links::new(), queue: Queue::new() }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot, object: Object) {
        self.links.push(&mut self.queue, slot, object.size);
    }

    pub(super) fn on_used(&mut self, slot: Slot, object: Object) {
        if !self.queue.is_newest(slot) {
            self.on_removed(slot, object);
            self.on_admitted(slot, object);
        }
    }

    pub(super) fn on_removed(&mut self, slot: Slot, object: Object) {
        self.links.remove(&mut self.queue, slot, object.size);
    }

    pub(super) fn evict(&mut self, object: impl Fn(Slot) -> Object) -> Option<Slot> {
        let victim = self.queue.oldest()?;
        self.on_removed(victim, object(victim));
        Some(victim)
    }

    #[cfg(test)]
    pub(super) fn dump(&self) -> super::Dump {
        alloc::vec![("queue", self.links.dump(&self.queue))]
    }
}
