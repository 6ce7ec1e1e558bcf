//! Each fault of a disk does what it says and is counted, and ends when it is over.

use super::{Disk, DiskFault};
use crate::world::log::Log;
use bytes::Bytes;
use std::{io::ErrorKind, sync::Arc, time::Duration};
use tiergate_engine::Seed;
use tiergate_invariants::Invariants;
use tiergate_scenarios::{Between, Fault, FaultKind, Faults, Figure, Phase};
use tokio::time::{Instant, timeout};

const SECTOR: usize = 4096;

fn disk(faults: &Faults) -> (Disk, Arc<Log>) {
    let log = Arc::new(Log::new(Invariants::only(&[]).expect("no rule is a set of rules")));
    (Disk::new("a disk", Seed(1), Between(0, 2), faults, Arc::clone(&log)), log)
}

fn of(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 8 * SECTOR])
}

/// How often a kind was armed, and hit.
fn counts(log: &Log, kind: FaultKind) -> (u64, u64) {
    let tally = log.tally(kind);
    (tally.armed, tally.fired)
}

/// While it is slow, every operation takes that much longer, and nothing is at hand.
#[tokio::test(start_paused = true)]
async fn a_slow_disk_is_late() {
    let (disk, log) = disk(&Faults::default());
    disk.write(0, of(1)).await.expect("it is well");
    let slow = DiskFault::Slow { delay_ms: 500 };
    disk.begin(slow);
    assert_eq!(counts(&log, FaultKind::DiskSlow), (1, 0));
    let began = Instant::now();
    assert!((0..20).all(|_| disk.read_now(0, SECTOR).is_none()));
    disk.read(0, SECTOR).await.expect("slow is not broken");
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert_eq!(counts(&log, FaultKind::DiskSlow), (1, 1));
    disk.end(slow);
    let began = Instant::now();
    assert_eq!(disk.read(0, 8 * SECTOR).await.expect("it is well"), of(1));
    assert!(began.elapsed() <= Duration::from_millis(2));
    assert!((0..20).any(|_| disk.read_now(0, SECTOR).is_some()));
}

/// While it is full, writes fail and change nothing, and reads do not fail; while it fails, both do.
/// Afterwards neither.
#[tokio::test(start_paused = true)]
async fn a_full_disk_takes_nothing_and_a_broken_one_gives_nothing() {
    let (disk, log) = disk(&Faults::default());
    disk.write(0, of(1)).await.expect("it is well");
    disk.begin(DiskFault::Full);
    let refused = disk.write(0, of(2)).await.expect_err("it is full");
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.read(0, 8 * SECTOR).await.expect("reads need no room"), of(1));
    disk.end(DiskFault::Full);
    let errors = DiskFault::Errors { percent: 100 };
    disk.begin(errors);
    assert!(
        disk.write(0, of(2)).await.is_err()
            && disk.read(0, SECTOR).await.is_err()
            && disk.open().await.is_err()
    );
    assert_eq!(disk.read_now(0, SECTOR), None);
    disk.end(errors);
    disk.write(0, of(3)).await.expect("it is well again");
    assert_eq!(disk.read(0, 8 * SECTOR).await.expect("it is well"), of(3));
    assert_eq!([FaultKind::DiskFull, FaultKind::DiskErrors].map(|kind| counts(&log, kind)), [(1, 1); 2]);
}

/// A short read gives some of it, from the front; a healed disk gives all.
#[tokio::test(start_paused = true)]
async fn a_short_read_gives_the_first_of_it() {
    let faults = Faults::default().with(FaultKind::DiskShortReads, Fault::of_percent(100));
    let (disk, log) = disk(&faults);
    disk.write(0, of(1)).await.expect("it is well");
    let short = disk.read(0, 8 * SECTOR).await.expect("some of it");
    assert!(short.len() >= SECTOR && short.len() < 8 * SECTOR && of(1).starts_with(&short));
    assert_eq!(disk.read(0, SECTOR).await.expect("a sector is not cut").len(), SECTOR);
    assert_eq!(counts(&log, FaultKind::DiskShortReads), (1, 1));
    disk.heal();
    assert_eq!(disk.read(0, 8 * SECTOR).await.expect("all of it"), of(1));
}

/// What was synced outlives the power, what a failed sync covered does not; a write that was under way may.
#[tokio::test(start_paused = true)]
async fn a_loss_of_power_takes_what_was_not_synced() {
    let faults = Faults::default().with(FaultKind::DiskSyncFails, Fault::of_percent(100));
    let (disk, log) = disk(&faults);
    disk.write(0, of(1)).await.expect("it is well");
    assert!(disk.sync().await.is_err());
    assert_eq!(counts(&log, FaultKind::DiskSyncFails), (1, 1));
    disk.heal();
    disk.write(1 << 20, of(2)).await.expect("it is well");
    disk.sync().await.expect("it is well");
    disk.begin(DiskFault::Slow { delay_ms: 1_000 });
    // Nobody waits for it any more, but the disk has it.
    assert!(timeout(Duration::from_millis(10), disk.write(2 << 20, of(3))).await.is_err());
    disk.lose_power();
    assert!(disk.read_now(1 << 20, SECTOR).is_none() && disk.read(1 << 20, SECTOR).await.is_err());
    assert!(disk.write(1 << 20, of(4)).await.is_err() && disk.sync().await.is_err());
    let before = disk.starts();
    disk.start();
    assert_eq!(disk.starts(), before + 1);
    disk.end(DiskFault::Slow { delay_ms: 1_000 });
    assert_eq!(disk.read(0, 8 * SECTOR).await.expect("it is well"), of(0));
    assert_eq!(disk.read(1 << 20, 8 * SECTOR).await.expect("it is well"), of(2));
    assert!(log.figures().of(Phase::Whole, Figure::SectorsLost) <= 8.0);
}

/// Rot is met when it is read, once for each moment.
#[tokio::test(start_paused = true)]
async fn rot_counts_when_it_is_read() {
    let (disk, log) = disk(&Faults::default());
    disk.rot(100);
    disk.write(0, of(1)).await.expect("it is well");
    disk.rot(100);
    assert_eq!(counts(&log, FaultKind::DiskRot), (2, 0), "an empty disk cannot rot");
    assert_ne!(disk.read(0, SECTOR).await.expect("it does not know"), of(1).slice(..SECTOR));
    disk.read(0, SECTOR).await.expect("it does not know");
    assert_eq!(counts(&log, FaultKind::DiskRot), (2, 1));
}
