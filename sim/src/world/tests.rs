//! Each kind of fault is seen on the wire: it hits, and clients or tiers fare otherwise than without it.

use super::{Figures, Order, Record, Tells, simulate};
use std::{path::Path, sync::Arc};
use tiergate_scenarios::{FaultKind, Figure, Phase};

/// One edge before a store or a disk, with a small memory, asked for a few objects all the time.
fn scenario(tier: &str, faults: &str) -> String {
    format!(
        "name: x\ndescription: d\ntopology: {{edges: 1, clients: 2}}\nlatency: [1ms, 2ms]\n\
         cache: {{l0: {{capacity: 64KiB}}, {tier}, http: {{stale_if_error_s: 0}}}}\n\
         objects: {{count: 12, size: [8KiB, 24KiB], chunked_percent: 0, not_storable_percent: 0, \
         lifetime: [3s, 3s], version_every: [10min, 10min]}}\n\
         workload: {{requests: 300, streams: 4, timeout: 2s}}\n\
         faults: {{{faults}}}\nswarm: all\nfaults_until: 4s\nsettle: 1min\n\
         expect: {{answered_percent: {{at_most: 100}}}}\n"
    )
}

fn lived(text: &str) -> Record {
    let scenario = tiergate_scenarios::parse(Path::new("x.yaml"), text).expect("a good scenario");
    simulate(&Order {
        scenario: Arc::new(scenario),
        seed: 1,
        plant: None,
        facts: 0,
        tells: Tells::Nothing,
        record: None,
    })
}

const L1: &str = "l1: {}";
const L2: &str = "l2: {capacity: 16MiB}";
const L3: &str = "l3: {row_body_max: 0}";

/// What a fault does to a figure.
enum Effect {
    More(Figure),
    Less(Figure),
    /// Nobody outside can tell.
    Nothing,
}

use Effect::{Less, More, Nothing};

/// Each kind, the tier behind memory, the fault as a file says it, and what comes of it.
const KINDS: [(FaultKind, &str, &str, Effect); 33] = [
    (FaultKind::BlobsSilent, L3, "{at: 500ms, for: 3s}", Less(Figure::HitsL3)),
    (FaultKind::BlobsFail, L3, "{at: 500ms, for: 3s, percent: 100}", Less(Figure::HitsL3)),
    (FaultKind::OriginStalls, L1, "{percent: 50, for: 300ms}", More(Figure::LatencyMaxMs)),
    (FaultKind::OriginTruncates, L1, "{percent: 50}", More(Figure::Broken)),
    (FaultKind::OriginResets, L1, "{percent: 50}", More(Figure::OriginRequests)),
    (FaultKind::OriginErrors, L1, "{percent: 50}", More(Figure::ServerErrors)),
    (FaultKind::OriginMalformed, L1, "{percent: 50}", More(Figure::ServerErrors)),
    (FaultKind::OriginLies, L1, "{percent: 50}", More(Figure::TimedOut)),
    (FaultKind::PartitionOrigin, L1, "{at: 0s, for: 1s, edge: 0}", More(Figure::Unanswered)),
    (FaultKind::PartitionOrigin, L1, "{at: 0s, for: 1s, edge: 0, direction: out}", More(Figure::Unanswered)),
    (FaultKind::PartitionOrigin, L1, "{at: 0s, for: 1s, edge: all, direction: in}", More(Figure::Unanswered)),
    (FaultKind::PartitionSharedTier, L1, "{at: 0s, for: 3s}", Less(Figure::HitsL1)),
    (FaultKind::PartitionClients, L1, "{at: 1s, for: 1s}", More(Figure::Unanswered)),
    (FaultKind::LinkDelay, L1, "{link: clients, at: 0s, for: 3s, delay: 100ms}", More(Figure::LatencyMaxMs)),
    (FaultKind::LinkLoss, L1, "{link: origin, at: 0s, for: 3s, percent: 30}", More(Figure::LatencyMaxMs)),
    (
        FaultKind::LinkSlow,
        L1,
        "{link: clients, at: 0s, for: 3s, bytes_per_second: 64KiB}",
        More(Figure::LatencyP50Ms),
    ),
    (FaultKind::LinkHold, L1, "{link: clients, at: 1s, for: 1s}", More(Figure::LatencyMaxMs)),
    (FaultKind::EdgeRestarts, L1, "{at: 1s, for: 500ms}", More(Figure::Unanswered)),
    (FaultKind::EdgeRedeploys, L1, "{at: 1s, for: 500ms}", More(Figure::Unanswered)),
    (FaultKind::EdgePauses, L1, "{at: 1s, for: 1s}", More(Figure::LatencyMaxMs)),
    (FaultKind::ClockAhead, L1, "{at: 1s, by: 10s}", More(Figure::OriginRequests)),
    (FaultKind::ClockBack, L1, "{at: 2s, by: 10s}", Less(Figure::OriginRequests)),
    (FaultKind::SharedTierRestarts, L1, "{at: 1s, for: 1s}", Less(Figure::HitsL1)),
    (FaultKind::SharedTierSlow, L1, "{at: 0s, for: 3s, delay: 400ms}", Less(Figure::HitsL1)),
    (FaultKind::SharedTierEvicts, L1, "{at: 2s, percent: 80}", Less(Figure::HitsL1)),
    (FaultKind::SharedTierTruncates, L1, "{at: 0s, for: 4s, percent: 50}", Less(Figure::HitsL1)),
    (FaultKind::SharedTierErrors, L1, "{at: 0s, for: 3s, percent: 100}", Less(Figure::HitsL1)),
    (FaultKind::SharedTierResets, L1, "{at: 0s, for: 4s, percent: 50}", Less(Figure::HitsL1)),
    (FaultKind::DiskSlow, L2, "{at: 0s, for: 4s, delay: 100ms}", More(Figure::LatencyMaxMs)),
    (FaultKind::DiskErrors, L2, "{at: 0s, for: 4s, percent: 100}", Less(Figure::HitsL2)),
    (FaultKind::DiskFull, L2, "{at: 0s, for: 4s}", Less(Figure::StoredL2)),
    (FaultKind::DiskRot, L2, "{at: 2s, percent: 80}", Less(Figure::HitsL2)),
    (FaultKind::DiskShortReads, L2, "{percent: 50}", Nothing),
];

fn whole(figures: &Figures, figure: Figure) -> f64 {
    figures.of(Phase::Whole, figure)
}

/// Every kind but one hits at the first seed, and does what it says. That syncs fail shows only after a loss
/// of power: `disk::tests` has it.
#[test]
fn every_fault_is_seen_on_the_wire() {
    let without = [L1, L2, L3].map(|tier| (tier, lived(&scenario(tier, ""))));
    let mut wrong = Vec::new();
    for (kind, tier, said, effect) in &KINDS {
        let name = kind.as_str();
        let mut with = lived(&scenario(tier, &format!("{name}: {said}")));
        let (_, without) = without.iter().find(|(other, _)| other == tier).expect("one of them");
        let (hits, broken) = (with.faults.of(*kind).fired, with.violation);
        let both = |figure| (whole(&without.figures, figure), whole(&with.figures, figure));
        let is_seen = match *effect {
            More(figure) => both(figure).0 < both(figure).1,
            Less(figure) => both(figure).0 > both(figure).1,
            Nothing => both(Figure::Whole).0 == both(Figure::Whole).1,
        };
        if hits == 0 || broken.is_some() || !is_seen {
            let figures = match *effect {
                More(figure) | Less(figure) => both(figure),
                Nothing => both(Figure::Whole),
            };
            wrong.push(format!("{name}: {said}: {hits} hits, {figures:?}, {broken:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let kinds = FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::DiskSyncFails);
    let missing: Vec<_> = kinds.filter(|kind| KINDS.iter().all(|(other, ..)| other != kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The deadlines that a file says are those that an origin is given up by, and a proxy's where it says none.
#[test]
fn an_origin_is_given_up_when_the_file_says() {
    let stalls = scenario(L1, "origin_stalls: {percent: 100, for: 1s}");
    let hasty = "resilience: {deadline: {head_ms_max: 600, chunk_ms_max: 600}}, http:";
    for (text, is_patient) in [(stalls.replace("http:", hasty), false), (stalls, true)] {
        let record = lived(&text);
        assert_eq!(record.violation, None);
        let refused = whole(&record.figures, Figure::ServerErrors) + whole(&record.figures, Figure::Broken);
        assert_eq!(refused == 0.0, is_patient, "{refused} were refused or broke off:\n{text}");
    }
}
