//! Models of two threads that are small enough for every order there is, without a bound on preemptions.
//!
//! Each thread also runs the tasks that it waits for, so that no third one is needed. A second task on the
//! second thread, or a second request, is already too much: none of those that were tried ended within a
//! minute.

use super::{
    checker::{holds_in_every_order, join, spawn},
    world::{Rig, key},
};
use tiergate_engine::{RawConfig, feed::RawFeed};

/// The fast path twice, and a purge of what it looks for.
fn hit_and_purge() {
    let rig = Rig::unrecorded(RawConfig::default());
    assert_eq!(rig.executor.run(rig.read("/a")), 1);
    let reader = spawn({
        let rig = rig.clone();
        move || [rig.fresh_hit("/a"), rig.fresh_hit("/a")]
    });
    rig.executor.run(rig.driver.purge(key("/a")));
    assert_eq!(rig.fresh_hit("/a"), None, "purged, and served");
    let hits = join(reader);
    assert!([[Some(1); 2], [Some(1), None], [None; 2]].contains(&hits), "purged, and back again: {hits:?}");
    rig.settle();
}

#[test]
fn a_hit_is_whole_or_purged_in_every_order() {
    holds_in_every_order(hit_and_purge);
}

/// One thread asks for an absent object and reads it. The other purges it, and then runs one task that is
/// ready, if one is: the fetch may begin on either thread, before or after the purge.
fn request_and_purge() {
    let rig = Rig::new(RawConfig::default(), 1);
    let purger = spawn({
        let rig = rig.clone();
        move || {
            rig.executor.run(rig.driver.purge(key("/a")));
            rig.executor.work_one();
        }
    });
    assert_eq!(rig.executor.run(rig.read("/a")), 1);
    join(purger);
    rig.settle();
}

#[test]
fn a_request_meets_a_purge_in_every_order() {
    holds_in_every_order(request_and_purge);
}

/// One thread reads the log, which says that `/a` was purged elsewhere and gives a lease. The other purges
/// `/b`, which visits the feed too, and looks for `/a`.
fn hear_purge_and_look() {
    let feed = Some(RawFeed::default());
    let rig = Rig::new(RawConfig { feed, ..RawConfig::default() }, 1);
    assert_eq!(rig.executor.run(rig.read("/a")), 1);
    rig.purge_elsewhere("/a");
    rig.read_log();
    let reader = spawn({
        let executor = rig.executor.clone();
        move || executor.work_off()
    });
    rig.executor.run(rig.driver.purge(key("/b")));
    assert_eq!(rig.fresh_hit("/a"), None, "purged elsewhere, and served");
    join(reader);
    rig.settle();
}

#[test]
fn a_lease_comes_after_its_purges_in_every_order() {
    holds_in_every_order(hear_purge_and_look);
}
