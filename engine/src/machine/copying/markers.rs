//! Markers: what a target's responses depend on, kept in byte tiers beside its variants.
//!
//! A variant is found under a key that the names in `Vary` make. Who does not know them, because it has just
//! started or has never fetched the target, finds a marker under the target's own key, learns the names from
//! it, and looks again. A marker is a record like any other to its tier: a purge of the target takes it
//! along, and it is judged by its birth, which is that of the variant it was written for. It has no body, it
//! is served to nobody, and no event counts it as stored.
//!
//! One is written when a variant was stored, unless the tier is known to have one with these names. L3 has
//! none, for no variant is kept there.

use super::lanes::{Lanes, OpenLane, Owner};
use crate::machine::context::Context;
use crate::{
    config::OnFull,
    language::{
        chunk::Chunk,
        head::{Fields, Head},
        id::{RecordName, TierId, WriterId},
        key::{CacheKey, StoredKey},
        reason::LaneEnd,
        record::Record,
        units::ByteCount,
    },
    parts::lane::{Ended, Lane},
    rules::vary::Vary,
};
use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};
use core::time::Duration;

/// The status in a marker's head. No response has it.
const STATUS: u16 = 0;

/// How long a marker is kept by tiers that look at lifetimes. What it says does not grow stale: at worst it
/// costs a lookup.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A target that is not marked in a tier, after all.
#[derive(Clone, Copy, Debug)]
pub(in crate::machine) struct Lost {
    pub(in crate::machine) target: CacheKey,
    pub(in crate::machine) tier: TierId,
}

/// What a marker says that a target's responses depend on; none, if the head is that of a response.
pub(in crate::machine) fn names_in(head: &Head) -> Option<Vec<Box<str>>> {
    if head.status != STATUS {
        return None;
    }
    Some(match Vary::of(head) {
        Vary::Fields(names) => names,
        // Nobody writes these.
        Vary::Nothing | Vary::Anything => Vec::new(),
    })
}

fn head_of(names: &[Box<str>]) -> Head {
    let mut fields = Fields::new();
    for name in names {
        fields.push("vary", name.as_bytes());
    }
    Head { status: STATUS, fields }
}

impl<C: Chunk> Lanes<C> {
    /// A variant was stored in a tier: marks its target there, with these names. Says what
    /// [`Self::settle_marker`] does.
    pub(in crate::machine) fn mark(
        &mut self,
        cx: &mut Context<C>,
        tier: TierId,
        variant: &Record,
        names: &[Box<str>],
    ) -> Option<Lost> {
        let target = variant.target;
        let (writer, name) = (WriterId(cx.ids.mint()), RecordName(cx.names.wide_bits()));
        let mut freshness = variant.freshness;
        freshness.lifetime = LIFETIME;
        let head = Arc::new(head_of(names));
        let at = StoredKey::plain(target);
        let record = Record { key: target, target, name, head, length: ByteCount::ZERO, freshness };
        let mut lane = Lane::new(tier, name);
        lane.end(Ended { record: Arc::new(record), from: None });
        let open = OpenLane::new(lane, Owner::Marker, at, OnFull::Drop, ByteCount::UNLIMITED);
        self.lanes.insert(writer, open);
        self.advance(cx, writer);
        self.settle_marker(cx, writer)
    }

    /// Forgets a marker that was published or given up. Says which will not be there: the next variant that
    /// is stored brings another.
    pub(in crate::machine) fn settle_marker(
        &mut self,
        cx: &mut Context<C>,
        writer: WriterId,
    ) -> Option<Lost> {
        let OpenLane { lane, at, is_superseded, .. } = &self.lanes[&writer];
        if lane.is_live() {
            return None;
        }
        let lost = Lost { target: at.target, tier: lane.tier };
        let is_lost = *is_superseded || !lane.is_committed();
        self.close_lanes(cx, &[writer]);
        is_lost.then_some(lost)
    }

    /// Stops the markers of a target. Says which tiers are just publishing one, and which are given up.
    pub(in crate::machine) fn close_markers(
        &mut self,
        cx: &mut Context<C>,
        target: CacheKey,
    ) -> (BTreeSet<WriterId>, Vec<Lost>) {
        let (mut committing, mut lost) = (BTreeSet::new(), Vec::new());
        let is_its = |open: &OpenLane<C>| open.owner == Owner::Marker && open.at.target == target;
        for writer in self.lanes.names_of(is_its) {
            let open = &mut self.lanes[&writer];
            if open.lane.is_committing() {
                open.is_superseded = true;
                committing.insert(writer);
            } else {
                self.drop_lane(cx, writer, LaneEnd::Superseded);
                lost.extend(self.settle_marker(cx, writer));
            }
        }
        (committing, lost)
    }
}
