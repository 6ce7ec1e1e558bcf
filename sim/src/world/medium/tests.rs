//! The log on a simulated disk keeps every promise of a byte tier, also on one that is late and gives less
//! than asked for.

use super::SimMedium;
use crate::world::{disk::Disk, log::Log};
use std::sync::Arc;
use tiergate_driver::ByteTier;
use tiergate_engine::{Ban, ByteCount, Seed};
use tiergate_invariants::Invariants;
use tiergate_scenarios::{Between, Fault, FaultKind, Faults};
use tiergate_tiers::{
    LogOptions, LogTier, SyncPolicy,
    conformance::{KeepsBans, bans_conformance, conformance},
};

fn medium(latency_ms: Between<u64>, faults: &Faults) -> SimMedium {
    let log = Arc::new(Log::new(Invariants::only(&[]).expect("no rule is a set of rules")));
    let disk = Disk::new("a disk", Seed(7), latency_ms, faults, log);
    SimMedium { disk: Arc::new(disk), name: "a disk".to_owned() }
}

async fn open(medium: &SimMedium) -> LogTier<SimMedium> {
    let options = LogOptions { capacity: ByteCount::mib(64), sync: SyncPolicy::OnSeal, seed: Seed(3) };
    let tier = LogTier::open(vec![medium.clone()], options).await.expect("the disk is well");
    tier.join().await;
    tier
}

/// The suite that every byte tier passes.
#[tokio::test(start_paused = true)]
async fn the_log_on_a_simulated_disk_conforms() {
    let short = Faults::default().with(FaultKind::DiskShortReads, Fault::of_percent(30));
    for (latency_ms, faults) in [(Between(0, 0), Faults::default()), (Between(0, 5), short)] {
        conformance(&open(&medium(latency_ms, &faults)).await).await;
    }
}

/// A tier whose machine loses its power.
struct Lives {
    medium: SimMedium,
    tier: Option<LogTier<SimMedium>>,
}

impl KeepsBans for Lives {
    async fn store(&mut self, ban: &Ban) -> Result<(), tiergate_driver::TierError> {
        let tier = self.tier.as_ref().expect("a process runs");
        tier.store_ban(Arc::new(ban.clone())).await
    }

    async fn restart(&mut self) -> Vec<Ban> {
        self.medium.disk.lose_power();
        self.tier = None;
        self.medium.disk.start();
        let tier = self.tier.insert(open(&self.medium).await);
        tier.recover_bans().await.expect("the disk is well")
    }
}

/// What it promises of bans holds over losses of power too.
#[tokio::test(start_paused = true)]
async fn bans_outlive_the_power() {
    let medium = medium(Between(0, 2), &Faults::default());
    bans_conformance(&mut Lives { medium, tier: None }).await;
}
