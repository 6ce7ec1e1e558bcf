//! Replay: a recorded trace or an access log through the real engine, and what it would have cost the origin.
//!
//! Start at [`drive`]. Time is the trace's; heads cost nothing, as in every trace simulator, so that numbers
//! compare.

mod drive;
mod few;
#[cfg(test)]
mod fuzz;
mod progress;
mod report;
mod settings;
mod stores;
mod sweep;
mod totals;
mod trace;

pub use drive::Replay;
pub use settings::{Below, Disk};
pub use totals::{Count, TierTotals, Totals};
pub use trace::{Columns, Format, LeftOut, Reading, Request, Trace, TraceError};

use progress::Progress;
use settings::{Capacity, L2Counts, Settings, Switch, parse_capacity};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};
use sweep::SweepArgs;
use tiergate_engine::{ByteCount, Config, Eviction, Objective};

/// `tiergate-sim replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tiergate-sim replay access.log.gz --config tiergate.yaml
  tiergate-sim replay requests.csv --columns time=at,key=url,size=length --l0 1GiB --l2 100GiB
  tiergate-sim replay trace.oracleGeneral.zst --l0 256MiB --l0-policy lru --json
  tiergate-sim replay access.log.gz --sweep l0 --policies lru,ghost_gdsf --capacities 64MiB,256MiB,1GiB
What is counted, and what is not: docs/replay.md.")]
pub struct ReplayArgs {
    /// A trace (oracleGeneral), a table (CSV) or an access log (combined, JSON lines); plain, gzip or zstd.
    file: PathBuf,
    /// How to read the file. Default: as its name or its first line says.
    #[arg(long)]
    format: Option<Format>,
    /// Which columns of CSV, or fields of JSON, hold what: time=NAME,key=NAME,size=NAME, and host, method,
    /// status, request. Numbers count columns of a CSV file without a line of names. Default: names that are
    /// in common use.
    #[arg(long, value_name = "COLUMN=NAME,...")]
    columns: Option<Columns>,
    /// How many of a hundred lines may be malformed.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = parse_percent)]
    malformed_max: f64,
    /// Take the cache section of this configuration file; the options below change it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What L0 holds at most, or `off`. Default: 256MiB.
    #[arg(long, value_name = "CAPACITY", value_parser = parse_capacity)]
    l0: Option<Capacity>,
    /// Who leaves L0, by the name of a policy. Default: ghost_gdsf.
    #[arg(long, value_name = "POLICY", value_parser = Eviction::parse)]
    l0_policy: Option<Eviction>,
    /// What evictions from L0 are to spare: requests or bytes. Default: requests.
    #[arg(long, value_name = "OBJECTIVE", value_parser = Objective::parse)]
    l0_objective: Option<Objective>,
    /// The largest body that L0 admits. Default: 2MiB.
    #[arg(long, value_name = "SIZE", value_parser = ByteCount::parse)]
    l0_gate: Option<ByteCount>,
    /// What the store behind L1 holds at most, or `off`; who was used least recently leaves it. Default: off.
    #[arg(long, value_name = "CAPACITY", value_parser = parse_capacity)]
    l1: Option<Capacity>,
    /// The largest body that L1 admits. Default: 64MiB.
    #[arg(long, value_name = "SIZE", value_parser = ByteCount::parse)]
    l1_gate: Option<ByteCount>,
    /// What the disk of L2 holds at most, or `off`; its log decides who leaves it. Default: off.
    #[arg(long, value_name = "CAPACITY", value_parser = parse_capacity)]
    l2: Option<Capacity>,
    /// What L2's capacity counts. Default: device.
    #[arg(long, value_name = "WHAT")]
    l2_counts: Option<L2Counts>,
    /// Once chose who leaves L2.
    #[arg(long, hide = true)]
    l2_policy: Option<String>,
    /// Once said what evictions from L2 are to spare.
    #[arg(long, hide = true)]
    l2_objective: Option<String>,
    /// The largest body that L2 admits. Default: unlimited.
    #[arg(long, value_name = "SIZE", value_parser = ByteCount::parse)]
    l2_gate: Option<ByteCount>,
    /// Whether there is an L3, which keeps everything. Default: off.
    #[arg(long, value_name = "SWITCH")]
    l3: Option<Switch>,
    #[command(flatten)]
    sweep: SweepArgs,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "it must be a number from 0 to 100".to_owned())
}

/// What a replay found.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What became of the requests.
    pub totals: Totals,
    /// How the file was read.
    pub format: Format,
    /// What of it was no request to replay.
    pub left_out: LeftOut,
}

/// Replays a trace and prints the result. 0: done, 2: the trace or the configuration is wrong.
#[expect(
    clippy::disallowed_methods,
    reason = "the speed of a replay is measured, and is no part of its numbers"
)]
pub fn run(args: ReplayArgs) -> ExitCode {
    let began = Instant::now();
    let mut progress = if args.quiet { Progress::hidden() } else { Progress::shown() };
    let result = match args.sweep.sweep {
        Some(swept) => sweep::run(&args, swept, &mut progress),
        None => args.tell_notes().and_then(|()| args.replay(&mut progress)).map(|replayed| {
            if args.json {
                format!("{:#}\n", report::json(&args.file, &replayed, began.elapsed()))
            } else {
                report::table(&args.file, &replayed, began.elapsed())
            }
        }),
    };
    match result {
        Ok(text) => out!("{text}"),
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

impl ReplayArgs {
    /// Replays the file through what the options say.
    fn replay(&self, progress: &mut Progress) -> Result<Replayed, String> {
        let Settings { config, below, .. } = self.settings()?;
        drive_through(&self.file, &self.reading(), Replay::new(config, below), progress)
            .map_err(|wrong| wrong.to_string())
    }

    /// Says what the user should know of the options, unless nothing is to be said.
    fn tell_notes(&self) -> Result<(), String> {
        let Settings { notes, .. } = self.settings()?;
        if !self.quiet {
            notes.iter().for_each(|note| eprintln!("{note}"));
        }
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading {
            format: self.format,
            columns: self.columns.clone().unwrap_or_default(),
            malformed_percent_max: self.malformed_max,
        }
    }
}

/// Replays a whole trace through an empty cache, whose L1 and L2, if it has them, never run full. Heads cost
/// nothing there.
///
/// # Errors
/// The file cannot be read as the trace that it should be.
pub fn replay(file: &Path, reading: &Reading, config: Config) -> Result<Replayed, TraceError> {
    replay_above(file, reading, config, Below::default())
}

/// The same with an L1 and L2 that hold so much.
///
/// # Errors
/// The file cannot be read as the trace that it should be.
pub fn replay_above(
    file: &Path,
    reading: &Reading,
    config: Config,
    below: Below,
) -> Result<Replayed, TraceError> {
    drive_through(file, reading, Replay::new(config, below), &mut Progress::hidden())
}

fn drive_through(
    file: &Path,
    reading: &Reading,
    mut replay: Replay,
    progress: &mut Progress,
) -> Result<Replayed, TraceError> {
    let (format, left_out) = each_request(file, reading, progress, |request| replay.ask(request))?;
    Ok(Replayed { totals: replay.totals(), format, left_out })
}

/// Hands over every request of a file; says how it was read.
fn each_request(
    file: &Path,
    reading: &Reading,
    progress: &mut Progress,
    mut ask: impl FnMut(Request),
) -> Result<(Format, LeftOut), TraceError> {
    let mut trace = Trace::open(file, reading, &progress.bar)?;
    let mut requests = 0;
    for request in trace.by_ref() {
        ask(request?);
        requests += 1;
        progress.on_request(requests);
    }
    progress.bar.finish_and_clear();
    Ok((trace.format(), trace.left_out()))
}
