//! The driver under model checkers: its own code, on a world of a few lines, with every order in which
//! threads can meet.
//!
//! ```text
//! scripts/loom        every order
//! scripts/shuttle     many, by chance, also of eight threads
//! ```
//!
//! loom goes through all orders with at most `LOOM_MAX_PREEMPTIONS` preemptions, or through every order there
//! is where a model is small enough (`exhaustive`), and says how many there were. shuttle draws orders from a
//! seed and prints a failing one, which `SHUTTLE_REPLAY` runs again. Each model is shown to be able to fail:
//! it finds a [`Fault`](crate::plant::Fault) that was planted in the driver. In a plain build the models run
//! on real threads a few times: too few to find much, enough to keep them in step with the driver.
//!
//! In every order the rules of `tiergate-invariants` watch what the engines tell ([`world::Rules`]).

mod checker;
mod clients;
#[cfg(not(loom))]
mod eight;
mod executor;
mod exhaustive;
mod feed;
mod handover;
mod lanes;
#[cfg(any(loom, shuttle))]
mod planted;
mod resident;
mod timer;
mod world;

#[cfg(any(loom, shuttle))]
pub(crate) use planted::is_planted;
