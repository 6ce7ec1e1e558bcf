//! The `tiergate` program. Everything is in the library, where tests can reach it.

use clap::Parser;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// A hit from L2 makes about 80 allocations, and bodies end on other threads than they began on: here both
/// cost less than in the C library, and the process stays smaller.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    tiergate_proxy::run(tiergate_proxy::args::Arguments::parse())
}
