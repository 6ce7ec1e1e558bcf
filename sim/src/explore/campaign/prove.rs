//! Prove: plants each fault that the engine knows, and its store, and sees which rule catches it, and how
//! soon.
//!
//! A net is worth what it has caught. The canary comes last: without a planted fault as many seeds break
//! nothing, so that what was caught was the fault.

use crate::disk;
use crate::explore::{
    campaign::run::{Failure, Run},
    campaign::{Campaign, Limits},
    case::cases,
};
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tiergate_engine::{Fault, store::StoreFault};

/// `tiergate-sim prove`.
#[derive(Clone, Debug, clap::Args)]
pub struct ProveArgs {
    /// Only this fault, by its row in docs/failures.md.
    #[arg(long)]
    plant: Option<String>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A fault that survives this many seeds is uncaught.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Requests for each seed.
    #[arg(long, default_value_t = 200)]
    requests: u32,
    /// Print the whole failure by which each fault was caught.
    #[arg(long)]
    show: bool,
    /// Where the failure goes as a case, to replay and to shrink.
    #[arg(long, value_name = "FILE", requires = "plant")]
    case: Option<PathBuf>,
}

/// Plants faults. 0: each was caught and the canary passed, 1: not so, 2: this build cannot plant any.
pub fn prove(args: ProveArgs) -> ExitCode {
    if cfg!(not(feature = "plant")) {
        eprintln!(
            "this build cannot plant faults; build with: cargo run --release -p tiergate-sim --features plant -- prove"
        );
        return ExitCode::from(2);
    }
    let faults: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| args.plant.as_deref().is_none_or(|name| name == fault.as_str()))
        .collect();
    let of_store: Vec<StoreFault> = StoreFault::ALL
        .iter()
        .copied()
        .filter(|fault| args.plant.as_deref().is_none_or(|name| name == fault.as_str()))
        .collect();
    let of_wire = of_wire();
    let is_of_wire = args.plant.as_deref().is_none_or(|name| of_wire.contains(&name));
    if faults.is_empty() && of_store.is_empty() && !is_of_wire {
        let of_store = StoreFault::ALL.iter().map(|fault| fault.as_str());
        let known: Vec<_> =
            Fault::ALL.map(Fault::as_str).into_iter().chain(of_store).chain(of_wire).collect();
        let known = known.join(", ");
        eprintln!("`--plant` is {:?}, but must be one of {known}", args.plant.unwrap_or_default());
        return ExitCode::from(2);
    }
    // A planted fault often breaks an assertion of the engine. That is a catch, not a crash of ours.
    std::panic::set_hook(Box::new(|_| {}));
    let mut seeds_needed = 1;
    let mut caught = 0;
    let (mut seeds, mut cpu) = (0, Duration::ZERO);
    for fault in &faults {
        let (done, spent, failure) = hunt(&args, args.seeds, Some(*fault));
        seeds_needed = seeds_needed.max(done);
        (seeds, cpu) = (seeds + done, cpu + spent);
        match failure {
            Some(failure) => {
                caught += 1;
                show(&args, *fault, done, spent, &failure);
                if let Some(file) = &args.case {
                    cases::keep(file, &failure);
                }
            }
            None => outln!("{:<4} UNCAUGHT after {done} seeds: {}", fault.as_str(), fault.describe()),
        }
    }
    if !faults.is_empty() {
        outln!("{caught} of {} caught, {seeds} seeds, {:.2} CPU-s", faults.len(), cpu.as_secs_f64());
    }
    let (of_store_uncaught, of_store_cpu) = disk::prove::prove(&of_store);
    cpu += of_store_cpu;
    let mut holes = faults.len() - caught + of_store_uncaught + prove_wire(args.plant.as_deref());
    if faults.is_empty() {
        return if holes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (done, spent, failure) = hunt(&args, seeds_needed, None);
    match failure {
        None => outln!("none passed {done} seeds, {:.2} CPU-s", spent.as_secs_f64()),
        Some(failure) => {
            holes += 1;
            outln!("none, and yet:\n{failure}");
        }
    }
    outln!("{:.2} CPU-s in all", (cpu + spent).as_secs_f64());
    if holes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The faults of the wire, where this build has an edge that they can be planted in.
fn of_wire() -> Vec<&'static str> {
    #[cfg(feature = "front")]
    return crate::world::WireFault::ALL.map(crate::world::WireFault::as_str).to_vec();
    #[cfg(not(feature = "front"))]
    Vec::new()
}

/// How many of them nothing caught.
fn prove_wire(only: Option<&str>) -> usize {
    #[cfg(feature = "front")]
    {
        let (planted, uncaught) = crate::run::prove::prove(only);
        if planted > 0 {
            outln!("{} of {planted} of the wire caught", planted - uncaught);
        }
        uncaught
    }
    #[cfg(not(feature = "front"))]
    {
        let _ = only;
        0
    }
}

fn hunt(args: &ProveArgs, seeds: u64, fault: Option<Fault>) -> (u64, Duration, Option<Box<Failure>>) {
    let limits = Limits {
        first: args.seed,
        seeds,
        time: None,
        shape: None,
        run: Run { fault, ..Run::of(args.requests) },
    };
    let mut campaign = Campaign::new(limits);
    let failure = campaign.run(|_, _| {});
    (campaign.done, campaign.spent, failure)
}

fn show(args: &ProveArgs, fault: Fault, done: u64, spent: Duration, failure: &Failure) {
    outln!(
        "{:<4} caught by {:<5} at seed {:<4} after {done} seeds and {:.3} CPU-s: {}",
        fault.as_str(),
        failure.violation.rule,
        failure.seed,
        spent.as_secs_f64(),
        fault.describe(),
    );
    if args.show {
        outln!("{failure}\n");
    }
}
