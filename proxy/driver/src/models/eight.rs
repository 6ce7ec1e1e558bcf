//! Eight threads on one driver with two shards, a fast tier and a slow one: too many for every order, so many
//! orders by chance.

use super::{
    checker::{Thread, block_on, holds, join, spawn},
    world::{CHUNK, Rig, key},
};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use tiergate_engine::{OnAbandon, PurgeMode, RawConfig, RawDiskTier, RawFill, Selector};

const TARGETS: [&str; 2] = ["/a", "/b"];

/// Three threads ask and read, one asks and leaves, one asks the fast path, one purges, and two run the
/// tasks. Each body is whole and of one answer, and who asks after a purge gets an answer that the origin
/// gave after it began.
fn eight_threads() {
    let fill = RawFill { on_abandon: OnAbandon::Cancel, ..RawFill::default() };
    let l2 = Some(RawDiskTier::default());
    let rig = Rig::new(RawConfig { l2, fill, ..RawConfig::default() }, 2);
    // Answers up to this one are purged.
    let purged = Arc::new(AtomicU8::new(0));
    let workers: Vec<Thread<()>> = (0..2)
        .map(|_| {
            let executor = rig.executor.clone();
            spawn(move || executor.work())
        })
        .collect();
    let mut clients: Vec<Thread<()>> = (0..3)
        .map(|client: usize| {
            let (rig, purged) = (rig.clone(), Arc::clone(&purged));
            spawn(move || {
                for turn in 0..2 {
                    let floor = purged.load(Ordering::SeqCst);
                    let number = block_on(rig.read(TARGETS[(client + turn) % 2]));
                    assert!(number > floor, "answer {number} after a purge of all up to {floor}");
                }
            })
        })
        .collect();
    clients.push(spawn({
        let rig = rig.clone();
        move || {
            let mut body = block_on(rig.ask("/a"));
            let chunk =
                block_on(body.next()).expect("nothing breaks off here").expect("it has more than one");
            assert!(chunk.len() >= CHUNK, "{} bytes", chunk.len());
        }
    }));
    clients.push(spawn({
        let (rig, purged) = (rig.clone(), Arc::clone(&purged));
        move || {
            for target in TARGETS {
                let floor = purged.load(Ordering::SeqCst);
                let hit = rig.fresh_hit(target);
                assert!(
                    hit.is_none_or(|number| number > floor),
                    "{hit:?} after a purge of all up to {floor}"
                );
            }
        }
    }));
    let floor = rig.fetches();
    block_on(rig.driver.purge_selected(&Selector::All, PurgeMode::Hard));
    purged.fetch_max(floor, Ordering::SeqCst);
    block_on(rig.driver.purge(key("/a")));
    clients.into_iter().for_each(join);
    rig.executor.end();
    workers.into_iter().for_each(join);
    rig.settle();
}

#[test]
fn eight_threads_share_a_driver() {
    holds(eight_threads);
}
