//! One leader's tries at the origin: an attempt, a rest, another attempt, until one succeeds or none may be made.
//!
//! An origin's breaker is asked just before it is, and not earlier: nothing that a tier has is hidden by it (failure R2).
//! Each attempt is a fetch of its own, under its own name, so that nothing of an earlier one can be taken for its answer.

use crate::machine::{Engine, Pending, caring::Waiter, clients::Progress};
use crate::{
    care::{
        attempts::{Decision, Failed, GiveUp},
        deadline::{Due, Phase},
    },
    chunk::Chunk,
    effect::Effect,
    event::{Event, FetchEnd, Purpose},
    fill::{Errand, Fill, Sent, Sharing, Source, Stage, Stored, Tries},
    id::{FillId, RequestId},
    reason::{Guarded, Late, OriginFailure, Refusal},
    time::Instant,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

impl<C: Chunk> Engine<C> {
    /// Asks the origin, if its breaker allows it. The caller has counted the fetch, and somebody leads.
    pub(in crate::machine) fn attempt(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
        tries: Tries,
    ) {
        let held = match self.cx.admit(Guarded::Origin(errand.origin)) {
            Ok(held) => held,
            Err(until) => {
                let retry_after = until.since(self.cx.now);
                return self.fail(fill_id, errand, waiters, Refusal::BreakerOpen { retry_after });
            }
        };
        if tries.attempts.made() == 1 {
            self.cx.caring.budget.on_request(self.cx.now);
        }
        let leader = waiters.first().copied();
        let ask = leader.map(|leader| Arc::clone(self.clients.ask(leader)));
        let ask = ask.or_else(|| errand.behind.clone()).expect("the caller looked that somebody leads");
        let purpose = match errand.sharing {
            Sharing::Open | Sharing::Closed => Purpose::Shared,
            Sharing::Private => Purpose::Private,
        };
        let op = self.cx.operation_with(Pending::Fetch(fill_id), Some(held));
        let (key, variant, origin) = (errand.target, errand.key, errand.origin);
        self.cx.event(Event::Fetched { fill: fill_id, key, variant, origin, purpose });
        let head = self.origin_request(&ask, errand.stored.as_ref().map(Stored::head));
        self.cx.effect(Effect::Fetch { op, fill: fill_id, head });
        self.cx.caring.deadlines.enter(self.cx.now, Waiter::Fill(fill_id), Phase::Head);
        let sent = Sent { leader, ask };
        let stage = Stage::Asking { waiters, op, since: self.cx.now, tries, sent };
        self.fills.insert(fill_id, Fill { errand, stage });
    }

    /// An attempt failed: says when to make another, if one may be made.
    pub(in crate::machine) fn decide(
        &mut self,
        fill_id: FillId,
        errand: &Errand<C>,
        waiters: &[RequestId],
        tries: &mut Tries,
        failed: Failed,
    ) -> Option<Instant> {
        let why = if waiters.is_empty() && errand.behind.is_none() {
            GiveUp::NobodyWaits
        } else if self.cx.is_open(Guarded::Origin(errand.origin)) {
            GiveUp::BreakerOpen
        } else {
            let policy = self.cx.config.care.retry;
            let caring = &mut self.cx.caring;
            match tries.attempts.on_failed(
                self.cx.now,
                failed,
                &policy,
                &mut caring.budget,
                &mut caring.random,
            ) {
                Decision::Retry { at } => return Some(at),
                Decision::GiveUp(why) => why,
            }
        };
        self.cx.event(Event::GaveUp { fill: fill_id, why });
        None
    }

    /// Waits for the next attempt's time, under the name that it will have. Whoever comes meanwhile joins.
    pub(in crate::machine) fn rest(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
        tries: Tries,
        at: Instant,
    ) {
        let next = self.rename(fill_id, &errand, &waiters);
        let attempt = tries.attempts.made();
        self.cx.event(Event::Retried { fill: fill_id, next, key: errand.target, attempt, at });
        self.cx.caring.retries.set(next, at);
        self.fills.insert(next, Fill { errand, stage: Stage::Resting { waiters, tries } });
    }

    /// Gives a fill that asks anew another name.
    pub(in crate::machine) fn rename(
        &mut self,
        fill_id: FillId,
        errand: &Errand<C>,
        waiters: &[RequestId],
    ) -> FillId {
        let next = FillId(self.cx.ids.mint());
        if self.flights.get(&errand.key) == Some(&fill_id) {
            self.flights.insert(errand.key, next);
        }
        for request in waiters {
            let waiting =
                self.clients.requests.get_mut(request).expect("waiters are requests that have not ended");
            waiting.progress = Progress::Waiting(next);
        }
        self.cx.caring.deadlines.hand_over(self.cx.now, Waiter::Fill(fill_id), Waiter::Fill(next));
        next
    }

    /// The next attempt's time has come.
    pub(in crate::machine) fn ask_again(&mut self, fill_id: FillId) {
        let Fill { errand, stage } = self.fills.remove(&fill_id).expect("only what rests asks again");
        let Stage::Resting { waiters, tries } = stage else { unreachable!("rested while {stage:?}") };
        let waiters = self.pass_partial(waiters);
        if waiters.is_empty() && errand.behind.is_none() {
            self.cx.event(Event::GaveUp { fill: fill_id, why: GiveUp::NobodyWaits });
            self.end_asking(fill_id, &errand);
            return self.let_go(errand.stored);
        }
        self.attempt(fill_id, errand, waiters, tries);
    }

    /// Nobody waits for the next attempt any more. It is not made for the tiers' sake, whatever `on_abandon` says: that is
    /// about a fetch that the origin already works at.
    pub(in crate::machine) fn end_resting(&mut self, fill_id: FillId, why: GiveUp) {
        let Fill { errand, .. } = self.fills.remove(&fill_id).expect("the caller found it");
        let rested = self.cx.caring.retries.remove(fill_id);
        assert!(rested.is_some(), "{fill_id:?} ends its rest but does not rest");
        self.cx.event(Event::GaveUp { fill: fill_id, why });
        self.end_asking(fill_id, &errand);
        self.let_go(errand.stored);
    }

    /// No attempt is under way or will be made.
    pub(in crate::machine) fn end_asking(&mut self, fill_id: FillId, errand: &Errand<C>) {
        self.fetches -= 1;
        self.end_flight(errand.key, fill_id);
        self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
    }

    /// The origin gave nothing to serve: all who wait get what stands in for it, or else an error.
    pub(in crate::machine) fn fail(
        &mut self,
        fill_id: FillId,
        errand: Errand<C>,
        waiters: Vec<RequestId>,
        refusal: Refusal,
    ) {
        self.end_asking(fill_id, &errand);
        if let Err(waiters) = self.stand_in(&errand, waiters) {
            for request in waiters {
                self.clients.refuse(&mut self.cx, request, refusal);
            }
        }
        self.let_go(errand.stored);
    }

    /// Something that a fill waits for did not come in time.
    pub(in crate::machine) fn on_fill_late(&mut self, fill_id: FillId, due: Due) {
        match due {
            Due::Lookup => self.on_lookup_late(fill_id),
            Due::Head => {
                self.give_up_fetch(fill_id, Late::Head);
                self.on_fetch_failed(fill_id, OriginFailure::TimedOut);
            }
            Due::Answer => self.on_answer_late(fill_id),
            Due::Chunk => {
                self.give_up_fetch(fill_id, Late::Chunk);
                self.break_off(fill_id, OriginFailure::TimedOut);
            }
        }
    }

    /// Stops the fetch of a fill that has waited too long for it.
    fn give_up_fetch(&mut self, fill_id: FillId, what: Late) {
        let fill = &self.fills[&fill_id];
        let op = match &fill.stage {
            Stage::Asking { op, .. } => *op,
            Stage::Streaming(stream) => match stream.source {
                Source::Pulling(op) => op,
                Source::Idle | Source::Ended => unreachable!("{fill_id:?} waits for no chunk"),
            },
            Stage::Looking { .. } | Stage::Resting { .. } => unreachable!("{fill_id:?} does not fetch"),
        };
        self.cx.event(Event::DeadlineMissed { key: fill.errand.target, what });
        self.cx.give_up(op);
        self.cx.effect(Effect::Cancel { fill: fill_id });
    }

    /// All that the fill had until its head is over: nothing more can be made of it, and nobody else leads.
    fn on_answer_late(&mut self, fill_id: FillId) {
        let refusal = Refusal::Origin(OriginFailure::TimedOut);
        match &self.fills[&fill_id].stage {
            Stage::Looking { .. } => {
                let (errand, waiters, _) = self.give_up_lookup(fill_id);
                self.cx.event(Event::DeadlineMissed { key: errand.target, what: Late::Answer });
                for request in &waiters {
                    let (key, reason) = (errand.target, errand.reason);
                    self.cx.event(Event::Missed { request: *request, key, reason });
                }
                self.fetches += 1;
                self.fail(fill_id, errand, waiters, refusal);
            }
            Stage::Asking { .. } => {
                self.give_up_fetch(fill_id, Late::Answer);
                let Some(Fill { errand, stage: Stage::Asking { waiters, .. } }) = self.fills.remove(&fill_id)
                else {
                    unreachable!("{fill_id:?} asked a moment ago");
                };
                let end = FetchEnd::Failed(OriginFailure::TimedOut);
                let (key, received) = (errand.target, ByteCount::ZERO);
                self.cx.event(Event::FetchEnded { fill: fill_id, key, received, end });
                self.fail(fill_id, errand, waiters, refusal);
            }
            Stage::Resting { .. } => unreachable!("no attempt is put off beyond {fill_id:?}'s deadline"),
            Stage::Streaming(_) => unreachable!("{fill_id:?} has its head"),
        }
    }
}
