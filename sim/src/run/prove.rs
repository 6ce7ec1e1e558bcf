//! The faults of the wire for `prove`: each is planted in the clients of an edge, and worlds are lived until
//! a rule catches it.

use crate::world::{Order, Planted, Tells, WireFault, simulate};
use std::{path::Path, sync::Arc};

/// Worlds that one may survive.
const SEEDS_MAX: u64 = 100;

/// The scenario in which each is looked for, with its file.
const fn scenario(fault: WireFault) -> (&'static str, &'static str) {
    match fault {
        WireFault::W1 => (
            "scenarios/origin/broken-bodies-are-not-kept.yaml",
            include_str!("../../../scenarios/origin/broken-bodies-are-not-kept.yaml"),
        ),
        WireFault::W2 => (
            "scenarios/shared-tier/a-busy-store-is-done-without.yaml",
            include_str!("../../../scenarios/shared-tier/a-busy-store-is-done-without.yaml"),
        ),
        WireFault::W3 => (
            "scenarios/purges/what-the-store-did-not-hear-is-not-confirmed.yaml",
            include_str!("../../../scenarios/purges/what-the-store-did-not-hear-is-not-confirmed.yaml"),
        ),
    }
}

/// Plants each, or the one of this name. How many were planted, and how many of them nothing caught.
pub(crate) fn prove(only: Option<&str>) -> (usize, usize) {
    let faults = WireFault::ALL.into_iter().filter(|fault| only.is_none_or(|name| name == fault.as_str()));
    let (mut planted, mut uncaught) = (0, 0);
    for fault in faults {
        planted += 1;
        let (file, text) = scenario(fault);
        let caught = (0..SEEDS_MAX).find_map(|seed| Some((seed, rule(text, seed, Some(fault))?)));
        match caught {
            Some((seed, rule)) => outln!(
                "{:<4} caught by {rule:<5} at seed {seed:<4} of {file}: {}",
                fault.as_str(),
                fault.describe()
            ),
            None => {
                uncaught += 1;
                outln!(
                    "{:<4} UNCAUGHT after {SEEDS_MAX} seeds of {file}: {}",
                    fault.as_str(),
                    fault.describe()
                );
            }
        }
    }
    (planted, uncaught)
}

/// The rule that a seed breaks.
fn rule(text: &str, seed: u64, fault: Option<WireFault>) -> Option<&'static str> {
    let scenario =
        tiergate_scenarios::parse(Path::new("prove.yaml"), text).expect("the shipped files are good");
    let plant = fault.map(Planted::Wire);
    let order =
        Order { scenario: Arc::new(scenario), seed, plant, facts: 0, tells: Tells::Nothing, record: None };
    simulate(&order).violation.map(|violation| violation.rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is caught within a few worlds by a rule, in which nothing is broken without it.
    #[test]
    fn faults_of_the_wire_are_caught() {
        for fault in WireFault::ALL {
            let (file, text) = scenario(fault);
            let caught = (0..20).find_map(|seed| Some((seed, rule(text, seed, Some(fault))?)));
            let (seed, rule_broken) =
                caught.unwrap_or_else(|| panic!("{fault:?} survived 20 seeds of {file}"));
            assert!(["C5", "C7"].contains(&rule_broken), "{fault:?}: {rule_broken}");
            assert_eq!(rule(text, seed, None), None, "seed {seed} of {file}, with nothing planted");
        }
    }
}
