//! The log tier as it is deployed, filled and read as the driver does it.

use bytes::Bytes;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tiergate_driver::{ByteTier, Handle};
use tiergate_engine::{
    ByteCount, CacheKey, Head, ReadSource, Record, RecordId, RecordName, Seed, StoredFreshness, StoredKey,
    WallTime, WriterId,
};
use tiergate_tiers::{FileMedium, IoChoice, LogOptions, LogTier, SyncPolicy};

/// What the engine asks for at most in one read.
const READ_BYTES: u64 = 256 << 10;

/// A log in a directory.
pub(crate) struct Log {
    tier: LogTier<FileMedium>,
    head: Arc<Head>,
    /// Handles given out.
    minted: AtomicU64,
}

impl Log {
    /// Opens or makes it, and waits until it can be asked.
    pub(crate) async fn open(
        directory: &Path,
        capacity: ByteCount,
        io: IoChoice,
        sync: SyncPolicy,
    ) -> Result<Self, String> {
        let medium = FileMedium::new(directory, io);
        let options = LogOptions { capacity, sync, seed: Seed(1) };
        let tier = LogTier::open(vec![medium], options).await.map_err(|error| error.to_string())?;
        tier.join().await;
        let fields = [
            ("content-type", "application/octet-stream"),
            ("cache-control", "max-age=86400"),
            ("etag", "\"65f1c0de-400\""),
            ("last-modified", "Sun, 29 Nov 2026 09:00:00 GMT"),
        ];
        let head = Arc::new(Head { status: 200, fields: fields.into_iter().collect() });
        Ok(Self { tier, head, minted: AtomicU64::new(1) })
    }

    /// Stores an object of `length` bytes: as many of `chunk` as it takes.
    pub(crate) async fn store(&self, number: u64, length: u64, chunk: &Bytes) -> Result<(), String> {
        let key = key(number);
        let minted = self.mint();
        let (handle, name) = (Handle { shard: 0, id: WriterId(minted) }, RecordName(minted.into()));
        self.tier.open(handle, key, name).await.map_err(|error| error.to_string())?;
        let mut left = length;
        while left > 0 {
            let size = left.min(chunk.len() as u64);
            let piece = chunk.slice(..usize::try_from(size).unwrap_or(chunk.len()));
            self.tier.write(handle, piece).await.map_err(|error| error.to_string())?;
            left -= size;
        }
        let record = Record {
            key: key.key,
            target: key.target,
            name,
            head: Arc::clone(&self.head),
            length: ByteCount(length),
            freshness: StoredFreshness {
                as_of: WallTime::from_unix_millis(1_795_000_000_000),
                age_then: Duration::ZERO,
                lifetime: Duration::from_secs(86_400),
            },
        };
        let committed = self.tier.commit(handle, Arc::new(record)).await;
        self.tier.discard(handle);
        committed.map_err(|error| error.to_string())
    }

    /// Reads an object to its end: its length, or nothing if it is not there.
    pub(crate) async fn read(&self, number: u64) -> Result<Option<u64>, String> {
        let id = RecordId(self.mint());
        let handle = Handle { shard: 0, id };
        let found = self.tier.lookup(handle, key(number)).await.map_err(|error| error.to_string())?;
        let Some(found) = found else { return Ok(None) };
        let length = found.record.length.0;
        let mut read = found.body.map_or(0, |body| body.len() as u64);
        let source = Handle { shard: 0, id: ReadSource::Record(id) };
        while read < length {
            let piece = self.tier.read(source, read, READ_BYTES).await.map_err(|error| error.to_string())?;
            read += piece.len() as u64;
        }
        self.tier.release(handle);
        Ok(Some(length))
    }

    /// Returns once all that was stored is durable: a purge is acknowledged then.
    pub(crate) async fn sync(&self) -> Result<(), String> {
        let nobody = key(u64::MAX);
        self.tier.delete(nobody, None).await.map(|_existed| ()).map_err(|error| error.to_string())
    }

    fn mint(&self) -> u64 {
        self.minted.fetch_add(1, Ordering::Relaxed)
    }
}

fn key(number: u64) -> StoredKey {
    StoredKey::plain(CacheKey::of("bench.example", &number.to_string()))
}
