//! What a medium must be, and what it becomes with another capacity.

use super::{
    layout::{BAN_AREAS, SEGMENTS_BEGIN},
    memory::{MemoryMedium, Now},
    *,
};

const MIB: u64 = 1 << 20;

async fn open(medium: &MemoryMedium, capacity: u64) -> Result<LogTier<MemoryMedium>, OpenError> {
    let options = LogOptions { capacity: ByteCount(capacity), ..options(SyncPolicy::OnSeal) };
    LogTier::open(vec![medium.clone()], options).await
}

async fn complaint(medium: &MemoryMedium, capacity: u64) -> String {
    let error = open(medium, capacity).await.err().expect("it must be refused");
    error.to_string()
}

/// A larger capacity keeps what is there; a smaller one what has room (`shrinking`); and what it gave up does
/// not come back with another enlargement.
#[tokio::test]
async fn the_capacity_may_change() {
    let medium = MemoryMedium::new(Now::Always);
    let objects = 1..=20;
    {
        let tier = open(&medium, 16 * MIB).await.expect("it is blank");
        tier.join().await;
        for number in objects.clone() {
            assert_eq!(store(&tier, number, 400_000).await, Ok(()));
        }
    }
    let mut held: Vec<usize> = Vec::new();
    for capacity in [32 * MIB, 40 * MIB, 20 * MIB, 40 * MIB] {
        let tier = open(&medium, capacity).await.expect("it fits");
        tier.join().await;
        while medium.bytes() != SEGMENTS_BEGIN + capacity {
            tokio::task::yield_now().await;
        }
        assert_eq!(medium.used(SEGMENTS_BEGIN + capacity..u64::MAX), Vec::<u64>::new());
        let mut now = 0;
        for number in objects.clone() {
            now += usize::from(has(&tier, number, 400_000).await);
        }
        held.push(now);
        // The log goes on, into the new segments as well.
        for number in 100..130 {
            assert_eq!(store(&tier, number, 400_000).await, Ok(()), "{capacity}");
        }
    }
    assert_eq!(held[..2], [20, 20], "nothing is lost by growing");
    assert!(held[3] <= held[2], "what was given up has come back: {held:?}");
}

/// What cannot be used is refused with what is there, what would be right, and what to do; and it is left as
/// it is.
#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let medium = MemoryMedium::new(Now::Always);
    assert_eq!(
        complaint(&medium, 16 * MIB - 1).await,
        "is 16777215 bytes for each directory, but must be at least 16 MiB (16777216)"
    );
    {
        let tier = open(&medium, 1024 * MIB).await.expect("it is blank");
        tier.join().await;
        assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    }
    assert_eq!(
        complaint(&medium, 255 * MIB).await,
        "is 267386880 bytes for memory, but the log there has segments of 16777216 bytes: make it at least 268435456 bytes \
         (16 segments), or remove the file `log` to start empty"
    );
    let tier = open(&medium, 1024 * MIB).await.expect("it is as it was");
    tier.join().await;
    assert!(has(&tier, 1, 1_000).await);
    drop(tier);
    drop(open(&medium, 256 * MIB).await.expect("it is just enough"));
}

/// A description that is damaged twice is not taken for none; damaged once, the other copy counts.
#[tokio::test]
async fn a_damaged_description_is_refused() {
    let medium = MemoryMedium::new(Now::Always);
    drop(open(&medium, 16 * MIB).await.expect("it is blank"));
    assert_eq!(medium.rot(0..4096), 1);
    drop(open(&medium, 16 * MIB).await.expect("the other copy is whole"));
    assert_eq!(medium.rot(0..superblock::SUPERBLOCK_BYTES), 2);
    assert_eq!(
        complaint(&medium, 16 * MIB).await,
        "is memory, but the file `log` there is not a log, or its description is damaged: remove it to start empty, or choose \
         another directory"
    );
}

/// If nobody knows any more what was purged, everything that is stored counts as purged. Damage to one area
/// loses nothing.
#[tokio::test]
async fn lost_bans_take_everything_with_them() {
    let medium = MemoryMedium::new(Now::Always);
    let areas = BAN_AREAS[0]..SEGMENTS_BEGIN;
    let ban = Ban {
        selector: tiergate_engine::Selector::All,
        mode: tiergate_engine::PurgeMode::Soft,
        at: WallTime::from_unix_millis(5),
    };
    {
        let tier = open(&medium, 16 * MIB).await.expect("it is blank");
        tier.join().await;
        assert_eq!(tier.store_ban(Arc::new(ban.clone())).await, Ok(()));
        assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    }
    assert_eq!(medium.rot(BAN_AREAS[0]..BAN_AREAS[0] + 1), 1);
    {
        let tier = open(&medium, 16 * MIB).await.expect("it is ours");
        tier.join().await;
        assert_eq!(tier.recover_bans().await, Ok(vec![ban]));
        assert!(has(&tier, 1, 1_000).await);
    }
    assert!(medium.rot(areas) >= 2);
    let tier = open(&medium, 16 * MIB).await.expect("it is ours");
    tier.join().await;
    assert_eq!(tier.recover_bans().await, Ok(vec![]));
    assert!(!has(&tier, 1, 1_000).await);
}
