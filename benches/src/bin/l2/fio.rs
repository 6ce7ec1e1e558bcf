//! The same reads and writes by fio, which does nothing else with the bytes.

use crate::clock;
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What fio is to do.
pub(crate) struct Job<'j> {
    pub(crate) file: &'j Path,
    pub(crate) engine: &'j str,
    pub(crate) block_bytes: u64,
    /// Threads, or with io_uring operations under way.
    pub(crate) parallel: u32,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// Random reads of what lies between, for so long. The page cache is left as it is.
    Read { offset: u64, size: u64, seconds: u32 },
    /// A file of this size from begin to end, and a sync.
    Write { size: u64 },
}

/// What it did.
pub(crate) struct Told {
    pub(crate) bytes: u64,
    /// On the clock.
    pub(crate) seconds: f64,
}

/// Time on processors of every fio that has ended.
pub(crate) fn cpu_seconds() -> Result<f64, String> {
    clock::seconds(15)
}

/// Runs it to its end.
pub(crate) fn run(job: &Job<'_>) -> Result<Told, String> {
    let mut command = Command::new("fio");
    let (threads, depth) = if job.engine == "io_uring" { (1, job.parallel) } else { (job.parallel, 1) };
    command
        .args(["--name=bench", "--output-format=json", "--thread", "--group_reporting", "--fadvise_hint=0"])
        .arg(format!("--filename={}", job.file.display()))
        .arg(format!("--ioengine={}", job.engine))
        .arg(format!("--bs={}", job.block_bytes))
        .args([format!("--numjobs={threads}"), format!("--iodepth={depth}")])
        .stderr(Stdio::inherit());
    let kind = match job.work {
        Work::Read { offset, size, seconds } => {
            command
                .args(["--rw=randread", "--readonly", "--invalidate=0", "--norandommap", "--time_based"])
                .args([
                    format!("--offset={offset}"),
                    format!("--size={size}"),
                    format!("--runtime={seconds}"),
                ]);
            "read"
        }
        Work::Write { size } => {
            command.args(["--rw=write", "--end_fsync=1"]).arg(format!("--size={size}"));
            "write"
        }
    };
    let done = command.output().map_err(|error| format!("fio cannot be run: {error}; scripts/need fio"))?;
    if !done.status.success() {
        return Err(format!("fio failed: {}{}", done.status, String::from_utf8_lossy(&done.stdout)));
    }
    // Before the JSON, fio may say something about the file.
    let text = String::from_utf8_lossy(&done.stdout);
    let json = text.find('{').map_or("", |begin| &text[begin..]);
    let told: Value = serde_json::from_str(json).map_err(|error| format!("fio's JSON: {error}"))?;
    let told = &told["jobs"][0][kind];
    match (told["io_bytes"].as_u64(), told["runtime"].as_u64()) {
        (Some(bytes), Some(ms @ 1..)) => Ok(Told { bytes, seconds: ms as f64 / 1e3 }),
        (Some(_) | None, Some(_) | None) => Err(format!("fio's JSON does not say what it did: {told}")),
    }
}
