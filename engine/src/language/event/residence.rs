//! What can be found in a tier, and what no longer can.

use super::Event;
use crate::language::{
    id::{RecordName, TierId},
    key::CacheKey,
    reason::Removal,
    units::ByteCount,
};
use core::time::Duration;

/// What can be found in a tier, and what no longer can.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResidenceEvent {
    /// A response is visible in a tier.
    Stored {
        tier: TierId,
        key: CacheKey,
        /// Its record's name; none in L0.
        name: Option<RecordName>,
        /// Of its body.
        length: ByteCount,
        /// What it takes up there.
        size: ByteCount,
        age: Duration,
        /// The tier that it was copied from; none for what the origin sent.
        from: Option<TierId>,
    },
    /// The origin said that what a tier has still holds.
    Freshened { tier: TierId, key: CacheKey },
    /// A soft purge made what a tier has stale.
    Staled {
        tier: TierId,
        key: CacheKey,
        /// What it takes up there.
        size: ByteCount,
    },
    /// A response is no longer visible in a tier.
    Removed {
        tier: TierId,
        key: CacheKey,
        /// What it took up there.
        size: ByteCount,
        why: Removal,
    },
    /// What L0 holds now, after each change. The other tiers keep their own index.
    Resident {
        tier: TierId,
        /// The sum of the sizes.
        bytes: ByteCount,
        objects: u64,
        /// The sum may not exceed this.
        capacity: ByteCount,
    },
}

impl From<ResidenceEvent> for Event {
    fn from(event: ResidenceEvent) -> Self {
        Self::Residence(event)
    }
}
