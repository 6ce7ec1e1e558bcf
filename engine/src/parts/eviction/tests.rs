//! The parts that policies are made of.

use super::{ghosts::Ghosts, rhythm::Rhythm, sketch::Sketch};
use crate::parts::random::Seed;
use proptest::prelude::*;
use std::{collections::VecDeque, vec::Vec};

proptest! {
    /// Ghosts against a naive queue: within the limit, the oldest forgotten first, none twice.
    #[test]
    fn ghosts_are_a_bounded_queue(steps in prop::collection::vec((0_u64..30, 0_u64..9, any::<bool>()), 1..200)) {
        const LIMIT: u64 = 40;
        let mut ghosts = Ghosts::new();
        let mut naive: VecDeque<(u64, u64)> = VecDeque::new();
        for (fingerprint, weight, is_push) in steps {
            let known = naive.iter().position(|(other, _)| *other == fingerprint);
            let known = known.and_then(|place| naive.remove(place));
            if is_push {
                ghosts.push(fingerprint, weight, 7, LIMIT);
                naive.push_back((fingerprint, weight.max(1)));
                while naive.iter().map(|(_, weight)| weight).sum::<u64>() > LIMIT {
                    naive.pop_front();
                }
            } else {
                let ghost = ghosts.remove(fingerprint);
                prop_assert_eq!(ghost.map(|ghost| (ghost.fingerprint, ghost.weight)), known);
                prop_assert!(ghost.is_none_or(|ghost| ghost.memory == 7));
            }
            prop_assert_eq!(ghosts.dump(), naive.iter().map(|(other, _)| *other).collect::<Vec<_>>());
            prop_assert_eq!(ghosts.weight(), naive.iter().map(|(_, weight)| weight).sum::<u64>());
        }
    }
}

/// A ghost tells how many followed it.
#[test]
fn ghosts_are_counted_since() {
    let mut ghosts = Ghosts::new();
    for fingerprint in 1..=5 {
        ghosts.push(fingerprint, 1, (), 100);
    }
    let since = |ghosts: &mut Ghosts<()>, fingerprint| {
        let ghost = ghosts.remove(fingerprint).expect("it was put in");
        ghosts.since(&ghost)
    };
    assert_eq!((since(&mut ghosts, 5), since(&mut ghosts, 2)), (0, 3));
}

/// Steps are even from the third on, if they are about as long as those before; one that is not begins anew.
#[test]
fn a_rhythm_is_three_steps_of_one_length() {
    let comes = |times: &[u32]| {
        let first = Rhythm::new(times[0]);
        times[1..].iter().fold(first, |rhythm, now| rhythm.come(*now)).is_even()
    };
    assert!(!comes(&[0, 160, 320]), "two steps");
    assert!(comes(&[0, 160, 320, 480]));
    assert!(comes(&[0, 160, 330, 490]), "170 is a sixteenth more than 160, and 160 near enough to it");
    assert!(!comes(&[0, 160, 331, 491]), "171 is more");
    assert!(!comes(&[0, 160, 320, 480, 700]), "the last step counts");
    assert!(!comes(&[0, 160, 320, 480, 700, 920]), "from where it broke");
    assert!(comes(&[u32::MAX - 200, u32::MAX - 100, u32::MAX, 99]), "the clock may wrap");
}

/// The sketch never counts too little, up to fifteen; growing changes no estimate; halving halves.
#[test]
fn sketch_estimates_from_above_and_halves() {
    let mut sketch = Sketch::new();
    let mut random = Seed(3).split("keys");
    let keys: Vec<u64> = (0..20).map(|_| random.bits()).collect();
    for (times, key) in keys.iter().enumerate() {
        for _ in 0..times {
            sketch.count(*key);
        }
    }
    let estimates = |sketch: &Sketch| keys.iter().map(|key| sketch.estimate(*key)).collect::<Vec<_>>();
    let before = estimates(&sketch);
    assert!(before.iter().zip(0..).all(|(estimate, times)| *estimate >= 15.min(times)), "{before:?}");
    assert_eq!(
        before,
        (0..20).map(|times| 15.min(times)).collect::<Vec<u8>>(),
        "hardly any keys share counters"
    );
    sketch.fit(1_000);
    assert_eq!(estimates(&sketch), before);
    // 190 were counted; at 10 for each of 1024 columns all counters are halved.
    for _ in 190..10_240 {
        sketch.count(keys[19]);
    }
    let halved: Vec<u8> = before.iter().map(|estimate| estimate / 2).collect();
    assert_eq!(estimates(&sketch), halved);
}
