//! Hedges on virtual time: when, how many, who wins, and how well the estimator estimates.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const POLICY: HedgePolicy = HedgePolicy {
    quantile_percent: 95,
    delay_min: Duration::from_millis(1),
    allowance: Allowance { percent: 5, floor_per_s: 0, burst: 1 },
};

fn at(micros: u64) -> Instant {
    Instant::ZERO.after(Duration::from_micros(micros))
}

/// A tier whose reads have taken 1 to 100 times 100 µs.
fn hedging(policy: HedgePolicy) -> Hedging {
    let mut hedging = Hedging::new(policy, at(0));
    (1..=100).for_each(|n| hedging.latencies.record(Duration::from_micros(n * 100)));
    hedging
}

/// It begins when 95 of 100 would have answered, once, and not before the floor.
#[test]
fn a_late_read_is_asked_again() {
    let mut tier = hedging(POLICY);
    let mut race = tier.begin(at(0), OpId(1));
    let late_at = race.poll_wake().expect("a hundred samples are enough");
    assert!(late_at > at(9_500) && late_at <= at(9_500 * 17 / 16 + 1), "{late_at:?}");
    assert!(!race.on_wake(Instant::from_nanos(late_at.as_nanos() - 1), &mut tier), "too early");
    assert!(race.on_wake(late_at, &mut tier));
    race.on_hedged(late_at, OpId(2));
    assert_eq!(race.poll_wake(), None);
    assert!(!race.on_wake(at(9_000_000), &mut tier), "there is no third");

    let mut quick = Hedging::new(HedgePolicy { delay_min: Duration::from_millis(50), ..POLICY }, at(0));
    assert_eq!(quick.begin(at(0), OpId(1)).poll_wake(), None, "nothing is known of this tier");
    (0..100).for_each(|_| quick.latencies.record(Duration::from_micros(10)));
    assert_eq!(quick.begin(at(0), OpId(1)).poll_wake(), Some(at(50_000)));
}

/// Who answers first wins; the other is named to be cancelled, and what it still says is ignored.
#[test]
fn the_first_answer_wins() {
    for (winner, loser) in [(OpId(1), OpId(2)), (OpId(2), OpId(1))] {
        let mut tier = hedging(POLICY);
        let mut race = Race::Both { older: (OpId(1), at(0)), younger: (OpId(2), at(100)) };
        assert_eq!(race.running(), [Some(OpId(1)), Some(OpId(2))]);
        assert_eq!(race.on_answer(at(200), OpId(9), Answer::Given, &mut tier), RaceStep::Ignored);
        let verdict = race.on_answer(at(200), winner, Answer::Given, &mut tier);
        assert_eq!((verdict, race.running()), (RaceStep::Won { cancel: Some(loser) }, [None, None]));
        assert_eq!(race.on_answer(at(300), loser, Answer::Given, &mut tier), RaceStep::Ignored);
        assert_eq!(race.on_answer(at(300), loser, Answer::Failed, &mut tier), RaceStep::Ignored);
        assert_eq!(tier.latencies.total, 102, "the loser counts once, with what it had taken by then");
    }
}

/// A failure decides nothing while the other runs; the last one decides.
#[test]
fn a_failure_leaves_the_other_running() {
    for (first, second) in [(OpId(1), OpId(2)), (OpId(2), OpId(1))] {
        for (answer, verdict) in
            [(Answer::Given, RaceStep::Won { cancel: None }), (Answer::Failed, RaceStep::Lost)]
        {
            let mut tier = hedging(POLICY);
            let mut race = Race::Both { older: (OpId(1), at(0)), younger: (OpId(2), at(100)) };
            assert_eq!(race.on_answer(at(200), first, Answer::Failed, &mut tier), RaceStep::OtherRuns);
            assert_eq!((race.running(), race.poll_wake()), ([Some(second), None], None));
            assert_eq!(race.on_answer(at(300), second, answer, &mut tier), verdict);
        }
    }
    let mut tier = hedging(POLICY);
    let mut race = tier.begin(at(0), OpId(1));
    assert_eq!(
        race.on_answer(at(1), OpId(1), Answer::Failed, &mut tier),
        RaceStep::Lost,
        "a failure is not late"
    );
}

/// A tier that stops answering: every read is late, and one in twenty is asked twice.
#[test]
fn a_slow_tier_is_not_asked_twice_as_often() {
    let mut tier = hedging(POLICY);
    let mut hedges = 0;
    for n in 0..1_000 {
        let mut race = tier.begin(at(n), OpId(n));
        let late_at = race.poll_wake().expect("a hundred samples are enough");
        hedges += u32::from(race.on_wake(late_at, &mut tier));
        assert_eq!(race.poll_wake(), None, "refused once, it is not asked for again and again");
    }
    assert_eq!(hedges, 50, "1 saved up, 49 for the next 980 to 999");
}

/// A tier that becomes ten times as slow is usual again soon: old samples fade.
#[test]
fn what_is_usual_follows_the_tier() {
    let mut latencies = Latencies::new();
    (0..100_000).for_each(|_| latencies.record(Duration::from_millis(1)));
    (0..SAMPLES_MAX).for_each(|_| latencies.record(Duration::from_millis(10)));
    let median = latencies.quantile(50).expect("there are samples");
    assert!(median > Duration::from_millis(10), "{median:?}");
    assert!(latencies.total <= SAMPLES_MAX);
}

/// Slots are contiguous and each holds what its bounds say, up to the last, which holds all the rest.
#[test]
fn slots_tile_the_line() {
    for slot_number in 0..SLOTS {
        let above = first_above(slot_number);
        assert_eq!(slot(above - 1), slot_number, "{above}");
        assert_eq!(slot(above), (slot_number + 1).min(SLOTS - 1), "{above}");
    }
    assert_eq!(slot(u64::MAX), SLOTS - 1);
    assert_eq!(first_above(SLOTS - 1), 67_108_864);
}

proptest! {
    /// The estimate is at or above the true quantile, by one step of a sixteenth at most.
    #[test]
    fn the_estimate_is_close(
        mut samples in proptest::collection::vec(0_u64..60_000_000, SAMPLES_MIN as usize..1_000), percent in 1_u32..=100,
    ) {
        let mut latencies = Latencies::new();
        samples.iter().for_each(|micros| latencies.record(Duration::from_micros(*micros)));
        samples.sort_unstable();
        let rank = (samples.len() * percent as usize).div_ceil(100);
        let truth = samples[rank - 1];
        let estimate = u64::try_from(latencies.quantile(percent).expect("enough").as_micros()).expect("small");
        prop_assert!(estimate > truth && estimate <= truth + truth / 16 + 1, "{estimate} for {truth}");
    }

    /// Whatever order answers come in: exactly one end, at most two operations, and all are answered or
    /// cancelled.
    #[test]
    fn a_race_ends_once(hedges in any::<bool>(), answers in proptest::collection::vec((1_u64..4, any::<bool>()), 0..8)) {
        let mut tier = hedging(POLICY);
        let mut race = tier.begin(at(0), OpId(1));
        let mut open = Vec::from([OpId(1)]);
        if hedges {
            let late_at = race.poll_wake().expect("a hundred samples are enough");
            prop_assert!(race.on_wake(late_at, &mut tier));
            race.on_hedged(late_at, OpId(2));
            open.push(OpId(2));
        }
        let mut ends = 0;
        for (op, given) in answers {
            let (op, answer) = (OpId(op), if given { Answer::Given } else { Answer::Failed });
            let was_open = open.contains(&op);
            match race.on_answer(at(50_000), op, answer, &mut tier) {
                RaceStep::Won { cancel } => {
                    prop_assert!(was_open && given);
                    open.retain(|other| *other != op && Some(*other) != cancel);
                    ends += 1;
                }
                RaceStep::OtherRuns => open.retain(|other| *other != op),
                RaceStep::Lost => {
                    open.retain(|other| *other != op);
                    ends += 1;
                }
                RaceStep::Ignored => prop_assert!(!was_open),
            }
            prop_assert_eq!(race.running().into_iter().flatten().count(), open.len());
        }
        prop_assert_eq!(ends, usize::from(open.is_empty()));
    }
}
