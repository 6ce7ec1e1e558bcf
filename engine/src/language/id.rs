//! Names for the things that inputs, effects and events speak of.
//!
//! Every id is minted by the engine, but for [`RequestId`], [`PurgeId`] and [`OriginId`], which the driver
//! mints; none is used twice by one engine. A [`RecordName`] is drawn at random from the engine's seed, so
//! that two processes that share a tier never write to one place.

use serde::{Deserialize, Serialize};

/// Declares names that are numbers.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub struct $name(pub u64);

        impl $crate::parts::table::Name for $name {
            fn hash(self, _salt: u128) -> u64 {
                $crate::parts::table::spread(self.0)
            }
        }
    )*};
}
pub(crate) use ids;

ids! {
    /// One client request, named by the driver.
    RequestId,
    /// One purge, named by the driver.
    PurgeId,
    /// One effect that wants an answer.
    OpId,
    /// One fetch from the origin and the body that comes of it.
    FillId,
    /// One stored record being copied into faster tiers.
    PromotionId,
    /// One record being written into a byte tier.
    WriterId,
    /// One stored record held open for reading.
    RecordId,
}

/// What names one stored record in every tier: unique to the fill or promotion that wrote it, across
/// processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordName(#[serde(with = "crate::language::recording::hex")] pub u128);

/// One origin that requests are fetched from, named by the driver: all that share it share its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OriginId(pub u32);

/// One level of storage, fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TierId {
    /// In process: bodies in memory.
    L0,
    /// A memory store that several edges share.
    L1,
    /// The local disk.
    L2,
    /// The durable store: blobs and an index.
    L3,
}

impl TierId {
    /// The name used in metrics, logs and `Cache-Status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L0 => "l0",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L3 => "l3",
        }
    }
}

/// Mints ids of one kind, in order.
#[derive(Debug, Default)]
pub(crate) struct Minter(u64);

impl Minter {
    pub(crate) fn mint(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}
