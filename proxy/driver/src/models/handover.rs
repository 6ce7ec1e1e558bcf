//! Completions: each effect is answered once, also when its task is dropped while the next effect is on its
//! way to it.

use super::{
    checker::{block_on, holds, join, spawn},
    world::{CHUNK, CHUNKS, Rig, read_on},
};
use tiergate_engine::{AbortReason, ByteCount, OriginFailure, RawConfig, RawFill};

/// A client reads on while the runtime that runs its fetch is taken down.
fn take_down_while_reading() {
    // Room for one chunk: the next is pulled when the client has asked for it.
    let fill = RawFill { window: ByteCount(CHUNK as u64), ..RawFill::default() };
    let rig = Rig::new(RawConfig { l0: None, fill, ..RawConfig::default() }, 1);
    let mut body = rig.executor.run(rig.ask("/a"));
    let worker = spawn({
        let executor = rig.executor.clone();
        move || executor.work()
    });
    let end = spawn({
        let executor = rig.executor.clone();
        move || executor.take_down()
    });
    match block_on(read_on(&mut body)) {
        Ok(read) => assert_eq!(read, [1; CHUNK * CHUNKS]),
        Err(why) => assert_eq!(why, AbortReason::Origin(OriginFailure::Abandoned)),
    }
    join(end);
    rig.executor.end();
    join(worker);
    rig.settle();
}

#[test]
fn each_pull_is_answered() {
    holds(take_down_while_reading);
}
