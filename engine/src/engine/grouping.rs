//! A crowd that waited for one response, once that turns out to depend on what each of them asked (failure T12).
//!
//! Until a target's first response nobody knows what it depends on, so all who ask for it wait for one fetch. When its
//! head names the fields, those whose fields differ from the leader's are parted from it, and gather by variant: each group
//! joins the fill that is under way for its variant, or begins one. Each round serves at least the leader of each group,
//! whatever the origin names next.

use super::{Engine, Progress};
use crate::{
    chunk::Chunk,
    fill::{Errand, Sent, Sharing},
    id::{FillId, OriginId, RequestId},
    key::CacheKey,
    reason::{MissReason, Refusal, Storable},
    rules::{
        Judgement,
        vary::{Vary, variant_key},
    },
    selector::Place,
};
use alloc::{sync::Arc, vec::Vec};

/// What a crowd waited for.
pub(super) struct Group {
    target: CacheKey,
    place: Arc<Place>,
    origin: OriginId,
    reason: MissReason,
}

impl Group {
    pub(super) fn of<C>(errand: &Errand<C>) -> Self {
        let Errand { target, place, origin, reason, .. } = errand;
        Self { target: *target, place: Arc::clone(place), origin: *origin, reason: *reason }
    }
}

impl<C: Chunk> Engine<C> {
    /// Takes those from `waiters` whom the response to `sent` does not answer. What may not be stored answers nobody but
    /// its leader, and parts nobody here.
    pub(super) fn part_from(
        &self,
        errand: &Errand<C>,
        sent: &Sent,
        judged: &Judgement,
        waiters: &mut Vec<RequestId>,
    ) -> Vec<RequestId> {
        let (Vary::Fields(names), Storable::Yes) = (&judged.vary, judged.storable) else { return Vec::new() };
        let variant = variant_key(errand.target, names, &sent.ask.fields);
        let (same, others) = waiters.drain(..).partition(|request| {
            variant_key(errand.target, names, &self.requests[request].ask.fields) == variant
        });
        *waiters = same;
        others
    }

    /// Gathers those who were parted from what they waited for. Their misses were told when they came.
    pub(super) fn regroup(&mut self, group: &Group, others: Vec<RequestId>) {
        let mut gathered: Vec<(CacheKey, Vec<RequestId>)> = Vec::new();
        for request in others {
            let variant = self.variants.key_for(group.target, &self.requests[&request].ask.fields);
            match gathered.iter_mut().find(|(key, _)| *key == variant) {
                Some((_, requests)) => requests.push(request),
                None => gathered.push((variant, Vec::from([request]))),
            }
        }
        for (variant, requests) in gathered {
            match self.flights.get(&variant).copied().filter(|fill| !self.is_spent(*fill)) {
                Some(fill) => self.attach_all(fill, requests),
                None => self.fetch_for(group, variant, requests),
            }
        }
    }

    fn attach_all(&mut self, fill: FillId, requests: Vec<RequestId>) {
        for request in requests {
            match self.fills.get(&fill) {
                Some(joined) if joined.stage.crowd() >= self.config.waiters_max => {
                    self.refuse(request, Refusal::TooManyWaiters);
                }
                Some(_) => self.attach(fill, request),
                // Whoever joined before read it to its end at once.
                None => self.fetch_privately(request, MissReason::Absent),
            }
        }
    }

    /// One fetch for all of them, whom later requests join.
    fn fetch_for(&mut self, group: &Group, variant: CacheKey, requests: Vec<RequestId>) {
        let fill = FillId(self.ids.mint());
        self.flights.insert(variant, fill);
        for request in &requests {
            let waiting = self.requests.get_mut(request).expect("who waits has not ended");
            waiting.progress = Progress::Waiting(fill);
        }
        let errand = Errand {
            key: variant,
            target: group.target,
            place: Arc::clone(&group.place),
            origin: group.origin,
            sharing: Sharing::Open,
            reason: group.reason,
            stored: None,
            behind: None,
            glimpse: None,
        };
        self.ask_origin(fill, errand, requests, 1);
    }
}
