//! L3, the durable tier: each piece of work there is a machine of [`crate::durable`], and this runs them.
//!
//! L3 is a tier like the others, last in the walk; what differs is that its index is asked by compare-and-set
//! and its bodies are blobs. `looking` is its part of the walk, `copying/uploads` a lane's, `keeping` purges
//! and the collector, `opened` what is read from it. What a machine asks becomes [`Effect::Durable`] or
//! [`Effect::OpenBlob`], and its answer comes back as `Answer::DurableTold`.
//!
//! **D1, the authoritative tier.** Where L3 is configured, what a fill comes to is what came of it there: it
//! has succeeded when its manifest is published, and [`CopyEvent::Filled`] says so or why not. The faster
//! tiers hold copies that may go at any time. Being authoritative gives L3 the last word on what is *stored*,
//! never on what a client gets: no client waits for a lease, an upload or a manifest, and none fails because
//! L3 does (C1).

mod keeping;
mod looking;
mod opened;

pub(super) use looking::{Found, Seen};
pub(super) use opened::OpenedManifest;

use super::{WakeReason, freshening::Freshen};
use crate::{
    config::{Config, IndexKeeper},
    durable::Terms,
    language::{
        id::{FillId, TierId, WriterId},
        time::Instant,
    },
    parts::table::{Name, Table, spread},
};
use keeping::{Collecting, DurablePurging};
use looking::Looking;

/// One purge of a key in L3, for which a purge of the engine waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DurablePurgeId(u64);

impl Name for DurablePurgeId {
    fn hash(self, _: u128) -> u64 {
        spread(self.0)
    }
}

/// Everything under way in L3.
#[derive(Debug)]
pub(super) struct Durable {
    terms: Terms,
    lookups: Table<FillId, Looking>,
    purges: Table<DurablePurgeId, DurablePurging>,
    collecting: Option<Collecting>,
}

/// Which machine an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The lookup of a fill.
    Lookup(FillId),
    /// The upload of a lane.
    Upload(WriterId),
    /// A purge.
    Purge(DurablePurgeId),
    /// The collector.
    Collect,
    /// What a 304 made of a manifest.
    Freshen(Freshen),
    /// None: a touch or a repair, and nobody waits for what came of it.
    Besides,
}

impl Durable {
    pub(super) fn of(config: &Config, now: Instant) -> Option<Self> {
        config.tiers.iter().find_map(|tier| match tier.index {
            IndexKeeper::Tier => None,
            IndexKeeper::Durable { terms, collect_every, .. } => Some(Self {
                terms,
                lookups: Table::default(),
                purges: Table::default(),
                collecting: collect_every.map(|every| Collecting::new(terms, every, now)),
            }),
        })
    }

    pub(super) fn wake(&self) -> Option<(Instant, WakeReason)> {
        let due = self.collecting.as_ref().and_then(Collecting::due)?;
        Some((due, WakeReason::Collection))
    }
}

/// Which tier all of this is.
pub(super) const TIER: TierId = TierId::L3;
