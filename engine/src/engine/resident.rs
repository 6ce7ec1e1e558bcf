//! Answers from L0: fresh ones, stale ones where a window allows it, and ones that the origin has agreed to.

use super::{Engine, freshening::Lease};
use crate::{
    chunk::Chunk,
    effect::{Effect, Outcome, Reply, ReplyBody, StaleUse},
    event::Event,
    fill::{Errand, Sharing, Stored},
    head::{Length, RequestHead},
    id::{FillId, OriginId, RequestId, TierId},
    key::CacheKey,
    memory::Resident,
    plant::Fault,
    reason::{End, MissReason, Removal, Storable},
    record::Freshness,
    rules::{Share, reuse},
    time::Instant,
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

/// What L0 has for a request.
pub(super) enum FromMemory<C> {
    /// A response that may be used as it is.
    Usable(Arc<Resident<C>>),
    /// A stale one that may be used while it is revalidated behind the client's back.
    UsableMeanwhile(Arc<Resident<C>>),
    /// One that may be used if the origin agrees.
    AskFirst(Arc<Resident<C>>),
    /// Nothing.
    Absent,
}

impl<C: Chunk> Engine<C> {
    /// Looks in L0. An answer that is used counts as a use.
    pub(super) fn look_in_memory(&mut self, key: CacheKey, ask: &RequestHead) -> FromMemory<C> {
        let Some(memory) = &self.memory else { return FromMemory::Absent };
        let Some(slot) = memory.find(key) else { return FromMemory::Absent };
        let resident = Arc::clone(memory.value(slot));
        let stored = resident.staleness.stored(&resident.freshness, self.now);
        let stored = self.under_lease(self.misjudged(stored, &resident.freshness));
        let Some(memory) = &mut self.memory else { return FromMemory::Absent };
        match reuse::usable(&self.config.policy, &ask.fields, &stored) {
            reuse::Use::Serve => {
                memory.on_used(slot);
                FromMemory::Usable(resident)
            }
            reuse::Use::ServeAndRevalidate => {
                memory.on_used(slot);
                FromMemory::UsableMeanwhile(resident)
            }
            reuse::Use::Revalidate => FromMemory::AskFirst(resident),
        }
    }

    /// What planted faults make of a stored response's age and times.
    fn misjudged(&self, mut stored: reuse::Stored, freshness: &Freshness) -> reuse::Stored {
        let (plant, moment) = (self.config.plant, Duration::from_nanos(1));
        if plant.is(Fault::X4) {
            stored.lifetime = stored.lifetime.saturating_add(moment);
        }
        if plant.is(Fault::X5) && !stored.windows.while_revalidate.is_zero() {
            stored.windows.while_revalidate = stored.windows.while_revalidate.saturating_add(moment);
        }
        if plant.is(Fault::X13) {
            let millis = |at: Instant| u64::from(u32::MAX) & (at.as_nanos() / 1_000_000);
            let passed = millis(self.now).saturating_sub(millis(freshness.as_of));
            stored.age = freshness.age_then.saturating_add(Duration::from_millis(passed));
        }
        stored
    }

    /// Answers one request from a resident response: with all of it, or with what its conditions and ranges leave.
    pub(super) fn serve_resident(
        &mut self,
        request: RequestId,
        key: CacheKey,
        ask: &RequestHead,
        resident: &Arc<Resident<C>>,
        outcome: Outcome,
    ) {
        let share = self.share_of(ask, &resident.head, resident.length, resident.freshness);
        self.reply_at_once(request, key, resident, outcome, share);
    }

    /// Answers one request with this share of a response whose body is at hand.
    pub(super) fn reply_at_once(
        &mut self,
        request: RequestId,
        key: CacheKey,
        resident: &Arc<Resident<C>>,
        outcome: Outcome,
        share: Share,
    ) {
        let age = resident.freshness.age(self.now);
        let body = match share {
            Share::Whole => Arc::clone(resident),
            Share::Pieces(head, pieces) => Arc::new(resident.share(head, &pieces)),
        };
        let sent = body.length;
        let reply = Reply {
            head: Arc::clone(&body.head),
            length: Length::Known(sent),
            age,
            fresh_for: resident.freshness.lifetime.saturating_sub(age),
            outcome,
            body: ReplyBody::Whole(body),
        };
        self.requests.remove(&request);
        self.effect(Effect::Serve { request, reply });
        self.event(Event::Served { request, key, sent, end: End::Complete });
    }

    /// Asks the origin about a stale response that has just been served, unless somebody does so already.
    pub(super) fn revalidate_behind(
        &mut self,
        key: CacheKey,
        target: CacheKey,
        origin: OriginId,
        ask: Arc<RequestHead>,
        stored: Arc<Resident<C>>,
    ) {
        let is_under_way = self.flights.contains_key(&key) && !self.config.is_planted(Fault::X74);
        if is_under_way || self.fetches >= self.config.fills_max {
            return;
        }
        let fill = FillId(self.ids.mint());
        self.flights.insert(key, fill);
        let errand = Errand {
            key,
            target,
            place: stored.place.clone(),
            origin,
            sharing: Sharing::Open,
            reason: MissReason::Stale,
            stored: Some(Stored::Resident(stored)),
            behind: Some(ask),
            glimpse: None,
        };
        self.ask_origin(fill, errand, Vec::new(), 0);
    }

    /// Answers all who wait with a stale resident response, because the origin failed.
    pub(super) fn serve_resident_instead(
        &mut self,
        key: CacheKey,
        waiters: Vec<RequestId>,
        resident: &Arc<Resident<C>>,
    ) {
        let (tier, why) = (TierId::L0, StaleUse::IfError);
        for request in waiters {
            let ask = Arc::clone(&self.requests[&request].ask);
            self.event(Event::ServedStale { request, key, tier, why });
            self.serve_resident(request, key, &ask, resident, Outcome::Stale { tier, why });
        }
    }

    /// The origin said that what L0 has still holds: it gets a new lease, and all who wait get it. A fill that a purge
    /// has closed freshens nothing: those who wait get what they asked for before.
    pub(super) fn freshen_resident(
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
        let is_open = errand.sharing == Sharing::Open || self.config.is_planted(Fault::X48);
        let may_stay = storable == Storable::Yes && is_open;
        if may_stay {
            self.event(Event::Freshened { tier, key });
            self.store_in_memory(errand.at(), Resident::clone(&freshened), Some(tier));
        } else if errand.sharing == Sharing::Open {
            self.keep_no_copy(errand.at());
            self.remove_from_memory(key, Removal::Forbidden);
        }
        for request in waiters {
            let ask = Arc::clone(&self.requests[&request].ask);
            self.event(Event::Revalidated { request, key: errand.target, tier });
            self.serve_resident(request, errand.target, &ask, &freshened, Outcome::Revalidated { tier });
        }
    }
}
