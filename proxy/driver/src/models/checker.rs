//! The checkers: [`holds`] runs a model under whichever the build is for, and [`holds_in_every_order`] one
//! that is small enough for all of its orders.

use std::panic::resume_unwind;

/// How many of a model's orders loom tries. The other checkers try as many as they were told, of every model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orders {
    /// Those with at most `LOOM_MAX_PREEMPTIONS` preemptions.
    Bounded,
    /// Every one, whatever the environment says.
    All,
}

/// The model holds in every order that the checker tries.
pub(super) fn holds(model: fn()) {
    check(model, Orders::Bounded);
}

/// The same, and under loom that is every order there is.
pub(super) fn holds_in_every_order(model: fn()) {
    check(model, Orders::All);
}

fn check(model: fn(), orders: Orders) {
    #[cfg(any(loom, shuttle))]
    super::planted::plant();
    run(model, orders);
}

#[cfg(loom)]
mod run {
    use super::Orders;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    /// In words. loom's own are too small for an engine.
    const STACK: usize = 1 << 15;

    /// Turns at which threads can meet, in one order.
    const BRANCHES_MAX: usize = 20_000;

    pub(super) fn run(model: fn(), orders: Orders) {
        // Its bound is what `LOOM_MAX_PREEMPTIONS` says, if anything.
        let mut builder = loom::model::Builder::new();
        builder.max_branches = BRANCHES_MAX;
        if orders == Orders::All {
            builder.preemption_bound = None;
        }
        let tried = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&tried);
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            super::join(spawn(model));
        });
        let tried = tried.load(Ordering::Relaxed);
        match builder.preemption_bound {
            Some(bound) => println!("{tried} orders: those with at most {bound} preemptions"),
            None => println!("{tried} orders: every one"),
        }
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
    use super::Orders;
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

    pub(super) fn run(model: fn(), _: Orders) {
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

    pub(super) fn run(model: fn(), _: super::Orders) {
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

use run::run;
pub(super) use run::{Condvar, Thread, block_on, spawn};

pub(super) fn join<T>(thread: Thread<T>) -> T {
    thread.join().unwrap_or_else(|failure| resume_unwind(failure))
}
