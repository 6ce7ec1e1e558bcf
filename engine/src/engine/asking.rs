//! Asking the origin: who leads, how often, and who leads next.
//!
//! What comes of an answer stands in `fetching`.

use super::{Engine, Pending, Progress};
use crate::{
    chunk::Chunk,
    effect::Effect,
    event::{Event, FetchEnd, Purpose},
    fill::{Errand, Fill, Sharing, Stage, Stored},
    head::{Head, Method, RequestHead},
    id::{FillId, RequestId},
    key::CacheKey,
    reason::{Bypass, MissReason, OriginFailure, Refusal},
    rules::{self, conditional, revalidate},
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

/// How many leaders may fail before their followers are told. The second try spares a crowd the bad luck of one; more
/// would make five hundred clients of a dead origin wait for one another.
const LEADERS_MAX: u32 = 2;

impl<C: Chunk> Engine<C> {
    /// Asks the origin for all who wait for the whole. HEAD requests and those for parts go around: no part is ever
    /// fetched for others.
    pub(super) fn ask_origin(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
        failed: u32,
    ) {
        let (getters, passers): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|request| rules::wants_whole(&self.requests[request].ask));
        if failed == 0 {
            for request in passers.iter().chain(&getters) {
                self.event(Event::Missed { request: *request, key: errand.target, reason: errand.reason });
            }
        }
        for request in passers {
            let is_get = self.requests[&request].ask.method == Method::Get;
            self.pass(request, if is_get { Bypass::Range } else { Bypass::Method });
        }
        let leader = getters.first().map(|leader| Arc::clone(&self.requests[leader].ask));
        let Some(ask) = leader.or_else(|| errand.behind.clone()) else {
            self.end_flight(errand.key, fill_id);
            return self.let_go(errand.stored);
        };
        if self.fetches >= self.config.fills_max {
            self.end_flight(errand.key, fill_id);
            for request in getters {
                self.refuse(request, Refusal::TooManyFills);
            }
            return self.let_go(errand.stored);
        }
        self.fetches += 1;
        let purpose = match errand.sharing {
            Sharing::Open | Sharing::Closed => Purpose::Shared,
            Sharing::Private => Purpose::Private,
        };
        let op = self.operation(Pending::Fetch(fill_id));
        self.event(Event::Fetched { fill: fill_id, key: errand.target, origin: errand.origin, purpose });
        let head = self.origin_request(&ask, errand.stored.as_ref().map(Stored::head));
        self.effect(Effect::Fetch { op, fill: fill_id, head });
        let stage = Stage::Asking { waiters: getters, op, since: self.now, failed };
        self.fills.insert(fill_id, Fill { errand, stage });
    }

    /// Fetches for one request alone.
    pub(super) fn fetch_privately(&mut self, request: RequestId, reason: MissReason) {
        let fill = FillId(self.ids.mint());
        let asking = self.requests.get_mut(&request).expect("the caller holds a request that waits");
        asking.progress = Progress::Waiting(fill);
        let (key, origin) = (asking.key, asking.origin);
        let errand = Errand {
            key,
            target: key,
            origin,
            sharing: Sharing::Private,
            reason,
            stored: None,
            behind: None,
            glimpse: None,
        };
        // Its miss was told when it came to share.
        self.ask_origin(fill, errand, Vec::from([request]), 1);
    }

    pub(super) fn on_fetch_failed(&mut self, fill_id: FillId, failure: OriginFailure) {
        let Fill { errand, stage } =
            self.fills.remove(&fill_id).expect("a fetch's fill waits for its answer");
        let Stage::Asking { mut waiters, failed, .. } = stage else { unreachable!("asked while {stage:?}") };
        self.fetches -= 1;
        let end = FetchEnd::Failed(failure);
        self.event(Event::FetchEnded { fill: fill_id, key: errand.target, received: ByteCount::ZERO, end });
        waiters = match self.stand_in(&errand, waiters) {
            Ok(()) => {
                self.end_flight(errand.key, fill_id);
                return self.let_go(errand.stored);
            }
            Err(waiters) => waiters,
        };
        let is_last = failed + 1 >= LEADERS_MAX || errand.sharing != Sharing::Open || waiters.len() < 2;
        if is_last {
            self.end_flight(errand.key, fill_id);
            for request in waiters {
                self.refuse(request, Refusal::Origin(failure));
            }
            return self.let_go(errand.stored);
        }
        let leader = waiters.remove(0);
        self.refuse(leader, Refusal::Origin(failure));
        let next = FillId(self.ids.mint());
        self.flights.insert(errand.key, next);
        for request in &waiters {
            let waiting = self.requests.get_mut(request).expect("waiters are requests that have not ended");
            waiting.progress = Progress::Waiting(next);
        }
        self.event(Event::LeaderReplaced { fill: fill_id, request: waiters[0] });
        self.ask_origin(next, errand, waiters, failed + 1);
    }

    /// The request as the origin is asked: whether what we have still holds, or for the whole; never with the leader's
    /// own conditions (failure T12).
    fn origin_request(&self, ask: &Arc<RequestHead>, stored: Option<&Arc<Head>>) -> Arc<RequestHead> {
        let conditional =
            stored.and_then(|stored| revalidate::revalidation(&ask.fields, stored, self.wall()));
        if let Some(fields) = conditional {
            return Arc::new(RequestHead { fields, ..RequestHead::clone(ask) });
        }
        let mut asked = RequestHead::clone(ask);
        conditional::remove_conditions(&mut asked.fields);
        if asked == **ask { Arc::clone(ask) } else { Arc::new(asked) }
    }

    /// Lets new requests for `key` begin anew, if it is this fill that they would join.
    pub(super) fn end_flight(&mut self, key: CacheKey, fill_id: FillId) {
        if self.flights.get(&key) == Some(&fill_id) {
            self.flights.remove(&key);
        }
    }
}
