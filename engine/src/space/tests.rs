//! The space against a naive map, and the order of each policy.

use super::Space;
use crate::{config::Eviction, key::CacheKey, random::Seed, units::ByteCount};
use proptest::prelude::*;
use std::{collections::BTreeMap, vec::Vec};

fn space(capacity: u64, eviction: Eviction) -> Space<u64> {
    Space::new(ByteCount(capacity), eviction, &mut Seed(1).split("space"))
}

/// Evicts and inserts; says who left.
fn admit(space: &mut Space<u64>, key: u64, size: u64) -> Vec<u64> {
    space.remove(CacheKey(key.into()));
    let mut left = Vec::new();
    while let Some(victim) = space.evict_for(ByteCount(size)) {
        left.push(victim.value);
    }
    space.insert(CacheKey(key.into()), ByteCount(size), key);
    left
}

fn use_of(space: &mut Space<u64>, key: u64) {
    let slot = space.find(CacheKey(key.into())).expect("the test put it in");
    space.on_used(slot);
}

/// LRU: the one not used for longest leaves first, whatever its size.
#[test]
fn lru_evicts_the_least_recently_used() {
    let mut space = space(30, Eviction::Lru);
    for key in 1..=3 {
        admit(&mut space, key, 10);
    }
    use_of(&mut space, 1);
    assert_eq!(admit(&mut space, 4, 15), [2, 3]);
    assert_eq!(space.used(), ByteCount(25));
}

/// GDSF: one large object leaves before several small ones that are used as often.
#[test]
fn gdsf_evicts_the_large_before_the_small() {
    let mut space = space(100, Eviction::Gdsf);
    admit(&mut space, 1, 80);
    admit(&mut space, 2, 10);
    admit(&mut space, 3, 10);
    assert_eq!(admit(&mut space, 4, 10), [1]);
}

/// GDSF ages: what was used often long ago leaves once enough has come and gone.
#[test]
fn gdsf_lets_old_favourites_go() {
    let mut space = space(20, Eviction::Gdsf);
    admit(&mut space, 1, 10);
    for _ in 0..5 {
        use_of(&mut space, 1);
    }
    let gone = (2..100).any(|key| admit(&mut space, key, 10).contains(&1));
    assert!(gone, "the favourite of old never left");
}

proptest! {
    /// After any history the sum equals the sizes present, stays within capacity, and lookups agree with a map.
    #[test]
    fn accounting_is_exact(
        steps in proptest::collection::vec((0_u64..40, 1_u64..60, 0_u8..3), 1..300),
        gdsf in any::<bool>(),
    ) {
        let mut space = space(100, if gdsf { Eviction::Gdsf } else { Eviction::Lru });
        let mut naive: BTreeMap<u64, u64> = BTreeMap::new();
        for (key, size, step) in steps {
            match step {
                0 => {
                    naive.remove(&key);
                    for victim in admit(&mut space, key, size) {
                        prop_assert!(naive.remove(&victim).is_some(), "{victim} left but was not in");
                    }
                    naive.insert(key, size);
                }
                1 => prop_assert_eq!(
                    space.remove(CacheKey(key.into())).map(|left| left.size.0),
                    naive.remove(&key)
                ),
                _ => if naive.contains_key(&key) { use_of(&mut space, key) },
            }
            prop_assert_eq!(space.used().0, naive.values().sum::<u64>());
            prop_assert_eq!(space.recount(), space.used());
            prop_assert_eq!(space.len(), naive.len() as u64);
            prop_assert!(space.used() <= space.capacity());
            for key in 0..40 {
                prop_assert_eq!(space.find(CacheKey(key.into())).is_some(), naive.contains_key(&key));
            }
        }
    }
}
