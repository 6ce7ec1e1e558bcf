//! What threads share memory through. In production that is a mutex of `std` and the channels of tokio; under a model
//! checker it is the checker's mutex, and [`channels`] built on it, so that the checker sees every step.
//!
//! The driver names no other primitive: whatever threads of it share is checked by `models`.

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

/// Did somebody panic while they held this lock?
#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) fn is_poisoned<T>(mutex: &Mutex<T>) -> bool {
    mutex.is_poisoned()
}

/// The checkers' mutexes know of no poison: there a panic ends the run, and what is dropped on the way out touches nothing.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn is_poisoned<T>(_: &Mutex<T>) -> bool {
    std::thread::panicking()
}
