//! Which check of the store catches a fault that was planted in it, and how soon.

use super::{
    crash::{Enumerated, check_sums, enumerate},
    device::Fault,
    history::History,
    misbehaving::misbehave,
    plan::Plan,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tiergate_engine::store::StoreFault;

/// A check by its name: it panics where a promise is broken.
type Check = (&'static str, Box<dyn Fn()>);

/// What a catch looks like.
#[derive(Clone, Debug)]
pub struct Caught {
    /// By what.
    pub by: &'static str,
    /// After how many seeds.
    pub seeds: u64,
    /// What it said.
    pub why: String,
}

/// Lives histories of a store with this fault, or with none, until one breaks a promise.
pub fn hunt(fault: Option<StoreFault>, seeds: u64) -> Option<Caught> {
    (0..seeds).find_map(|seed| {
        let plan = Plan { plant: fault, ..Plan::small(seed) };
        let mut checks: Vec<Check> = vec![
            ("a long life", Box::new(move || live(Plan { tasks: 300, ..plan }))),
            ("a crash at each boundary", Box::new(move || enumerate(plan, &mut Enumerated::default()))),
        ];
        for device_fault in Fault::ALL {
            checks.push(("a device that misbehaves", Box::new(move || drop(misbehave(plan, device_fault)))));
        }
        checks.into_iter().find_map(|(by, check)| {
            let why = catch_unwind(AssertUnwindSafe(check)).err()?;
            let why = why.downcast_ref::<String>().cloned();
            Some(Caught { by, seeds: seed + 1, why: why.unwrap_or_default() })
        })
    })
}

fn live(plan: Plan) {
    let mut history = History::new(plan);
    while history.step() {}
    check_sums(&history);
}
