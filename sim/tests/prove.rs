//! The net catches what it was made for: faults planted in the engine on purpose.
//!
//! `tiergate-sim prove` finds the seeds. Here each fault is caught again by the seed that is kept for it,
//! which takes seconds where the search takes minutes in a debug build.
#![cfg(feature = "plant")]

use std::collections::BTreeSet;
use tiergate_engine::{Fault, store::StoreFault};
use tiergate_sim::{
    disk::prove::hunt,
    explore::{Run, run_seed},
};

/// A fault, the seed that catches it, and the rule, in each line; written by `scripts/golden`.
const KEPT: &str = include_str!("golden/prove.txt");

fn run(fault: Option<Fault>) -> Run {
    Run { fault, ..Run::of(200) }
}

/// What is kept of a fault.
fn kept(fault: Fault) -> (u64, &'static str) {
    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
    let line = KEPT.lines().map(words).find(|words| words[0] == fault.as_str());
    let line = line.unwrap_or_else(|| panic!("no seed is kept for {fault:?}: run scripts/golden"));
    (line[1].parse().expect("a seed is a number"), line[2])
}

/// Every fault that can be planted is caught, and a failure names the fault and the seed.
#[test]
fn every_planted_fault_is_caught() {
    for fault in Fault::ALL {
        let (seed, rule) = kept(fault);
        let caught = run(Some(fault)).lives_of(seed).find_map(|life| run_seed(seed, life).err());
        let failure = caught.unwrap_or_else(|| {
            panic!("{fault:?} survived seed {seed}; if that is right, run scripts/golden")
        });
        assert_eq!(failure.violation.rule, rule, "{fault:?} at seed {seed}");
        let again = format!("prove --plant {} --seed {seed} ", fault.as_str());
        assert!(failure.to_string().contains(&again), "{failure}");
    }
}

/// The canary: without a planted fault the same seeds break nothing.
#[test]
fn nothing_planted_nothing_caught() {
    for fault in Fault::ALL {
        let (seed, _) = kept(fault);
        if let Err(failure) = run_seed(seed, run(None)) {
            panic!("{failure}");
        }
    }
}

/// Every fault that can be planted in the disk's store is caught by the histories of a seed that is kept for
/// it, and without one these complain about nothing.
#[test]
fn every_fault_of_the_store_is_caught() {
    let mut seeds = BTreeSet::new();
    for fault in StoreFault::ALL {
        let seed = match fault {
            StoreFault::SettlesEarly => 14,
            StoreFault::SyncsAgain => 10,
            StoreFault::MovesBack => 2,
            StoreFault::ForgetsBegun => 2,
            StoreFault::LeavesReaders => 1,
            _ => 0,
        };
        seeds.insert(seed);
        assert!(hunt(Some(*fault), seed..seed + 1).is_some(), "{fault:?} survived seed {seed}");
    }
    for seed in seeds {
        assert!(hunt(None, seed..seed + 1).is_none(), "seed {seed} complains about nothing");
    }
}
