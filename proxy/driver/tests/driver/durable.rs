//! What the driver does with the durable tier's stores: their answers as they are, their failures as not
//! knowing.

use crate::map_stores::{MapStores, Mood};
use crate::world::{Rig, Script, key, locked, parts_without_tiers, read};
use bytes::Bytes;
use std::{num::NonZeroU32, time::Duration};
use tiergate_driver::Driver;
use tiergate_engine::{ByteCount, Config, Outcome, PurgeOutcome, RawConfig, RawDurableTier, Seed, TierId};

/// L3 in which every body is a blob.
fn blobs_only() -> RawDurableTier {
    RawDurableTier { row_body_max: ByteCount::ZERO, ..RawDurableTier::default() }
}

fn durable_only() -> RawConfig {
    RawConfig { l0: None, l3: Some(blobs_only()), ..RawConfig::default() }
}

/// What one driver stores, another finds, byte for byte, and has in memory from then on; a purge takes it
/// from both.
#[tokio::test(start_paused = true)]
async fn drivers_share_the_durable_tier() {
    share(blobs_only()).await;
    share(RawDurableTier::default()).await;
}

async fn share(l3: RawDurableTier) {
    let stores = MapStores::new();
    let first = Rig::beside(RawConfig { l3: Some(l3), ..durable_only() }, 1, &stores).await;
    let script = Script::chunks(7, 1000);
    first.script("/a", &script);
    let mut served = first.served("/a").await;
    assert_eq!(read(&mut served.body).await, Ok(script.body()));
    first.settle().await;

    let with_memory = RawConfig { l3: Some(l3), ..RawConfig::default() };
    let second = Rig::beside(with_memory, 4, &stores).await;
    let mut served = second.served("/a").await;
    assert_eq!(served.outcome, Outcome::Hit { tier: TierId::L3 });
    assert_eq!(read(&mut served.body).await, Ok(script.body()));
    assert!(second.is_in_l0("/a"));
    assert_eq!(second.origin.asked(), Vec::<String>::new());

    let report = second.driver.purge(key("/a")).await.tiers;
    assert!(report.iter().any(|told| matches!(told, (TierId::L3, PurgeOutcome::Removed(_)))), "{report:?}");
    assert_eq!(stores.blobs(), 0);
    second.settle().await;
    assert_eq!(stores.open_handles(), 0, "every upload and open blob was closed");
}

/// A change whose answer was lost is told as unknown, and found by reading back: it is stored once, and
/// nothing twice.
#[tokio::test(start_paused = true)]
async fn lost_replies_are_found_out() {
    let (blobs, rows) = (blobs_only(), RawDurableTier::default());
    for (lost, l3, stored) in [(1, blobs, 1), (2, blobs, 1), (3, blobs, 1), (1, rows, 0), (2, rows, 0)] {
        let stores = MapStores::new();
        let rig = Rig::beside(RawConfig { l3: Some(l3), ..durable_only() }, 1, &stores).await;
        rig.script("/a", &Script::chunks(3, 1000));
        *locked(&stores.mood) = Mood::LosesReplies(lost);
        let mut served = rig.served("/a").await;
        assert!(read(&mut served.body).await.is_ok());
        rig.settle().await;
        assert_eq!(stores.blobs(), stored);
        let again = rig.served("/a").await;
        assert_eq!(again.outcome, Outcome::Hit { tier: TierId::L3 }, "with {lost} replies lost");
    }
}

/// Stores that fail cost a client nothing.
#[tokio::test(start_paused = true)]
async fn stores_that_fail_cost_nothing() {
    let stores = MapStores::new();
    let rig = Rig::beside(durable_only(), 1, &stores).await;
    let script = Script::chunks(3, 1000);
    rig.script("/a", &script);
    *locked(&stores.mood) = Mood::Fails;
    let mut served = rig.served("/a").await;
    *locked(&stores.mood) = Mood::Fine;
    assert_eq!(read(&mut served.body).await, Ok(script.body()));
    rig.settle().await;
    assert!(stores.rows().is_empty() && stores.blobs() == 0 && stores.open_handles() == 0);
}

/// A row that this build cannot read may be a newer one's: it is a miss, and stays as it is.
#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_is_left_alone() {
    let stores = MapStores::new();
    let rig = Rig::beside(durable_only(), 1, &stores).await;
    rig.script("/a", &Script::chunks(3, 1000));
    for round in 0..2 {
        let mut served = rig.served("/a").await;
        assert!(read(&mut served.body).await.is_ok());
        assert!(matches!(served.outcome, Outcome::Miss { .. }), "round {round}");
        rig.settle().await;
        stores.overwrite(key("/a"), Bytes::from_static(b"of another build"));
    }
    let rows = stores.rows();
    assert_eq!(rows[&key("/a")].value, Bytes::from_static(b"of another build"));
}

/// One engine of a driver sweeps for all, however many shards there are.
#[tokio::test(start_paused = true)]
async fn one_shard_sweeps_for_all() {
    let stores = MapStores::new();
    let mut raw = durable_only();
    raw.l3 = Some(RawDurableTier { collect_s: 10, ..blobs_only() });
    let rig = Rig::beside(raw, 4, &stores).await;
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert_eq!(stores.listings(), 3);
    rig.settle().await;
}

/// A configuration with a durable tier needs its stores.
#[tokio::test(start_paused = true)]
async fn a_durable_tier_without_stores_is_refused() {
    let config = Config::try_from(durable_only()).expect("it is within bounds");
    let parts = parts_without_tiers();
    let wrong = Driver::start(parts, &config, Seed(1), NonZeroU32::MIN).await.err().expect("it is refused");
    assert_eq!(wrong.to_string(), "the configuration names tier l3, but the driver was given no such tier");
}
