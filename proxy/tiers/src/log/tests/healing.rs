//! Disks that fail, and are well again.

use super::{
    memory::{Gate, MediumFault, MemoryMedium, Now},
    *,
};
use tiergate_engine::{PurgeMode, Selector, Tag};

fn is_down<T: std::fmt::Debug>(answer: Result<T, TierError>) -> bool {
    matches!(answer, Err(TierError::Failed(_)))
}

/// Every call fails, and none of them waits.
async fn expect_down(tier: &LogTier<MemoryMedium>) {
    assert!(is_down(tier.lookup(reader(1), key(1)).await));
    assert!(is_down(tier.open(writer(50), key(50), RecordName(50)).await));
    assert!(is_down(tier.delete(key(1), None).await));
    assert!(is_down(tier.freshen(record(1, 10)).await));
}

/// Waits for the tier to come up. The clock of these tests stands still otherwise.
async fn until_up(tier: &LogTier<MemoryMedium>) {
    while tier.volumes[0].session().is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A disk that is full, broken or cannot sync takes the tier down; it is back by itself when the disk is,
/// with what was stored before. A purge that failed meanwhile said so.
#[tokio::test(start_paused = true)]
async fn a_disk_that_failed_heals() {
    for fault in [MediumFault::Full, MediumFault::Broken, MediumFault::Unsyncable] {
        let medium = MemoryMedium::new(Now::Always);
        let tier = start(&medium, SyncPolicy::Every(Duration::from_secs(1))).await;
        assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
        assert_eq!(store(&tier, 2, 300_000).await, Ok(()));
        medium.suffer(fault);
        // Whatever fails first: the write, or the sync that follows it.
        assert!(is_down(tier.delete(key(2), None).await), "{fault:?}");
        expect_down(&tier).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        expect_down(&tier).await;
        let openings = medium.openings();
        assert!((4..12).contains(&openings), "{openings} openings in 100 s: {fault:?}");
        medium.suffer(MediumFault::None);
        until_up(&tier).await;
        assert!(has(&tier, 1, 1_000).await, "{fault:?}");
        assert_eq!(store(&tier, 3, 70_000).await, Ok(()));
        assert!(has(&tier, 3, 70_000).await);
        assert_eq!(tier.delete(key(2), None).await.map(|_| ()), Ok(()));
        assert!(!has(&tier, 2, 300_000).await);
    }
}

/// A medium that is gone is noticed without being asked anything; one that comes back empty is used.
#[tokio::test(start_paused = true)]
async fn a_medium_that_is_gone_is_noticed() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    medium.suffer(MediumFault::Gone);
    tokio::time::sleep(Duration::from_secs(3)).await;
    expect_down(&tier).await;
    medium.wipe();
    medium.suffer(MediumFault::None);
    until_up(&tier).await;
    assert!(!has(&tier, 1, 1_000).await);
    assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    assert!(has(&tier, 1, 1_000).await);
}

/// A ban that could not be stored said so, and is written when the disk is back all the same; those that a
/// lost disk had are written to the new one.
#[tokio::test(start_paused = true)]
async fn bans_are_written_when_the_disk_is_back() {
    let ban = |number: u64| {
        let tag = Tag::new(&format!("t{number}")).expect("letters and a number");
        let at = WallTime::from_unix_millis(number);
        Arc::new(Ban { selector: Selector::Tag(tag), mode: PurgeMode::Hard, at })
    };
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    assert_eq!(tier.store_ban(ban(1)).await, Ok(()));
    medium.suffer(MediumFault::Full);
    assert!(is_down(tier.store_ban(ban(2)).await));
    // The same again is no success either, nor is another one while the disk is down.
    assert!(is_down(tier.store_ban(ban(2)).await));
    expect_down(&tier).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(is_down(tier.store_ban(ban(3)).await));
    medium.wipe();
    medium.suffer(MediumFault::None);
    until_up(&tier).await;
    drop(tier);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    assert_eq!(tier.recover_bans().await, Ok([1, 2, 3].map(|number| (*ban(number)).clone()).to_vec()));
}

/// What the device was asked for before it failed is over before it is opened again: it would hit what is
/// new.
#[tokio::test(start_paused = true)]
async fn a_late_write_does_not_hit_what_is_new() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    medium.set_gate(Gate::Shut);
    assert!(poll_once(store(&tier, 1, 1_000)).is_pending());
    medium.suffer(MediumFault::Gone);
    tokio::time::sleep(Duration::from_secs(3)).await;
    expect_down(&tier).await;
    medium.suffer(MediumFault::None);
    let openings = medium.openings();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(medium.openings(), openings, "a write is still under way");
    medium.set_gate(Gate::Open);
    until_up(&tier).await;
    assert!(medium.openings() > openings);
}

/// A disk that cannot be read at start is no reason not to serve: the tier joins when it can be.
#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_recovered_is_tried_again() {
    let medium = MemoryMedium::new(Now::Never);
    {
        let tier = start(&medium, SyncPolicy::OnSeal).await;
        assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    }
    let tier = LogTier::open(vec![medium.clone()], options(SyncPolicy::OnSeal)).await.expect("it is well");
    medium.suffer(MediumFault::Broken);
    tokio::time::sleep(Duration::from_secs(10)).await;
    expect_down(&tier).await;
    medium.suffer(MediumFault::None);
    assert_eq!(tier.join().await.objects, 1);
    assert!(has(&tier, 1, 1_000).await);
}

/// While it is found out what a log holds, nothing is looked up or stored there; a purge waits until it can
/// be done.
#[tokio::test]
async fn a_purge_waits_for_recovery() {
    let medium = MemoryMedium::new(Now::Never);
    {
        let tier = start(&medium, SyncPolicy::OnSeal).await;
        assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    }
    let tier = LogTier::open(vec![medium.clone()], options(SyncPolicy::OnSeal)).await.expect("it is well");
    medium.set_gate(Gate::Shut);
    let mut purge = pin!(tier.delete(key(1), None));
    let mut waiting = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(purge.as_mut().poll(&mut waiting).is_pending());
    }
    assert!(is_down(tier.lookup(reader(1), key(1)).await));
    assert!(is_down(tier.open(writer(2), key(2), RecordName(2)).await));
    medium.set_gate(Gate::Open);
    assert_eq!(purge.await, Ok(true));
    assert!(!has(&tier, 1, 1_000).await);
}
