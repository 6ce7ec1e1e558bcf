//! Which targets have variants, and under which keys L0 has them (RFC 9111 section 4.1).
//!
//! The origin's `Vary` names what a target depends on; from then on a request is answered under the key that its own
//! fields make, which is never the target's own: what is stored there is for everybody, and the fast door needs to look
//! nowhere else. Variants live in L0 alone: what they depend on is not known below it.

use crate::{head::Fields, key::CacheKey, rules::vary::variant_key};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Targets with variants that are remembered; another one is not stored.
const TARGETS_MAX: usize = 16_384;
/// Variants of one target that a purge will find; another one is not stored. A field with more values than this is no
/// good to vary on.
const VARIANTS_MAX: usize = 64;

/// What is known of variants.
#[derive(Debug, Default)]
pub(super) struct Variants(BTreeMap<CacheKey, Varying>);

#[derive(Debug, Default)]
struct Varying {
    /// What the newest response depends on.
    names: Vec<Box<str>>,
    /// Where variants were stored, also under earlier names.
    keys: BTreeSet<CacheKey>,
}

impl Variants {
    /// The key under which a request for `target` with these fields is answered.
    pub(super) fn key_for(&self, target: CacheKey, fields: &Fields) -> CacheKey {
        self.0.get(&target).map_or(target, |varying| variant_key(target, &varying.names, fields))
    }

    /// A response for `target` depends on these names; the request that it answers has these fields. Says under which
    /// key it may be stored, if there is room for one more.
    pub(super) fn learn(
        &mut self,
        target: CacheKey,
        names: &[Box<str>],
        fields: &Fields,
    ) -> Option<CacheKey> {
        let variant = variant_key(target, names, fields);
        if !self.0.contains_key(&target) && self.0.len() >= TARGETS_MAX {
            return None;
        }
        let varying = self.0.entry(target).or_default();
        if !varying.keys.contains(&variant) && varying.keys.len() >= VARIANTS_MAX {
            return None;
        }
        varying.names = names.to_vec();
        varying.keys.insert(variant);
        Some(variant)
    }

    /// Every key under which something of `target` may be stored; after a purge none is.
    pub(super) fn forget(&mut self, target: CacheKey) -> Vec<CacheKey> {
        let varying = self.0.remove(&target);
        core::iter::once(target).chain(varying.into_iter().flat_map(|varying| varying.keys)).collect()
    }
}
