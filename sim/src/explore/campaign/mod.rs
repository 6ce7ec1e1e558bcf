//! Many seeds in a row, what they came to, and how fast.

pub(in crate::explore) mod marks;
pub(in crate::explore) mod prove;
pub(in crate::explore) mod run;
pub(in crate::explore) mod speed;
pub(in crate::explore) mod tally;

use crate::explore::{
    campaign::marks::{Mark, RARE},
    campaign::run::{Failure, Passed, Run, run_seed, shape_of},
    campaign::tally::{Count, Tally},
    world::plan::Shape,
};
use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

/// Seeds after which every kind of fault must have been planned, have hit and been observed.
const SEEDS_FOR_FAULTS: u64 = 500;
/// Seeds of so many requests after which every mark must have fired.
const SEEDS_FOR_MARKS: u64 = 2_000;
const REQUESTS_FOR_MARKS: u32 = 200;

/// How long to go on.
pub(in crate::explore) struct Limits {
    pub first: u64,
    pub seeds: u64,
    pub time: Option<Duration>,
    /// None: any.
    pub shape: Option<Shape>,
    pub run: Run,
}

impl Limits {
    /// The seeds to run, in their order.
    pub(in crate::explore) fn seeds_from_first(&self) -> impl Iterator<Item = u64> + use<> {
        let Self { first, seeds, shape, run: Run { requests, .. }, .. } = *self;
        let all = (0..=u64::MAX).map(move |number| first.wrapping_add(number));
        let meant = all.filter(move |seed| shape.is_none_or(|shape| shape_of(*seed, requests) == shape));
        meant.take(usize::try_from(seeds).unwrap_or(usize::MAX))
    }
}

/// Seeds in a row.
pub(in crate::explore) struct Campaign {
    limits: Limits,
    seeds: Box<dyn Iterator<Item = u64>>,
    pub done: u64,
    total: Tally,
    /// Of calm lives.
    calm: Tally,
    pub spent: Duration,
    began: Instant,
}

impl Campaign {
    #[expect(
        clippy::disallowed_methods,
        reason = "how fast seeds run is measured, and is no part of any run"
    )]
    pub(in crate::explore) fn new(limits: Limits) -> Self {
        Self {
            seeds: Box::new(limits.seeds_from_first()),
            limits,
            done: 0,
            total: Tally::new(),
            calm: Tally::new(),
            spent: Duration::ZERO,
            began: Instant::now(),
        }
    }

    /// Runs to the next failure or to the limits.
    pub(in crate::explore) fn run(&mut self, on_passed: impl Fn(u64, &Passed)) -> Option<Box<Failure>> {
        let cpu_before = cpu_time();
        let began = self.began;
        let mut failure = None;
        while failure.is_none()
            && self.limits.time.is_none_or(|time| began.elapsed() < time)
            && let Some(seed) = self.seeds.next()
        {
            match self.run_one(seed) {
                Ok(passed) => on_passed(seed, &passed),
                Err(found) => failure = Some(found),
            }
            self.done += 1;
        }
        self.spent = match (cpu_before, cpu_time()) {
            (Some(before), Some(after)) => self.spent + after.saturating_sub(before),
            (None, _) | (_, None) => began.elapsed(),
        };
        failure
    }

    /// Each life of a seed, up to the first that breaks a rule.
    fn run_one(&mut self, seed: u64) -> Result<Passed, Box<Failure>> {
        let mut lives = self.limits.run.lives_of(seed);
        let passed = run_seed(seed, lives.next().expect("a seed lives at least once"))?;
        self.total.add(&passed.tally);
        for life in lives {
            self.calm.add(&run_seed(seed, life)?.tally);
        }
        Ok(passed)
    }

    /// What so many seeds of any shape must have met and did not.
    pub(in crate::explore) fn holes(&self) -> Vec<String> {
        if self.limits.shape.is_some() {
            return Vec::new();
        }
        let faults = self.total.faults().filter(|_| self.done >= SEEDS_FOR_FAULTS);
        let vacuous = faults.filter_map(|(fault, count)| {
            count
                .is_vacuous()
                .map(|why| format!("the fault `{}` {why} in {} seeds", fault.as_str(), self.done))
        });
        let is_long = self.done >= SEEDS_FOR_MARKS && self.limits.run.requests >= REQUESTS_FOR_MARKS;
        let marks = self.total.marks().filter(|_| is_long);
        let is_rare = |mark: Mark| RARE.iter().any(|(rare, _)| *rare == mark);
        let silent = marks.filter(|(mark, count)| *count == 0 && !is_rare(*mark));
        let silent = silent
            .map(|(mark, _)| format!("the mark `{}` never fired in {} seeds", mark.as_str(), self.done));
        vacuous.chain(silent).collect()
    }

    pub(in crate::explore) fn report(&self, has_marks: bool) -> String {
        let mut text = String::new();
        let seconds = self.spent.as_secs_f64().max(1e-9);
        let rate = |count: u64| count as f64 / seconds;
        let mut total = self.total.clone();
        total.add(&self.calm);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} seeds, {} replies ({} whole, {} in calm lives), {} steps, {} facts in {seconds:.2} CPU-s: {:.0} seeds/s, {:.0} events/s, {:.0} replies/s",
            self.done,
            total.replies,
            total.whole,
            self.calm.replies,
            total.steps,
            total.facts,
            rate(self.done),
            rate(total.steps + total.facts),
            rate(total.replies),
        );
        let _ = writeln!(
            text,
            "  fault {:50} {:>9} {:>11} {:>9} {:>9}",
            "", "planned", "armed", "fired", "observed"
        );
        for (fault, Count { planned, armed, fired, observed }) in self.total.faults() {
            let name = fault.as_str();
            let _ = writeln!(text, "  {name:<56} {planned:>9} {armed:>11} {fired:>9} {observed:>9}");
        }
        for (mark, count) in self.total.marks().filter(|_| has_marks) {
            let _ = writeln!(text, "  mark  {:<50} {count:>9}", mark.as_str());
        }
        text
    }
}

/// CPU time of this thread, where the system tells it.
pub(crate) fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::campaign::tally::WorldFault;

    /// A campaign of so many seeds in which everything was planned, hit, was observed, and was marked.
    fn campaign(done: u64, requests: u32) -> Campaign {
        let mut campaign =
            Campaign::new(Limits { first: 0, seeds: 0, time: None, shape: None, run: Run::of(requests) });
        campaign.done = done;
        for fault in WorldFault::ALL {
            *campaign.total.count(fault) = Count { planned: 1, armed: 1, fired: 1, observed: 1 };
        }
        for mark in Mark::ALL {
            campaign.total.mark(*mark);
        }
        campaign
    }

    /// What was planned and never hit, or hit and was never observed, is named once there were seeds enough.
    #[test]
    fn a_vacuous_fault_is_named() {
        assert_eq!(campaign(SEEDS_FOR_FAULTS, 1).holes(), [""; 0]);
        for (count, why) in [
            (Count { planned: 3, armed: 9, fired: 0, observed: 0 }, "was planned, and never hit"),
            (Count { planned: 3, armed: 9, fired: 2, observed: 0 }, "hit, and was never observed"),
            (Count::default(), "was never planned"),
        ] {
            let mut vacuous = campaign(SEEDS_FOR_FAULTS, 1);
            *vacuous.total.count(WorldFault::TierLost) = count;
            let hole = format!("the fault `tier lost a record` {why} in {SEEDS_FOR_FAULTS} seeds");
            assert_eq!(vacuous.holes(), [hole]);
            vacuous.done -= 1;
            assert_eq!(vacuous.holes(), [""; 0]);
        }
    }

    /// A mark that never fired is named, but for those that need not.
    #[test]
    fn a_silent_mark_is_named() {
        let mut silent = campaign(SEEDS_FOR_MARKS, REQUESTS_FOR_MARKS);
        assert_eq!(silent.holes(), [""; 0]);
        silent.total = Tally::new();
        silent.done = SEEDS_FOR_MARKS - 1;
        let faults = silent.holes().len();
        silent.done = SEEDS_FOR_MARKS;
        assert_eq!(silent.holes().len(), faults + Mark::ALL.len() - RARE.len());
    }
}
