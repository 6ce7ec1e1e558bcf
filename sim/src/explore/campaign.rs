//! Many seeds in a row, what they came to, and how fast.

use super::{
    plan::Shape,
    run::{Failure, Passed, Run, run_seed, shape_of},
    tally::{Tally, Trouble},
};
use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

/// Seeds after which a kind of trouble that never hit is a hole worth a word.
const SEEDS_FOR_COVERAGE: u64 = 500;

/// How long to go on.
pub(super) struct Limits {
    pub first: u64,
    pub seeds: u64,
    pub time: Option<Duration>,
    /// None: any.
    pub shape: Option<Shape>,
    pub run: Run,
}

impl Limits {
    /// The seeds to run, in their order.
    pub(super) fn seeds_from_first(&self) -> impl Iterator<Item = u64> + use<> {
        let Self { first, seeds, shape, run: Run { requests, .. }, .. } = *self;
        let all = (0..=u64::MAX).map(move |number| first.wrapping_add(number));
        let meant = all.filter(move |seed| shape.is_none_or(|shape| shape_of(*seed, requests) == shape));
        meant.take(usize::try_from(seeds).unwrap_or(usize::MAX))
    }
}

/// Seeds in a row.
pub(super) struct Campaign {
    limits: Limits,
    seeds: Box<dyn Iterator<Item = u64>>,
    pub done: u64,
    total: Tally,
    pub spent: Duration,
    began: Instant,
}

impl Campaign {
    #[expect(
        clippy::disallowed_methods,
        reason = "how fast seeds run is measured, and is no part of any run"
    )]
    pub(super) fn new(limits: Limits) -> Self {
        let (seeds, total) = (Box::new(limits.seeds_from_first()), Tally::default());
        Self { limits, seeds, done: 0, total, spent: Duration::ZERO, began: Instant::now() }
    }

    /// Runs to the next failure or to the limits.
    pub(super) fn run(&mut self, on_passed: impl Fn(u64, &Passed)) -> Option<Box<Failure>> {
        let cpu_before = cpu_time();
        let began = self.began;
        let mut failure = None;
        while failure.is_none()
            && self.limits.time.is_none_or(|time| began.elapsed() < time)
            && let Some(seed) = self.seeds.next()
        {
            match run_seed(seed, self.limits.run) {
                Ok(passed) => {
                    self.total.add(&passed.tally);
                    on_passed(seed, &passed);
                }
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

    pub(super) fn report(&self) -> String {
        let mut text = String::new();
        let seconds = self.spent.as_secs_f64().max(1e-9);
        let rate = |count: u64| count as f64 / seconds;
        let total = &self.total;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} seeds, {} replies ({} whole), {} steps, {} facts in {seconds:.2} CPU-s: {:.0} seeds/s, {:.0} events/s, {:.0} replies/s",
            self.done,
            total.replies,
            total.whole,
            total.steps,
            total.facts,
            rate(self.done),
            rate(total.steps + total.facts),
            rate(total.replies),
        );
        for trouble in Trouble::ALL {
            let count = total.troubles.get(&trouble).copied().unwrap_or(0);
            if count > 0 {
                let _ = writeln!(text, "  trouble  {:<42} {count:>10}", trouble.as_str());
            } else if self.done >= SEEDS_FOR_COVERAGE {
                let _ = writeln!(
                    text,
                    "  trouble  {:<42}      never hit: nothing was proved about it",
                    trouble.as_str()
                );
            }
        }
        for (name, count) in total.events.sums() {
            let _ = writeln!(text, "  event    {name:<42} {count:>10}");
        }
        text
    }
}

/// CPU time of this thread, where the system tells it.
pub(super) fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
