//! How fast something was, by the clock and by the time on processors, and the table of it.

use std::{fs, time::Instant as Stopwatch};

/// `sysconf(_SC_CLK_TCK)`: the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one round of one of them came to.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) bytes_per_second: f64,
    pub(crate) bytes_per_cpu_second: f64,
}

/// From its beginning to its end.
pub(crate) struct Span {
    began: Stopwatch,
    cpu_seconds: f64,
}

impl Span {
    pub(crate) fn begin() -> Result<Self, String> {
        Ok(Self { cpu_seconds: cpu_seconds()?, began: Stopwatch::now() })
    }

    pub(crate) fn end(self, bytes: u64) -> Result<Rate, String> {
        let (bytes, seconds) = (bytes as f64, self.began.elapsed().as_secs_f64());
        let cpu_seconds = cpu_seconds()? - self.cpu_seconds;
        Ok(Rate { bytes_per_second: bytes / seconds, bytes_per_cpu_second: bytes / cpu_seconds })
    }
}

/// One line of the table: medians, and ratios of the two of one round.
pub(crate) fn show(work: &str, engine: &str, rounds: &[(Rate, Rate)]) {
    let clock = sorted(rounds.iter().map(|(ours, _)| ours.bytes_per_second));
    let cpu = sorted(rounds.iter().map(|(ours, _)| ours.bytes_per_cpu_second));
    let by_clock =
        sorted(rounds.iter().map(|(ours, theirs)| ours.bytes_per_second / theirs.bytes_per_second));
    let by_cpu =
        sorted(rounds.iter().map(|(ours, theirs)| ours.bytes_per_cpu_second / theirs.bytes_per_cpu_second));
    let middle = rounds.len() / 2;
    let range = |sorted: &[f64]| format!("{:.2} to {:.2}", sorted[0], sorted[sorted.len() - 1]);
    println!(
        "| {work} | {engine} | {:.0} | {:.2} ({}) | {:.0} | {:.2} ({}) |",
        clock[middle] / 1e6,
        by_clock[middle],
        range(&by_clock),
        cpu[middle] / 1e6,
        by_cpu[middle],
        range(&by_cpu),
    );
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Time on processors of all threads of this process, in the system as well.
fn cpu_seconds() -> Result<f64, String> {
    seconds(13)
}

/// The sum of a field of `/proc/self/stat` and the next one, counted from 0: user and system time.
pub(crate) fn seconds(field: usize) -> Result<f64, String> {
    let text = fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    // The name, in parentheses, may contain anything.
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let number = |field: usize| after_name.split_whitespace().nth(field - 2)?.parse::<f64>().ok();
    let ticks = number(field).zip(number(field + 1)).map(|(user, system)| user + system);
    ticks.map(|ticks| ticks / TICKS_PER_SECOND).ok_or_else(|| format!("/proc/self/stat: {text}"))
}
