//! What L0 costs: `cargo run --release -p tiergate-benches`, and `-- memory OBJECTS`.
//!
//! The first prints a table of times: a fresh hit through the fast path beside the same lookup in `moka` and
//! `quick_cache`, and a whole miss, from the request to the stored object. All run in one process and
//! interleaved, and count time on a processor, because on a shared machine only ratios mean anything. The
//! second says how much memory L0 takes for each object. Nothing here measures HTTP, the driver or other
//! tiers.

mod clock;
mod engine;
mod hits;
mod memory;
mod zipf;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // `cargo test --benches` and the like pass options of their own.
        [] | ["--bench"] => {
            hits::measure();
            engine::measure_misses();
            ExitCode::SUCCESS
        }
        ["memory", objects] => match objects.parse() {
            Ok(objects @ 1..=100_000_000) => memory::measure(objects),
            Ok(_) | Err(_) => {
                eprintln!("`{objects}` is no number of objects: write 1 to 100000000");
                ExitCode::from(2)
            }
        },
        _ => {
            eprintln!("write nothing for times, or: memory OBJECTS");
            ExitCode::from(2)
        }
    }
}
