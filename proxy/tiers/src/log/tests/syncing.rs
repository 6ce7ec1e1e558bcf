//! What each policy syncs, and what it loses.

use super::{
    memory::{MemoryMedium, Now},
    *,
};

const EVERY: SyncPolicy = SyncPolicy::Every(Duration::from_millis(500));

/// The syncs of the device from now on while `work` is done.
async fn syncs_during(medium: &MemoryMedium, work: impl Future<Output = ()>) -> u32 {
    let before = medium.syncs();
    work.await;
    medium.syncs() - before
}

async fn pass(time_ms: u64) {
    tokio::time::sleep(Duration::from_millis(time_ms)).await;
}

/// Under `never`, nothing is synced once the device is open: no commit, no purge, no ban.
#[tokio::test(start_paused = true)]
async fn never_is_never() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::Never).await;
    let syncs = syncs_during(&medium, async {
        for number in 0..20 {
            assert_eq!(store(&tier, number, 200_000).await, Ok(()));
        }
        assert_eq!(tier.delete(key(19), None).await, Ok(true));
        pass(10_000).await;
    });
    assert_eq!(syncs.await, 0);
    assert!(!has(&tier, 19, 200_000).await);
}

/// Under `on_seal`, commits do not sync, purges do before they are acknowledged, and time does not.
#[tokio::test(start_paused = true)]
async fn on_seal_syncs_purges_alone() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    // The first commit opens a segment, and that is synced.
    assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    let commits = syncs_during(&medium, async {
        assert_eq!(store(&tier, 2, 1_000).await, Ok(()));
        pass(10_000).await;
    });
    assert_eq!(commits.await, 0);
    let purges = syncs_during(&medium, async {
        assert_eq!(tier.delete(key(1), None).await, Ok(true));
    });
    assert!(purges.await >= 1);
}

/// Under `every_ms`, what was committed is synced once that time is over, and not again without news.
#[tokio::test(start_paused = true)]
async fn every_syncs_news_in_time() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, EVERY).await;
    pass(2_000).await;
    assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    pass(2_000).await;
    let news = syncs_during(&medium, async {
        assert_eq!(store(&tier, 2, 1_000).await, Ok(()));
        pass(600).await;
    });
    assert_eq!(news.await, 1);
    assert_eq!(syncs_during(&medium, pass(10_000)).await, 0);
}

/// Under `never`, a process that ends loses nothing; a system that is booted anew finds nothing, so that what
/// was purged stays purged: also if the policy has changed meanwhile.
#[tokio::test(start_paused = true)]
async fn a_boot_forgets_what_was_never_synced() {
    for then in [SyncPolicy::Never, SyncPolicy::OnSeal] {
        let medium = MemoryMedium::new(Now::Always);
        let tier = start(&medium, SyncPolicy::Never).await;
        assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
        drop(tier);
        let tier = start(&medium, SyncPolicy::Never).await;
        assert!(has(&tier, 1, 1_000).await, "the system is the same");
        drop(tier);
        medium.boot();
        let tier = start(&medium, then).await;
        assert!(!has(&tier, 1, 1_000).await, "then {then:?}");
        assert_eq!(store(&tier, 2, 1_000).await, Ok(()));
        drop(tier);
        let tier = start(&medium, then).await;
        assert!(has(&tier, 2, 1_000).await);
    }
}

/// Under the other policies a boot changes nothing, and after `never` within one run of the system neither.
#[tokio::test(start_paused = true)]
async fn a_boot_keeps_what_was_synced() {
    let medium = MemoryMedium::new(Now::Always);
    let tier = start(&medium, SyncPolicy::Never).await;
    assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    drop(tier);
    for sync in [EVERY, SyncPolicy::OnSeal, EVERY] {
        let tier = start(&medium, sync).await;
        assert!(has(&tier, 1, 1_000).await, "{sync:?}");
        drop(tier);
        medium.boot();
    }
}
