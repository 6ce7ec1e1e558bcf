//! Clients that come while a body arrives: each has an inbox under the shard's lock, and a waker in it.

use super::{
    checker::{block_on, holds, join, spawn},
    world::Rig,
};
use tiergate_engine::RawConfig;

/// Two clients ask for one object at the same time, and a third thread fetches it. Whoever comes second
/// attaches to the window, or finds the object whole.
fn two_clients() {
    let rig = Rig::new(RawConfig::default(), 1);
    let worker = spawn({
        let executor = rig.executor.clone();
        move || executor.work()
    });
    let other = spawn({
        let rig = rig.clone();
        move || block_on(rig.read("/a"))
    });
    assert_eq!(block_on(rig.read("/a")), 1);
    assert_eq!(join(other), 1);
    rig.executor.end();
    join(worker);
    assert_eq!(rig.fetches(), 1, "the second asked for itself");
    rig.settle();
}

#[test]
fn two_clients_share_one_fetch() {
    holds(two_clients);
}
