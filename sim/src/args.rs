//! The command line of `tiergate-sim`. Exit codes: 0 all is well, 1 a rule was broken, 2 the input was
//! bad, 3 what was run proves nothing.

#[cfg(feature = "front")]
use crate::run::RunArgs;
use crate::{
    explore::{ExploreArgs, ProveArgs, ReplayCaseArgs, ShrinkArgs},
    replay::ReplayArgs,
    replay_inputs::ReplayInputsArgs,
};
use clap::{Parser, Subcommand};

/// Failure scenarios, exploration and trace replay for Tiergate.
#[derive(Debug, Parser)]
#[command(name = "tiergate-sim", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lives scenarios on a simulated network, many seeds of each, with every rule watching.
    #[cfg(feature = "front")]
    Run(RunArgs),
    /// Drives the same engine without a network: far more histories in the same time.
    Explore(ExploreArgs),
    /// Plants each known fault in turn and reports which rule caught it.
    Prove(ProveArgs),
    /// Replays a failure that `explore` or `prove` kept, to the byte.
    ReplayCase(ReplayCaseArgs),
    /// Makes a kept failure, or a failing seed of a scenario, small: fewer requests, fewer faults, smaller
    /// numbers, the same broken rule.
    Shrink(ShrinkArgs),
    /// Replays a recorded trace through a configuration.
    Replay(ReplayArgs),
    /// Lives again what the proxy recorded of one shard, and says whether it decides the same.
    ReplayInputs(ReplayInputsArgs),
}
