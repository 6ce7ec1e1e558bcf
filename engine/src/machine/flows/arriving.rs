//! Clients: they ask, take chunks, and leave.

use crate::machine::{
    Engine,
    caring::Waiter,
    clients::{Demand, Progress},
    residence::FromMemory,
};
use crate::{
    care::attempts::GiveUp,
    chunk::Chunk,
    config::OnAbandon,
    effect::{Outcome, StaleUse},
    event::Event,
    fill::{Errand, Sharing, Source, Stage, Stored},
    head::{Method, RequestHead},
    id::{FillId, OriginId, RequestId, TierId},
    key::{CacheKey, StoredKey},
    reason::{AbortReason, Bypass, End, MissReason, Refusal},
    rules,
    selector::Place,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

impl<C: Chunk> Engine<C> {
    pub(in crate::machine) fn on_request(
        &mut self,
        request: RequestId,
        key: CacheKey,
        origin: OriginId,
        ask: Arc<RequestHead>,
    ) {
        self.cx.event(Event::Requested { request, key });
        if let Some(bypass) = rules::bypass(ask.method, ask.fields.iter()) {
            return self.clients.pass(&mut self.cx, request, bypass);
        }
        let tier = TierId::L0;
        let variant = self.residence.variants.key_for(key, &ask.fields);
        let trust = self.purging.trust(self.cx.now);
        let (reason, stored) = match self.residence.look(&self.cx, trust, variant, &ask) {
            FromMemory::Usable(resident) => {
                self.cx.event(Event::Hit { request, key, tier });
                return self.serve_resident(request, key, &ask, &resident, Outcome::Hit { tier });
            }
            FromMemory::UsableMeanwhile(resident) => {
                let why = StaleUse::WhileRevalidate;
                self.cx.event(Event::ServedStale { request, key, tier, why });
                self.serve_resident(request, key, &ask, &resident, Outcome::Stale { tier, why });
                return self.revalidate_behind(variant, key, origin, ask, resident);
            }
            FromMemory::AskFirst(resident) => (MissReason::Stale, Some(Stored::Resident(resident))),
            FromMemory::Absent if self.uncacheable.holds(key, self.cx.now) => {
                return self.ask_alone(request, key, origin, &ask);
            }
            FromMemory::Absent => (MissReason::Absent, None),
        };
        if let Some(fill) = self.flights.get(&variant).copied() {
            if let Some(kept) = self.usable_meanwhile(fill, &ask) {
                self.clients.enter(request, key, origin, &ask, fill);
                return self.serve_meanwhile(&kept, key, request);
            }
            if !self.is_spent(fill) {
                return self.join(fill, request, key, origin, ask);
            }
            self.end_flight(variant, fill);
        }
        let fill = FillId(self.cx.ids.mint());
        self.flights.insert(variant, fill);
        self.clients.enter(request, key, origin, &ask, fill);
        let at = StoredKey { target: key, key: variant };
        let errand = Errand::new(at, Place::of(&ask), origin, Sharing::Open, reason);
        let errand = Errand { stored, ..errand };
        self.look(fill, errand, Vec::from([request]), 0);
    }

    /// Asks the origin for one request, whose answer will serve nobody else.
    fn ask_alone(&mut self, request: RequestId, key: CacheKey, origin: OriginId, ask: &Arc<RequestHead>) {
        let reason = MissReason::Uncacheable;
        self.cx.event(Event::Missed { request, key, reason });
        if !rules::wants_whole(ask) {
            let is_get = ask.method == Method::Get;
            return self.clients.pass(
                &mut self.cx,
                request,
                if is_get { Bypass::Range } else { Bypass::Method },
            );
        }
        let fill = FillId(self.cx.ids.mint());
        self.clients.enter(request, key, origin, ask, fill);
        self.fetch_privately(request, reason);
    }

    /// Has the origin done its part, and what it sent gone stale since? Then it is no answer for those who come now.
    pub(in crate::machine) fn is_spent(&self, fill_id: FillId) -> bool {
        match &self.fills[&fill_id].stage {
            Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. } => false,
            Stage::Streaming(stream) => {
                stream.source == Source::Ended && !stream.staleness.is_usable(&stream.freshness, self.cx.now)
            }
        }
    }

    /// Joins a fill under way. Who wants a part has no use for one that is past the tiers.
    fn join(
        &mut self,
        fill_id: FillId,
        request: RequestId,
        key: CacheKey,
        origin: OriginId,
        ask: Arc<RequestHead>,
    ) {
        let is_looking = matches!(self.fills[&fill_id].stage, Stage::Looking { .. });
        if !is_looking && ask.method == Method::Get && !rules::wants_whole(&ask) {
            return self.clients.pass(&mut self.cx, request, Bypass::Range);
        }
        let fill = &self.fills[&fill_id];
        let reason = fill.errand.reason;
        if fill.stage.crowd() >= self.cx.config.waiters_max {
            self.cx.event(Event::Missed { request, key, reason });
            return self.clients.refuse(&mut self.cx, request, Refusal::TooManyWaiters);
        }
        self.clients.enter(request, key, origin, &ask, fill_id);
        if !is_looking {
            self.cx.event(Event::Missed { request, key, reason });
        }
        self.attach(fill_id, request);
    }

    /// A request that waits is one of those whom a fill serves; or fetches for itself, if it came too late for that.
    pub(in crate::machine) fn attach(&mut self, fill_id: FillId, request: RequestId) {
        let joining = self.clients.requests.get_mut(&request).expect("the caller has entered it");
        joining.progress = Progress::Waiting(fill_id);
        joining.collapsed = true;
        let key = joining.key;
        let asked_ago = self.fills[&fill_id].stage.asked_ago(self.cx.now);
        let may_join = self.purging.may_join(self.cx.now, asked_ago);
        let fill = self.fills.get_mut(&fill_id).expect("flights name fills that exist");
        let reason = fill.errand.reason;
        let is_readable = match &mut fill.stage {
            Stage::Looking { waiters, .. }
            | Stage::Asking { waiters, .. }
            | Stage::Resting { waiters, .. }
                if may_join =>
            {
                waiters.push(request);
                return self.cx.event(Event::Collapsed { request, key });
            }
            Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. } => false,
            Stage::Streaming(stream) => {
                let base = stream.window.base();
                let dependable = self.copying.dependable(&stream.copies);
                let is_whole = base == 0 || dependable.is_some_and(|readable| base <= readable);
                is_whole && stream.staleness.is_usable(&stream.freshness, self.cx.now)
            }
        };
        if may_join && is_readable {
            self.cx.event(Event::Collapsed { request, key });
            self.follow(fill_id, request);
            self.pump(fill_id);
        } else {
            self.cx.event(Event::AttachRefused { request, fill: fill_id });
            self.fetch_privately(request, reason);
        }
    }

    pub(in crate::machine) fn on_demand(&mut self, request: RequestId) {
        let Some(asking) = self.clients.requests.get_mut(&request) else {
            return;
        };
        match &mut asking.progress {
            Progress::Waiting(_) => {
                panic!("the answer rule: {request:?} demands a chunk before it was served")
            }
            Progress::Following { fill, demand, .. } => {
                assert_eq!(*demand, Demand::None, "{request:?} demands twice");
                *demand = Demand::Open;
                let fill = *fill;
                self.deliver(fill, request);
                // Only a reader that moved or ended can have made room, or have been the last.
                self.pull(fill);
                self.settle(fill);
            }
            Progress::Reading { demand, .. } => {
                assert_eq!(*demand, Demand::None, "{request:?} demands twice");
                *demand = Demand::Open;
                if self.clients.read_on(&mut self.cx, request) {
                    self.finish_reading(request, End::Complete);
                }
            }
        }
    }

    pub(in crate::machine) fn on_leave(&mut self, request: RequestId) {
        let Some(leaving) = self.clients.requests.remove(&request) else {
            return;
        };
        self.cx.event(Event::Served {
            request,
            key: leaving.key,
            sent: ByteCount(leaving.sent),
            end: End::Aborted(AbortReason::ClientLeft),
        });
        match leaving.progress {
            Progress::Waiting(fill) => self.leave_fill(fill, request),
            Progress::Following { fill, rereading, .. } => {
                if let Some((op, _)) = rereading {
                    self.cx.forget(op);
                    self.cx.caring.deadlines.end(Waiter::Reader(request));
                }
                self.leave_fill(fill, request);
            }
            Progress::Reading { record, read, promotion, .. } => {
                if let Some(race) = read {
                    self.clients.forget_race(&mut self.cx, request, &race);
                }
                if let Some(durable) = &mut self.durable {
                    durable.forget_digest(request);
                }
                if let Some(promotion) = promotion {
                    self.copying.abandon_promotion(&mut self.cx, promotion);
                }
                self.close_reader(record);
            }
        }
    }

    /// What becomes of a fetch that nobody waits for any more.
    pub(in crate::machine) fn on_abandon(&self) -> OnAbandon {
        self.cx.config.on_abandon
    }

    /// Takes a client off a fill, and gives the fill up when nobody is left whom it should go on for (O1).
    fn leave_fill(&mut self, fill_id: FillId, request: RequestId) {
        let on_abandon = self.on_abandon();
        let Some(fill) = self.fills.get_mut(&fill_id) else {
            return;
        };
        match &mut fill.stage {
            Stage::Looking { waiters, .. } => waiters.retain(|waiter| *waiter != request),
            Stage::Asking { waiters, .. } => {
                waiters.retain(|waiter| *waiter != request);
                let goes_on = fill.errand.sharing == Sharing::Open && on_abandon == OnAbandon::Finish;
                if waiters.is_empty() && !goes_on {
                    self.cancel(fill_id);
                }
            }
            Stage::Resting { waiters, .. } => {
                waiters.retain(|waiter| *waiter != request);
                if waiters.is_empty() && fill.errand.behind.is_none() {
                    self.end_resting(fill_id, GiveUp::NobodyWaits);
                }
            }
            Stage::Streaming(stream) => {
                stream.followers.remove(request);
                // Before the origin is asked for more: it may be for nobody now.
                self.settle(fill_id);
                self.pump(fill_id);
            }
        }
    }
}
