//! Which check of the store catches a fault that was planted in it, and how soon.

use super::{
    crash::{Enumerated, Lives, check_sums, enumerate, live_again},
    device::DeviceFault,
    history::History,
    misbehaving::misbehave,
    plan::Plan,
};
use crate::explore::cpu_time;
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tiergate_engine::store::StoreFault;

/// A check by its name: it panics where a promise is broken.
type Check = (&'static str, Box<dyn Fn()>);

/// What a catch looks like.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The rule that caught it.
    pub by: &'static str,
    /// The seed that showed it.
    pub seed: u64,
    /// What it said.
    pub why: String,
}

/// Lives histories of a store with this fault, or with none, until one breaks a promise.
pub fn hunt(fault: Option<StoreFault>, mut seeds: Range<u64>) -> Option<Caught> {
    seeds.find_map(|seed| {
        let plan = Plan { plant: fault, ..Plan::small(seed) };
        let mut checks: Vec<Check> = vec![
            ("a long life", Box::new(move || live(Plan { tasks: 300, ..plan }))),
            ("a busy life on a slow device", Box::new(move || live_slowly(Plan { tasks: 800, ..plan }))),
        ];
        checks.push((
            "life after life",
            Box::new(move || live_again(Plan { tasks: 30, ..plan }, &mut Lives::default())),
        ));
        for device_fault in DeviceFault::ALL {
            checks.push(("a device that misbehaves", Box::new(move || drop(misbehave(plan, device_fault)))));
        }
        let crash = move || enumerate(plan, &mut Enumerated::default());
        checks.push(("a crash at each boundary", Box::new(crash)));
        checks.into_iter().find_map(|(by, check)| {
            let why = catch_unwind(AssertUnwindSafe(check)).err()?;
            let why = why.downcast_ref::<String>().cloned();
            Some(Caught { by, seed, why: why.unwrap_or_default() })
        })
    })
}

/// Seeds after which a fault is uncaught.
const SEEDS_MAX: u64 = 40;

/// Plants each of these faults, tells what catches it, and then lets as many seeds pass without one. How many
/// were not caught, or complained about nothing, and the time on a processor.
pub fn prove(faults: &[StoreFault]) -> (usize, Duration) {
    let mut spent = Duration::ZERO;
    let mut hunt = |fault, seeds| {
        let before = cpu_time();
        let caught = hunt(fault, 0..seeds);
        let took = cpu_time().zip(before).map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        spent += took;
        (caught, took.as_secs_f64())
    };
    let (mut needed, mut uncaught) = (0, 0);
    for fault in faults {
        match hunt(Some(*fault), SEEDS_MAX) {
            (Some(Caught { by, seed, .. }), took) => {
                let seeds = seed + 1;
                needed = needed.max(seeds);
                let (row, what) = (fault.as_str(), fault.describe());
                outln!("{row:<4} caught by {by} after {seeds} seeds and {took:.3} CPU-s: {what}");
            }
            (None, _) => {
                uncaught += 1;
                outln!("{:<4} UNCAUGHT after {SEEDS_MAX} seeds: {}", fault.as_str(), fault.describe());
            }
        }
    }
    if let (Some(Caught { by, why, .. }), _) = hunt(None, needed) {
        uncaught += 1;
        outln!("none in the store, and yet {by} says: {why}");
    }
    (uncaught, spent)
}

/// Every third operation is over long after those that were asked for later, so that much happens meanwhile.
fn live_slowly(plan: Plan) {
    let mut history = History::new(plan);
    while !history.seen.contains_key("recovered") {
        history.step();
    }
    history.plan_faults(&[(DeviceFault::Slow, 3)]);
    while history.step() {}
    check_sums(&history);
}

fn live(plan: Plan) {
    let mut history = History::new(plan);
    while history.step() {}
    check_sums(&history);
}
