//! A smaller capacity: what has room is kept, what was purged stays away, and the power may fail at any time.

use super::{
    layout::SEGMENTS_BEGIN,
    memory::{MediumFault, MemoryMedium, Now},
    power::{Left, PoweredMedium},
    *,
};
use std::collections::BTreeSet;
use tiergate_engine::{PurgeMode, Selector};

const MIB: u64 = 1 << 20;

async fn open<M: Medium + Clone>(medium: &M, capacity: u64) -> LogTier<M> {
    let options = LogOptions { capacity: ByteCount(capacity), ..options(SyncPolicy::OnSeal) };
    let tier = LogTier::open(vec![medium.clone()], options).await.expect("it fits");
    tier.join().await;
    tier
}

/// Lets everything else go on until this holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never comes that {what}");
}

async fn until_smaller(medium: &MemoryMedium, capacity: u64) {
    until("it is smaller", || medium.bytes() == SEGMENTS_BEGIN + capacity).await;
}

/// Long ones, but for one in four.
const fn length(number: u128) -> usize {
    if number.is_multiple_of(4) { 20_000 } else { 400_000 }
}

async fn held<M: Medium>(tier: &LogTier<M>, numbers: impl Iterator<Item = u128>) -> BTreeSet<u128> {
    let mut held = BTreeSet::new();
    for number in numbers {
        if has(tier, number, length(number)).await {
            held.insert(number);
        }
    }
    held
}

/// Stores the objects, and purges those that are not to stay. In the end all is durable.
async fn fill<M: Medium + Clone>(medium: &M, capacity: u64, all: u128, stays: impl Fn(u128) -> bool) {
    let tier = open(medium, capacity).await;
    for number in 1..=all {
        assert_eq!(store(&tier, number, length(number)).await, Ok(()));
    }
    for number in (1..=all).filter(|number| !stays(*number)) {
        assert!(tier.delete(key(number), None).await.is_ok());
    }
    tier.volumes[0].session().expect("it is up").sync().await;
}

/// What lies beyond the new end moves before it, if there is room: nothing is lost, the log goes on
/// meanwhile, and what was purged stays away, also after the next starts with the same capacity and with a
/// larger one.
#[tokio::test(start_paused = true)]
async fn all_is_kept_that_has_room() {
    let medium = MemoryMedium::new(Now::Always);
    let stays = |number: u128| number > 60;
    fill(&medium, 32 * MIB, 80, stays).await;
    let beyond = SEGMENTS_BEGIN + 16 * MIB;
    assert!(!medium.used(beyond..u64::MAX).is_empty());
    let expected: BTreeSet<u128> = (61..=80).collect();
    for (start, capacity) in [16, 16, 32, 16].into_iter().enumerate() {
        let capacity = capacity * MIB;
        let tier = open(&medium, capacity).await;
        assert_eq!(held(&tier, 1..=81).await, expected, "start {start}, while it may become smaller");
        until_smaller(&medium, capacity).await;
        assert_eq!(held(&tier, 1..=81).await, expected, "start {start}");
        if start == 0 {
            assert_eq!(store(&tier, 81, length(81)).await, Ok(()));
            assert_eq!(tier.delete(key(81), None).await, Ok(true));
            assert_eq!(medium.used(beyond..u64::MAX), Vec::<u64>::new(), "the file is cut off");
        }
    }
}

/// A log that is full keeps what came last, as much as has room; what had to leave does not come back with a
/// larger capacity, nor does what was purged.
#[tokio::test(start_paused = true)]
async fn a_full_log_keeps_what_came_last() {
    let medium = MemoryMedium::new(Now::Always);
    fill(&medium, 32 * MIB, 140, |number| number % 10 != 0).await;
    let before = held(&open(&medium, 32 * MIB).await, 1..=140).await;
    assert!(before.len() > 60, "{before:?}");
    let tier = open(&medium, 16 * MIB).await;
    until_smaller(&medium, 16 * MIB).await;
    let after = held(&tier, 1..=140).await;
    // Of 16 segments three are free, two take appends, and one has tombstones; before, 29 of 32 held
    // something.
    assert!(after.len() * 3 >= before.len() && after.is_subset(&before), "{after:?} of {before:?}");
    assert!((118..=140).all(|number| number % 10 == 0 || after.contains(&number)), "{after:?}");
    drop(tier);
    for capacity in [16, 32] {
        let tier = open(&medium, capacity * MIB).await;
        assert_eq!(held(&tier, 1..=140).await, after, "{capacity} MiB");
    }
    // And the log goes on.
    let tier = open(&medium, 16 * MIB).await;
    for number in 200..240 {
        assert_eq!(store(&tier, number, length(number)).await, Ok(()));
    }
    until_smaller(&medium, 16 * MIB).await;
    assert!(has(&tier, 239, length(239)).await);
}

/// While it becomes smaller, objects are stored, read, purged and banned as ever.
#[tokio::test(start_paused = true)]
async fn the_log_goes_on_meanwhile() {
    let medium = MemoryMedium::new(Now::Never);
    fill(&medium, 64 * MIB, 130, |_| true).await;
    let tier = open(&medium, 16 * MIB).await;
    let last = async |tier: &LogTier<MemoryMedium>| {
        for number in 300..320 {
            assert_eq!(store(tier, number, length(number)).await, Ok(()));
            assert_eq!(tier.delete(key(number - 1), None).await.map(|_| ()), Ok(()));
        }
    };
    last(&tier).await;
    let ban = Ban { selector: Selector::All, mode: PurgeMode::Soft, at: WallTime::from_unix_millis(5) };
    assert_eq!(tier.store_ban(Arc::new(ban.clone())).await, Ok(()));
    until_smaller(&medium, 16 * MIB).await;
    drop(tier);
    let tier = open(&medium, 16 * MIB).await;
    assert_eq!(held(&tier, 299..320).await, BTreeSet::from([319]));
    assert_eq!(tier.recover_bans().await, Ok(vec![ban]));
}

/// A disk that fails while it becomes smaller goes on with that when it is well again.
#[tokio::test(start_paused = true)]
async fn a_disk_that_failed_becomes_smaller_when_it_is_well() {
    let medium = MemoryMedium::new(Now::Never);
    fill(&medium, 32 * MIB, 80, |number| number > 60).await;
    let tier = open(&medium, 16 * MIB).await;
    medium.suffer(MediumFault::Full);
    while tier.volumes[0].session().is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(medium.bytes() > SEGMENTS_BEGIN + 16 * MIB);
    medium.suffer(MediumFault::None);
    while tier.volumes[0].session().is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until_smaller(&medium, 16 * MIB).await;
    assert_eq!(held(&tier, 1..=80).await, (61..=80).collect());
}

/// Wherever the power fails while a log becomes smaller, the next start finds all that was durable and
/// nothing that was purged, whichever capacity it has; and the log becomes as small as that one says.
#[tokio::test(start_paused = true)]
async fn the_power_may_fail_while_it_becomes_smaller() {
    let filled = PoweredMedium::default();
    let stays = |number: u128| number > 60 && (number.is_multiple_of(4) || number % 10 == 5);
    fill(&filled, 32 * MIB, 80, stays).await;
    let filled = filled.restarted(Left::None, 0);
    let expected: BTreeSet<u128> = (1..=80).filter(|number| stays(*number)).collect();
    let is_smaller = |medium: &PoweredMedium| medium.bytes() == SEGMENTS_BEGIN + 16 * MIB;
    let whole = filled.copy(None);
    {
        let _tier = open(&whole, 16 * MIB).await;
        until("it is smaller", || is_smaller(&whole)).await;
    }
    let operations = whole.operations();
    assert!(operations > 60, "{operations} operations make it smaller");
    let capacities = [16, 32, 20, 40, 17].into_iter().cycle();
    for (at, then) in (1..=operations + 1).zip(capacities) {
        let medium = filled.copy(Some(at));
        let options = LogOptions { capacity: ByteCount(16 * MIB), ..options(SyncPolicy::OnSeal) };
        // It may fail while the log is opened.
        if let Ok(tier) = LogTier::open(vec![medium.clone()], options).await {
            until("the power fails, or it is smaller", || medium.is_off() || is_smaller(&medium)).await;
            drop(tier);
        }
        for left in [Left::None, [Left::All, Left::Some][at as usize % 2]] {
            let medium = medium.restarted(left, at);
            for capacity in [then, 32] {
                let tier = open(&medium, capacity * MIB).await;
                let what = format!("operation {at} of {operations}, {left:?}, {then}, now {capacity} MiB");
                until(&what, || medium.bytes() == SEGMENTS_BEGIN + capacity * MIB).await;
                assert_eq!(held(&tier, 1..=80).await, expected, "{what}");
            }
        }
    }
}
