//! The log on a disk beside fio: `cargo run --release -p tiergate-benches --bin l2 -- DIRECTORY`.
//!
//! Reads of whole objects that the page cache holds, in random order, and bodies streamed in and made
//! durable; in interleaved rounds with fio, which reads the very same file in blocks of the objects' size,
//! and writes one beside it. Both are timed by the clock and by the time on processors, because on a shared
//! machine the clock says more of others. Nothing here measures HTTP, the driver or the engine.

mod clock;
mod fio;
mod log;

use bytes::Bytes;
use clock::{Rate, Span, show};
use fio::{Job, Work};
use log::Log;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant as Stopwatch,
};
use tiergate_engine::ByteCount;
use tiergate_tiers::{IoChoice, SyncPolicy};

const CAPACITY: ByteCount = ByteCount(4 << 30);
/// Streaming goes round this one more than once, as in a cache that is full.
const CAPACITY_WRITTEN: ByteCount = ByteCount(2 << 30);
/// Objects of each size, so many that they fill this.
const STORED_BYTES: u64 = 512 << 20;
const SIZES: [u64; 3] = [4 << 10, 64 << 10, 1 << 20];
/// What is streamed in a round: bodies of this size, in chunks of that.
const STREAMED_BYTES: u64 = 512 << 20;
const BODY_BYTES: u64 = 64 << 20;
const CHUNK_BYTES: u64 = 256 << 10;
const ROUNDS: usize = 5;
const SECONDS: u32 = 2;
/// Readers at a time. On more, the cores are shared by more.
const PARALLEL: u32 = 2;
const ENGINES: [&str; 2] = ["psync", "io_uring"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, io) = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [directory] => (PathBuf::from(directory), IoChoice::Auto),
        [directory, "pool"] => (PathBuf::from(directory), IoChoice::Pool),
        _ => {
            eprintln!(
                "write a directory to be made, on a disk with 7 GB to spare, and `pool` for threads, not io_uring"
            );
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(PARALLEL as usize)
        .enable_all()
        .build()
        .expect("the system has threads");
    match runtime.block_on(measure(&directory, io)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(directory: &Path, io: IoChoice) -> Result<(), String> {
    fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    println!("| work | fio's engine | MB/s | of fio's | MB in a CPU second | of fio's |");
    println!("|---|---|---|---|---|---|");
    let (log_directory, beside) = (directory.join("read"), directory.join("fio"));
    let log = Arc::new(Log::open(&log_directory, CAPACITY, io, SyncPolicy::OnSeal).await?);
    for size in SIZES {
        let objects = fill(&log, size).await?;
        for engine in ENGINES {
            let file = log_directory.join("log");
            let work = || Work::Read { offset: 0, size: STORED_BYTES, seconds: SECONDS };
            let job = |work| Job { file: &file, engine, block_bytes: size, parallel: PARALLEL, work };
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                let ours = reads(&log, size, objects, round as u64).await?;
                rounds.push((ours, by_fio(&job(work()))?));
            }
            show(&format!("reads of {} KiB", size >> 10), engine, &rounds);
        }
    }
    drop(log);
    let written = directory.join("written");
    let log = Log::open(&written, CAPACITY_WRITTEN, io, SyncPolicy::OnSeal).await?;
    for engine in ENGINES {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let ours = writes(&log, round as u64).await?;
            let work = Work::Write { size: STREAMED_BYTES };
            let job = Job { file: &beside, engine, block_bytes: CHUNK_BYTES, parallel: 1, work };
            rounds.push((ours, by_fio(&job)?));
        }
        show("streaming writes", engine, &rounds);
    }
    drop(log);
    fs::remove_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

/// Stores as many objects of one size as fill [`STORED_BYTES`]; says how many.
async fn fill(log: &Log, size: u64) -> Result<u64, String> {
    let chunk = Bytes::from(vec![7; usize::try_from(size).unwrap_or(usize::MAX)]);
    let objects = STORED_BYTES / size;
    for number in 0..objects {
        log.store(number_of(size, number), size, &chunk).await?;
    }
    log.sync().await?;
    Ok(objects)
}

/// One number for each object of each size.
const fn number_of(size: u64, number: u64) -> u64 {
    size << 32 | number
}

/// Whole objects in random order, for a while.
async fn reads(log: &Arc<Log>, size: u64, objects: u64, round: u64) -> Result<Rate, String> {
    let (span, began) = (Span::begin()?, Stopwatch::now());
    let readers: Vec<_> = (0..u64::from(PARALLEL))
        .map(|reader| {
            let log = Arc::clone(log);
            tokio::spawn(async move {
                let mut chance = (round << 8 | reader).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut bytes = 0;
                while began.elapsed().as_secs() < u64::from(SECONDS) {
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    let number = number_of(size, chance % objects);
                    let length = log.read(number).await?;
                    bytes += length.ok_or_else(|| format!("object {number:x} is not there any more"))?;
                }
                Ok::<u64, String>(bytes)
            })
        })
        .collect();
    let mut bytes = 0;
    for reader in readers {
        bytes += reader.await.map_err(|error| error.to_string())??;
    }
    span.end(bytes)
}

/// Bodies one after the other, and a sync.
async fn writes(log: &Log, round: u64) -> Result<Rate, String> {
    let chunk = Bytes::from(vec![7; usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX)]);
    let span = Span::begin()?;
    for number in 0..STREAMED_BYTES / BODY_BYTES {
        log.store(round << 16 | number, BODY_BYTES, &chunk).await?;
    }
    log.sync().await?;
    span.end(STREAMED_BYTES)
}

fn by_fio(job: &Job<'_>) -> Result<Rate, String> {
    let cpu = fio::cpu_seconds()?;
    let told = fio::run(job)?;
    Ok(Rate {
        bytes_per_second: told.bytes as f64 / told.seconds,
        bytes_per_cpu_second: told.bytes as f64 / (fio::cpu_seconds()? - cpu),
    })
}
