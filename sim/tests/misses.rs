//! What each policy misses on one generated trace is pinned, so that a change of a policy shows, and is
//! meant.

use std::fs;
use tempfile::NamedTempFile;
use tiergate_engine::{
    ByteCount, Config,
    Eviction::{self, Gdsf, GhostGdsf, Lru, S3Fifo, Sieve, WTinyLfu},
    Objective::{self, Bytes, Requests},
    RawConfig, RawEviction, RawMemoryTier, Seed,
};
use tiergate_sim::replay::{Reading, replay};

/// 4,000 requests: half for popular objects, a quarter round and round, a quarter for objects that come once.
/// Sizes are from 100 bytes to 6,000, and do not go with popularity.
fn trace() -> NamedTempFile {
    let mut random = Seed(9).split("trace");
    let mut bytes = Vec::new();
    for time_s in 0..4_000_u32 {
        let object = match time_s % 4 {
            0 | 2 => random.below(30) * random.below(30),
            1 => 1_000 + u64::from(time_s / 4 % 110),
            _ => 10_000 + u64::from(time_s),
        };
        let size = 100 + u32::try_from(object * object % 77).expect("it is below 77").pow(2);
        bytes.extend(
            [&time_s.to_le_bytes()[..], &object.to_le_bytes(), &size.to_le_bytes(), &[0xff; 8]].concat(),
        );
    }
    let file = NamedTempFile::new().expect("the system has a directory for temporary files");
    fs::write(file.path(), bytes).expect("a file that was just made can be written");
    file
}

const CAPACITIES: [u64; 3] = [20_000, 100_000, 400_000];
/// Misses and their bytes, under each capacity.
type Misses = [(u64, u64); CAPACITIES.len()];
const MISSES: [(Eviction, Objective, Misses); 8] = [
    (Lru, Requests, [(3_937, 7_352_053), (3_694, 7_049_590), (3_232, 6_115_229)]),
    (Sieve, Requests, [(3_789, 7_283_018), (3_519, 6_728_520), (2_859, 5_445_297)]),
    (S3Fifo, Requests, [(3_617, 7_263_816), (3_489, 6_622_386), (2_558, 4_820_878)]),
    (WTinyLfu, Requests, [(3_771, 7_292_913), (3_520, 6_666_719), (2_316, 4_874_791)]),
    (Gdsf, Requests, [(3_715, 7_353_496), (3_076, 7_034_835), (2_300, 5_735_002)]),
    (Gdsf, Bytes, [(3_894, 7_347_752), (3_680, 7_055_608), (3_094, 5_835_181)]),
    (GhostGdsf, Requests, [(3_681, 7_331_775), (2_935, 6_778_866), (2_108, 5_166_986)]),
    (GhostGdsf, Bytes, [(3_753, 7_258_557), (3_500, 6_631_988), (2_617, 5_018_079)]),
];

/// Every policy misses what it missed before, to the object and to the byte.
#[test]
fn every_policy_misses_what_it_missed_before() {
    let file = trace();
    let misses = |policy, objective| {
        CAPACITIES.map(|capacity| {
            let l0 = RawMemoryTier {
                capacity: ByteCount(capacity),
                gate: ByteCount::UNLIMITED,
                eviction: RawEviction { policy, objective: Some(objective) },
            };
            let raw = RawConfig { l0: Some(l0), ..RawConfig::default() };
            let config = Config::try_from(raw).expect("every capacity is at least one byte");
            let replayed = replay(file.path(), &Reading::default(), config);
            let origin = replayed.unwrap_or_else(|wrong| panic!("{wrong}")).totals.origin;
            (origin.requests, origin.bytes)
        })
    };
    let found = MISSES.map(|(policy, objective, _)| (policy, objective, misses(policy, objective)));
    assert_eq!(found, MISSES, "{found:#?}");
}
