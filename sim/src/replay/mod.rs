//! Replay: a recorded trace through the real engine, and what it would have cost the origin.
//!
//! Start at [`drive`]. Time is the trace's; heads cost nothing, as in every trace simulator, so that numbers compare.

mod drive;
#[cfg(test)]
mod fuzz;
mod trace;

pub use drive::{Count, Replay, Totals};
pub use trace::{Request, Trace, TraceError};

use drive::ratio;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use tiergate_engine::{ByteCount, Config, Eviction, RawConfig, RawDiskTier, RawMemoryTier, TierId};

/// How often the progress bar is drawn at most, in times a second.
const DRAWS_PER_SECOND: u8 = 10;

/// `tiergate-sim replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// A trace in the oracleGeneral format, plain or compressed with zstd.
    file: PathBuf,
    /// Take the cache section of this configuration file; the options below change it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What L0 holds at most, or `off`. Default: 256MiB.
    #[arg(long, value_parser = parse_capacity)]
    l0: Option<Capacity>,
    /// Who leaves L0, by the name of a policy. Default: ghost_gdsf, to spare requests.
    #[arg(long, value_parser = Eviction::parse)]
    l0_policy: Option<Eviction>,
    /// The largest body that L0 admits. Default: 2MiB.
    #[arg(long, value_parser = ByteCount::parse)]
    l0_gate: Option<ByteCount>,
    /// What L2 holds at most, or `off`. Default: off.
    #[arg(long, value_parser = parse_capacity)]
    l2: Option<Capacity>,
    /// Who leaves L2, by the name of a policy. Default: ghost_gdsf, to spare bytes.
    #[arg(long, value_parser = Eviction::parse)]
    l2_policy: Option<Eviction>,
    /// The largest body that L2 admits. Default: unlimited.
    #[arg(long, value_parser = ByteCount::parse)]
    l2_gate: Option<ByteCount>,
}

/// What a tier holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capacity {
    Off,
    Bytes(ByteCount),
}

/// The one section of a configuration that a replay needs; `tiergate check` checks the others.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    cache: RawConfig,
}

fn parse_capacity(text: &str) -> Result<Capacity, String> {
    if text == "off" {
        return Ok(Capacity::Off);
    }
    ByteCount::parse(text).map(Capacity::Bytes).map_err(|wrong| format!("{wrong}, or `off`"))
}

/// Replays a trace and prints a table. 0: done, 2: the trace or the configuration is wrong.
#[expect(
    clippy::disallowed_methods,
    reason = "the speed of a replay is measured, and is no part of its numbers"
)]
pub fn run(args: ReplayArgs) -> ExitCode {
    let began = Instant::now();
    match config_of(&args).and_then(|config| replay(&args.file, config).map_err(|wrong| wrong.to_string())) {
        Ok(totals) => {
            print!("{}", table(&args.file, &totals, began.elapsed()));
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(2)
        }
    }
}

/// Replays a whole trace through an empty cache. Heads cost nothing there.
///
/// # Errors
/// The file is not a trace.
pub fn replay(file: &Path, config: Config) -> Result<Totals, TraceError> {
    let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
    let style = "{bar:40} {bytes}/{total_bytes} of the trace, {eta} left";
    progress.set_style(ProgressStyle::with_template(style).expect("the template above is well formed"));
    let trace = Trace::open(file, &progress)?;
    let mut replay = Replay::new(config.without_head_cost());
    for request in trace {
        replay.ask(request?);
    }
    progress.finish_and_clear();
    Ok(replay.totals().clone())
}

fn config_of(args: &ReplayArgs) -> Result<Config, String> {
    let mut raw = match &args.config {
        None => RawConfig::default(),
        Some(path) => {
            let named = |wrong: String| format!("{}: {wrong}", path.display());
            let text = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
            let file: ConfigFile = serde_saphyr::from_str(&text).map_err(|error| named(error.to_string()))?;
            file.cache
        }
    };
    if raw.l1.take().is_some() {
        eprintln!("l1 is left out: its store decides for itself what it keeps, so no replay can know");
    }
    if raw.l3.take().is_some() {
        eprintln!("l3 is left out: a replay has no durable store");
    }
    match args.l0 {
        Some(Capacity::Off) => raw.l0 = None,
        Some(Capacity::Bytes(capacity)) => {
            raw.l0.get_or_insert_with(RawMemoryTier::default).capacity = capacity
        }
        None => {}
    }
    match args.l2 {
        Some(Capacity::Off) => raw.l2 = None,
        Some(Capacity::Bytes(capacity)) => {
            raw.l2.get_or_insert_with(RawDiskTier::default).capacity = capacity
        }
        None => {}
    }
    let absent = |option: &str, tier: &str| {
        format!("`{option}` needs {tier}, which is off: give `--{tier}` a capacity")
    };
    match &mut raw.l0 {
        Some(l0) => {
            l0.eviction.policy = args.l0_policy.unwrap_or(l0.eviction.policy);
            l0.gate = args.l0_gate.unwrap_or(l0.gate);
        }
        None if args.l0_policy.is_some() => return Err(absent("--l0-policy", "l0")),
        None if args.l0_gate.is_some() => return Err(absent("--l0-gate", "l0")),
        None => {}
    }
    match &mut raw.l2 {
        Some(l2) => {
            l2.eviction.policy = args.l2_policy.unwrap_or(l2.eviction.policy);
            l2.gate = args.l2_gate.unwrap_or(l2.gate);
        }
        None if args.l2_policy.is_some() => return Err(absent("--l2-policy", "l2")),
        None if args.l2_gate.is_some() => return Err(absent("--l2-gate", "l2")),
        None => {}
    }
    Config::try_from(raw).map_err(|wrong| wrong.to_string())
}

fn table(file: &Path, totals: &Totals, took: Duration) -> String {
    let asked = totals.asked;
    let row = |name: &str, count: Count| {
        format!(
            "{name:<8} {:>12} {:>10.4} {:>18} {:>10.4}\n",
            count.requests,
            ratio(count.requests, asked.requests),
            count.bytes,
            ratio(count.bytes, asked.bytes)
        )
    };
    let mut text = format!(
        "{}: {} requests for {} bytes in {} s\n{:<8} {:>12} {:>10} {:>18} {:>10}\n",
        file.display(),
        asked.requests,
        asked.bytes,
        totals.span_s,
        "",
        "requests",
        "ratio",
        "bytes",
        "ratio"
    );
    for tier in [TierId::L0, TierId::L1, TierId::L2, TierId::L3] {
        if let Some(hits) = totals.hits.get(&tier) {
            text += &row(&format!("{} hits", tier.as_str()), *hits);
        }
    }
    text += &row("misses", totals.origin);
    for (tier, evictions) in &totals.evictions {
        text += &format!("{} evicted {evictions} objects\n", tier.as_str());
    }
    let speed = asked.requests as f64 / took.as_secs_f64().max(1e-9);
    text += &format!("{speed:.0} requests replayed per second\n");
    text
}
