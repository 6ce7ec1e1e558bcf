//! Many seeds in a row, what they came to, and how fast.

use super::{
    climate::Climate,
    run::{Failure, Passed, Run, run_seed},
    tally::{Tally, Trouble},
};
use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

/// Seeds after which a kind of trouble that never hit is a hole worth a word.
const SEEDS_FOR_COVERAGE: u64 = 500;

/// One in so many seeds lives its calm lives, too, of so many requests at most.
const SEEDS_FOR_CALM: u64 = 8;
const CALM_REQUESTS_MAX: u32 = 60;

/// How long to go on.
pub(super) struct Limits {
    pub first: u64,
    pub seeds: u64,
    pub time: Option<Duration>,
    pub run: Run,
}

/// Seeds in a row.
pub(super) struct Campaign {
    limits: Limits,
    pub done: u64,
    total: Tally,
    /// Replies in calm lives.
    calm: u64,
    pub spent: Duration,
    began: Instant,
}

impl Campaign {
    #[expect(
        clippy::disallowed_methods,
        reason = "how fast seeds run is measured, and is no part of any run"
    )]
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, done: 0, total: Tally::default(), calm: 0, spent: Duration::ZERO, began: Instant::now() }
    }

    /// Runs to the next failure or to the limits.
    pub(super) fn run(&mut self, on_passed: impl Fn(u64, &Passed)) -> Option<Box<Failure>> {
        let cpu_before = cpu_time();
        let began = self.began;
        let mut failure = None;
        while failure.is_none()
            && self.done < self.limits.seeds
            && self.limits.time.is_none_or(|time| began.elapsed() < time)
        {
            let seed = self.limits.first.wrapping_add(self.done);
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
        let run = self.limits.run;
        let passed = run_seed(seed, run)?;
        self.total.add(&passed.tally);
        if seed.is_multiple_of(SEEDS_FOR_CALM) {
            for climate in Climate::calm() {
                let requests = run.requests.min(CALM_REQUESTS_MAX);
                self.calm += run_seed(seed, Run { climate, requests, ..run })?.replies;
            }
        }
        Ok(passed)
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
        let _ = writeln!(text, "{} more replies in calm lives, with each set of tiers (MM1, MM2)", self.calm);
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
        for (name, count) in &total.events {
            let _ = writeln!(text, "  event    {name:<42} {count:>10}");
        }
        text
    }
}

/// CPU time of this thread, where the system tells it.
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
