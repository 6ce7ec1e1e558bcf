//! Exploring is repeatable, and the engine breaks no rule in it.

use tiergate_sim::explore::{Run, run_seed};

const RUN: Run = Run { requests: 120, fault: None, facts_kept: 60 };

/// Some hundred worlds full of trouble: every rule holds in each, and each comes to an end.
#[test]
fn no_rule_breaks_in_some_hundred_worlds() {
    let mut replies = 0;
    for seed in 0..300 {
        replies += run_seed(seed, RUN).unwrap_or_else(|failure| panic!("{failure}")).replies;
    }
    // Each seed asks 120 times, and each object once more after healing.
    assert!(replies > 300 * 120, "{replies} replies");
}

/// Worlds that showed a second fetch for a variant, beside one for another variant that turned out to be for this one.
#[test]
fn a_vary_that_changes_makes_no_second_fetch() {
    for seed in [2739, 2805, 3010, 3479, 3665, 4634, 4641, 4996, 7553, 12135, 14757] {
        let run = Run { requests: 200, ..RUN };
        run_seed(seed, run).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// One seed twice is one history; two seeds are two.
#[test]
fn a_seed_is_the_whole_of_a_run() {
    let digest = |seed| run_seed(seed, RUN).unwrap_or_else(|failure| panic!("{failure}")).digest;
    let digests: Vec<u64> = (0..20).map(digest).collect();
    assert_eq!(digests, (0..20).map(digest).collect::<Vec<_>>());
    let mut distinct = digests.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), digests.len(), "{digests:x?}");
}
