//! The lane into a byte tier: its calls come in order, and its close comes after the last of them.

use super::{
    checker::{block_on, holds, join, spawn},
    world::Rig,
};
use tiergate_engine::{OnAbandon, RawConfig, RawDiskTier, RawFill};

/// A client leaves after the first chunk, which cancels the fetch and drops the lane, while another thread
/// writes.
fn leave_while_writing() {
    let fill = RawFill { on_abandon: OnAbandon::Cancel, ..RawFill::default() };
    let l2 = Some(RawDiskTier::default());
    let rig = Rig::new(RawConfig { l0: None, l2, fill, ..RawConfig::default() }, 1);
    let worker = spawn({
        let executor = rig.executor.clone();
        move || executor.work()
    });
    let mut body = block_on(rig.ask("/a"));
    assert!(block_on(body.next()).expect("nothing breaks off here").is_some());
    drop(body);
    rig.executor.end();
    join(worker);
    rig.settle();
}

#[test]
fn a_lane_is_closed_after_its_last_call() {
    holds(leave_while_writing);
}
