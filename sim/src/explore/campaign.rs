//! Many seeds in a row, what they came to, and how fast.

use super::{
    plan::Plan,
    tally::{Tally, Trouble},
    world::World,
};
use std::{
    any::Any,
    fmt::{self, Write as _},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};
use tiergate_engine::Fault;
use tiergate_invariants::Violation;

/// Seeds after which a kind of trouble that never hit is a hole worth a word.
const SEEDS_FOR_COVERAGE: u64 = 500;

/// How long to go on.
pub(super) struct Limits {
    pub first: u64,
    pub seeds: u64,
    pub time: Option<Duration>,
    pub run: Run,
}

/// How each seed is run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Requests for each seed.
    pub requests: u32,
    /// A fault to plant, in a build that can.
    pub fault: Option<Fault>,
    /// Facts that a failure shows.
    pub facts_kept: usize,
}

/// Seeds in a row.
pub(super) struct Campaign {
    limits: Limits,
    pub done: u64,
    total: Tally,
    pub spent: Duration,
    began: Instant,
}

/// A seed that broke no rule.
pub struct Passed {
    /// One number for all that happened: the same seed gives the same one.
    pub digest: u64,
    /// How many requests ended.
    pub replies: u64,
    tally: Tally,
}

/// A seed that broke a rule, with all that is needed to see it again.
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The rule, and what was seen.
    pub violation: Violation,
    run: Run,
    plan: String,
    recent: Vec<String>,
}

/// Runs one seed, with a fault planted if one is named.
///
/// # Errors
/// The rule that was broken. A panic of the engine counts as one: it says that an assumption of its own was broken.
pub fn run_seed(seed: u64, run: Run) -> Result<Passed, Box<Failure>> {
    let mut plan = Plan::of(seed, run.requests);
    if let Some(fault) = run.fault {
        plan.config = planted(plan.config, fault);
    }
    let mut world = World::new(plan, run.facts_kept);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(Violation { rule: "panic", detail: panic_text(&*panic) }));
    match result {
        Ok(()) => Ok(Passed { digest: world.digest(), replies: world.tally.replies, tally: world.tally }),
        Err(violation) => Err(Box::new(Failure {
            seed,
            violation,
            run,
            plan: format!("{:?}", world.plan),
            recent: world
                .recent()
                .map(|fact| format!("{:>14} {:?}", fact.at.as_nanos(), fact.what))
                .collect(),
        })),
    }
}

#[cfg(feature = "plant")]
fn planted(config: tiergate_engine::Config, fault: Fault) -> tiergate_engine::Config {
    config.with_fault(fault)
}

#[cfg(not(feature = "plant"))]
fn planted(_config: tiergate_engine::Config, fault: Fault) -> tiergate_engine::Config {
    unreachable!(
        "{fault:?} can be planted only in a build with the feature `plant`, and nothing else asks for it"
    )
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}

impl Campaign {
    #[expect(
        clippy::disallowed_methods,
        reason = "how fast seeds run is measured, and is no part of any run"
    )]
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, done: 0, total: Tally::default(), spent: Duration::ZERO, began: Instant::now() }
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
        for (name, count) in &total.events {
            let _ = writeln!(text, "  event    {name:<42} {count:>10}");
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}", self.plan)?;
        writeln!(f, "the last facts:")?;
        for fact in &self.recent {
            writeln!(f, "  {fact}")?;
        }
        writeln!(f, "seed {} broke {}", self.seed, self.violation)?;
        match self.run.fault {
            None => write!(
                f,
                "again: tiergate-sim explore --seed {} --seeds 1 --requests {}",
                self.seed, self.run.requests
            ),
            Some(fault) => write!(
                f,
                "again: tiergate-sim prove --plant {} --seed {} --requests {} --show",
                fault.as_str(),
                self.seed,
                self.run.requests
            ),
        }
    }
}

/// CPU time of this thread, where the system tells it.
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
