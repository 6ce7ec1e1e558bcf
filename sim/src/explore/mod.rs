//! Explore: the engine in a world without a network, as many histories as the time allows.
//!
//! Each seed draws its own configuration, workload and faults ([`world::plan`]), runs through faults, heals,
//! and must come to an end; every rule watches every fact. A broken rule is printed with the command that
//! shows it again. Start at [`world`]. No socket, no task and no wall clock takes part, so a seed is the
//! whole of a run.

mod campaign;
mod case;
mod checks;
mod telling;
mod world;

pub use campaign::prove::{ProveArgs, prove};
pub use campaign::run::{Drain, Failure, Passed, Run, Watch, run_seed};
pub use case::cases::{ReplayCaseArgs, ShrinkArgs, replay_case, shrink_case};
pub use case::shrink::{Budget, Progress, Shrunk, shrink};
pub use case::{Case, CaseError, Divergence};
pub use world::profile::{Disabled, Profile};

pub(crate) use campaign::cpu_time;
use campaign::speed::Speed;
use campaign::{Campaign, Limits};
use std::{path::PathBuf, process::ExitCode, time::Duration};
use world::plan::Shape;

/// `tiergate-sim explore`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExploreArgs {
    /// How many seeds to run, one after the other. Without this and `--minutes`: 1000.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stop after this many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Requests for each seed.
    #[arg(long, default_value_t = 200)]
    requests: u32,
    /// How many of the last facts a failure shows.
    #[arg(long, default_value_t = 60)]
    facts: usize,
    /// Do not stop at the first failure; print one line for each.
    #[arg(long)]
    keep_going: bool,
    /// Print the digest of each seed's history.
    #[arg(long)]
    digests: bool,
    /// Print how often each mark fired.
    #[arg(long)]
    marks: bool,
    /// Only seeds whose workload is of this shape.
    #[arg(long)]
    shape: Option<Shape>,
    /// Tell how fast the seeds run, with every rule watching and with none.
    #[arg(long, conflicts_with_all = ["minutes", "digests"])]
    speed: bool,
    /// Where the first failure goes as a case, to replay and to shrink.
    #[arg(long, value_name = "FILE", default_value = "tiergate-case.json")]
    case: PathBuf,
}

/// Runs seeds until one fails, all are done, or the time is over. 0: all passed, 1: a rule was broken, or
/// what should have been tested was not.
pub fn run(args: ExploreArgs) -> ExitCode {
    let limits = Limits {
        first: args.seed,
        seeds: match (args.seeds, args.minutes) {
            (Some(seeds), _) => seeds,
            (None, Some(_)) => u64::MAX,
            (None, None) => 1_000,
        },
        time: args.minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        shape: args.shape,
        run: Run { facts_kept: args.facts, digest: args.digests, ..Run::of(args.requests) },
    };
    if args.speed {
        return tell_speed(limits.seeds_from_first(), limits.run);
    }
    let mut campaign = Campaign::new(limits);
    let on_passed = |seed: u64, passed: &Passed| {
        if let Some(digest) = passed.digest {
            outln!("seed {seed} digest {digest:016x}");
        }
    };
    let mut failed = false;
    while let Some(failure) = campaign.run(on_passed) {
        if !std::mem::replace(&mut failed, true) {
            case::cases::keep(&args.case, &failure);
        }
        if !args.keep_going {
            out!("{}", campaign.report(args.marks));
            outln!("{failure}");
            return ExitCode::FAILURE;
        }
        outln!("seed {} broke {}", failure.seed, failure.violation);
    }
    out!("{}", campaign.report(args.marks));
    for hole in campaign.holes() {
        failed = true;
        outln!("VACUOUS {hole}: nothing was proved about it");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn tell_speed(seeds: impl Iterator<Item = u64>, run: Run) -> ExitCode {
    match Speed::of(seeds, run) {
        Ok(speed) => {
            outln!("{speed}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}
