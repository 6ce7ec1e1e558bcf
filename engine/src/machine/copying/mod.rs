//! Every way into a tier: lanes, on which copies of one body go, and promotions, which copy what a hit reads.

mod collect;
mod copies;
mod lanes;
mod markers;
mod promotions;
mod uploads;

pub(super) use copies::{Copied, Copies, collected};
pub(super) use lanes::{CopySource, Owner};
pub(super) use markers::{Lost, names_in};

use super::Audit;
use crate::{
    config::Config,
    language::{
        chunk::Chunk,
        id::{PromotionId, RecordName, TierId, WriterId},
        key::{CacheKey, StoredKey},
        record::Record,
    },
    parts::{hits::Hits, random::Random, table::Table},
};
use alloc::sync::Arc;
use lanes::Lanes;
use promotions::Promoting;

/// Every copy under way, and the lanes on which they go.
pub(super) struct Copying<C: Chunk> {
    pub(super) lanes: Lanes<C>,
    promotions: Table<PromotionId, Promoting<C>>,
    /// The promotion that is being read for, by key.
    promoted: Table<CacheKey, PromotionId>,
    /// Hits below L0.
    hits: Hits,
}

/// A lane has done a step.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) writer: WriterId,
    /// Who may go on now.
    pub(super) owner: Owner,
    pub(super) came: Came,
}

/// What came of a step, before its owner goes on.
#[derive(Debug)]
pub(super) enum Came {
    /// Nothing that matters to others.
    Nothing,
    /// The tier has this now.
    Stored(TierId, Arc<Record>),
    /// The tier may have what must not stay there.
    Doomed(Doomed),
}

/// A record that is to be deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doomed {
    pub(super) tier: TierId,
    pub(super) at: StoredKey,
    pub(super) name: RecordName,
}

impl<C: Chunk> Copying<C> {
    pub(super) fn new(config: &Config, salts: &mut Random) -> Self {
        Self {
            lanes: Lanes::new(config),
            promotions: Table::default(),
            promoted: Table::salted(salts.wide_bits()),
            hits: Hits::default(),
        }
    }

    /// Counts what is open.
    pub(super) fn audit(&self) -> Audit {
        Audit { promotions: self.promotions.len(), ..self.lanes.audit() }
    }
}
