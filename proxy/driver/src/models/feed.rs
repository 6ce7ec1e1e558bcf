//! The purge feed against requests and purges: no shard is told of a lease before the purges that the lease
//! counts on.

use super::{
    checker::{holds, join, spawn},
    world::{Rig, key},
};
use crate::Elsewhere;
use tiergate_engine::{RawConfig, feed::RawFeed};

/// Another edge has purged `/a`, which L0 holds and this edge may not use: it has no lease. The log is being
/// read, which tells the shard of the purge and of a lease. One thread looks and asks for `/a`; one purges
/// `/b`, which visits the feed too; a third does what the log's answer asks for.
fn hear_purge_and_ask() {
    let feed = Some(RawFeed::default());
    let rig = Rig::new(RawConfig { feed, ..RawConfig::default() }, 1);
    assert_eq!(rig.executor.run(rig.read("/a")), 1);
    rig.purge_elsewhere("/a");
    rig.read_log();
    let reader = spawn({
        let executor = rig.executor.clone();
        move || executor.work_off()
    });
    let purger = spawn({
        let rig = rig.clone();
        move || rig.executor.run(rig.driver.purge(key("/b"))).elsewhere
    });
    assert_eq!(rig.fresh_hit("/a"), None, "purged elsewhere, and served");
    assert_eq!(rig.executor.run(rig.read("/a")), 2, "purged elsewhere, and served");
    join(reader);
    assert_eq!(join(purger), Elsewhere::Told);
    assert_ne!(rig.fresh_hit("/a"), Some(1), "purged elsewhere, and served");
    rig.settle();
}

#[test]
fn a_lease_comes_after_the_purges_that_it_counts_on() {
    holds(hear_purge_and_ask);
}
