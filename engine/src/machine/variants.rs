//! Which targets have variants, which of them are stored here, and under which keys (RFC 9111 section 4.1).
//!
//! The origin's `Vary` names what a target depends on; from then on a request is answered under the key that
//! its own fields make, which is never the target's own: what is stored there is for everybody, and the fast
//! path needs to look nowhere else. The names are known for as long as a variant is in L0, and for a while
//! longer. A purge of the target finds all of these by its key; the tiers below find what they have of it by
//! themselves.

use crate::{
    language::{
        head::{Fields, Head},
        id::TierId,
        key::{CacheKey, StoredKey},
        time::Instant,
    },
    rules::vary::{language_key, language_of, liked_best, variant_key},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use core::time::Duration;

/// Targets whose names are remembered though none of their variants is stored here. Forgetting one costs a
/// lookup of its names, or a fetch, when it is next asked for.
const IDLE_MAX: usize = 16_384;
/// Variants of one target that are in L0; another one is stored nowhere. A field with more values than this
/// is no good to vary on, and would push everything else out.
const VARIANTS_MAX: usize = 256;

/// How long a tier is taken to have kept a marker. It may have evicted it meanwhile, for nobody here looks
/// for it.
const MARKED_FOR: Duration = Duration::from_secs(3_600);

/// What is known of variants.
#[derive(Debug, Default)]
pub(super) struct Variants {
    targets: BTreeMap<CacheKey, Varying>,
    /// Every variant that is in L0, with its target.
    stored: BTreeMap<CacheKey, CacheKey>,
    /// Targets without a stored variant, by when they became so.
    idle: BTreeMap<u64, CacheKey>,
    /// Counts what was put into `idle`.
    clock: u64,
}

#[derive(Debug, Default)]
struct Varying {
    /// What the newest response depends on; empty when that is not known.
    names: Vec<Box<str>>,
    /// Which variants are stored here, also under earlier names.
    keys: BTreeSet<CacheKey>,
    /// Where it stands in `idle`.
    idle: Option<u64>,
    /// Tiers that have a marker with these names, as far as is known, and since when that is.
    marked: Vec<(TierId, Instant)>,
    /// Variants that said in which language they are, by the key that their language makes. They may have
    /// left, and what is under their keys now may say something else.
    languages: BTreeMap<CacheKey, CacheKey>,
}

impl Variants {
    /// The key under which a request for `target` with these fields is answered.
    pub(super) fn key_for(&self, target: CacheKey, fields: &Fields) -> CacheKey {
        self.targets.get(&target).map_or(target, |varying| variant_key(target, &varying.names, fields))
    }

    /// On which names the responses of `target` depend, as far as is known.
    pub(super) fn names_of(&self, target: CacheKey) -> &[Box<str>] {
        self.targets.get(&target).map_or(&[], |varying| &varying.names)
    }

    /// The key of a variant in the language that this request likes best, if one may be here. What is there
    /// must turn out to be in that language.
    pub(super) fn in_language(&self, target: CacheKey, fields: &Fields) -> Option<(CacheKey, String)> {
        let varying = self.targets.get(&target).filter(|varying| !varying.languages.is_empty())?;
        let language = liked_best(fields)?;
        let key = language_key(target, &varying.names, fields, &language)?;
        varying.languages.get(&key).map(|variant| (*variant, language))
    }

    /// A response for `target` depends on these names; the request that it answers has these fields. Says
    /// under which key it may be stored, if there is room for one more.
    pub(super) fn learn(
        &mut self,
        target: CacheKey,
        names: &[Box<str>],
        fields: &Fields,
        head: &Head,
    ) -> Option<CacheKey> {
        let variant = variant_key(target, names, fields);
        self.learn_names(target, names);
        let varying = self.targets.get_mut(&target)?;
        if !varying.keys.contains(&variant) && varying.keys.len() >= VARIANTS_MAX {
            return None;
        }
        let in_language =
            language_of(head).and_then(|language| language_key(target, names, fields, &language));
        if let Some(key) = in_language {
            // What they name may have left long ago: nobody counts, and those that are of use come back.
            if varying.languages.len() >= VARIANTS_MAX {
                varying.languages.clear();
            }
            varying.languages.insert(key, variant);
        }
        Some(variant)
    }

    /// Responses for `target` depend on these names.
    pub(super) fn learn_names(&mut self, target: CacheKey, names: &[Box<str>]) {
        let varying = self.targets.entry(target).or_default();
        if *varying.names != *names {
            varying.names = names.to_vec();
            varying.marked.clear();
            varying.languages.clear();
        }
        if varying.keys.is_empty() {
            self.rest(target);
        }
    }

    /// The names with which a target is to be marked in a tier; none, where it is marked as far as is known.
    /// From now on it counts as marked.
    pub(super) fn names_to_mark(
        &mut self,
        target: CacheKey,
        tier: TierId,
        now: Instant,
    ) -> Option<Vec<Box<str>>> {
        let varying = self.targets.get_mut(&target).filter(|varying| !varying.names.is_empty())?;
        let is_marked = |(other, since): &(TierId, Instant)| *other == tier && now.since(*since) < MARKED_FOR;
        if varying.marked.iter().any(is_marked) {
            return None;
        }
        let names = varying.names.clone();
        self.on_marked(target, &names, tier, now);
        Some(names)
    }

    /// A tier has a marker for the target, with these names.
    pub(super) fn on_marked(&mut self, target: CacheKey, names: &[Box<str>], tier: TierId, now: Instant) {
        if let Some(varying) = self.targets.get_mut(&target).filter(|varying| *varying.names == *names) {
            varying.marked.retain(|(other, _)| *other != tier);
            varying.marked.push((tier, now));
        }
    }

    /// A tier has no marker for the target, after all.
    pub(super) fn on_unmarked(&mut self, target: CacheKey, tier: TierId) {
        if let Some(varying) = self.targets.get_mut(&target) {
            varying.marked.retain(|(other, _)| *other != tier);
        }
    }

    /// L0 has a response now.
    pub(super) fn on_stored(&mut self, at: StoredKey) {
        if !at.is_variant() {
            return;
        }
        self.stored.insert(at.key, at.target);
        let varying = self.targets.entry(at.target).or_default();
        varying.keys.insert(at.key);
        if let Some(place) = varying.idle.take() {
            self.idle.remove(&place);
        }
    }

    /// L0 has it no more.
    pub(super) fn on_left(&mut self, key: CacheKey) {
        let Some(target) = self.stored.remove(&key) else { return };
        let varying = self.targets.get_mut(&target).expect("a target is known while a variant is stored");
        varying.keys.remove(&key);
        if varying.keys.is_empty() {
            self.rest(target);
        }
    }

    /// Every key under which something of `target` may be stored here.
    pub(super) fn of(&self, target: CacheKey) -> Vec<CacheKey> {
        let variants = self.targets.get(&target).into_iter().flat_map(|varying| varying.keys.iter().copied());
        core::iter::once(target).chain(variants).collect()
    }

    /// Whose the response is that is stored under this key.
    pub(super) fn at(&self, key: CacheKey) -> StoredKey {
        let target = self.stored.get(&key).copied().unwrap_or(key);
        StoredKey { target, key }
    }

    /// Nothing is known of `target` any more: it was purged, and nothing of it is stored here.
    pub(super) fn forget(&mut self, target: CacheKey) {
        let Some(varying) = self.targets.remove(&target) else { return };
        assert!(varying.keys.is_empty(), "{target} is forgotten while variants of it are stored");
        if let Some(place) = varying.idle {
            self.idle.remove(&place);
        }
    }

    /// No variant of `target` is stored here: it is remembered until enough others are.
    fn rest(&mut self, target: CacheKey) {
        let varying = self.targets.entry(target).or_default();
        if let Some(place) = varying.idle.take() {
            self.idle.remove(&place);
        }
        self.clock += 1;
        varying.idle = Some(self.clock);
        self.idle.insert(self.clock, target);
        if self.idle.len() > IDLE_MAX
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.targets.remove(&oldest);
        }
    }
}
