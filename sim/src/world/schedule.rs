//! The faults of one run that come at a moment: drawn before the world starts, in order of time.
//!
//! Faults that befall single answers of the origin are drawn by the origin, one per answer.

use super::{catalogue::between, disk::DiskFault};
use tiergate_engine::Random;
use tiergate_scenarios::{Between, EpisodeFault, FaultKind, Scenario};

/// Something that the runner does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// This edge and the origin, or the shared tier, lose each other.
    Cut(FaultKind, u32),
    /// They find each other again.
    Mend(FaultKind, u32),
    /// This edge loses its power.
    StopEdge(u32),
    /// It comes back.
    StartEdge(u32),
    /// The shared tier is killed.
    StopSharedTier,
    /// It comes back empty.
    StartSharedTier,
    /// It answers this much later.
    Slow { delay_ms: u64 },
    /// It answers at once again.
    Quicken,
    /// This edge's disk has a fault.
    Harm(DiskFault, u32),
    /// It has not any more.
    Repair(DiskFault, u32),
    /// Bits of what this edge's disk holds turn over.
    Rot {
        /// Of how many of a hundred sectors.
        percent: u8,
        /// Which edge's.
        edge: u32,
    },
}

/// Draws every act. None is later than `faults_until_ms`, and each fault is over by then.
pub(crate) fn draw(
    scenario: &Scenario,
    faults: &tiergate_scenarios::Faults,
    random: &mut Random,
) -> Vec<(u64, Act)> {
    let mut acts = Vec::new();
    let until_ms = scenario.faults_until_ms;
    let mut episodes = |times: u32,
                        for_ms: Between<u64>,
                        random: &mut Random,
                        make: &mut dyn FnMut(&mut Random) -> (Act, Act)| {
        for _ in 0..times {
            let begin = random.below(until_ms);
            let end = (begin + between(random, for_ms)).min(until_ms);
            let (first, last) = make(random);
            acts.push((begin, first));
            acts.push((end, last));
        }
    };
    for kind in [FaultKind::PartitionOrigin, FaultKind::PartitionSharedTier] {
        if let Some(EpisodeFault { times, for_ms }) = partition(faults, kind) {
            episodes(times, for_ms, random, &mut |random| {
                let edge = edge(scenario, random);
                (Act::Cut(kind, edge), Act::Mend(kind, edge))
            });
        }
    }
    if let Some(EpisodeFault { times, for_ms }) = faults.edge_restarts {
        episodes(times, for_ms, random, &mut |random| {
            let edge = edge(scenario, random);
            (Act::StopEdge(edge), Act::StartEdge(edge))
        });
    }
    if let Some(EpisodeFault { times, for_ms }) = faults.shared_tier_restarts {
        episodes(times, for_ms, random, &mut |_| (Act::StopSharedTier, Act::StartSharedTier));
    }
    if let Some(slow) = faults.shared_tier_slow {
        episodes(slow.times, slow.for_ms, random, &mut |random| {
            let delay_ms = between(random, slow.delay_ms);
            (Act::Slow { delay_ms }, Act::Quicken)
        });
    }
    draw_disks(scenario, faults, random, &mut acts);
    // Stable: what was drawn first comes first at one moment.
    acts.sort_by_key(|(at_ms, _)| *at_ms);
    acts
}

fn draw_disks(
    scenario: &Scenario,
    faults: &tiergate_scenarios::Faults,
    random: &mut Random,
    acts: &mut Vec<(u64, Act)>,
) {
    let until_ms = scenario.faults_until_ms;
    let mut episodes = |times: u32,
                        for_ms: Between<u64>,
                        random: &mut Random,
                        make: &mut dyn FnMut(&mut Random) -> DiskFault| {
        for _ in 0..times {
            let begin = random.below(until_ms);
            let end = (begin + between(random, for_ms)).min(until_ms);
            let edge = edge(scenario, random);
            let fault = make(random);
            acts.push((begin, Act::Harm(fault, edge)));
            acts.push((end, Act::Repair(fault, edge)));
        }
    };
    if let Some(slow) = faults.disk_slow {
        episodes(slow.times, slow.for_ms, random, &mut |random| DiskFault::Slow {
            delay_ms: between(random, slow.delay_ms),
        });
    }
    if let Some(errors) = faults.disk_errors {
        let percent = errors.percent;
        episodes(errors.times, errors.for_ms, random, &mut |_| DiskFault::Errors { percent });
    }
    if let Some(full) = faults.disk_full {
        episodes(full.times, full.for_ms, random, &mut |_| DiskFault::Full);
    }
    if let Some(rot) = faults.disk_rot {
        for _ in 0..rot.times {
            let at_ms = random.below(until_ms);
            acts.push((at_ms, Act::Rot { percent: rot.percent, edge: edge(scenario, random) }));
        }
    }
}

fn edge(scenario: &Scenario, random: &mut Random) -> u32 {
    u32::try_from(random.below(scenario.topology.edges.into())).expect("below a u32")
}

fn partition(faults: &tiergate_scenarios::Faults, kind: FaultKind) -> Option<EpisodeFault> {
    if kind == FaultKind::PartitionOrigin { faults.partition_origin } else { faults.partition_shared_tier }
}

impl Act {
    /// The fault that begins with this act.
    pub(crate) fn begins(self) -> Option<FaultKind> {
        match self {
            Self::Cut(kind, _) => Some(kind),
            Self::StopEdge(_) => Some(FaultKind::EdgeRestarts),
            Self::StopSharedTier => Some(FaultKind::SharedTierRestarts),
            Self::Slow { .. } => Some(FaultKind::SharedTierSlow),
            Self::Harm(fault, _) => Some(fault.kind()),
            Self::Rot { .. } => Some(FaultKind::DiskRot),
            Self::Mend(..)
            | Self::StartEdge(_)
            | Self::StartSharedTier
            | Self::Quicken
            | Self::Repair(..) => None,
        }
    }
}
