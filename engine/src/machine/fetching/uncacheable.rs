//! Keys whose response could not be stored: who asks for one next waits for nobody, because nobody's answer
//! would serve.
//!
//! Such a key is remembered for a while. Its requests look in no tier below L0 and share no fetch; the first
//! storable response, or a purge, ends that, and the request after it is for everybody again. What those who
//! say who they are get is remembered for them alone: others may get what can be stored.

use crate::{
    language::{
        key::CacheKey,
        reason::{NotStorable, Storable},
        time::Instant,
    },
    plant::{Fault, Plant},
    rules::{Caller, reuse},
};
use alloc::collections::{BTreeMap, BTreeSet};

/// Keys remembered at a time; the one whose time ends first is forgotten for a new one. Four mebibytes or so.
const KEYS_MAX: usize = 65_536;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Uncacheable {
    until: BTreeMap<(CacheKey, Caller), Instant>,
    by_end: BTreeSet<(Instant, CacheKey, Caller)>,
}

impl Uncacheable {
    /// Is this key's response one that cannot be stored, as far as is known of such callers?
    pub(super) fn holds(&self, key: CacheKey, caller: Caller, now: Instant) -> bool {
        self.until.get(&(key, caller)).is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&mut self, key: CacheKey, caller: Caller, until: Instant) {
        self.forget_one(key, caller);
        if self.until.len() >= KEYS_MAX
            && let Some((_, first, first_caller)) = self.by_end.pop_first()
        {
            self.until.remove(&(first, first_caller));
        }
        self.until.insert((key, caller), until);
        self.by_end.insert((until, key, caller));
    }

    pub(super) fn forget(&mut self, key: CacheKey) {
        self.forget_one(key, Caller::Anonymous);
        self.forget_one(key, Caller::Identified);
    }

    fn forget_one(&mut self, key: CacheKey, caller: Caller) {
        if let Some(until) = self.until.remove(&(key, caller)) {
            self.by_end.remove(&(until, key, caller));
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
        let mut memory = Uncacheable::default();
        let at = |n: usize| Instant::from_nanos(n as u64);
        let (anyone, known) = (Caller::Anonymous, Caller::Identified);
        for n in 0..=KEYS_MAX {
            memory.remember(CacheKey(n as u128), anyone, at(n + 10));
        }
        assert_eq!((memory.until.len(), memory.by_end.len()), (KEYS_MAX, KEYS_MAX));
        assert!(!memory.holds(CacheKey(0), anyone, at(0)));
        assert!(memory.holds(CacheKey(1), anyone, at(10)) && !memory.holds(CacheKey(1), anyone, at(11)));
        memory.remember(CacheKey(1), anyone, at(20));
        assert!(memory.holds(CacheKey(1), anyone, at(19)));
        assert!(!memory.holds(CacheKey(1), known, at(19)), "what one is told is not what others are");
        memory.remember(CacheKey(1), known, at(20));
        memory.forget(CacheKey(1));
        assert!(!memory.holds(CacheKey(1), anyone, at(0)) && !memory.holds(CacheKey(1), known, at(0)));
        assert_eq!(memory.until.len(), memory.by_end.len());
    }
}
