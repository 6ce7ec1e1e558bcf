//! The `tiergate` program. Everything is in the library, where tests can reach it.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    tiergate_proxy::run(tiergate_proxy::args::Arguments::parse())
}
