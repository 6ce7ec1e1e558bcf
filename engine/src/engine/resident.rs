//! Answers from L0: fresh ones, stale ones where a window allows it, and ones that the origin has agreed to.

use super::Engine;
use crate::{
    chunk::Chunk,
    effect::{Effect, Outcome, Reply, ReplyBody, StaleUse},
    event::Event,
    fill::{Errand, Sharing},
    head::{Head, Length, RequestHead},
    id::{FillId, RequestId, TierId},
    key::CacheKey,
    memory::Resident,
    reason::{End, MissReason, Removal, Storable},
    record::Freshness,
    rules::{self, Staleness, conditional, range, reuse},
    time::WallTime,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

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
        let Some(memory) = &mut self.memory else { return FromMemory::Absent };
        let Some(slot) = memory.find(key) else { return FromMemory::Absent };
        let resident = Arc::clone(memory.value(slot));
        let stored = resident.staleness.stored(&resident.freshness, self.now);
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

    /// Answers a request for a part from L0, if it has the whole and may use it. Several parts at once are the origin's.
    pub(super) fn serve_part(&mut self, request: RequestId, key: CacheKey, ask: &RequestHead) -> bool {
        let variant = self.variants.key_for(key, &ask.fields);
        let FromMemory::Usable(whole) = self.look_in_memory(variant, ask) else { return false };
        let length = whole.length.0;
        let part = match range::portion(ask, &whole.head, length, self.wall()) {
            range::Portion::Whole => Arc::clone(&whole),
            range::Portion::One(part) => {
                let head = range::partial_head(&whole.head, part, length);
                Arc::new(whole.part(head, part.first(), part.length()))
            }
            range::Portion::Unsatisfiable => Arc::new(whole.part(range::unsatisfiable_head(length), 0, 0)),
            range::Portion::Several(_) => return false,
        };
        let tier = TierId::L0;
        self.event(Event::Hit { request, key, tier });
        self.serve_whole(request, key, ask, &part, Outcome::Hit { tier });
        true
    }

    /// Answers one request with a whole resident response, or with 304 if that is what its conditions ask for.
    pub(super) fn serve_whole(
        &mut self,
        request: RequestId,
        key: CacheKey,
        ask: &RequestHead,
        resident: &Arc<Resident<C>>,
        outcome: Outcome,
    ) {
        let age = resident.freshness.age(self.now);
        let received = self.wall_at(resident.freshness);
        let body = match conditional::answer(ask, &resident.head, received, self.wall()) {
            conditional::Answer::Full => Arc::clone(resident),
            conditional::Answer::NotModified => Arc::new(Resident {
                head: Arc::new(conditional::not_modified_head(&resident.head)),
                chunks: Vec::new(),
                length: ByteCount::ZERO,
                freshness: resident.freshness,
                staleness: resident.staleness,
            }),
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
        ask: Arc<RequestHead>,
        stored: Arc<Resident<C>>,
    ) {
        if self.flights.contains_key(&key) || self.fetches >= self.config.fills_max {
            return;
        }
        let fill = FillId(self.ids.mint());
        self.flights.insert(key, fill);
        let errand = Errand {
            key,
            target,
            sharing: Sharing::Open,
            reason: MissReason::Stale,
            stored: Some(stored),
            behind: Some(ask),
            glimpse: None,
        };
        self.ask_origin(fill, errand, Vec::new(), 0);
    }

    /// May what L0 has stand in for an answer that the origin did not give?
    pub(super) fn stand_in(&self, errand: &Errand<C>) -> Option<Arc<Resident<C>>> {
        let stored = errand.stored.as_ref()?;
        let may = reuse::usable_on_error(&stored.staleness.stored(&stored.freshness, self.now));
        may.then(|| Arc::clone(stored))
    }

    /// Answers all who wait with a stale response, because the origin failed.
    pub(super) fn serve_instead(
        &mut self,
        key: CacheKey,
        waiters: Vec<RequestId>,
        resident: &Arc<Resident<C>>,
    ) {
        let (tier, why) = (TierId::L0, StaleUse::IfError);
        for request in waiters {
            let ask = Arc::clone(&self.requests[&request].ask);
            self.event(Event::ServedStale { request, key, tier, why });
            self.serve_whole(request, key, &ask, resident, Outcome::Stale { tier, why });
        }
    }

    /// The origin said that what L0 has still holds: it gets a new lease, and all who wait get it (RFC 9111 section
    /// 4.3.4). A fill that a purge has closed freshens nothing: those who wait get what they asked for before.
    pub(super) fn freshen(
        &mut self,
        errand: &Errand<C>,
        waiters: Vec<RequestId>,
        stored: &Resident<C>,
        not_modified: &Head,
        sent: WallTime,
    ) {
        let (key, tier) = (errand.key, TierId::L0);
        let received = self.wall();
        let head = Arc::new(rules::revalidate::merge(&stored.head, not_modified, received));
        let ask = waiters.first().map(|request| Arc::clone(&self.requests[request].ask));
        let Some(ask) = ask.or_else(|| errand.behind.clone()) else { return };
        let judged = rules::judge(&self.config.policy, &ask, &head, sent, received);
        let freshened = Arc::new(Resident {
            staleness: Staleness::of(&self.config.policy, &head),
            freshness: Freshness {
                as_of: self.now,
                age_then: judged.initial_age,
                lifetime: judged.lifetime.span(),
            },
            head,
            chunks: stored.chunks.clone(),
            length: stored.length,
        });
        let may_stay = judged.storable == Storable::Yes && errand.sharing == Sharing::Open;
        if may_stay {
            self.event(Event::Freshened { tier, key });
            self.store_in_memory(key, Resident::clone(&freshened), Some(tier));
        } else if errand.sharing == Sharing::Open {
            self.remove_from_memory(key, Removal::Replaced);
        }
        for request in waiters {
            let ask = Arc::clone(&self.requests[&request].ask);
            self.event(Event::Revalidated { request, key: errand.target, tier });
            self.serve_whole(request, errand.target, &ask, &freshened, Outcome::Revalidated { tier });
        }
    }

    /// When a response came, on the calendar.
    fn wall_at(&self, freshness: Freshness) -> WallTime {
        self.wall().before(self.now.since(freshness.as_of))
    }
}
