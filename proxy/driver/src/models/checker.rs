//! The checkers: [`holds`] and [`finds`] run a model under whichever the build is for.

use crate::plant::Fault;
use std::{cell::Cell, env, panic::resume_unwind, process::Command};

/// Names the fault that is to be planted, as [`Fault`] does.
const FAULT: &str = "TIERGATE_FAULT";

thread_local! {
    /// A checker runs all threads of a model on the thread that called it, so this is one model's.
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

pub(crate) fn is_planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// The model holds in every order that the checker tries.
pub(super) fn holds(model: fn()) {
    let named = env::var(FAULT).ok();
    PLANTED.set(Fault::ALL.into_iter().find(|fault| named == Some(format!("{fault:?}"))));
    run(model);
}

/// With this fault planted, the test `models::…` fails, and `how` is part of what it says. It runs in a process of its own,
/// for a checker that found something may abort where it drops what its threads hold.
pub(super) fn finds(fault: Fault, how: &str, test: &str) {
    let this = env::current_exe().expect("a test is a file");
    let output = Command::new(this)
        .args(["--exact", "--nocapture", &format!("models::{test}")])
        .env(FAULT, format!("{fault:?}"))
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a test can be run again");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("running 1 test"), "there is no such test: {said}");
    assert!(!output.status.success(), "the checker did not find {fault:?}: {said}");
    assert!(said.contains(how), "the checker found something else than {fault:?}: {said}");
}

#[cfg(loom)]
mod run {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    /// In words. loom's own are too small for an engine.
    const STACK: usize = 1 << 15;

    /// Turns at which threads can meet, in one order.
    const BRANCHES_MAX: usize = 20_000;

    pub(in super::super) fn run(model: fn()) {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = BRANCHES_MAX;
        let orders = Arc::new(AtomicU64::new(0));
        let tried = Arc::clone(&orders);
        builder.check(move || {
            orders.fetch_add(1, Ordering::Relaxed);
            super::join(spawn(model));
        });
        println!(
            "{} orders, preemptions bounded by {:?}",
            tried.load(Ordering::Relaxed),
            builder.preemption_bound
        );
    }

    pub(in super::super) type Thread<T> = loom::thread::JoinHandle<T>;

    pub(in super::super) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
        let thread = loom::thread::Builder::new().stack_size(STACK);
        thread.spawn(work).expect("a model has at most five threads, the checker's own included")
    }

    pub(in super::super) use loom::{future::block_on, sync::Condvar};
}

#[cfg(all(shuttle, not(loom)))]
mod run {
    use shuttle::{
        Config, Runner,
        scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
    };
    use std::env;

    /// Orders tried by each scheduler.
    const ORDERS: usize = 1_000;

    /// At how many places PCT takes the lead from a thread.
    const DEPTH: usize = 3;

    const STACK_BYTES: usize = 1 << 18;

    /// Not of the host's choosing: a failure here is a failure everywhere.
    const SEED: u64 = 0x7165_7267_6174_6531;

    pub(in super::super) fn run(model: fn()) {
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        if let Ok(schedule) = env::var("SHUTTLE_REPLAY") {
            Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(model);
            return;
        }
        let orders = env::var("SHUTTLE_ORDERS").map_or(ORDERS, |orders| orders.parse().expect("a number"));
        Runner::new(RandomScheduler::new_from_seed(SEED, orders), config.clone()).run(model);
        Runner::new(PctScheduler::new_from_seed(SEED, DEPTH, orders), config).run(model);
    }

    pub(in super::super) type Thread<T> = shuttle::thread::JoinHandle<T>;

    pub(in super::super) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
        shuttle::thread::spawn(work)
    }

    pub(in super::super) use shuttle::{future::block_on, sync::Condvar};
}

pub(super) use run::{Condvar, Thread, block_on, run, spawn};

pub(super) fn join<T>(thread: Thread<T>) -> T {
    thread.join().unwrap_or_else(|failure| resume_unwind(failure))
}
