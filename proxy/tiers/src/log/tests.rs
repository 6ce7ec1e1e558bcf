//! What the tier does with its media: restarts, purges, failures and their end. That it keeps what every byte
//! tier promises is the suite's to show; the log itself is the engine's.

mod healing;
mod memory;
mod opening;
mod power;
mod shrinking;
mod syncing;
mod writing;

use super::*;
use crate::conformance::{KeepsBans, bans_conformance, conformance};
use memory::{Gate, MemoryMedium, Now};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use tempfile::TempDir;
use tiergate_engine::{Fields, Head, RecordId, StoredFreshness, WallTime};

/// Small: 16 segments of 1 MiB.
const CAPACITY: ByteCount = ByteCount(16 << 20);

fn options(sync: SyncPolicy) -> LogOptions {
    LogOptions { capacity: CAPACITY, sync, seed: Seed(7) }
}

async fn start(medium: &MemoryMedium, sync: SyncPolicy) -> LogTier<MemoryMedium> {
    let tier = LogTier::open(vec![medium.clone()], options(sync)).await.expect("the medium is well");
    tier.join().await;
    tier
}

fn key(number: u128) -> StoredKey {
    StoredKey::plain(CacheKey(number))
}

fn record(number: u128, length: usize) -> Arc<Record> {
    let head = Head { status: 200, fields: Fields::from_iter([("etag", "\"1\"")]) };
    Arc::new(Record {
        key: CacheKey(number),
        target: CacheKey(number),
        name: RecordName(number + 1_000),
        head: Arc::new(head),
        length: ByteCount(length as u64),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(1_000),
            age_then: Duration::ZERO,
            lifetime: Duration::from_secs(60),
        },
    })
}

fn body(number: u128, length: usize) -> Bytes {
    let mut state = number as u64 | 1;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(byte).collect()
}

const fn writer(number: u128) -> Handle<WriterId> {
    Handle { shard: 0, id: WriterId(number as u64) }
}

const fn reader(number: u128) -> Handle<RecordId> {
    Handle { shard: 0, id: RecordId(number as u64) }
}

const fn source(number: u128) -> Handle<ReadSource> {
    Handle { shard: 0, id: ReadSource::Record(RecordId(number as u64)) }
}

/// Stores an object that follows from its number.
async fn store<M: Medium>(tier: &LogTier<M>, number: u128, length: usize) -> Result<(), TierError> {
    let stored = async {
        tier.open(writer(number), key(number), record(number, length).name).await?;
        let body = body(number, length);
        for begin in (0..length).step_by(60_000) {
            tier.write(writer(number), body.slice(begin..length.min(begin + 60_000))).await?;
        }
        tier.commit(writer(number), record(number, length)).await
    };
    let stored = stored.await;
    tier.discard(writer(number));
    stored
}

/// Is the object there? If it is, it is whole.
async fn has<M: Medium>(tier: &LogTier<M>, number: u128, length: usize) -> bool {
    let Some(Found { record: found, body: at_hand }) =
        tier.lookup(reader(number), key(number)).await.expect("the tier is well")
    else {
        return false;
    };
    assert_eq!(found, *record(number, length));
    let mut read = Vec::new();
    while read.len() < length {
        let more = tier.read(source(number), read.len() as u64, 256 << 10).await;
        read.extend_from_slice(&more.expect("the tier is well"));
    }
    assert!(read == body(number, length), "the body of {number} changed");
    assert!(at_hand.is_none_or(|at_hand| at_hand == read));
    tier.release(reader(number));
    true
}

/// Every way to ask the disk keeps every promise of a byte tier, with one directory and with two.
#[tokio::test]
async fn the_log_conforms() {
    let ways =
        [(IoChoice::Auto, Inline::Tried), (IoChoice::Pool, Inline::Tried), (IoChoice::Pool, Inline::Never)];
    for (choice, inline) in ways {
        for directories in [1, 2] {
            let places: Vec<TempDir> =
                (0..directories).map(|_| tempfile::tempdir().expect("a temporary directory")).collect();
            let media = places.iter().map(|place| FileMedium::new(place.path(), choice).with_inline(inline));
            let options = LogOptions { capacity: ByteCount(64 << 20), ..options(SyncPolicy::OnSeal) };
            let tier = LogTier::open(media.collect(), options).await.expect("the directories are ours");
            assert_eq!(tier.join().await, Contents::default());
            conformance(&tier).await;
        }
    }
}

/// With io_uring alone, where the system has it: no read is made on the caller's thread.
#[tokio::test]
async fn the_log_conforms_through_the_ring() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let medium = FileMedium::new(place.path(), IoChoice::IoUring).with_inline(Inline::Never);
    let options = LogOptions { capacity: ByteCount(64 << 20), ..options(SyncPolicy::OnSeal) };
    let tier = match LogTier::open(vec![medium], options).await {
        Ok(tier) => tier,
        // A container may forbid it: then there is nothing to show.
        Err(OpenError::NoIoUring { .. }) => return,
        Err(error) => panic!("the directory {error}"),
    };
    tier.join().await;
    assert_eq!(tier.media().next().and_then(FileMedium::io), Some(Io::IoUring));
    conformance(&tier).await;
}

/// A tier whose process ends again and again.
struct Restarting {
    place: TempDir,
    tier: Option<LogTier<FileMedium>>,
}

impl KeepsBans for Restarting {
    async fn store(&mut self, ban: &Ban) -> Result<(), TierError> {
        self.tier.as_ref().expect("it was started").store_ban(Arc::new(ban.clone())).await
    }

    async fn restart(&mut self) -> Vec<Ban> {
        self.tier = None;
        let medium = FileMedium::new(self.place.path(), IoChoice::Auto);
        let tier = LogTier::open(vec![medium], options(SyncPolicy::OnSeal)).await.expect("it is ours");
        let bans = tier.recover_bans().await.expect("the disk is well");
        self.tier = Some(tier);
        bans
    }
}

/// Bans come back after restarts, bounded.
#[tokio::test]
async fn bans_outlive_the_process() {
    let place = tempfile::tempdir().expect("a temporary directory");
    bans_conformance(&mut Restarting { place, tier: None }).await;
}

/// What was committed is there after a restart, whole, and counted; what was purged is not.
#[tokio::test]
async fn a_restart_finds_what_was_committed() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let sizes = [(1, 0), (2, 1_000), (3, 300_000), (4, 2_000_000), (5, 70_000)];
    let open = async || {
        let medium = FileMedium::new(place.path(), IoChoice::Auto);
        LogTier::open(vec![medium], options(SyncPolicy::OnSeal)).await.expect("it is ours")
    };
    {
        let tier = open().await;
        tier.join().await;
        for (number, length) in sizes {
            assert_eq!(store(&tier, number, length).await, Ok(()));
        }
        assert_eq!(tier.delete(key(5), None).await, Ok(true));
    }
    let tier = open().await;
    assert_eq!(tier.join().await.objects, 4);
    for (number, length) in sizes {
        assert_eq!(has(&tier, number, length).await, number != 5, "object {number}");
    }
}

/// One question, as far as it comes within one poll.
fn poll_once<T>(question: impl Future<Output = T>) -> Poll<T> {
    pin!(question).poll(&mut Context::from_waker(Waker::noop()))
}

/// What the device has at hand is answered within the first poll: the lookup with a small body, and reads of
/// a large one.
#[tokio::test]
async fn what_is_at_hand_is_answered_at_once() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    for (number, length) in [(1, 5_000), (2, 1_000_000)] {
        assert_eq!(store(&tier, number, length).await, Ok(()));
    }
    let Poll::Ready(Ok(Some(found))) = poll_once(tier.lookup(reader(1), key(1))) else {
        panic!("a small record is one step")
    };
    assert_eq!(found.body, Some(body(1, 5_000)));
    assert!(matches!(poll_once(tier.lookup(reader(2), key(2))), Poll::Ready(Ok(Some(_)))));
    let mut offset = 0;
    while offset < 1_000_000 {
        let Poll::Ready(Ok(bytes)) = poll_once(tier.read(source(2), offset, 256 << 10)) else {
            panic!("what is at hand is read at once, at {offset}")
        };
        offset += bytes.len() as u64;
    }
}

/// Whoever leaves in the middle of a lookup or a read leaves nothing behind: the answer that comes later is
/// nobody's.
#[tokio::test]
async fn whoever_leaves_leaves_nothing() {
    let medium = MemoryMedium::new(Now::Never);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    assert_eq!(store(&tier, 1, 600_000).await, Ok(()));
    assert!(matches!(tier.lookup(reader(9), key(1)).await, Ok(Some(_))));
    medium.set_gate(Gate::Shut);
    for number in 10..20 {
        assert!(poll_once(tier.lookup(reader(number), key(1))).is_pending());
        assert!(poll_once(tier.read(source(9), 500_000, 1_000)).is_pending());
        tier.release(reader(number));
    }
    let session = tier.volumes[0].session().expect("it is up");
    assert_eq!(session.waiting(), 20);
    medium.set_gate(Gate::Open);
    assert!(has(&tier, 1, 600_000).await);
    tier.release(reader(9));
    // The answers to those who left have come as well by the time that a sync was answered.
    while session.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(tier.records.is_empty());
    assert_eq!(
        session.released(),
        10 + 2,
        "those of the lookups that nobody waited for, and the two that were"
    );
    // Those in the middle of whose lookups nobody was left hold the session no longer.
    assert_eq!(Arc::strong_count(&session), 2 + 1, "the volume, its life, and this test");
}

/// A reader of a body that the device must fetch finds the next part asked for already.
#[tokio::test]
async fn the_next_part_is_read_ahead() {
    let medium = MemoryMedium::new(Now::Never);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    assert_eq!(store(&tier, 1, 2_000_000).await, Ok(()));
    assert!(matches!(tier.lookup(reader(1), key(1)).await, Ok(Some(_))));
    let session = tier.volumes[0].session().expect("it is up");
    let mut offset = 0;
    // The first part may have come with the lookup.
    for _ in 0..2 {
        offset += tier.read(source(1), offset, 256 << 10).await.expect("it is there").len() as u64;
    }
    while session.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    medium.set_gate(Gate::Shut);
    let Poll::Ready(Ok(bytes)) = poll_once(tier.read(source(1), offset, 256 << 10)) else {
        panic!("it was asked for already")
    };
    assert_eq!(bytes, body(1, 2_000_000).slice(offset as usize..offset as usize + bytes.len()));
    medium.set_gate(Gate::Open);
    // Reading somewhere else gives what is there.
    let read = tier.read(source(1), 5, 10).await;
    assert_eq!(read, Ok(body(1, 2_000_000).slice(5..15)));
}

/// Rot is a miss where it is found before the head is given out, and an error that is no outage behind that.
/// What is whole stays served.
#[tokio::test]
async fn rot_is_a_miss_or_an_error_and_no_outage() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    for (number, length) in [(1, 100_000), (2, 1_500_000), (3, 50_000)] {
        let before = medium.used(layout::SEGMENTS_BEGIN..u64::MAX);
        assert_eq!(store(&tier, number, length).await, Ok(()));
        let after = medium.used(layout::SEGMENTS_BEGIN..u64::MAX);
        let new: Vec<u64> = after.into_iter().filter(|page| !before.contains(page)).collect();
        match number {
            1 => assert!(medium.rot(new[5]..new[6]) > 0),
            // Far behind the first piece.
            2 => assert!(medium.rot(new[300]..new[301]) > 0),
            _ => {}
        }
    }
    assert!(!has(&tier, 1, 100_000).await);
    assert!(matches!(tier.lookup(reader(2), key(2)).await, Ok(Some(_))));
    let mut offset = 0;
    let error = loop {
        match tier.read(source(2), offset, 256 << 10).await {
            Ok(bytes) => {
                let from = offset as usize;
                assert_eq!(bytes, body(2, 1_500_000).slice(from..from + bytes.len()));
                offset += bytes.len() as u64;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TierError::Rotten(_)), "{error:?}");
    assert!(offset > 0);
    tier.release(reader(2));
    assert!(has(&tier, 3, 50_000).await);
    assert!(!has(&tier, 2, 1_500_000).await, "it is not served again");
}
