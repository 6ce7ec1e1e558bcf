//! The faults of one run that come at a moment: drawn before the world starts, in order of time.
//!
//! Faults that befall single answers of the origin, or single operations of a disk, are drawn there.

use super::{
    catalogue::between,
    disk::DiskFault,
    links::{Between, Trouble},
    stage::edge_name,
};
use tiergate_engine::{Random, Seed};
use tiergate_scenarios::{Direction, Fault, FaultKind, Faults, Link, Scenario, When, Which};

/// One fault that comes and, mostly, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    pub kind: FaultKind,
    pub from_ms: u64,
    /// When it is over; the same moment where it does not last.
    pub to_ms: u64,
    /// Which edge's, where it is an edge's.
    pub edge: Option<u32>,
    pub link: Link,
    pub direction: Direction,
    /// The delay, the jump, the capacity (0: as it was) or the rate that was drawn, in the units of its kind.
    pub amount: u64,
    pub percent: u8,
}

/// Something that the runner does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The episode with this number begins.
    Begin(usize),
    /// It is over.
    End(usize),
}

/// Draws every episode. Each is over by `faults_until`.
pub(crate) fn draw(scenario: &Scenario, faults: &Faults, seed: Seed) -> Vec<Episode> {
    let mut episodes = Vec::new();
    for kind in FaultKind::ALL {
        // Each kind has its own chance: one that is left out changes none of the others.
        let mut random = seed.split(&format!("when {} befalls", kind.as_str()));
        for fault in faults.of(kind) {
            let (times, at_ms) = match fault.when {
                When::Drawn(times) => (times, None),
                When::At(at_ms) => (1, Some(at_ms)),
                When::Always => continue,
            };
            for _ in 0..times {
                let from_ms = at_ms.unwrap_or_else(|| random.below(scenario.faults_until_ms));
                one(scenario, kind, fault, from_ms, &mut random, &mut episodes);
            }
        }
    }
    episodes
}

fn one(
    scenario: &Scenario,
    kind: FaultKind,
    fault: &Fault,
    from_ms: u64,
    random: &mut Random,
    episodes: &mut Vec<Episode>,
) {
    let edges = scenario.topology.edges;
    let for_ms = between(random, fault.for_ms);
    let drawn = u32::try_from(random.below(edges.into())).expect("below a u32");
    let amount = match kind {
        FaultKind::LinkSlow => fault.bytes_per_second,
        FaultKind::EdgeRedeploys => fault.capacity.map_or(0, |capacity| capacity.0),
        FaultKind::ClockAhead | FaultKind::ClockBack => between(random, fault.by_ms),
        _ => between(random, fault.delay_ms),
    };
    let which = match (is_of_an_edge(kind), fault.edge) {
        (false, _) => vec![None],
        (true, Which::Drawn) => vec![Some(drawn)],
        (true, Which::One(edge)) => vec![Some(edge)],
        (true, Which::All) => (0..edges).map(Some).collect(),
    };
    let link = match kind {
        FaultKind::PartitionSharedTier => Link::SharedTier,
        FaultKind::PartitionClients => Link::Clients,
        _ => fault.link,
    };
    episodes.extend(which.into_iter().map(|edge| Episode {
        kind,
        from_ms,
        to_ms: (from_ms + for_ms).min(scenario.faults_until_ms),
        edge,
        link,
        direction: fault.direction,
        amount,
        percent: fault.percent,
    }));
}

/// Is it one edge's, or the shared tier's?
fn is_of_an_edge(kind: FaultKind) -> bool {
    kind.takes().contains(&tiergate_scenarios::FaultKey::Edge)
}

/// What begins and ends when, in order of time. What was drawn first comes first at one moment.
pub(crate) fn acts(episodes: &[Episode]) -> Vec<(u64, Act)> {
    let both = |(number, episode): (usize, &Episode)| {
        [(episode.from_ms, Act::Begin(number)), (episode.to_ms, Act::End(number))]
    };
    let mut acts: Vec<_> = episodes.iter().enumerate().flat_map(both).collect();
    acts.sort_by_key(|(at_ms, _)| *at_ms);
    acts
}

impl Episode {
    /// What it does to its edge's link, if it is a link's.
    pub(crate) fn trouble(&self) -> Option<(Between, Trouble)> {
        let trouble = match self.kind {
            FaultKind::PartitionOrigin | FaultKind::PartitionSharedTier | FaultKind::PartitionClients => {
                Trouble::Cut(self.direction)
            }
            FaultKind::LinkDelay => Trouble::Delay(self.amount),
            FaultKind::LinkLoss => Trouble::Loss(self.percent),
            FaultKind::LinkSlow => Trouble::Slow(self.amount),
            FaultKind::LinkHold => Trouble::Hold,
            _ => return None,
        };
        Some((Between { edge: self.edge?, link: self.link }, trouble))
    }

    /// What it does to its edge's disk, if it does.
    pub(crate) fn disk_fault(&self) -> Option<DiskFault> {
        match self.kind {
            FaultKind::DiskSlow => Some(DiskFault::Slow { delay_ms: self.amount }),
            FaultKind::DiskErrors => Some(DiskFault::Errors { percent: self.percent }),
            FaultKind::DiskFull => Some(DiskFault::Full),
            _ => None,
        }
    }

    /// Whom it befalls, in a word or two.
    pub(crate) fn whom(&self) -> String {
        let edge = self.edge.map_or_else(|| super::stage::SHARED_TIER.to_owned(), edge_name);
        match self.trouble() {
            Some((between, _)) => format!("{edge} and its link to {}", between.link.as_str()),
            None => edge,
        }
    }
}
