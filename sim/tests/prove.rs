//! The net catches what it was made for: faults planted in the engine on purpose.
#![cfg(feature = "plant")]

use tiergate_engine::Fault;
use tiergate_sim::explore::{Run, run_seed};

const SEEDS: u64 = 200;

fn run(fault: Option<Fault>) -> Run {
    Run { fault, ..Run::of(200) }
}

/// Every fault that can be planted is caught within some seeds, and a failure names the fault and the seed.
#[test]
fn every_planted_fault_is_caught() {
    for fault in Fault::ALL {
        let caught = (0..SEEDS).find_map(|seed| run_seed(seed, run(Some(fault))).err());
        let failure = caught.unwrap_or_else(|| panic!("{fault:?} survived {SEEDS} seeds"));
        let again = format!("prove --plant {} --seed {} ", fault.as_str(), failure.seed);
        assert!(failure.to_string().contains(&again), "{failure}");
    }
}

/// The canary: without a planted fault the same seeds break nothing.
#[test]
fn nothing_planted_nothing_caught() {
    for seed in 0..SEEDS {
        if let Err(failure) = run_seed(seed, run(None)) {
            panic!("{failure}");
        }
    }
}
