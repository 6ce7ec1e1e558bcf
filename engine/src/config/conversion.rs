//! The one conversion from what a file says to what the engine runs on: every bound is checked here.

use super::{
    ByteTier, Config, ConfigError, Heads, IndexKeeper, MemoryTier, Objective, OnFull, OnRange, Promotion,
    RawCollapse, RawConfig, RawDiskTier, RawDurableTier, RawFill, RawMemoryTier, RawPromotion, RawSharedTier,
    Reach, check, within,
};
use crate::{
    language::{id::TierId, units::ByteCount},
    plant::Plant,
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let written = Arc::new(raw.clone());
        let RawConfig { l0, l1, l2, l3, promotion, collapse, fill, http, resilience, feed } = raw;
        check_capacities(l0.as_ref(), l2.as_ref())?;
        check_collapse(&collapse)?;
        check_fill(&fill)?;
        check_promotion(&promotion)?;
        Ok(Self {
            l0: l0.map(|tier| MemoryTier {
                capacity: tier.capacity,
                gate: tier.gate,
                eviction: tier.eviction.policy,
                objective: tier.eviction.objective.unwrap_or(Objective::Requests),
            }),
            tiers: byte_tiers(l1, l2, l3, promotion)?.into(),
            waiters_max: collapse.waiters_max as usize,
            fills_max: collapse.fills_max as usize,
            uncacheable: Duration::from_secs(collapse.uncacheable_s.into()),
            window: fill.window.0,
            windows_memory: fill.memory,
            lane_chunks_max: fill.lane_chunks_max as usize,
            lane_stall_max: Duration::from_millis(fill.lane_stall_ms_max.into()),
            read_size: fill.read_size.0,
            on_abandon: fill.on_abandon,
            whole_for_part_max: match fill.on_range {
                OnRange::Whole => Some(fill.on_range_max),
                OnRange::Never => None,
            },
            heads: Heads::Counted,
            policy: http.into_policy()?,
            resilience: resilience.try_into()?,
            feed: feed.map(TryInto::try_into).transpose()?,
            plant: Plant::default(),
            written,
        })
    }
}

fn check_capacities(l0: Option<&RawMemoryTier>, l2: Option<&RawDiskTier>) -> Result<(), ConfigError> {
    let capacities =
        [("l0.capacity", l0.map(|tier| tier.capacity)), ("l2.capacity", l2.map(|tier| tier.capacity))];
    for (field, capacity) in capacities {
        if let Some(capacity) = capacity {
            check(capacity > ByteCount::ZERO, field, capacity, "at least 1 byte")?;
        }
    }
    Ok(())
}

fn check_collapse(collapse: &RawCollapse) -> Result<(), ConfigError> {
    let million = 1..=1_000_000;
    within(collapse.waiters_max, million.clone(), "collapse.waiters_max", "1 to 1000000")?;
    within(collapse.fills_max, million, "collapse.fills_max", "1 to 1000000")?;
    within(collapse.uncacheable_s, 0..=120, "collapse.uncacheable_s", "0 to 120")
}

fn check_fill(fill: &RawFill) -> Result<(), ConfigError> {
    check(fill.window >= ByteCount::kib(64), "fill.window", fill.window, "at least 64KiB")?;
    within(fill.lane_chunks_max, 1..=65_536, "fill.lane_chunks_max", "1 to 65536")?;
    within(fill.lane_stall_ms_max, 1..=600_000, "fill.lane_stall_ms_max", "1 to 600000")?;
    check(fill.read_size > ByteCount::ZERO, "fill.read_size", fill.read_size, "at least 1 byte")
}

fn check_promotion(promotion: &RawPromotion) -> Result<(), ConfigError> {
    let edges = [
        ("promotion.l1_to_l0", promotion.l1_to_l0),
        ("promotion.l2_to_l0", promotion.l2_to_l0),
        ("promotion.l2_to_l1", promotion.l2_to_l1),
        ("promotion.l3_to_l0", promotion.l3_to_l0),
        ("promotion.l3_to_l1", promotion.l3_to_l1),
        ("promotion.l3_to_l2", promotion.l3_to_l2),
    ];
    for (field, edge) in edges {
        if let Promotion::AfterHits(hits) = edge {
            within(hits, 1..=1_000, field, "after_hits of 1 to 1000")?;
        }
    }
    Ok(())
}

/// The tiers below L0, fastest first.
fn byte_tiers(
    l1: Option<RawSharedTier>,
    l2: Option<RawDiskTier>,
    l3: Option<RawDurableTier>,
    promotion: RawPromotion,
) -> Result<Vec<ByteTier>, ConfigError> {
    let shared = l1.map(|tier| ByteTier {
        id: TierId::L1,
        gate: tier.gate,
        capacity: ByteCount::UNLIMITED,
        reach: Reach::Shared,
        index: IndexKeeper::Tier,
        on_full: OnFull::Drop,
        promotes: [Some((TierId::L0, promotion.l1_to_l0)), None, None],
    });
    let disk = l2.map(|tier| ByteTier {
        id: TierId::L2,
        gate: tier.gate,
        capacity: tier.capacity,
        reach: Reach::Local,
        index: IndexKeeper::Tier,
        on_full: OnFull::Wait,
        promotes: [Some((TierId::L0, promotion.l2_to_l0)), Some((TierId::L1, promotion.l2_to_l1)), None],
    });
    let durable = match l3 {
        None => None,
        Some(tier) => Some(ByteTier {
            id: TierId::L3,
            gate: tier.gate,
            capacity: ByteCount::UNLIMITED,
            reach: Reach::Shared,
            on_full: tier.on_full,
            index: tier.into_keeper()?,
            promotes: [
                Some((TierId::L0, promotion.l3_to_l0)),
                Some((TierId::L1, promotion.l3_to_l1)),
                Some((TierId::L2, promotion.l3_to_l2)),
            ],
        }),
    };
    Ok(shared.into_iter().chain(disk).chain(durable).collect())
}
