//! Answers from L0: fresh ones, stale ones where a window allows it, and ones that the origin has agreed to.

use super::freshening::Lease;
use crate::machine::Engine;
use crate::{
    chunk::Chunk,
    effect::{Outcome, StaleUse},
    event::Event,
    fill::{Errand, Sharing, Stored},
    head::RequestHead,
    id::{FillId, OriginId, RequestId, TierId},
    key::{CacheKey, StoredKey},
    memory::Resident,
    reason::{MissReason, Removal, Storable},
};
use alloc::{sync::Arc, vec::Vec};

impl<C: Chunk> Engine<C> {
    /// Answers one request from a resident response: with all of it, or with what its conditions and ranges leave.
    pub(in crate::machine) fn serve_resident(
        &mut self,
        request: RequestId,
        key: CacheKey,
        ask: &RequestHead,
        resident: &Arc<Resident<C>>,
        outcome: Outcome,
    ) {
        let share = self.share_of(ask, &resident.head, resident.length, resident.freshness);
        self.clients.reply_at_once(&mut self.cx, request, key, resident, outcome, share);
    }

    /// Asks the origin about a stale response that has just been served, unless somebody does so already.
    pub(in crate::machine) fn revalidate_behind(
        &mut self,
        key: CacheKey,
        target: CacheKey,
        origin: OriginId,
        ask: Arc<RequestHead>,
        stored: Arc<Resident<C>>,
    ) {
        if self.flights.contains_key(&key) || self.fetches >= self.cx.config.fills_max {
            return;
        }
        let fill = FillId(self.cx.ids.mint());
        self.flights.insert(key, fill);
        let (at, place) = (StoredKey { target, key }, stored.place.clone());
        let errand = Errand::new(at, place, origin, Sharing::Open, MissReason::Stale);
        let errand = Errand { stored: Some(Stored::Resident(stored)), behind: Some(ask), ..errand };
        self.ask_origin(fill, errand, Vec::new(), 0);
    }

    /// Answers all who wait with a stale resident response, because the origin failed.
    pub(in crate::machine) fn serve_resident_instead(
        &mut self,
        key: CacheKey,
        waiters: Vec<RequestId>,
        resident: &Arc<Resident<C>>,
    ) {
        let (tier, why) = (TierId::L0, StaleUse::IfError);
        for request in waiters {
            let ask = Arc::clone(self.clients.ask(request));
            self.cx.event(Event::ServedStale { request, key, tier, why });
            self.serve_resident(request, key, &ask, resident, Outcome::Stale { tier, why });
        }
    }

    /// The origin said that what L0 has still holds: it gets a new lease, and all who wait get it. A fill that a purge
    /// has closed freshens nothing: those who wait get what they asked for before.
    pub(in crate::machine) fn freshen_resident(
        &mut self,
        errand: &Errand<C>,
        waiters: Vec<RequestId>,
        stored: &Resident<C>,
        lease: Lease,
    ) {
        let (key, tier) = (errand.key, TierId::L0);
        let Lease { head, freshness, staleness, storable } = lease;
        let (chunks, length) = (stored.chunks.clone(), stored.length);
        let place = stored.place.clone();
        let freshened = Arc::new(Resident { head, chunks, length, freshness, staleness, place });
        let may_stay = storable == Storable::Yes && errand.sharing == Sharing::Open;
        if may_stay {
            self.cx.event(Event::Freshened { tier, key });
            self.residence.store(&mut self.cx, errand.at(), Resident::clone(&freshened), Some(tier));
        } else if errand.sharing == Sharing::Open {
            self.keep_no_copy(errand.at());
            self.residence.remove(&mut self.cx, key, Removal::Forbidden);
        }
        for request in waiters {
            let ask = Arc::clone(self.clients.ask(request));
            self.cx.event(Event::Revalidated { request, key: errand.target, tier });
            self.serve_resident(request, errand.target, &ask, &freshened, Outcome::Revalidated { tier });
        }
    }
}
