//! Asking the origin: who leads, how often, and who leads next.
//!
//! One leader's tries are an attempt, a rest, another attempt, until one succeeds or none may be made. An
//! origin's breaker is asked just before it is, and not earlier: nothing that a tier has is hidden by it
//! (failure R2). Each attempt is a fetch of its own, under its own name, so that nothing of an earlier one
//! can be taken for its answer.

use super::{
    FetchContext, Fetching, Fill, Over, Sharing, Stage, Tries,
    fill::{Asked, OriginSide, Sent, Stream},
};
use crate::machine::{
    context::{Context, Pending},
    resilience::Timed,
    stored::Stored,
};
use crate::{
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{FetchEnd, FetchEvent, Purpose, RequestEvent, ResilienceEvent},
        head::{Head, Method, RequestHead},
        id::{FillId, RequestId},
        key::StoredKey,
        reason::{Bypass, Dependency, Late, MissReason, OriginFailure, Refusal},
        selector::TargetUri,
        time::Instant,
        units::ByteCount,
    },
    resilience::{
        attempts::{Attempts, Decision, Failed, GiveUp, Repeatable},
        deadline::Phase,
    },
    rules::{self, conditional, reuse, revalidate},
};
use alloc::{sync::Arc, vec::Vec};

/// How many leaders may fail, each as often as `resilience.retry` lets it, before their followers are told.
/// The second try spares many clients the bad luck of one; more would make five hundred clients of a dead
/// origin wait for one another.
const LEADERS_MAX: u32 = 2;

impl<C: Chunk> Fetching<C> {
    /// Asks the origin for the whole. Who does not want that goes around, unless it is to be fetched for the
    /// tiers all the same: no part is ever fetched for others. `failed` leaders have asked before; who waited
    /// for them was told of its miss.
    pub(in crate::machine) fn ask_origin(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        mut context: FetchContext<C>,
        waiters: Vec<RequestId>,
        failed: u32,
    ) -> Option<Over<C>> {
        if failed == 0 {
            self.tell_missed(cx, &context, &waiters);
        }
        let getters = self.pass_partial(cx, &context, waiters);
        if getters.is_empty() && context.background.is_none() {
            return Some(self.end_unasked(cx, fill, context));
        }
        let wants_part = |request: &RequestId| rules::around(self.ask(*request)).is_some();
        context.is_for_part = !getters.is_empty() && getters.iter().all(wants_part);
        let Some(slot) = self.slots.take(cx.config.fills_max) else {
            for request in getters {
                self.refuse(cx, request, Refusal::TooManyFills);
            }
            return Some(self.end_unasked(cx, fill, context));
        };
        let attempts = Attempts::new(Repeatable::Idempotent, cx.answer_by(fill));
        self.attempt(cx, fill, context, getters, Tries { attempts, leaders_failed: failed, slot })
    }

    /// A fill is over before the origin was asked.
    fn end_unasked(&mut self, cx: &mut Context<C>, fill: FillId, context: FetchContext<C>) -> Over<C> {
        self.end_asking(cx, fill, &context);
        Over::Unanswered(context.stored)
    }

    /// No tier could answer these.
    pub(super) fn tell_missed(&self, cx: &mut Context<C>, context: &FetchContext<C>, waiters: &[RequestId]) {
        for wants_whole in [false, true] {
            for request in waiters {
                if rules::around(self.ask(*request)).is_none() == wants_whole {
                    let (request, key, reason) = (*request, context.target, context.reason);
                    cx.event(RequestEvent::Missed { request, key, reason });
                }
            }
        }
    }

    /// Sends those around the cache for whom no whole body is fetched.
    pub(super) fn pass_partial(
        &mut self,
        cx: &mut Context<C>,
        context: &FetchContext<C>,
        mut waiters: Vec<RequestId>,
    ) -> Vec<RequestId> {
        let is_fetched = self.is_fetched_for_part(cx, context);
        waiters.retain(|request| {
            let around = rules::around(self.ask(*request))
                .filter(|bypass| !is_fetched || *bypass == Bypass::Precondition);
            if let Some(bypass) = around {
                self.waiting.remove(request);
                cx.pass(*request, bypass);
            }
            around.is_none()
        });
        waiters
    }

    /// Is the whole fetched for those who want a part of it, or its head?
    pub(super) fn is_fetched_for_part(&self, cx: &Context<C>, context: &FetchContext<C>) -> bool {
        cx.config.whole_for_part_max.is_some()
            && context.sharing == Sharing::Open
            && !self.unkept.holds(context.target, cx.now)
    }

    /// Fetches for one request alone, whose miss was told when it came to share.
    pub(in crate::machine) fn fetch_alone(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        reason: MissReason,
    ) -> Option<Over<C>> {
        let fill = FillId(cx.ids.mint());
        self.wait_for(fill, &[request]);
        let waiter = &self.waiting[&request].1;
        let (at, uri) = (StoredKey::plain(waiter.key), TargetUri::of(&waiter.ask));
        let context = FetchContext::new(at, uri, waiter.origin, Sharing::Private, reason);
        self.ask_origin(cx, fill, context, Vec::from([request]), 1)
    }

    /// Asks the origin, if its breaker allows it. Somebody leads.
    fn attempt(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        context: FetchContext<C>,
        waiters: Vec<RequestId>,
        tries: Tries,
    ) -> Option<Over<C>> {
        let permit = match cx.admit(Dependency::Origin(context.origin)) {
            Ok(permit) => permit,
            Err(until) => {
                let retry_after = until.since(cx.now);
                return Some(self.fail(cx, fill, context, waiters, Refusal::BreakerOpen { retry_after }));
            }
        };
        if tries.attempts.made() == 1 {
            cx.resilience.budget.on_request(cx.now);
        }
        let leader = waiters.first().copied();
        let ask = match (leader, &context.background) {
            (Some(leader), _) => to_get(self.ask(leader)),
            (None, Some(background)) => to_get(background),
            (None, None) => unreachable!("nobody leads {fill:?}, and it is not asked for its own sake"),
        };
        let purpose = match context.sharing {
            Sharing::Open | Sharing::Closed if context.is_for_part => Purpose::Part,
            Sharing::Open | Sharing::Closed => Purpose::Shared,
            Sharing::Private => Purpose::Private,
        };
        let op = cx.operation_with(Pending::Fetch(fill), Some(permit));
        let (key, variant, origin) = (context.target, context.key, context.origin);
        cx.event(FetchEvent::Fetched { fill, key, variant, origin, purpose });
        let head = origin_request(cx, &ask, context.stored.as_ref().map(Stored::head));
        cx.effect(Effect::Fetch { op, fill, head, leader });
        cx.resilience.deadlines.enter(cx.now, Timed::Fill(fill), Phase::Head);
        let asked = Asked { waiters, op, since: cx.now, tries, sent: Sent { leader, ask } };
        self.fills.insert(fill, Fill { context, stage: Stage::Asking(asked) });
        None
    }

    /// A fetch whose head is awaited, and which is over now.
    pub(in crate::machine) fn take_asked(&mut self, fill: FillId) -> (FetchContext<C>, Asked) {
        let Fill { context, stage } = self.fills.take(&fill);
        match stage {
            Stage::Asking(asked) => (context, asked),
            Stage::Looking { .. } | Stage::Resting { .. } | Stage::Streaming(_) => {
                unreachable!("{fill:?} does not wait for a head")
            }
        }
    }

    pub(in crate::machine) fn on_fetch_failed(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        failure: OriginFailure,
    ) -> Option<Over<C>> {
        let (mut context, Asked { waiters, mut tries, .. }) = self.take_asked(fill);
        let (received, end) = (ByteCount::ZERO, FetchEnd::Failed(failure));
        cx.event(FetchEvent::FetchEnded { fill, key: context.target, received, end });
        if let Some(stored) = take_stale_on_error(cx, &mut context) {
            self.end_asking(cx, fill, &context);
            return Some(Over::Stale(stored, self.take_waiters(waiters)));
        }
        let failed = Failed::of_failure(cx.config.resilience.retry.when, failure);
        match decide(cx, fill, &context, &waiters, &mut tries, failed) {
            Some(at) => {
                self.rest(cx, fill, context, waiters, tries, at);
                None
            }
            None => self.replace_leader(cx, fill, context, waiters, tries, failure),
        }
    }

    /// The leader has tried as often as it may: it is told, and one waiter leads anew, once.
    fn replace_leader(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        context: FetchContext<C>,
        mut waiters: Vec<RequestId>,
        tries: Tries,
        failure: OriginFailure,
    ) -> Option<Over<C>> {
        let failed = tries.leaders_failed + 1;
        if failed >= LEADERS_MAX || context.sharing != Sharing::Open || waiters.len() < 2 {
            return Some(self.fail(cx, fill, context, waiters, Refusal::Origin(failure)));
        }
        let leader = waiters.remove(0);
        self.refuse(cx, leader, Refusal::Origin(failure));
        let next = self.rename(cx, fill, &context, &waiters);
        cx.event(RequestEvent::LeaderReplaced { fill, request: waiters[0] });
        drop(tries);
        self.ask_origin(cx, next, context, waiters, failed)
    }

    /// Waits for the next attempt's time, under the name that it will have. Whoever comes meanwhile joins.
    pub(super) fn rest(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        context: FetchContext<C>,
        waiters: Vec<RequestId>,
        tries: Tries,
        at: Instant,
    ) {
        let next = self.rename(cx, fill, &context, &waiters);
        let attempt = tries.attempts.made();
        cx.event(FetchEvent::Retried { fill, next, key: context.target, attempt, at });
        cx.resilience.retries.set(next, at);
        self.fills.insert(next, Fill { context, stage: Stage::Resting { waiters, tries } });
    }

    /// Gives a fill that asks anew another name.
    fn rename(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        context: &FetchContext<C>,
        waiters: &[RequestId],
    ) -> FillId {
        let next = FillId(cx.ids.mint());
        if self.flights.get(&context.key) == Some(&fill) {
            self.flights.insert(context.key, next);
        }
        self.wait_for(next, waiters);
        cx.resilience.deadlines.hand_over(cx.now, Timed::Fill(fill), Timed::Fill(next));
        next
    }

    /// The next attempt's time has come.
    pub(in crate::machine) fn ask_again(&mut self, cx: &mut Context<C>, fill: FillId) -> Option<Over<C>> {
        let (context, waiters, tries) = self.take_resting(fill);
        let waiters = self.pass_partial(cx, &context, waiters);
        if waiters.is_empty() && context.background.is_none() {
            cx.event(FetchEvent::GaveUp { fill, why: GiveUp::NobodyWaits });
            return Some(self.end_unasked(cx, fill, context));
        }
        self.attempt(cx, fill, context, waiters, tries)
    }

    /// Nobody waits for the next attempt any more. It is not made for the tiers' sake, whatever `on_abandon`
    /// says: that is about a fetch that the origin already works at.
    pub(super) fn end_resting(&mut self, cx: &mut Context<C>, fill: FillId) -> Over<C> {
        let (context, ..) = self.take_resting(fill);
        let rested = cx.resilience.retries.remove(fill);
        assert!(rested.is_some(), "{fill:?} ends its rest but does not rest");
        cx.event(FetchEvent::GaveUp { fill, why: GiveUp::NobodyWaits });
        self.end_unasked(cx, fill, context)
    }

    fn take_resting(&mut self, fill: FillId) -> (FetchContext<C>, Vec<RequestId>, Tries) {
        let Fill { context, stage } = self.fills.take(&fill);
        match stage {
            Stage::Resting { waiters, tries } => (context, waiters, tries),
            Stage::Looking { .. } | Stage::Asking(_) | Stage::Streaming(_) => {
                unreachable!("{fill:?} does not rest")
            }
        }
    }

    /// No attempt is under way or will be made.
    pub(super) fn end_asking(&mut self, cx: &mut Context<C>, fill: FillId, context: &FetchContext<C>) {
        self.end_flight(context.key, fill);
        cx.resilience.deadlines.end(Timed::Fill(fill));
    }

    /// The origin gave nothing to serve: all who wait get what is stored instead of it, or else an error.
    pub(super) fn fail(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        mut context: FetchContext<C>,
        waiters: Vec<RequestId>,
        refusal: Refusal,
    ) -> Over<C> {
        self.end_asking(cx, fill, &context);
        if let Some(stored) = take_stale_on_error(cx, &mut context) {
            return Over::Stale(stored, self.take_waiters(waiters));
        }
        for request in waiters {
            self.refuse(cx, request, refusal);
        }
        Over::Unanswered(context.stored)
    }

    /// The head did not come in time.
    pub(in crate::machine) fn on_head_late(&mut self, cx: &mut Context<C>, fill: FillId) -> Option<Over<C>> {
        self.give_up_fetch(cx, fill, Late::Head);
        self.on_fetch_failed(cx, fill, OriginFailure::TimedOut)
    }

    /// Stops the fetch of a fill that has waited too long for it.
    pub(in crate::machine) fn give_up_fetch(&mut self, cx: &mut Context<C>, fill: FillId, what: Late) {
        let Fill { context, stage } = &self.fills[&fill];
        let op = match stage {
            Stage::Asking(Asked { op, .. })
            | Stage::Streaming(Stream { source: OriginSide::Pulling(op), .. }) => *op,
            Stage::Looking { .. } | Stage::Resting { .. } | Stage::Streaming(_) => {
                unreachable!("{fill:?} waits for nothing of the origin's")
            }
        };
        cx.event(ResilienceEvent::DeadlineMissed { key: context.target, what });
        cx.give_up(op);
        cx.effect(Effect::Cancel { fill });
    }

    /// All the time that the fill had until its head is over: nothing more can be made of it, and nobody else
    /// leads.
    pub(in crate::machine) fn on_answer_late(&mut self, cx: &mut Context<C>, fill: FillId) -> Over<C> {
        let refusal = Refusal::Origin(OriginFailure::TimedOut);
        if matches!(self.fills[&fill].stage, Stage::Looking { .. }) {
            let looked = self.give_up_lookup(cx, fill);
            cx.event(ResilienceEvent::DeadlineMissed { key: looked.context.target, what: Late::Answer });
            for request in &looked.waiters {
                let (key, reason) = (looked.context.target, looked.context.reason);
                cx.event(RequestEvent::Missed { request: *request, key, reason });
            }
            return self.fail(cx, fill, looked.context, looked.waiters, refusal);
        }
        self.give_up_fetch(cx, fill, Late::Answer);
        let (context, asked) = self.take_asked(fill);
        let (received, end) = (ByteCount::ZERO, FetchEnd::Failed(OriginFailure::TimedOut));
        cx.event(FetchEvent::FetchEnded { fill, key: context.target, received, end });
        self.fail(cx, fill, context, asked.waiters, refusal)
    }
}

/// What a fill has found, if it may be served because the origin failed.
pub(super) fn take_stale_on_error<C: Chunk>(
    cx: &Context<C>,
    context: &mut FetchContext<C>,
) -> Option<Stored<C>> {
    context.stored.take_if(|stored| reuse::usable_on_error(&cx.trust.in_stored(stored.stored(cx.now))))
}

/// An attempt failed: says when to make another, if one may be made.
pub(super) fn decide<C: Chunk>(
    cx: &mut Context<C>,
    fill: FillId,
    context: &FetchContext<C>,
    waiters: &[RequestId],
    tries: &mut Tries,
    failed: Failed,
) -> Option<Instant> {
    let why = if waiters.is_empty() && context.background.is_none() {
        GiveUp::NobodyWaits
    } else if cx.is_open(Dependency::Origin(context.origin)) {
        GiveUp::BreakerOpen
    } else {
        let policy = cx.config.resilience.retry;
        let resilience = &mut cx.resilience;
        let (budget, random) = (&mut resilience.budget, &mut resilience.random);
        match tries.attempts.on_failed(cx.now, failed, &policy, budget, random) {
            Decision::Retry { at } => return Some(at),
            Decision::GiveUp(why) => why,
        }
    };
    cx.event(FetchEvent::GaveUp { fill, why });
    None
}

/// A request whose answer serves all who want the head, too.
fn to_get(ask: &Arc<RequestHead>) -> Arc<RequestHead> {
    match ask.method {
        Method::Head => Arc::new(RequestHead { method: Method::Get, ..RequestHead::clone(ask) }),
        Method::Get | Method::Post | Method::OtherSafe | Method::Other => Arc::clone(ask),
    }
}

/// The request as the origin is asked: whether what we have still holds, or for the whole; never with the
/// leader's own conditions (failure T12).
fn origin_request<C: Chunk>(
    cx: &Context<C>,
    ask: &Arc<RequestHead>,
    stored: Option<&Arc<Head>>,
) -> Arc<RequestHead> {
    let conditional = stored.and_then(|stored| revalidate::revalidation(&ask.fields, stored, cx.wall()));
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
