//! Markers: what a target's responses depend on, kept in byte tiers beside its variants.
//!
//! A variant is found under a key that the names in `Vary` make. Who does not know them, because it has just started or has
//! never fetched the target, finds a marker under the target's own key, learns the names from it, and looks again. A marker is a
//! record like any other to its tier: a purge of the target takes it along, and it is judged by its birth, which is that of
//! the variant it was written for. It has no body, it is served to nobody, and no event counts it as stored.
//!
//! One is written when a variant was stored, unless the tier is known to have one with these names. L3 has none, for no
//! variant is kept there.

use crate::machine::{Engine, caring::Waiter};
use crate::{
    chunk::Chunk,
    fill::{Errand, Sharing},
    id::{FillId, RequestId, TierId},
};
use alloc::{boxed::Box, vec::Vec};

impl<C: Chunk> Engine<C> {
    /// A lookup of the target found a marker: each who waits is answered under the key that its own fields make. The tiers are
    /// asked again from the first on, which may have the variant though it has no marker.
    pub(in crate::machine) fn follow_marker(
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
        self.clients.wait_for(fill_id, &requests);
        self.look(fill_id, errand, requests, 0);
    }
}
