//! The driver under model checkers: its own code, on a world of a few lines, with every order in which threads can meet.
//!
//! ```text
//! RUSTFLAGS="--cfg loom"    cargo test -p tiergate-driver --release --lib models     every order
//! RUSTFLAGS="--cfg shuttle" cargo test -p tiergate-driver --release --lib models     many, by chance, also of eight threads
//! ```
//!
//! loom goes through all orders, or through those with at most `LOOM_MAX_PREEMPTIONS` preemptions; `LOOM_LOG=info` says how
//! many. shuttle draws orders from a seed and prints a failing one, which `SHUTTLE_REPLAY` runs again. Each model is shown
//! to be able to fail: it finds a [`Fault`] that was planted in the driver.

mod checker;
mod clients;
mod crew;
#[cfg(shuttle)]
mod eight;
mod handover;
mod lanes;
mod resident;
mod timer;
mod world;

pub(crate) use checker::is_planted;
