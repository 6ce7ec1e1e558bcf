//! Least recently used: a doubly linked list through the slots, newest first.

use super::Slot;
use alloc::vec::Vec;

/// The end of the list.
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

/// The list. Links of free slots are stale and never followed.
#[derive(Debug)]
pub(crate) struct Lru {
    links: Vec<Link>,
    newest: u32,
    oldest: u32,
}

impl Lru {
    pub(super) const fn new() -> Self {
        Self { links: Vec::new(), newest: NIL, oldest: NIL }
    }

    pub(super) fn on_admitted(&mut self, slot: Slot) {
        if self.links.len() <= slot.index() {
            self.links.resize(slot.index() + 1, Link { newer: NIL, older: NIL });
        }
        self.push_newest(slot);
    }

    pub(super) fn on_used(&mut self, slot: Slot) {
        if self.newest != slot.0 {
            self.on_removed(slot);
            self.push_newest(slot);
        }
    }

    pub(super) fn on_removed(&mut self, slot: Slot) {
        let Link { newer, older } = self.links[slot.index()];
        match newer {
            NIL => self.newest = older,
            _ => self.links[newer as usize].older = older,
        }
        match older {
            NIL => self.oldest = newer,
            _ => self.links[older as usize].newer = newer,
        }
    }

    pub(super) fn victim(&self) -> Option<Slot> {
        (self.oldest != NIL).then_some(Slot(self.oldest))
    }

    fn push_newest(&mut self, slot: Slot) {
        self.links[slot.index()] = Link { newer: NIL, older: self.newest };
        match self.newest {
            NIL => self.oldest = slot.0,
            newest => self.links[newest as usize].newer = slot.0,
        }
        self.newest = slot.0;
    }
}
