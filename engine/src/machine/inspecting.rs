//! What the engine knows of one target, for whoever operates it. Nothing here counts as a use or changes
//! anything.

use super::Engine;
use crate::language::{
    chunk::Chunk,
    head::Fields,
    id::TierId,
    key::{CacheKey, StoredKey},
    resident::Resident,
    time::Instant,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::time::Duration;

/// What the engine knows of one target.
#[derive(Debug)]
pub struct Known<C> {
    /// What is in L0: the target's own response, and its variants.
    pub resident: Vec<(StoredKey, Inspected<C>)>,
    /// On which request fields its responses depend, as far as is known.
    pub varies_on: Vec<Box<str>>,
    /// How many lookups and fetches are under way for it.
    pub fills: usize,
    /// Was the last answer to somebody without credentials or a cookie one that cannot be stored?
    pub is_uncacheable: bool,
    /// Where to look for the response to a request without any fields that it may depend on.
    pub plain: StoredKey,
    /// Tiers that cannot be asked yet.
    pub joining: Vec<TierId>,
}

/// A response in L0, and how it stands.
#[derive(Debug)]
pub struct Inspected<C> {
    /// The response.
    pub resident: Arc<Resident<C>>,
    /// Its age.
    pub age: Duration,
    /// May it be used without asking the origin?
    pub is_usable: bool,
}

impl<C: Chunk> Engine<C> {
    /// What is known of `target` at `now`.
    pub fn inspect(&self, now: Instant, target: CacheKey) -> Known<C> {
        let resident = self.residence.of(target).into_iter().map(|(at, resident)| {
            let age = resident.freshness.age(now);
            let is_usable = resident.staleness.is_usable(&resident.freshness, now);
            (at, Inspected { resident, age, is_usable })
        });
        let config = &self.cx.config;
        let joining = config.byte_tiers().filter(|tier| self.cx.resilience.is_joining(*tier));
        Known {
            resident: resident.collect(),
            varies_on: self.residence.names_of(target).to_vec(),
            fills: self.fetching.names_of(|fill| fill.context.target == target).len(),
            is_uncacheable: self.fetching.is_uncacheable_for_all(target, now),
            plain: StoredKey { target, key: self.residence.key_of(target, &Fields::new()) },
            joining: joining.collect(),
        }
    }
}
