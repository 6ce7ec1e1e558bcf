//! Markers: what a target's responses depend on, kept in byte tiers beside its variants.
//!
//! A variant is found under a key that the names in `Vary` make. Who does not know them, because it has just started or has
//! never fetched the target, finds a marker under the target's own key, learns the names from it, and looks again. A marker is a
//! record like any other to its tier: a purge of the target takes it along, and it is judged by its birth, which is that of
//! the variant it was written for. It has no body, it is served to nobody, and no event counts it as stored.
//!
//! One is written when a variant was stored, unless the tier is known to have one with these names. L3 has none, for no
//! variant is kept there.

use super::{
    Engine,
    caring::Waiter,
    lanes::{OpenLane, Owner},
};
use crate::{
    chunk::Chunk,
    config::OnFull,
    fill::{Errand, Sharing},
    head::{Fields, Head},
    id::{FillId, RecordName, RequestId, TierId, WriterId},
    key::{CacheKey, StoredKey},
    lane::{Ended, Lane},
    reason::LaneEnd,
    record::Record,
    rules::vary::Vary,
    units::ByteCount,
};
use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};
use core::time::Duration;

/// The status in a marker's head. No response has it.
const STATUS: u16 = 0;

/// How long a marker is kept by tiers that look at lifetimes. What it says does not grow stale: at worst it costs a lookup.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// A marker that is being written.
#[derive(Debug)]
pub(super) struct Marker {
    /// The target was purged meanwhile.
    is_closed: bool,
}

/// What a marker says that a target's responses depend on; none, if the head is that of a response.
pub(super) fn names_in(head: &Head) -> Option<Vec<Box<str>>> {
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

impl<C: Chunk> Engine<C> {
    /// A variant was stored in a tier: marks the target there, if it may not be marked yet.
    pub(super) fn mark(&mut self, tier: TierId, variant: &Record) {
        let target = variant.target;
        let is_variant = variant.stored_key().is_variant();
        if !is_variant || self.is_durable(tier) {
            return;
        }
        let Some(names) = self.residence.variants.names_to_mark(target, tier, self.cx.now) else { return };
        let (writer, name) = (WriterId(self.cx.ids.mint()), RecordName(self.cx.names.wide_bits()));
        let mut freshness = variant.freshness;
        freshness.lifetime = LIFETIME;
        let head = Arc::new(head_of(&names));
        let at = StoredKey::plain(target);
        let record = Record { key: target, target, name, head, length: ByteCount::ZERO, freshness };
        let mut lane = Lane::new(tier, name);
        lane.end(Ended { record: Arc::new(record), from: None });
        let owner = Owner::Marker(writer);
        self.lanes.insert(writer, OpenLane::new(lane, owner, at, OnFull::Drop, ByteCount::UNLIMITED));
        self.markers.insert(writer, Marker { is_closed: false });
        self.advance(writer);
        self.settle_marker(writer);
    }

    /// May a marker that is being written still be published?
    pub(super) fn is_marker_current(&self, writer: WriterId) -> bool {
        !self.markers[&writer].is_closed
    }

    /// A marker will not be there: the next variant that is stored brings another.
    pub(super) fn on_marker_lost(&mut self, writer: WriterId) {
        let OpenLane { lane, at, .. } = &self.lanes[&writer];
        self.residence.variants.on_unmarked(at.target, lane.tier);
    }

    /// Forgets a marker that was published or given up.
    pub(super) fn settle_marker(&mut self, writer: WriterId) {
        if !self.lanes[&writer].lane.is_live() {
            self.markers.remove(&writer);
            self.close_lanes(&[writer]);
        }
    }

    /// Stops the markers of a target. Says which tiers are just publishing one.
    pub(super) fn close_markers(&mut self, target: CacheKey) -> BTreeSet<WriterId> {
        let mut committing = BTreeSet::new();
        for writer in self.markers.names_of(|_| true) {
            let open = &self.lanes[&writer];
            if open.at.target != target {
                continue;
            }
            if open.lane.is_committing() {
                self.markers.get_mut(&writer).expect("it was just found").is_closed = true;
                committing.insert(writer);
            } else {
                self.drop_lane(writer, LaneEnd::Superseded);
                self.settle_marker(writer);
            }
        }
        committing
    }

    /// A lookup of the target found a marker: each who waits is answered under the key that its own fields make. The tiers are
    /// asked again from the first on, which may have the variant though it has no marker.
    pub(super) fn follow_marker(
        &mut self,
        fill_id: FillId,
        mut errand: Errand<C>,
        waiters: Vec<RequestId>,
        tier: TierId,
        names: &[Box<str>],
    ) {
        let target = errand.target;
        self.residence.variants.learn_names(target, names);
        self.residence.variants.on_marked(target, names, tier, self.cx.now);
        self.end_flight(errand.key, fill_id);
        let stored = errand.stored.take();
        self.let_go(stored);
        let mut gathered = self.gather(target, waiters).into_iter();
        let Some((variant, first)) = gathered.next() else {
            return self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
        };
        let place = errand.place.clone();
        let alike =
            |key| Errand { key, place: place.clone(), stored: None, behind: None, glimpse: None, ..errand };
        let others: Vec<_> = gathered.map(|(variant, requests)| (alike(variant), requests)).collect();
        self.look_for_variant(fill_id, alike(variant), first);
        for (errand, requests) in others {
            let next = FillId(self.cx.ids.mint());
            self.look_for_variant(next, errand, requests);
        }
    }

    /// Looks for a variant for these, unless somebody does so already.
    fn look_for_variant(&mut self, fill_id: FillId, errand: Errand<C>, requests: Vec<RequestId>) {
        let other = self.flights.get(&errand.key).copied().filter(|other| !self.is_spent(*other));
        if let Some(other) = other {
            self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
            return self.attach_all(other, requests);
        }
        debug_assert!(errand.sharing == Sharing::Open, "only an open fill follows a marker");
        self.flights.insert(errand.key, fill_id);
        self.wait_for(fill_id, &requests);
        self.look(fill_id, errand, requests, 0);
    }
}
