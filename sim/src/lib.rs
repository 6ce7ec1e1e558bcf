//! Failure scenarios, exploration and trace replay: the same engine and driver as in production, in imitated
//! worlds.
//!
//! Each subcommand of `tiergate-sim` is a module with its arguments and one function. Start at `run`, which
//! lives scenarios on a simulated network.

#[macro_use]
mod output;

pub mod args;
pub mod disk;
pub mod explore;
mod judging;
pub mod replay;
pub mod replay_inputs;
#[cfg(feature = "front")]
pub mod run;
mod telling;
#[cfg(feature = "front")]
mod timeline;
#[cfg(feature = "front")]
mod world;
