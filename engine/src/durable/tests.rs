//! What the machines' own tests share: one key, names, times and entries.

use super::*;
use crate::language::{
    head::{Fields, Head},
    record::{Record, StoredFreshness},
};
use alloc::sync::Arc;
use core::time::Duration;

pub(super) const KEY: CacheKey = CacheKey(7);
/// The upload that is tested, another one, and what was stored before.
pub(super) const OURS: RecordName = RecordName(1);
pub(super) const OTHER: RecordName = RecordName(2);
pub(super) const OLD: RecordName = RecordName(3);
pub(super) const LENGTH: ByteCount = ByteCount(10);
/// When things begin, by the index's clock.
pub(super) const NOW: WallTime = at(1_000);

pub(super) const fn at(millis: u64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

pub(super) fn terms() -> Terms {
    let millis = Duration::from_millis;
    let raw = RawTerms {
        lease: millis(30),
        fetch_max: millis(100),
        idle: millis(400),
        total: millis(1_000),
        grace: millis(50),
        linger: millis(10),
        tries_max: 2,
    };
    raw.try_into().expect("fetch_max < idle < total")
}

pub(super) fn record(name: RecordName) -> Arc<Record> {
    let freshness =
        StoredFreshness { as_of: NOW, age_then: Duration::ZERO, lifetime: Duration::from_millis(5) };
    let head = Arc::new(Head { status: 200, fields: Fields::new() });
    Arc::new(Record { key: KEY, target: KEY, name, head, length: LENGTH, freshness })
}

pub(super) const fn blob(name: RecordName) -> BlobName {
    BlobName { key: KEY, name }
}

/// An entry without anything in it.
pub(super) fn vacant(version: u64, generation: u64) -> Entry {
    Entry {
        key: KEY,
        version: Version(version),
        generation: Generation(generation),
        leases: Vec::new(),
        manifest: None,
    }
}

impl Entry {
    /// With this published at its version.
    pub(super) fn naming(mut self, name: RecordName) -> Self {
        let digest = BodyDigest(9);
        self.manifest = Some(Manifest {
            record: record(name),
            version: self.version,
            stored_at: NOW,
            digest,
            in_row: None,
        });
        self
    }

    /// With this leased.
    pub(super) fn leasing(mut self, name: RecordName, until: u64) -> Self {
        self.leases.push(Lease { name, until: at(until) });
        self
    }

    pub(super) fn until(self, expires: u64) -> Stored {
        Stored { entry: Arc::new(self), expires: at(expires) }
    }
}

/// The index holds this, at this time.
pub(super) fn found(stored: Stored, now: u64) -> Told {
    Told::Entry { found: Some(stored), now: at(now) }
}

pub(super) const fn nothing(now: u64) -> Told {
    Told::Entry { found: None, now: at(now) }
}

pub(super) const fn swapped(now: u64) -> Told {
    Told::Swapped { now: at(now) }
}

pub(super) const READ: Ask = Ask::Read { key: KEY };

pub(super) fn swap(expected: Option<u64>, stored: Stored) -> Ask {
    Ask::Swap { expected: expected.map(Version), stored }
}
