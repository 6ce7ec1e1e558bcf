//! Asking the origin: who leads, and who leads next.
//!
//! How often one leader tries stands in `trying`, what comes of an answer in `fetching`.

use crate::machine::{Engine, caring::Waiter, clients::Progress};
use crate::{
    care::attempts::{Attempts, Failed, Repeatable},
    chunk::Chunk,
    event::{Event, FetchEnd},
    fill::{Errand, Fill, Sharing, Stage, Tries},
    head::{Head, Method, RequestHead},
    id::{FillId, RequestId},
    key::{CacheKey, StoredKey},
    reason::{Bypass, MissReason, OriginFailure, Refusal},
    rules::{self, conditional, revalidate},
    selector::Place,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

/// How many leaders may fail, each as often as `care.retry` lets it, before their followers are told. The second try spares a crowd the bad luck of one; more
/// would make five hundred clients of a dead origin wait for one another.
const LEADERS_MAX: u32 = 2;

impl<C: Chunk> Engine<C> {
    /// Asks the origin for all who wait for the whole. HEAD requests and those for parts go around: no part is ever
    /// fetched for others.
    pub(in crate::machine) fn ask_origin(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
        failed: u32,
    ) {
        if failed == 0 {
            self.tell_missed(&errand, &waiters);
        }
        let getters = self.pass_partial(waiters);
        if getters.is_empty() && errand.behind.is_none() {
            self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
            self.end_flight(errand.key, fill_id);
            return self.let_go(errand.stored);
        }
        if self.fetches >= self.cx.config.fills_max {
            self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
            self.end_flight(errand.key, fill_id);
            for request in getters {
                self.clients.refuse(&mut self.cx, request, Refusal::TooManyFills);
            }
            return self.let_go(errand.stored);
        }
        self.fetches += 1;
        let attempts = Attempts::new(Repeatable::Idempotent, self.cx.answer_by(fill_id));
        self.attempt(fill_id, errand, getters, Tries { attempts, leaders_failed: failed });
    }

    /// No tier could answer these.
    pub(in crate::machine) fn tell_missed(&mut self, errand: &Errand<C>, waiters: &[RequestId]) {
        for wants_whole in [false, true] {
            for request in waiters {
                if rules::wants_whole(self.clients.ask(*request)) == wants_whole {
                    let (request, key, reason) = (*request, errand.target, errand.reason);
                    self.cx.event(Event::Missed { request, key, reason });
                }
            }
        }
    }

    /// Sends those who do not wait for a whole body around the cache.
    pub(in crate::machine) fn pass_partial(&mut self, mut waiters: Vec<RequestId>) -> Vec<RequestId> {
        waiters.retain(|request| {
            let ask = self.clients.ask(*request);
            let (is_getter, is_get) = (rules::wants_whole(ask), ask.method == Method::Get);
            if !is_getter {
                self.clients.pass(
                    &mut self.cx,
                    *request,
                    if is_get { Bypass::Range } else { Bypass::Method },
                );
            }
            is_getter
        });
        waiters
    }

    /// Fetches for one request alone.
    pub(in crate::machine) fn fetch_privately(&mut self, request: RequestId, reason: MissReason) {
        let fill = FillId(self.cx.ids.mint());
        let asking = self.clients.requests.get_mut(&request).expect("the caller holds a request that waits");
        asking.progress = Progress::Waiting(fill);
        let (key, origin, place) = (asking.key, asking.origin, Place::of(&asking.ask));
        let errand = Errand::new(StoredKey::plain(key), place, origin, Sharing::Private, reason);
        // Its miss was told when it came to share.
        self.ask_origin(fill, errand, Vec::from([request]), 1);
    }

    pub(in crate::machine) fn on_fetch_failed(&mut self, fill_id: FillId, failure: OriginFailure) {
        let Fill { errand, stage } =
            self.fills.remove(&fill_id).expect("a fetch's fill waits for its answer");
        let Stage::Asking { waiters, mut tries, .. } = stage else { unreachable!("asked while {stage:?}") };
        let end = FetchEnd::Failed(failure);
        self.cx.event(Event::FetchEnded {
            fill: fill_id,
            key: errand.target,
            received: ByteCount::ZERO,
            end,
        });
        let waiters = match self.stand_in(&errand, waiters) {
            Ok(()) => {
                self.end_asking(fill_id, &errand);
                return self.let_go(errand.stored);
            }
            Err(waiters) => waiters,
        };
        let failed = Failed::of_failure(failure);
        match self.decide(fill_id, &errand, &waiters, &mut tries, failed) {
            Some(at) => self.rest(fill_id, errand, waiters, tries, at),
            None => self.replace_leader(fill_id, errand, waiters, tries.leaders_failed + 1, failure),
        }
    }

    /// The leader has tried as often as it may: it is told, and one waiter leads anew, once.
    fn replace_leader(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        mut waiters: Vec<RequestId>,
        failed: u32,
        failure: OriginFailure,
    ) {
        if failed >= LEADERS_MAX || errand.sharing != Sharing::Open || waiters.len() < 2 {
            return self.fail(fill_id, errand, waiters, Refusal::Origin(failure));
        }
        let leader = waiters.remove(0);
        self.clients.refuse(&mut self.cx, leader, Refusal::Origin(failure));
        let next = self.rename(fill_id, &errand, &waiters);
        self.cx.event(Event::LeaderReplaced { fill: fill_id, request: waiters[0] });
        self.fetches -= 1;
        self.ask_origin(next, errand, waiters, failed);
    }

    /// The request as the origin is asked: whether what we have still holds, or for the whole; never with the leader's
    /// own conditions (failure T12).
    pub(in crate::machine) fn origin_request(
        &self,
        ask: &Arc<RequestHead>,
        stored: Option<&Arc<Head>>,
    ) -> Arc<RequestHead> {
        let conditional =
            stored.and_then(|stored| revalidate::revalidation(&ask.fields, stored, self.cx.wall()));
        if let Some(fields) = conditional {
            return Arc::new(RequestHead { fields, ..RequestHead::clone(ask) });
        }
        let has_conditions = ask.fields.iter().any(|(name, _)| conditional::is_condition(name));
        if !has_conditions {
            return Arc::clone(ask);
        }
        let mut asked = RequestHead::clone(ask);
        conditional::remove_conditions(&mut asked.fields);
        Arc::new(asked)
    }

    /// Lets new requests for `key` begin anew, if it is this fill that they would join.
    pub(in crate::machine) fn end_flight(&mut self, key: CacheKey, fill_id: FillId) {
        if self.flights.get(&key) == Some(&fill_id) {
            self.flights.remove(&key);
        }
    }
}
