//! Small objects on a disk, by the log and by foyer's block engine:
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- DIRECTORY`.
//!
//! Both keep 2 GiB in one file through the page cache and hold nothing in memory, so that every read is one
//! of the disk engine. Rounds are interleaved, and timed by the clock and by the time on processors. Writes
//! end when all that was stored can be read; nobody syncs. Nothing here measures HTTP, the driver or the
//! engine.

#[path = "../../src/bin/l2/clock.rs"]
mod clock;
#[path = "../../src/bin/l2/log.rs"]
mod log;
mod peer;

use bytes::Bytes;
use clock::{Rate, Span, show};
use log::Log;
use peer::{Engine, Foyer};
use std::{
    ops::Range,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tiergate_engine::ByteCount;
use tiergate_tiers::{IoChoice, SyncPolicy};

const CAPACITY: ByteCount = ByteCount(2 << 30);
const SIZES: [u64; 3] = [1 << 10, 4 << 10, 64 << 10];
/// Objects of one round of writes: so many bytes, at most so many objects.
const WRITTEN_BYTES: u64 = 128 << 20;
const WRITTEN_MAX: u64 = 20_000;
const READS: u64 = 40_000;
const ROUNDS: u64 = 5;
/// Objects under way for each writer: foyer takes them without an answer, and drops what does not fit into
/// its queue.
const BATCH: u64 = 256;
/// Tasks at a time.
const PARALLEL: u64 = 2;

/// What both can do.
trait Disk: Send + Sync + 'static {
    /// Stores objects of one size under these numbers, [`BATCH`] of them at a time, and returns once they can
    /// be read.
    fn store(
        self: Arc<Self>,
        numbers: Range<u64>,
        body: Bytes,
    ) -> impl Future<Output = Result<(), String>> + Send;
    /// The object's length, if it is there.
    fn read(&self, number: u64) -> impl Future<Output = Result<Option<u64>, String>> + Send;
}

impl Disk for Log {
    async fn store(self: Arc<Self>, numbers: Range<u64>, body: Bytes) -> Result<(), String> {
        let next = Arc::new(AtomicU64::new(numbers.start));
        let writers: Vec<_> = (0..BATCH)
            .map(|_| {
                let (log, next, body, end) =
                    (Arc::clone(&self), Arc::clone(&next), body.clone(), numbers.end);
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            return Ok::<(), String>(());
                        }
                        Log::store(&log, number, body.len() as u64, &body).await?;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.map_err(|error| error.to_string())??;
        }
        Ok(())
    }

    async fn read(&self, number: u64) -> Result<Option<u64>, String> {
        Log::read(self, number).await
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory] = &arguments[..] else {
        eprintln!("write a directory to be made, on a disk with 5 GB to spare");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the system has threads");
    match runtime.block_on(measure(Path::new(directory))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(directory: &Path) -> Result<(), String> {
    println!("| work | foyer's engine | MB/s | of foyer's | MB in a CPU second | of foyer's |");
    println!("|---|---|---|---|---|---|");
    for engine in [Engine::Psync, Engine::IoUring] {
        std::fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for size in SIZES {
            let here = directory.join(size.to_string());
            std::fs::create_dir(&here).map_err(|error| error.to_string())?;
            let log = Log::open(&here.join("log"), CAPACITY, IoChoice::Auto, SyncPolicy::Never).await?;
            let log = Arc::new(log);
            let foyer = Arc::new(Foyer::open(&here.join("foyer"), CAPACITY, engine).await?);
            both(&log, &foyer, size, engine).await?;
            foyer.close().await?;
        }
        std::fs::remove_dir_all(directory).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// All rounds of one size.
async fn both(log: &Arc<Log>, foyer: &Arc<Foyer>, size: u64, engine: Engine) -> Result<(), String> {
    let objects = (WRITTEN_BYTES / size).min(WRITTEN_MAX);
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        let numbers = round * objects..(round + 1) * objects;
        written.push((writes(log, numbers.clone(), size).await?, writes(foyer, numbers, size).await?));
    }
    show(&format!("writes of {} KiB", size >> 10), engine.as_str(), &written);
    let mut read = Vec::new();
    for round in 0..ROUNDS {
        let all = ROUNDS * objects;
        read.push((reads(log, all, size, round).await?, reads(foyer, all, size, round).await?));
    }
    show(&format!("reads of {} KiB", size >> 10), engine.as_str(), &read);
    Ok(())
}

async fn writes<D: Disk>(disk: &Arc<D>, numbers: Range<u64>, size: u64) -> Result<Rate, String> {
    let body = Bytes::from(vec![7; usize::try_from(size).unwrap_or(usize::MAX)]);
    let count = numbers.end - numbers.start;
    let span = Span::begin()?;
    let share = count / PARALLEL;
    let writers: Vec<_> = (0..PARALLEL)
        .map(|writer| {
            let (disk, body) = (Arc::clone(disk), body.clone());
            let begin = numbers.start + writer * share;
            tokio::spawn(disk.store(begin..begin + share, body))
        })
        .collect();
    for writer in writers {
        writer.await.map_err(|error| error.to_string())??;
    }
    span.end(share * PARALLEL * size)
}

/// In random order. Some may be missing: foyer drops what it cannot take in. Both are asked for the same.
async fn reads<D: Disk>(disk: &Arc<D>, objects: u64, size: u64, round: u64) -> Result<Rate, String> {
    let span = Span::begin()?;
    let readers: Vec<_> = (0..PARALLEL)
        .map(|reader| {
            let disk = Arc::clone(disk);
            tokio::spawn(async move {
                let mut chance = (round << 8 | reader).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut missing = 0;
                for _ in 0..READS / PARALLEL {
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    missing += u64::from(disk.read(chance % objects).await?.is_none());
                }
                Ok::<u64, String>(missing)
            })
        })
        .collect();
    let mut missing = 0;
    for reader in readers {
        missing += reader.await.map_err(|error| error.to_string())??;
    }
    if missing > READS / 100 {
        return Err(format!("{missing} of {READS} objects are not there"));
    }
    span.end((READS - missing) * size)
}
