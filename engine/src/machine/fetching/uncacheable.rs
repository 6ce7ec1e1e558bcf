//! Keys whose response could not be stored, and what else is remembered of keys for a while: who asks for one
//! next waits for nobody, because nobody's answer would serve.
//!
//! Requests for such a key look in no tier below L0 and share no fetch; the first storable response, or a
//! purge, ends that, and the request after it is for everybody again. What those who say who they are get is
//! remembered for them alone: others may get what can be stored.

use crate::{
    language::{
        reason::{NotStorable, Storable},
        time::Instant,
    },
    plant::{Fault, Plant},
    rules::reuse,
};
use alloc::collections::{BTreeMap, BTreeSet};

/// Keys remembered at a time; the one whose time ends first is forgotten for a new one. Four mebibytes or so.
const KEYS_MAX: usize = 65_536;

/// Keys that are remembered until their time ends.
#[derive(Debug)]
pub(super) struct Remembered<K> {
    until: BTreeMap<K, Instant>,
    by_end: BTreeSet<(Instant, K)>,
}

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self { until: BTreeMap::new(), by_end: BTreeSet::new() }
    }
}

impl<K: Copy + Ord> Remembered<K> {
    pub(super) fn holds(&self, key: K, now: Instant) -> bool {
        self.until.get(&key).is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&mut self, key: K, until: Instant) {
        self.forget(key);
        if self.until.len() >= KEYS_MAX
            && let Some((_, first)) = self.by_end.pop_first()
        {
            self.until.remove(&first);
        }
        self.until.insert(key, until);
        self.by_end.insert((until, key));
    }

    pub(super) fn forget(&mut self, key: K) {
        if let Some(until) = self.until.remove(&key) {
            self.by_end.remove(&(until, key));
        }
    }
}

/// Does this answer say of its key that the next one to such a caller cannot be stored either? A failure of
/// the origin says nothing, and neither does what was the matter with one request.
pub(super) fn says_so(status: u16, storable: Storable, plant: Plant) -> Option<NotStorable> {
    let Storable::No(why) = storable else { return None };
    let is_lasting = match why {
        NotStorable::Status
        | NotStorable::NoStore
        | NotStorable::Private
        | NotStorable::NoCache
        | NotStorable::NoLifetime
        | NotStorable::Vary
        | NotStorable::Authorization
        | NotStorable::SetCookie
        | NotStorable::Cookie
        | NotStorable::NotUnderstood
        | NotStorable::Length => true,
        NotStorable::Method | NotStorable::RequestNoStore => false,
    };
    (is_lasting && status != 304 && (plant.is(Fault::X76) || !reuse::is_error(status))).then_some(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One more than fits forgets the one whose time ends first; none outlives its time.
    #[test]
    fn the_memory_is_bounded() {
        let mut memory = Remembered::default();
        let at = |n: usize| Instant::from_nanos(n as u64);
        for n in 0..=KEYS_MAX {
            memory.remember(n, at(n + 10));
        }
        assert_eq!((memory.until.len(), memory.by_end.len()), (KEYS_MAX, KEYS_MAX));
        assert!(!memory.holds(0, at(0)));
        assert!(memory.holds(1, at(10)) && !memory.holds(1, at(11)));
        memory.remember(1, at(20));
        assert!(memory.holds(1, at(19)));
        memory.forget(1);
        assert!(!memory.holds(1, at(0)));
        assert_eq!(memory.until.len(), memory.by_end.len());
    }
}
