//! Exploring is repeatable, the engine breaks no rule in it, and what should befall it does.

use std::process::Command;
use tiergate_sim::explore::{Drain, Profile, Run, run_seed};

const RUN: Run = Run::of(120);

/// Some hundred worlds full of faults: every rule holds in each, and each comes to an end.
#[test]
fn no_rule_breaks_in_some_hundred_worlds() {
    let mut replies = 0;
    for seed in 0..300 {
        replies += run_seed(seed, RUN).unwrap_or_else(|failure| panic!("{failure}")).replies;
    }
    // Each seed asks 120 times, and each object once more after healing.
    assert!(replies > 300 * 120, "{replies} replies");
}

/// Worlds that showed a second fetch for a variant, beside one for another variant that turned out to be for
/// this one.
#[test]
fn a_vary_that_changes_makes_no_second_fetch() {
    for seed in [2739, 2805, 3010, 3479, 3665, 4634, 4641, 4996, 7553, 12135, 14757] {
        let run = Run { requests: 200, ..RUN };
        run_seed(seed, run).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Worlds that showed what few others do: a remote purge applied while a tier freshens what it covers (61200,
/// 87961), a stream that nobody led (66590, 87703), a 304 that forbids to keep what another copy, or
/// another tier, brings back (7905, 24046), a fetch that went on for nobody (120341), two calendars that
/// round otherwise (71475).
#[test]
fn what_few_worlds_show_breaks_no_rule() {
    for seed in [7905, 24_046, 61_200, 66_590, 71_475, 87_703, 87_961, 120_341] {
        let run = Run { requests: 200, ..RUN };
        run_seed(seed, run).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Worlds that showed what a store does that never answers, while the engine waited for L3's for ever: keys
/// that were never answered again, and uploads, purges and sweeps without an end.
#[test]
fn silent_stores_hold_nothing_for_ever() {
    for seed in [10, 11, 22, 30, 34, 40, 51, 56, 58] {
        let run = Run { requests: 200, ..RUN };
        run_seed(seed, run).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// One seed twice is one history; two seeds are two.
#[test]
fn a_seed_is_the_whole_of_a_run() {
    let digests: Vec<u64> = (0..20).map(|seed| digest(seed, Drain::EffectsFirst)).collect();
    assert_eq!(digests, (0..20).map(|seed| digest(seed, Drain::EffectsFirst)).collect::<Vec<_>>());
    let mut distinct = digests.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len(), "{digests:x?}");
}

/// However a driver drains an engine, all effects first, all events first or in turn: the history is the
/// same.
#[test]
fn the_order_of_draining_changes_nothing() {
    for seed in 20..40 {
        let digests = Drain::ALL.map(|drain| digest(seed, drain));
        assert_eq!(digests, [digests[0]; 3], "seed {seed}");
    }
}

fn digest(seed: u64, drain: Drain) -> u64 {
    let passed = run_seed(seed, Run { digest: true, drain, ..RUN });
    passed.unwrap_or_else(|failure| panic!("{failure}")).digest.expect("it was asked for")
}

/// Where all is calm, the cache is one flat map with lifetimes (MM1), and with any of its tiers disabled the
/// same one (MM2).
#[test]
fn calm_lives_are_those_of_a_flat_map() {
    let mut replies = 0;
    for seed in 0..24 {
        for profile in Profile::calm() {
            let run = Run { profile, ..Run::of(60) };
            replies += run_seed(seed, run).unwrap_or_else(|failure| panic!("{failure}")).replies;
        }
    }
    assert_eq!(replies, 24 * 15 * 60, "every request ends");
}

/// In some hundred worlds each kind of fault is planned, hits, and is observed: a campaign where one is not
/// fails.
#[test]
fn every_fault_is_observed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut explore = Command::new(env!("CARGO_BIN_EXE_tiergate-sim"));
    explore.current_dir(&folder).args(["explore", "--seeds", "500", "--requests", "40"]);
    let explored = explore.output();
    let explored = explored.expect("the binary was built for this test");
    let told = String::from_utf8_lossy(&explored.stdout).into_owned();
    assert_eq!(explored.status.code(), Some(0), "{told}");
    assert!(told.contains("observed"), "{told}");
}

/// `--speed` counts the same replies twice, with the rules and without; `--shape busy` runs other seeds than
/// all.
#[test]
fn the_speed_of_one_shape_is_told() {
    let told = |shape: &[&str]| {
        let mut explore = Command::new(env!("CARGO_BIN_EXE_tiergate-sim"));
        explore.args(["explore", "--speed", "--seeds", "4", "--requests", "40"]).args(shape);
        let explored = explore.output().expect("the binary was built for this test");
        assert_eq!(explored.status.code(), Some(0), "{explored:?}");
        String::from_utf8_lossy(&explored.stdout).into_owned()
    };
    let (all, busy) = (told(&[]), told(&["--shape", "busy"]));
    for told in [&all, &busy] {
        assert!(told.starts_with("4 seeds, ") && told.contains("with every rule watching: "), "{told}");
        assert!(told.contains("with none: ") && told.contains("the rules take "), "{told}");
    }
    assert_ne!(all.lines().next(), busy.lines().next());
}
