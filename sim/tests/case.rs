//! A run is a file that replays to the byte, and says where it does not.

use tiergate_sim::explore::{Case, CaseError, Profile, Run};

const RUN: Run = Run::of(60);

/// One seed lived twice draws the same and is the same at every step; its file, read back, too.
#[test]
fn a_seed_becomes_a_file_that_replays_to_the_byte() {
    for seed in 0..10 {
        let case = Case::of_seed(seed, RUN);
        assert_eq!(case, Case::of_seed(seed, RUN), "seed {seed}");
        assert_eq!(case.replay(), Ok(()), "seed {seed}");
        let read = Case::of_text(&case.to_text()).expect("it was just written");
        assert_eq!((read.digest(), read.requests()), (case.digest(), case.requests()));
        assert_eq!(read.replay(), Ok(()), "seed {seed}");
    }
}

/// So does a calm life, with each set of tiers: its file says which life it is.
#[test]
fn a_calm_life_is_a_case_too() {
    let mut digests = Vec::new();
    for profile in Profile::calm() {
        let case = Case::of_seed(8, Run { profile, ..RUN });
        let read = Case::of_text(&case.to_text()).expect("it was just written");
        assert_eq!(read.replay(), Ok(()), "{profile:?}");
        digests.push(read.digest());
    }
    let faulty = Case::of_seed(8, RUN).digest();
    assert!(!digests.contains(&faulty));
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 15, "each set of tiers has a history of its own");
}

/// A file whose choices were changed still runs, and the replay names the first draw that came otherwise.
#[test]
fn a_divergence_is_found_at_its_draw() {
    let case = Case::of_seed(3, RUN);
    let text = case.to_text();
    let network = text.lines().find(|line| line.contains("\"network\"")).expect("every run has a network");
    // Every latency is drawn below some bound; another bound is what a change of the code would make of it.
    let (before, third) = {
        let mut words = network.match_indices(' ').map(|(place, _)| place).skip_while(|place| *place < 8);
        let third = words.nth(3).expect("a run draws more than that");
        network.split_at(third)
    };
    let changed = format!("{before} 0/3{}", &third[third[1..].find(' ').expect("more follows") + 1..]);
    let read = Case::of_text(&text.replace(network, &changed)).expect("it is a case still");
    let divergence = read.replay().expect_err("a draw has another bound").to_string();
    assert!(
        divergence.starts_with("draw ") && divergence.contains("of stream `network`: 0/3 was drawn then"),
        "{divergence}"
    );
    assert!(divergence.contains("in step "), "{divergence}");
}

/// Two seeds differ from their first draws on.
#[test]
fn two_seeds_are_two_histories() {
    let divergence = Case::of_seed(1, RUN).compare(&Case::of_seed(2, RUN)).expect_err("they are two seeds");
    let text = divergence.to_string();
    assert!(text.contains("before the first step"), "{text}");
    assert!(text.contains("what happened differs from the start"), "{text}");
}

/// What is no case is refused, with the field, its value and what it must be.
#[test]
fn a_bad_file_is_refused() {
    let good = Case::of_seed(5, RUN).to_text();
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        Case::of_text(&good.replacen(from, to, 1)).expect_err("it was spoiled").to_string()
    };
    assert_eq!(refused("\"format\": 1", "\"format\": 2"), "`format` is 2, but this program reads 1");
    let unknown = refused("\"fault\": null", "\"fault\": \"Z9\"");
    assert!(unknown.starts_with("`fault` is \"Z9\", but must be one of T1, "), "{unknown}");
    assert!(
        refused("\"client\": \"", "\"client\": \"7/7 ").starts_with("`streams.client` `7/7` is no outcome")
    );
    assert!(refused("\"plan\": {", "\"plan\": { \"a\": \"x\",").starts_with("`plan.a` `x` is no"));
    assert!(refused("\"digest\": \"", "\"digest\": \"x").starts_with("`digest` is \"x"));
    assert!(matches!(Case::of_text("{}"), Err(CaseError::Unreadable(_))));
}
