//! A crowd that waited for one response, once that turns out to depend on what each of them asked (failure T12).
//!
//! Until a target's first response nobody knows what it depends on, so all who ask for it wait for one fetch. When its
//! head names the fields, those whose fields differ from the leader's are parted from it, and gather by variant: each group
//! joins the fill that is under way for its variant, or begins one. Each round serves at least the leader of each group,
//! whatever the origin names next.

use crate::machine::{Engine, caring::Waiter};
use crate::{
    chunk::Chunk,
    fill::{Errand, Sent, Sharing, Stage},
    head::{Head, RequestHead},
    id::{FillId, OriginId, RequestId},
    key::{CacheKey, StoredKey},
    reason::{MissReason, Refusal, Storable},
    rules::{
        Judgement,
        vary::{Vary, variant_key},
    },
    selector::Place,
};
use alloc::vec::Vec;

/// What a crowd waited for.
pub(in crate::machine) struct Group {
    target: CacheKey,
    place: Place,
    origin: OriginId,
    reason: MissReason,
}

impl Group {
    pub(in crate::machine) fn of<C>(errand: &Errand<C>) -> Self {
        let Errand { target, place, origin, reason, .. } = errand;
        Self { target: *target, place: place.clone(), origin: *origin, reason: *reason }
    }
}

impl<C: Chunk> Engine<C> {
    /// Takes those from `waiters` whom the response to `sent` does not answer. What may not be stored answers nobody but
    /// its leader, and parts nobody here.
    pub(in crate::machine) fn part_from(
        &self,
        errand: &Errand<C>,
        sent: &Sent,
        judged: &Judgement,
        waiters: &mut Vec<RequestId>,
    ) -> Vec<RequestId> {
        let (Vary::Fields(names), Storable::Yes) = (&judged.vary, judged.storable) else { return Vec::new() };
        let variant = variant_key(errand.target, names, &sent.ask.fields);
        let (same, others) = waiters.drain(..).partition(|request| {
            variant_key(errand.target, names, &self.clients.ask(*request).fields) == variant
        });
        *waiters = same;
        others
    }

    /// Is the response that a 304 is about filed under what the 304 says it depends on? If not, it is no answer to all who
    /// wait under that key.
    pub(in crate::machine) fn stays_filed(
        errand: &Errand<C>,
        ask: &RequestHead,
        not_modified: &Head,
    ) -> bool {
        match Vary::of(not_modified) {
            Vary::Nothing => true,
            Vary::Fields(names) => variant_key(errand.target, &names, &ask.fields) == errand.key,
            Vary::Anything => false,
        }
    }

    /// Makes this the fill that new requests for a variant join, unless one is past the tiers already. One that still looks
    /// joins it, if it finds nothing: see [`Engine::ask_or_join`].
    pub(in crate::machine) fn lead_flight(&mut self, variant: CacheKey, fill_id: FillId) -> Option<FillId> {
        let other = self.flights.get(&variant).copied().filter(|other| {
            let is_looking =
                matches!(self.fills.get(other).map(|fill| &fill.stage), Some(Stage::Looking { .. }));
            *other != fill_id && !is_looking && !self.is_spent(*other)
        });
        if other.is_none() {
            self.flights.insert(variant, fill_id);
        }
        other
    }

    /// A walk through the tiers is over. Meanwhile a fetch for another variant can have turned out to be for this one: then
    /// it is joined.
    pub(in crate::machine) fn ask_or_join(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
    ) {
        let other = match errand.sharing {
            Sharing::Open => self.lead_flight(errand.key, fill_id),
            Sharing::Closed | Sharing::Private => None,
        };
        let Some(other) = other else { return self.ask_origin(fill_id, errand, waiters, 0) };
        self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
        self.tell_missed(&errand, &waiters);
        let getters = self.pass_partial(waiters);
        self.attach_all(other, getters);
        self.let_go(errand.stored);
    }

    /// Gathers those who were parted from what they waited for. Their misses were told when they came.
    pub(in crate::machine) fn regroup(&mut self, group: &Group, others: Vec<RequestId>) {
        for (variant, requests) in self.gather(group.target, others) {
            match self.flights.get(&variant).copied().filter(|fill| !self.is_spent(*fill)) {
                Some(fill) => self.attach_all(fill, requests),
                None => self.fetch_for(group, variant, requests),
            }
        }
    }

    /// Puts together those who want the same variant of a target, in the order in which they came.
    pub(in crate::machine) fn gather(
        &self,
        target: CacheKey,
        requests: Vec<RequestId>,
    ) -> Vec<(CacheKey, Vec<RequestId>)> {
        let mut gathered: Vec<(CacheKey, Vec<RequestId>)> = Vec::new();
        for request in requests {
            let variant = self.residence.variants.key_for(target, &self.clients.ask(request).fields);
            match gathered.iter_mut().find(|(key, _)| *key == variant) {
                Some((_, requests)) => requests.push(request),
                None => gathered.push((variant, Vec::from([request]))),
            }
        }
        gathered
    }

    pub(in crate::machine) fn attach_all(&mut self, fill: FillId, requests: Vec<RequestId>) {
        for request in requests {
            match self.fills.get(&fill) {
                Some(joined) if joined.stage.crowd() >= self.cx.config.waiters_max => {
                    self.clients.refuse(&mut self.cx, request, Refusal::TooManyWaiters);
                }
                Some(_) => self.attach(fill, request),
                // Whoever joined before read it to its end at once.
                None => self.fetch_privately(request, MissReason::Absent),
            }
        }
    }

    /// One fetch for all of them, whom later requests join.
    fn fetch_for(&mut self, group: &Group, variant: CacheKey, requests: Vec<RequestId>) {
        let fill = FillId(self.cx.ids.mint());
        self.flights.insert(variant, fill);
        self.clients.wait_for(fill, &requests);
        let at = StoredKey { target: group.target, key: variant };
        let errand = Errand::new(at, group.place.clone(), group.origin, Sharing::Open, group.reason);
        self.ask_origin(fill, errand, requests, 1);
    }
}
