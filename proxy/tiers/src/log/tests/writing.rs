//! Small blocks that wait at the same time become one write, and stay what they are otherwise.

use super::{
    memory::{Gate, MediumFault, MemoryMedium, Now},
    *,
};
use tokio::task::JoinSet;

/// A tier whose segment is open, before a gate that is shut: whoever stores now waits.
async fn before_a_shut_gate() -> (MemoryMedium, Arc<LogTier<MemoryMedium>>) {
    let medium = MemoryMedium::new(Now::Always);
    let tier = Arc::new(start(&medium, SyncPolicy::OnSeal).await);
    assert_eq!(store(&tier, 1, 1_000).await, Ok(()));
    medium.set_gate(Gate::Shut);
    (medium, tier)
}

/// Stores objects of this length, all at the same time, and waits until every one of them waits for the
/// device.
async fn store_all(
    tier: &Arc<LogTier<MemoryMedium>>,
    numbers: std::ops::Range<u128>,
    length: usize,
) -> JoinSet<Result<(), TierError>> {
    let session = tier.volumes[0].session().expect("it is up");
    let count = usize::try_from(numbers.end - numbers.start).expect("a few");
    let mut stored = JoinSet::new();
    for number in numbers {
        let tier = Arc::clone(tier);
        stored.spawn(async move { store(&tier, number, length).await });
    }
    while session.waiting() < count {
        tokio::task::yield_now().await;
    }
    stored
}

/// Small blocks that wait lie side by side and become few writes. Each object is found whole, by the next
/// process too.
#[tokio::test]
async fn small_blocks_that_wait_are_written_together() {
    let (medium, tier) = before_a_shut_gate().await;
    let before = medium.writes();
    let stored = store_all(&tier, 2..32, 1_000).await;
    medium.set_gate(Gate::Open);
    assert!(stored.join_all().await.iter().all(Result::is_ok));
    // Two writers take what there is when they begin, and one of them the rest, in two parts at most.
    let writes = medium.writes() - before;
    assert!(writes <= 4, "{writes} writes for 30 blocks");
    drop(tier);
    let tier = start(&medium, SyncPolicy::OnSeal).await;
    for number in 1..32 {
        assert!(has(&tier, number, 1_000).await, "object {number}");
    }
}

/// Large blocks are not copied together: each is a write.
#[tokio::test]
async fn large_blocks_are_written_alone() {
    let (medium, tier) = before_a_shut_gate().await;
    let before = medium.writes();
    let stored = store_all(&tier, 2..6, 100_000).await;
    medium.set_gate(Gate::Open);
    assert!(stored.join_all().await.iter().all(Result::is_ok));
    assert_eq!(medium.writes() - before, 4);
    for number in 1..6 {
        assert!(has(&tier, number, if number == 1 { 1_000 } else { 100_000 }).await, "object {number}");
    }
}

/// A write that fails is the failure of every block in it: nobody is told that theirs was stored.
#[tokio::test]
async fn a_joined_write_that_fails_fails_for_all() {
    let (medium, tier) = before_a_shut_gate().await;
    let stored = store_all(&tier, 2..32, 1_000).await;
    medium.suffer(MediumFault::Full);
    medium.set_gate(Gate::Open);
    assert!(stored.join_all().await.iter().all(Result::is_err));
}
