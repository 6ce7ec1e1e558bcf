//! What a tier has that is stale, or needs the origin's word, while a fill is under way for its key.

use super::durable::OpenedManifest;
use crate::{
    config::ByteTier,
    language::{
        head::Head,
        id::{RecordId, TierId},
        record::{Freshness, Record},
        resident::Resident,
        time::Instant,
    },
    rules::{Staleness, reuse},
};
use alloc::sync::Arc;

/// The stored response that the origin is asked about, and that stands in for it.
#[derive(Clone, Debug)]
pub(super) enum Stored<C> {
    /// L0 has it.
    Resident(Arc<Resident<C>>),
    /// A byte tier has it, and holds it open.
    Record(Arc<OpenRecord<C>>),
}

/// A record that is open, and how it may be used. The fill that keeps it counts among its holders.
#[derive(Clone, Debug)]
pub(super) struct OpenRecord<C> {
    pub(super) tier: ByteTier,
    pub(super) id: RecordId,
    pub(super) record: Record,
    /// All of the body, if the tier brought it along.
    pub(super) body: Option<C>,
    pub(super) freshness: Freshness,
    pub(super) staleness: Staleness,
    /// What it must turn out to be, if L3 has it.
    pub(super) manifest: Option<Arc<OpenedManifest>>,
}

impl<C> OpenRecord<C> {
    /// All that decides over its use at `now`.
    pub(super) fn stored(&self, now: Instant) -> reuse::Stored {
        self.staleness.stored(&self.freshness, now)
    }
}

impl<C: Clone> Stored<C> {
    /// The same, but for use with the origin's word only.
    pub(super) fn after_revalidation(self) -> Self {
        match self {
            Self::Resident(resident) => {
                let staleness = resident.staleness.after_revalidation();
                Self::Resident(Arc::new(Resident { staleness, ..Resident::clone(&resident) }))
            }
            Self::Record(open) => {
                let staleness = open.staleness.after_revalidation();
                Self::Record(Arc::new(OpenRecord { staleness, ..OpenRecord::clone(&open) }))
            }
        }
    }
}

impl<C> Stored<C> {
    /// Where it is.
    pub(super) fn tier(&self) -> TierId {
        match self {
            Self::Resident(_) => TierId::L0,
            Self::Record(open) => open.tier.id,
        }
    }

    pub(super) fn head(&self) -> &Arc<Head> {
        match self {
            Self::Resident(resident) => &resident.head,
            Self::Record(open) => &open.record.head,
        }
    }

    pub(super) fn freshness(&self) -> &Freshness {
        match self {
            Self::Resident(resident) => &resident.freshness,
            Self::Record(open) => &open.freshness,
        }
    }

    pub(super) fn staleness(&self) -> &Staleness {
        match self {
            Self::Resident(resident) => &resident.staleness,
            Self::Record(open) => &open.staleness,
        }
    }

    /// All that decides over its use at `now`.
    pub(super) fn stored(&self, now: Instant) -> reuse::Stored {
        match self {
            Self::Resident(resident) => resident.staleness.stored(&resident.freshness, now),
            Self::Record(open) => open.stored(now),
        }
    }
}
