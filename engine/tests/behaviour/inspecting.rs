//! What an operator is told of one target: what is there, and nothing changes by asking.

use crate::rig::{Rig, key, l0_only, with_disk};
use std::time::Duration;
use tiergate_engine::{Method, StoredKey, TierId};

const VARIES: [(&str, &str); 3] =
    [("cache-control", "max-age=60"), ("vary", "accept-language"), ("content-length", "10")];

/// What is in L0, how it stands, on what it depends, and what is under way.
#[test]
fn a_target_is_told_of() {
    let mut rig = Rig::new(l0_only());
    let nothing = rig.engine.inspect(rig.now, key("/a"));
    assert!(nothing.resident.is_empty() && nothing.varies_on.is_empty() && !nothing.is_uncacheable);
    assert_eq!((nothing.fills, nothing.plain), (0, StoredKey::plain(key("/a"))));
    rig.ask(Method::Get, "/a", &[("accept-language", "de")], false);
    assert_eq!(rig.engine.inspect(rig.now, key("/a")).fills, 1);
    rig.head("/a", 200, &VARIES);
    rig.send("/a", 10, 10);
    rig.pass_time(Duration::from_secs(10));
    let known = rig.engine.inspect(rig.now, key("/a"));
    let [(at, inspected)] = &known.resident[..] else { panic!("one variant: {known:?}") };
    assert!(at.is_variant() && inspected.is_usable && known.plain.is_variant());
    assert_eq!((at.target, inspected.age), (key("/a"), Duration::from_secs(10)));
    assert_eq!((&*known.varies_on[0], known.varies_on.len(), known.fills), ("accept-language", 1, 0));
    rig.pass_time(Duration::from_secs(50));
    assert!(!rig.engine.inspect(rig.now, key("/a")).resident[0].1.is_usable, "it is stale");
    rig.purge("/a");
    assert!(rig.engine.inspect(rig.now, key("/a")).resident.is_empty());
    rig.assert_idle();
}

/// What could not be stored is told, for as long as it is remembered; and a tier that has not joined.
#[test]
fn what_hinders_is_told() {
    let mut rig = Rig::new(l0_only());
    rig.get("/a");
    rig.head("/a", 200, &[("cache-control", "no-store"), ("content-length", "0")]);
    assert!(rig.engine.inspect(rig.now, key("/a")).is_uncacheable);
    rig.pass_time(Duration::from_secs(60));
    assert!(!rig.engine.inspect(rig.now, key("/a")).is_uncacheable);
    let mut rig = Rig::starting(with_disk());
    assert_eq!(rig.engine.inspect(rig.now, key("/a")).joining, [TierId::L2]);
    rig.join();
    assert!(rig.engine.inspect(rig.now, key("/a")).joining.is_empty());
}
