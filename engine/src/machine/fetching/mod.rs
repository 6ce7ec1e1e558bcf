//! Fetching: every fill, who waits for it, and which one a new request joins.
//!
//! A request that waits is known here and nowhere else; once it is served it belongs to `clients`. What is
//! stored is not known here but for what a fill has found: whether a tier may be used, and what a step means
//! for tiers and readers, is for whoever calls. `looking` walks through the tiers, `asking` asks the origin,
//! `heads` judges its answer, `streams` passes its body on. `adopting` is for answers that nobody asked the
//! cache for.

mod adopting;
mod asking;
mod fill;
mod followers;
mod heads;
mod looking;
mod slots;
mod streams;
mod uncacheable;
mod window;

pub(super) use adopting::AnsweredAround;
pub(super) use fill::{FetchContext, Fill, IndexSnapshot, Sharing, Stage};
pub(super) use heads::{Begun, HeadStep, Judged, NotModified, stop_bodiless};
pub(super) use looking::{AfterFound, AfterWalk, Look, Looked, Unanswered, Worth, after_tier};
pub(super) use streams::{Broken, Cancelled, Delivery, Ended, Progress, Pulled, Settled, end_reread};

use super::{
    Audit,
    context::Context,
    copying::Copies,
    stored::{OpenRecord, Stored},
};
use crate::{
    config::OnAbandon,
    language::{
        chunk::Chunk,
        event::{Event, RequestEvent},
        head::RequestHead,
        id::{FillId, OriginId, RequestId},
        key::{CacheKey, StoredKey},
        reason::{AbortReason, Bypass, End, MissReason, Refusal},
        resident::Resident,
        time::Instant,
        units::ByteCount,
    },
    parts::{random::Random, table::Table},
    rules::{self, Caller, reuse},
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;
use fill::{Asked, OriginSide, Share, Stream, Tries};
use slots::Slots;
use uncacheable::Remembered;
use window::{Window, WindowBytes};

/// Every fill under way.
pub(super) struct Fetching<C> {
    fills: Table<FillId, Fill<C>>,
    /// The fill that a new request for a key joins.
    flights: Table<CacheKey, FillId>,
    /// What was adopted for a target, while it is the youngest there is.
    adopted: Table<CacheKey, FillId>,
    /// Every request that has not been answered, and the fill that it waits for.
    waiting: Table<RequestId, (FillId, Waiter)>,
    slots: Slots,
    windows: WindowBytes,
    uncacheable: Remembered<(CacheKey, Caller)>,
    /// What no tier keeps, though it was fetched whole for those who wanted a part of it.
    unkept: Remembered<CacheKey>,
}

/// A request that waits to be answered.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) key: CacheKey,
    pub(super) origin: OriginId,
    pub(super) ask: Arc<RequestHead>,
    /// Did it join what another request had begun?
    pub(super) collapsed: bool,
}

/// What a request has come to that L0 could not answer.
pub(super) enum Arrival<C> {
    /// It leads a new fill.
    Leads(FillId),
    /// A fill under way has found what answers it, though it is stale.
    Stale(Arc<OpenRecord<C>>, Waiter),
    /// It may join this fill.
    Joins(FillId),
    /// It was told that it cannot wait.
    Over,
}

/// What became of a request that wanted to join a fill.
pub(super) enum Attached {
    /// It waits with the others.
    Waits,
    /// It reads the body from its first byte on.
    Follows,
    /// It came too late, and fetches for itself.
    Alone(MissReason),
}

/// A fill that is over without a response of its own.
pub(super) enum Over<C> {
    /// What it had found is served to these, because the origin failed.
    Stale(Stored<C>, Vec<Waiter>),
    /// Nobody waits any more, and what it had found is of no use.
    Unanswered(Option<Stored<C>>),
}

impl<C: Chunk> Fetching<C> {
    pub(super) fn new(salts: &mut Random) -> Self {
        Self {
            fills: Table::default(),
            flights: Table::salted(salts.wide_bits()),
            adopted: Table::salted(salts.wide_bits()),
            waiting: Table::default(),
            slots: Slots::default(),
            windows: WindowBytes::default(),
            uncacheable: Remembered::default(),
            unkept: Remembered::default(),
        }
    }

    /// Is nothing asked for?
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Is this target's response one that cannot be stored, as far as is known of such requests?
    pub(super) fn is_uncacheable(&self, target: CacheKey, ask: &RequestHead, now: Instant) -> bool {
        self.uncacheable.holds((target, Caller::of(ask)), now)
    }

    /// The same of requests that do not say who makes them.
    pub(super) fn is_uncacheable_for_all(&self, target: CacheKey, now: Instant) -> bool {
        self.uncacheable.holds((target, Caller::Anonymous), now)
    }

    /// The next response may be one that can be stored: a purge came.
    pub(super) fn forget_uncacheable(&mut self, target: CacheKey) {
        for caller in [Caller::Anonymous, Caller::Identified] {
            self.uncacheable.forget((target, caller));
        }
        self.unkept.forget(target);
    }

    /// L0 has nothing that may be used for this request: it joins the fill under way for its variant, or
    /// leads one.
    pub(super) fn arrive(&mut self, cx: &mut Context<C>, variant: CacheKey, waiter: Waiter) -> Arrival<C> {
        if let Some(fill) = self.flights.get(&variant).copied() {
            if let Some(open) = self.usable_meanwhile(cx, fill, &waiter.ask) {
                return Arrival::Stale(open, waiter);
            }
            if !self.fills[&fill].stage.is_spent(cx.now) {
                return self.join(cx, fill, waiter);
            }
            self.end_flight(variant, fill);
        }
        let fill = FillId(cx.ids.mint());
        self.overtake_adopted(waiter.key);
        self.flights.insert(variant, fill);
        self.enter(fill, waiter);
        Arrival::Leads(fill)
    }

    /// Joins a fill under way, if there is room, and if what it fetches may be an answer.
    fn join(&mut self, cx: &mut Context<C>, fill_id: FillId, waiter: Waiter) -> Arrival<C> {
        let (request, key) = (waiter.request, waiter.key);
        let fill = &self.fills[&fill_id];
        if let Some(bypass) = self.unfit(cx, fill, &waiter.ask) {
            cx.pass(request, bypass);
            return Arrival::Over;
        }
        let Fill { context, stage } = fill;
        let is_looking = matches!(stage, Stage::Looking { .. });
        let reason = context.reason;
        if stage.clients() >= cx.config.waiters_max {
            cx.event(RequestEvent::Missed { request, key, reason });
            cx.refuse(request, Refusal::TooManyWaiters);
            return Arrival::Over;
        }
        self.enter(fill_id, waiter);
        if !is_looking {
            cx.event(RequestEvent::Missed { request, key, reason });
        }
        Arrival::Joins(fill_id)
    }

    /// A request that shares its fetch with nobody, and whose miss has not been told.
    pub(super) fn arrive_alone(&mut self, cx: &mut Context<C>, waiter: Waiter) -> Option<Over<C>> {
        let (request, reason) = (waiter.request, MissReason::Uncacheable);
        cx.event(RequestEvent::Missed { request, key: waiter.key, reason });
        if let Some(bypass) = rules::around(&waiter.ask) {
            cx.pass(request, bypass);
            return None;
        }
        self.enter(FillId(cx.ids.mint()), waiter);
        self.fetch_alone(cx, request, reason)
    }

    fn enter(&mut self, fill: FillId, waiter: Waiter) {
        let request = waiter.request;
        let before = self.waiting.insert(request, (fill, waiter));
        assert!(before.is_none(), "the driver used {request:?} twice");
    }

    /// How long ago the origin was asked for what there is of a fill's answer.
    pub(super) fn asked_ago(&self, fill: FillId, now: Instant) -> Duration {
        self.fills[&fill].stage.asked_ago(now)
    }

    /// Is there room for one more in this fill? If there is none, the request is told so. Nothing, where the
    /// fill is over.
    pub(super) fn has_room(&mut self, cx: &mut Context<C>, fill: FillId, request: RequestId) -> Option<bool> {
        let has_room = self.fills.get(&fill)?.stage.clients() < cx.config.waiters_max;
        if !has_room {
            self.refuse(cx, request, Refusal::TooManyWaiters);
        }
        Some(has_room)
    }

    /// Sends a request that waits around the cache, if this fill's answer cannot be one for it. Is it gone?
    pub(super) fn pass_unfit(&mut self, cx: &mut Context<C>, fill: FillId, request: RequestId) -> bool {
        let (fill, ask) = (&self.fills[&fill], self.ask(request));
        let bypass = match &fill.context.stored {
            // What the fill has found would be its answer, if the origin agreed or failed.
            Some(stored) if !stored.staleness().answers(&ask.fields) => Some(Bypass::Authorization),
            Some(_) | None => self.unfit(cx, fill, ask),
        };
        let Some(bypass) = bypass else { return false };
        self.waiting.remove(&request);
        cx.pass(request, bypass);
        true
    }

    /// Why a request cannot be answered by the whole that is fetched for others, as far as that is known. A
    /// `HEAD` can: it has the head. A part can where it is about to come.
    fn unfit(&self, cx: &Context<C>, fill: &Fill<C>, ask: &RequestHead) -> Option<Bypass> {
        let bypass = rules::around(ask).filter(|bypass| *bypass != Bypass::Method)?;
        let fits = match &fill.stage {
            Stage::Looking { .. } => true,
            Stage::Asking(_) | Stage::Resting { .. } => {
                bypass == Bypass::Range && self.is_fetched_for_part(cx, &fill.context)
            }
            Stage::Streaming(stream) => {
                bypass == Bypass::Range
                    && cx.config.whole_for_part_max.is_some()
                    && stream.share(ask, cx.wall()) != Share::Nothing
            }
        };
        (!fits).then_some(bypass)
    }

    /// A request that waits becomes one of those whom a fill serves, if that is young enough (`may_join`).
    /// `dependable` is how far from its first byte on the body can be read back.
    pub(super) fn attach(
        &mut self,
        cx: &mut Context<C>,
        fill_id: FillId,
        request: RequestId,
        may_join: bool,
        dependable: Option<u64>,
    ) -> Attached {
        let Fill { context, stage } = &mut self.fills[&fill_id];
        let (waits_for, joining) = &mut self.waiting[&request];
        *waits_for = fill_id;
        joining.collapsed = true;
        let key = joining.key;
        context.is_for_part &= rules::around(&joining.ask).is_some();
        let attached = match stage {
            Stage::Looking { waiters, .. }
            | Stage::Asking(Asked { waiters, .. })
            | Stage::Resting { waiters, .. } => {
                if may_join {
                    waiters.push(request);
                }
                Attached::Waits
            }
            Stage::Streaming(stream) => {
                let base = stream.window.base();
                let first = match stream.share(&joining.ask, cx.wall()) {
                    Share::Part(range) => range.first(),
                    Share::Whole | Share::Nothing => 0,
                };
                let is_whole = base <= first || dependable.is_some_and(|readable| base <= readable);
                let is_for_all = stream.staleness.answers(&joining.ask.fields);
                if is_whole && is_for_all && stream.staleness.is_usable(&stream.freshness, cx.now) {
                    Attached::Follows
                } else {
                    Attached::Alone(context.reason)
                }
            }
        };
        let attached = if may_join { attached } else { Attached::Alone(context.reason) };
        cx.event(match attached {
            Attached::Waits | Attached::Follows => Event::Request(RequestEvent::Collapsed { request, key }),
            Attached::Alone(_) => Event::Request(RequestEvent::AttachRefused { request, fill: fill_id }),
        });
        attached
    }

    /// Who waits for this one's answer is answered now.
    pub(super) fn take_waiter(&mut self, request: RequestId) -> Waiter {
        self.waiting.take(&request).1
    }

    fn take_waiters(&mut self, requests: Vec<RequestId>) -> Vec<Waiter> {
        requests.into_iter().map(|request| self.take_waiter(request)).collect()
    }

    fn ask(&self, request: RequestId) -> &Arc<RequestHead> {
        &self.waiting[&request].1.ask
    }

    /// These wait for this fill from now on.
    fn wait_for(&mut self, fill: FillId, requests: &[RequestId]) {
        for request in requests {
            self.waiting[request].0 = fill;
        }
    }

    /// A request that waits cannot be answered.
    fn refuse(&mut self, cx: &mut Context<C>, request: RequestId, refusal: Refusal) {
        self.waiting.remove(&request);
        cx.refuse(request, refusal);
    }

    /// Lets new requests for `key` begin anew, if it is this fill that they would join.
    fn end_flight(&mut self, key: CacheKey, fill: FillId) {
        if self.flights.get(&key) == Some(&fill) {
            self.flights.remove(&key);
        }
    }

    /// Makes this the fill that new requests for a variant join, unless one is past the tiers already. One
    /// that still looks joins it, if it finds nothing.
    fn lead_flight(&mut self, variant: CacheKey, fill_id: FillId, now: Instant) -> Option<FillId> {
        let other = self.flights.get(&variant).copied().filter(|other| {
            let stage = self.fills.get(other).map(|fill| &fill.stage);
            let is_over =
                stage.is_none_or(|stage| matches!(stage, Stage::Looking { .. }) || stage.is_spent(now));
            *other != fill_id && !is_over
        });
        if other.is_none() {
            self.flights.insert(variant, fill_id);
        }
        other
    }

    /// The fill that requests for this variant can join now.
    pub(super) fn joinable(&self, variant: CacheKey, now: Instant) -> Option<FillId> {
        self.flights.get(&variant).copied().filter(|fill| !self.fills[fill].stage.is_spent(now))
    }

    /// A fill for those who wait for a variant that nobody looks for.
    pub(super) fn lead(&mut self, cx: &mut Context<C>, at: StoredKey, requests: &[RequestId]) -> FillId {
        let fill = FillId(cx.ids.mint());
        self.lead_as(fill, at, requests);
        fill
    }

    /// The same under a name that there is already.
    pub(super) fn lead_as(&mut self, fill: FillId, at: StoredKey, requests: &[RequestId]) {
        self.overtake_adopted(at.target);
        self.flights.insert(at.key, fill);
        self.wait_for(fill, requests);
    }

    /// Asks the origin about a stale response that has just been served, unless somebody does so already.
    pub(super) fn revalidate_in_background(
        &mut self,
        cx: &mut Context<C>,
        at: StoredKey,
        waiter: &Waiter,
        stored: Arc<Resident<C>>,
    ) -> Option<Over<C>> {
        if self.flights.contains_key(&at.key) || self.slots.taken() >= cx.config.fills_max {
            return None;
        }
        let fill = self.lead(cx, at, &[]);
        let uri = stored.uri.clone();
        let context = FetchContext::new(at, uri, waiter.origin, Sharing::Open, MissReason::Stale);
        let (stored, background) = (Some(Stored::Resident(stored)), Some(Arc::clone(&waiter.ask)));
        self.ask_origin(cx, fill, FetchContext { stored, background, ..context }, Vec::new(), 0)
    }

    /// Puts together those who want the same variant of a target, in the order in which they came.
    pub(super) fn gather(
        &self,
        requests: Vec<RequestId>,
        variant_of: impl Fn(&RequestHead) -> CacheKey,
    ) -> Vec<(CacheKey, Vec<RequestId>)> {
        let mut gathered: Vec<(CacheKey, Vec<RequestId>)> = Vec::new();
        for request in requests {
            let variant = variant_of(self.ask(request));
            match gathered.iter_mut().find(|(key, _)| *key == variant) {
                Some((_, requests)) => requests.push(request),
                None => gathered.push((variant, Vec::from([request]))),
            }
        }
        gathered
    }

    /// How a stored response may be used for a request that waits.
    fn use_of(cx: &Context<C>, open: &OpenRecord<C>, ask: &RequestHead) -> reuse::Use {
        let stored = cx.trust.in_stored(open.stored(cx.now));
        reuse::usable(&cx.config.policy, &ask.fields, &stored)
    }

    /// The record that a fill keeps while it asks the origin, if a request may be answered from it meanwhile.
    fn usable_meanwhile(
        &self,
        cx: &Context<C>,
        fill: FillId,
        ask: &RequestHead,
    ) -> Option<Arc<OpenRecord<C>>> {
        let fill = &self.fills[&fill];
        let (Stage::Asking(_) | Stage::Resting { .. }, Some(Stored::Record(open))) =
            (&fill.stage, &fill.context.stored)
        else {
            return None;
        };
        (Self::use_of(cx, open, ask) == reuse::Use::ServeAndRevalidate).then(|| Arc::clone(open))
    }

    /// Does this request wait for an answer?
    pub(super) fn awaits(&self, request: RequestId) -> bool {
        self.waiting.contains_key(&request)
    }

    /// A client left. Says for which fill it was waiting, if it was.
    pub(super) fn leave(&mut self, cx: &mut Context<C>, request: RequestId) -> Option<FillId> {
        let (fill, Waiter { key, .. }) = self.waiting.remove(&request)?;
        let (sent, end) = (ByteCount::ZERO, End::Aborted(AbortReason::ClientLeft));
        cx.event(RequestEvent::Served { request, key, sent, end });
        Some(fill)
    }

    /// Takes who has left off a fill. Is there nobody left whom it should go on for (O1)?
    pub(super) fn leave_fill(&mut self, cx: &Context<C>, fill: FillId, request: RequestId) -> bool {
        let Some(Fill { context, stage }) = self.fills.get_mut(&fill) else { return false };
        match stage {
            Stage::Looking { waiters, .. } => {
                waiters.retain(|waiter| *waiter != request);
                false
            }
            Stage::Asking(Asked { waiters, .. }) => {
                waiters.retain(|waiter| *waiter != request);
                let goes_on = context.sharing == Sharing::Open && cx.config.on_abandon == OnAbandon::Finish;
                waiters.is_empty() && !goes_on
            }
            Stage::Resting { waiters, .. } => {
                waiters.retain(|waiter| *waiter != request);
                waiters.is_empty() && context.background.is_none()
            }
            Stage::Streaming(_) => unreachable!("{request:?} waited for {fill:?}, whose head has come"),
        }
    }

    /// Fills that `is_meant` accepts.
    pub(super) fn names_of(&self, is_meant: impl Fn(&Fill<C>) -> bool) -> Vec<FillId> {
        self.fills.names_of(is_meant)
    }

    /// Closes a fill: those who wait for it still get it, nobody joins it, and nothing is to keep it. Has it
    /// copies?
    pub(super) fn close(&mut self, fill: FillId) -> bool {
        let Fill { context, stage } = &mut self.fills[&fill];
        if context.sharing == Sharing::Open {
            context.sharing = Sharing::Closed;
        }
        let (at, has_copies) = (context.at(), matches!(stage, Stage::Streaming(_)));
        self.end_flight(at.key, fill);
        self.end_adoption(at.target, fill);
        has_copies
    }

    /// Who waits for a fill that was closed may have come when this purge counted already, and without a
    /// lease: what the fill has found is of no use any more without the origin's word, lease or not.
    pub(super) fn distrust_closed(&mut self) {
        for fill in self.fills.names_of(|fill| fill.context.sharing == Sharing::Closed) {
            let context = &mut self.fills[&fill].context;
            context.stored = context.stored.take().map(Stored::after_revalidation);
        }
    }

    /// Counts what is open, and asserts that every total is the sum of its parts.
    pub(super) fn audit(&self) -> Audit {
        let mut audit = Audit { requests: self.waiting.len(), fills: self.fills.len(), ..Audit::default() };
        for fill in self.fills.values() {
            audit.clients_max = fill.stage.clients().max(audit.clients_max);
            match &fill.stage {
                Stage::Looking { .. } => {}
                Stage::Asking(_) | Stage::Resting { .. } => audit.fetches += 1,
                Stage::Streaming(stream) => {
                    audit.fetches += usize::from(stream.source != OriginSide::Ended);
                    audit.window_bytes += stream.window.held();
                    audit.window_bytes_max = stream.window.held_before_last().max(audit.window_bytes_max);
                }
            }
        }
        assert_eq!(audit.fetches, self.slots.taken(), "the slots that are taken are not those of the fills");
        for fill in self.flights.values() {
            assert!(self.fills.contains_key(fill), "{fill:?} can be joined but does not exist");
        }
        for fill in self.adopted.values() {
            assert!(self.fills.contains_key(fill), "{fill:?} was adopted but does not exist");
        }
        for (fill, waiter) in self.waiting.values() {
            assert!(
                self.fills.contains_key(fill),
                "{:?} waits for {fill:?}, which does not exist",
                waiter.request
            );
        }
        audit
    }

    /// Fills that keep a record open.
    pub(super) fn keepers(&self) -> usize {
        let keeps = |fill: &&Fill<C>| matches!(fill.context.stored, Some(Stored::Record(_)));
        self.fills.values().filter(keeps).count()
    }

    pub(super) fn contains(&self, fill: FillId) -> bool {
        self.fills.contains_key(&fill)
    }

    /// A fill's copies, while its body is on its way.
    pub(super) fn copies(&self, fill: FillId) -> Option<&Copies<C>> {
        match &self.fills.get(&fill)?.stage {
            Stage::Streaming(stream) => Some(&stream.copies),
            Stage::Looking { .. } | Stage::Asking(_) | Stage::Resting { .. } => None,
        }
    }

    /// A fill's body on its way, if it has one.
    pub(in crate::machine) fn streaming(&mut self, fill: FillId) -> Option<&mut Stream<C>> {
        match &mut self.fills.get_mut(&fill)?.stage {
            Stage::Streaming(stream) => Some(stream),
            Stage::Looking { .. } | Stage::Asking(_) | Stage::Resting { .. } => None,
        }
    }

    fn stream(&mut self, fill: FillId) -> &mut Stream<C> {
        stream_in(&mut self.fills, fill).1
    }
}

fn stream_in<C>(fills: &mut Table<FillId, Fill<C>>, fill: FillId) -> (&FetchContext<C>, &mut Stream<C>) {
    let Fill { context, stage } = &mut fills[&fill];
    match stage {
        Stage::Streaming(stream) => (context, stream),
        Stage::Looking { .. } | Stage::Asking(_) | Stage::Resting { .. } => {
            unreachable!("{fill:?} has no body yet")
        }
    }
}
