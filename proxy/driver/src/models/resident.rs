//! The fast path against eviction and purge: a body that was handed out stays whole, whatever becomes of its
//! entry in L0.

use super::{
    checker::{block_on, holds, join, spawn},
    world::{Rig, key},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tiergate_engine::{ByteCount, RawConfig, RawMemoryTier};

/// One thread reads `/a` through the fast path, while others fill `/b`, for which there is room only once
/// `/a` is evicted, and purge `/a`.
fn read_evict_purge() {
    let l0 = RawMemoryTier { capacity: ByteCount::kib(200), ..RawMemoryTier::default() };
    let rig = Rig::unrecorded(RawConfig { l0: Some(l0), ..RawConfig::default() });
    assert_eq!(rig.executor.run(rig.read("/a")), 1);
    let purged = Arc::new(AtomicBool::new(false));
    let reader = spawn({
        let (rig, purged) = (rig.clone(), Arc::clone(&purged));
        move || {
            let was_purged = purged.load(Ordering::SeqCst);
            let hit = rig.fresh_hit("/a");
            assert!(hit.is_none_or(|number| number == 1 && !was_purged), "purged, and served: {hit:?}");
        }
    });
    let purger = spawn({
        let (rig, purged) = (rig.clone(), Arc::clone(&purged));
        move || {
            block_on(rig.driver.purge(key("/a")));
            purged.store(true, Ordering::SeqCst);
        }
    });
    assert_eq!(rig.executor.run(rig.read("/b")), 2);
    join(reader);
    join(purger);
    assert_eq!((rig.fresh_hit("/a"), rig.fresh_hit("/b")), (None, Some(2)));
    rig.settle();
}

#[test]
fn a_resident_body_outlives_its_place() {
    holds(read_evict_purge);
}
