//! What every tier keeps beside a body: the head, and how long it may be used.

use crate::language::{
    head::Head,
    id::RecordName,
    key::{CacheKey, StoredKey},
    time::{Instant, WallTime},
    units::ByteCount,
};
use alloc::sync::Arc;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// How old a response was when we last knew, and how long it stays fresh (RFC 9111 section 4.2).
///
/// It travels with the response from tier to tier, so that a promotion never restarts a lifetime (failure
/// F4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When `age_then` was true, on the monotonic clock.
    pub as_of: Instant,
    /// The age at `as_of`.
    pub age_then: Duration,
    /// The age from which on it is stale. Zero is zero: stale at once (failure F5).
    pub lifetime: Duration,
}

impl Freshness {
    /// The age at `now`.
    pub fn age(&self, now: Instant) -> Duration {
        self.age_then.saturating_add(now.since(self.as_of))
    }

    /// Is the age at `now` below the lifetime?
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.lifetime
    }

    /// How long it will be fresh from `now` on.
    pub fn fresh_for(&self, now: Instant) -> Duration {
        self.lifetime.saturating_sub(self.age(now))
    }

    /// When the response was made, on the calendar: what a purge is compared with.
    pub(crate) fn born(&self, now: Instant, wall: WallTime) -> WallTime {
        wall.before(self.age(now))
    }

    /// The same freshness as it is written to a tier that outlives this process.
    pub(crate) fn to_stored(self, now: Instant, wall: WallTime) -> StoredFreshness {
        StoredFreshness { as_of: wall, age_then: self.age(now), lifetime: self.lifetime }
    }
}

/// [`Freshness`] on the calendar, for tiers that outlive a process or are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredFreshness {
    /// When `age_then` was true.
    pub as_of: WallTime,
    /// The age at `as_of`.
    pub age_then: Duration,
    /// The age from which on it is stale.
    pub lifetime: Duration,
}

impl StoredFreshness {
    /// When the response was made: of two states of one record, the one that was made later is the newer.
    pub fn born(&self) -> WallTime {
        self.as_of.before(self.age_then)
    }

    /// Back on the monotonic clock. A calendar that was set back does not make a response younger than it
    /// was.
    pub(crate) fn to_live(self, now: Instant, wall: WallTime) -> Freshness {
        let age_then = self.age_then.saturating_add(wall.since(self.as_of));
        Freshness { as_of: now, age_then, lifetime: self.lifetime }
    }
}

/// One stored response without its body, as a byte tier keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Whose response. Compared after every read (failure T13).
    pub key: CacheKey,
    /// What was asked for: the same, unless this is one variant of it.
    pub target: CacheKey,
    /// Where the body is.
    pub name: RecordName,
    /// The head, whole (failure T14).
    pub head: Arc<Head>,
    /// The body's length.
    pub length: ByteCount,
    /// How long it may be used.
    pub freshness: StoredFreshness,
}

impl Record {
    /// Where it is stored.
    pub const fn stored_key(&self) -> StoredKey {
        StoredKey { target: self.target, key: self.key }
    }
}
