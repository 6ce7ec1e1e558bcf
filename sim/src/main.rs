//! `tiergate-sim`: reads the command line and hands over to the subcommand's module.

use clap::Parser;
use std::process::ExitCode;
use tiergate_sim::args::{Args, Command};

fn main() -> ExitCode {
    match Args::parse().command {
        #[cfg(feature = "front")]
        Command::Run(args) => tiergate_sim::run::run(args),
        Command::Explore(args) => tiergate_sim::explore::run(args),
        Command::Prove(args) => tiergate_sim::explore::prove(args),
        Command::ReplayCase(args) => tiergate_sim::explore::replay_case(args),
        #[cfg(feature = "front")]
        Command::Shrink(args) if args.is_of_scenario() => tiergate_sim::run::shrink_scenario(args),
        Command::Shrink(args) => tiergate_sim::explore::shrink_case(args),
        Command::Replay(args) => tiergate_sim::replay::run(args),
        Command::ReplayInputs(args) => tiergate_sim::replay_inputs::run(args),
    }
}
