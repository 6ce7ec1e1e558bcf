//! The checkers: [`holds`] runs a model under whichever the build is for.

use std::panic::resume_unwind;

/// The model holds in every order that the checker tries.
pub(super) fn holds(model: fn()) {
    #[cfg(any(loom, shuttle))]
    super::planted::plant();
    run(model);
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

#[cfg(not(any(loom, shuttle)))]
mod run {
    /// In whatever order the host brings about.
    const RUNS: usize = 20;

    pub(in super::super) fn run(model: fn()) {
        for _ in 0..RUNS {
            model();
        }
    }

    pub(in super::super) type Thread<T> = std::thread::JoinHandle<T>;

    #[expect(clippy::disallowed_methods, reason = "threads are what the models are about")]
    pub(in super::super) fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
        std::thread::spawn(work)
    }

    pub(in super::super) fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime without I/O needs nothing from the host").block_on(future)
    }

    pub(in super::super) use std::sync::Condvar;
}

pub(super) use run::{Condvar, Thread, block_on, run, spawn};

pub(super) fn join<T>(thread: Thread<T>) -> T {
    thread.join().unwrap_or_else(|failure| resume_unwind(failure))
}
