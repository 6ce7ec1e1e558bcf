//! What threads share memory through. In production that is a mutex of `std` and the channels of tokio; under
//! a model checker it is the checker's mutex, and [`channels`] built on it, so that the checker sees every
//! step.
//!
//! The driver names no other primitive: whatever threads of it share is checked by `models`.

use std::cell::Cell;

#[cfg(all(test, any(loom, shuttle)))]
mod channels;

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use channels::{mpsc, oneshot, watch};
#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(all(test, shuttle, not(loom)))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use tokio::sync::{mpsc, oneshot, watch};

#[cfg(all(test, loom))]
loom::thread_local! { static NESTED: Cell<u32> = Cell::new(0); }
#[cfg(all(test, shuttle, not(loom)))]
shuttle::thread_local! { static NESTED: Cell<u32> = Cell::new(0); }
#[cfg(not(all(test, any(loom, shuttle))))]
thread_local! { static NESTED: Cell<u32> = const { Cell::new(0) }; }

/// Runs `work`, which does not unwind; unless it would be the `max`th but one that this thread runs within
/// one another.
pub(crate) fn nested<R>(max: u32, work: impl FnOnce() -> R) -> Option<R> {
    let outside = NESTED.with(Cell::get);
    if outside >= max {
        return None;
    }
    NESTED.with(|nested| nested.set(outside + 1));
    let result = work();
    NESTED.with(|nested| nested.set(outside));
    Some(result)
}

/// Runs `work`; nothing comes back when it panics.
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) fn contained<R>(work: impl FnOnce() -> R) -> Option<R> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
}

/// There a panic is what the checker looks for.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn contained<R>(work: impl FnOnce() -> R) -> Option<R> {
    Some(work())
}

/// Did somebody panic while they held this lock?
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) fn is_poisoned<T>(mutex: &Mutex<T>) -> bool {
    mutex.is_poisoned()
}

/// The checkers' mutexes know of no poison: there a panic ends the run, and what is dropped on the way out
/// touches nothing.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn is_poisoned<T>(_: &Mutex<T>) -> bool {
    std::thread::panicking()
}
