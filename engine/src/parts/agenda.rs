//! What is due when: each name once, the earliest first.
//!
//! A binary heap that knows where each name is, so that an entry can be moved or taken out wherever it
//! stands. Of two that are due together the lesser name comes first, so the order says nothing of how the
//! heap has grown.

use crate::{
    language::time::Instant,
    parts::table::{Name, Table},
};
use alloc::vec::Vec;

/// Names by when they are due.
#[derive(Debug)]
pub(crate) struct Agenda<K> {
    /// None is due before the one at half its place.
    heap: Vec<(Instant, K)>,
    places: Table<K, usize>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self { heap: Vec::new(), places: Table::default() }
    }
}

impl<K: Name> Agenda<K> {
    /// `name` is due at `at`, and at no other time.
    pub(crate) fn set(&mut self, name: K, at: Instant) {
        match self.places.get(&name).copied() {
            Some(place) => {
                self.heap[place] = (at, name);
                self.settle(place);
            }
            None => {
                self.places.insert(name, self.heap.len());
                self.heap.push((at, name));
                self.settle(self.heap.len() - 1);
            }
        }
    }

    /// `name` is not due any more. Says when it would have been.
    pub(crate) fn remove(&mut self, name: K) -> Option<Instant> {
        let place = self.places.remove(&name)?;
        let (at, _) = self.heap.swap_remove(place);
        if let Some((_, moved)) = self.heap.get(place) {
            self.places.insert(*moved, place);
            self.settle(place);
        }
        Some(at)
    }

    /// What is due first.
    pub(crate) fn first(&self) -> Option<(Instant, K)> {
        self.heap.first().copied()
    }

    /// Takes out what is due first, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let (at, name) = self.first().filter(|(at, _)| *at <= now)?;
        self.remove(name);
        Some((at, name))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Brings the entry that is known to be at `place` to where it belongs.
    fn settle(&mut self, begun_at: usize) {
        let mut place = begun_at;
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            let above = (place - 1) / 2;
            self.heap.swap(place, above);
            self.places.insert(self.heap[place].1, place);
            place = above;
        }
        loop {
            let below =
                (2 * place + 1..(2 * place + 3).min(self.heap.len())).min_by_key(|below| self.heap[*below]);
            match below.filter(|below| self.heap[*below] < self.heap[place]) {
                Some(below) => {
                    self.heap.swap(place, below);
                    self.places.insert(self.heap[place].1, place);
                    place = below;
                }
                None => break,
            }
        }
        if place != begun_at {
            self.places.insert(self.heap[place].1, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::id::OpId;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// It hands out what an ordered set of times and names would, whatever is set, moved and taken out.
        #[test]
        fn an_agenda_is_an_ordered_set(steps in proptest::collection::vec((0_u64..20, 0_u8..4, 0_u64..50), 0..200)) {
            let (mut agenda, mut model) = (Agenda::default(), BTreeSet::new());
            for (name, step, at) in steps {
                let (name, at) = (OpId(name), Instant::from_nanos(at));
                let before = model.iter().find(|(_, other)| *other == name).copied();
                match step {
                    0 | 1 => {
                        before.map(|entry| model.remove(&entry));
                        model.insert((at, name));
                        agenda.set(name, at);
                    }
                    2 => {
                        before.map(|entry| model.remove(&entry));
                        prop_assert_eq!(agenda.remove(name), before.map(|(at, _)| at));
                    }
                    _ => {
                        let due = model.first().filter(|(first, _)| *first <= at).copied();
                        due.map(|entry| model.remove(&entry));
                        prop_assert_eq!(agenda.pop_due(at), due);
                    }
                }
                prop_assert_eq!((agenda.first(), agenda.len()), (model.first().copied(), model.len()));
            }
            let rest = std::iter::from_fn(|| agenda.pop_due(Instant::from_nanos(u64::MAX)));
            prop_assert_eq!(rest.collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
