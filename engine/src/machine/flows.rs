//! What a step of one machine means for the others: every way from a request, an answer or a purge through
//! the machines.
//!
//! It keeps nothing, and decides nothing that one of them could. First requests, then the walk through the
//! tiers, the origin's answer, bodies on their way, reads of records, copies, purges.

use super::{
    Engine,
    clients::{
        BodyRead, Demanded, Left, Portion, ReadEnded, ReadFailed, give_up_read_back, read_back,
        serve_resident, told,
    },
    context::Pending,
    copying::{Came, CopySource, Lost, Moved, Owner, collected},
    durable::{OpenedManifest, TIER},
    fetching::{
        AfterFound, AfterWalk, AnsweredAround, Arrival, Attached, Begun, Broken, Cancelled, Delivery, Ended,
        FetchContext, HeadStep, Judged, Look, Looked, NotModified, Over, Progress, Pulled, Settled, Sharing,
        Unanswered, Waiter, Worth, after_tier, end_reread, stop_bodiless,
    },
    freshening::Freshen,
    purging::{Awaited, Deletion, Scope},
    residence::FromMemory,
    resilience::Timed,
    stored::{OpenRecord, Stored},
};
use crate::{
    config::ByteTier,
    language::{
        chunk::Chunk,
        effect::{Effect, Freshening, Outcome, StaleUse},
        event::{FetchEvent, NotAdopted, RequestEvent, ResidenceEvent},
        head::{Head, RequestHead},
        id::{FillId, OpId, OriginId, PromotionId, PurgeId, RecordName, RequestId, TierId},
        key::{CacheKey, StoredKey},
        reason::{
            AbortReason, Bypass, End, LaneEnd, MissReason, NotStorable, OriginFailure, ReadFailure, Removal,
        },
        record::Record,
        resident::Resident,
        selector::{PurgeMode, Selector, TargetUri},
        time::{Instant, WallTime},
    },
    rules,
};
use alloc::{sync::Arc, vec::Vec};

/// Is what a reader reads copied into faster tiers?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promote {
    /// As the policies of the tier's edges say.
    AsConfigured,
    No,
}

impl<C: Chunk> Engine<C> {
    pub(super) fn on_request(
        &mut self,
        request: RequestId,
        key: CacheKey,
        origin: OriginId,
        ask: Arc<RequestHead>,
    ) {
        let cx = &mut self.cx;
        cx.event(RequestEvent::Requested { request, key });
        if let Some(bypass) = rules::bypass(ask.method) {
            return cx.pass(request, bypass);
        }
        let at = StoredKey { target: key, key: self.residence.key_for(key, &ask) };
        let found = self.residence.look(cx, at, &ask);
        let waiter = Waiter { request, key, origin, ask, collapsed: false };
        let (reason, stored) = match found {
            FromMemory::Usable(resident) => {
                return serve_resident(cx, &waiter, &resident, Outcome::Hit { tier: TierId::L0 });
            }
            FromMemory::UsableMeanwhile(resident) => {
                let outcome = Outcome::Stale { tier: TierId::L0, why: StaleUse::WhileRevalidate };
                serve_resident(cx, &waiter, &resident, outcome);
                let over = self.fetching.revalidate_in_background(cx, at, &waiter, resident);
                return self.end(over);
            }
            FromMemory::Withheld => return cx.pass(request, Bypass::Authorization),
            FromMemory::AskFirst(resident) => (MissReason::Stale, Some(Stored::Resident(resident))),
            FromMemory::Absent if self.fetching.is_uncacheable(key, &waiter.ask, cx.now) => {
                let over = self.fetching.arrive_alone(cx, waiter);
                return self.end(over);
            }
            FromMemory::Absent => (MissReason::Absent, None),
        };
        let uri = TargetUri::of(&waiter.ask);
        match self.fetching.arrive(cx, at.key, waiter) {
            Arrival::Leads(fill) => {
                let context = FetchContext::new(at, uri, origin, Sharing::Open, reason);
                self.look(fill, FetchContext { stored, ..context }, Vec::from([request]), 0);
            }
            Arrival::Stale(open, waiter) => self.serve_meanwhile(&open, &waiter),
            Arrival::Joins(fill) => self.attach(fill, request),
            Arrival::Over => {}
        }
    }

    pub(super) fn on_demand(&mut self, request: RequestId) {
        match self.clients.on_demand(&mut self.cx, request) {
            Demanded::Nobody => {
                let awaits = self.fetching.awaits(request);
                assert!(!awaits, "the answer rule: {request:?} demands before it was served");
            }
            Demanded::Reader => {}
            Demanded::Last => self.finish_reading(request, End::Complete),
            Demanded::Follower(fill) => {
                self.fetching.on_demand(fill, request);
                if let Some(delivery) = self.fetching.deliver(fill, request) {
                    self.hand_over(fill, request, delivery);
                }
                // Only a reader that moved or ended can have made room, or have been the last.
                self.go_on(fill);
            }
        }
    }

    pub(super) fn on_leave(&mut self, request: RequestId) {
        if let Some(fill) = self.fetching.leave(&mut self.cx, request) {
            if self.fetching.leave_fill(&self.cx, fill, request) {
                self.cancel(fill);
            }
            return;
        }
        match self.clients.leave(&mut self.cx, request) {
            None => {}
            Some(Left::Follower(fill)) => {
                self.fetching.unfollow(&mut self.cx, fill, request);
                // Before the origin is asked for more: it may be for nobody now.
                self.settle(fill);
                self.pump(fill);
            }
            Some(Left::Reader(ReadEnded { record, promotion })) => {
                if let Some(promotion) = promotion {
                    self.copying.abandon_promotion(&mut self.cx, promotion);
                }
                self.clients.close(&mut self.cx, record);
            }
        }
    }

    /// A request that waits is one of those whom a fill serves; or fetches for itself, if it came too late
    /// for that.
    fn attach(&mut self, fill: FillId, request: RequestId) {
        if self.fetching.pass_unfit(&mut self.cx, fill, request) {
            return;
        }
        let may_join = self.purging.may_join(self.cx.now, self.fetching.asked_ago(fill, self.cx.now));
        let dependable = self.fetching.copies(fill).and_then(|copies| self.copying.lanes.dependable(copies));
        match self.fetching.attach(&mut self.cx, fill, request, may_join, dependable) {
            Attached::Waits => {}
            Attached::Follows => {
                self.follow(fill, request);
                self.pump(fill);
            }
            Attached::Alone(reason) => self.fetch_alone(request, reason),
        }
    }

    fn attach_all(&mut self, fill: FillId, requests: Vec<RequestId>) {
        for request in requests {
            match self.fetching.has_room(&mut self.cx, fill, request) {
                Some(true) => self.attach(fill, request),
                Some(false) => {}
                // Whoever joined before read it to its end at once.
                None => self.fetch_alone(request, MissReason::Absent),
            }
        }
    }

    fn fetch_alone(&mut self, request: RequestId, reason: MissReason) {
        let over = self.fetching.fetch_alone(&mut self.cx, request, reason);
        self.end(over);
    }

    fn follow(&mut self, fill: FillId, request: RequestId) {
        let is_copying = |copies: &_| self.copying.lanes.is_copying(copies);
        let (waiter, reply) = self.fetching.follow(&mut self.cx, fill, request, is_copying);
        self.clients.follow(&mut self.cx, (request, waiter.key), fill, reply);
    }

    /// A fill is over without a response of its own.
    pub(super) fn end(&mut self, over: Option<Over<C>>) {
        let stored = match over {
            None => return,
            Some(Over::Unanswered(stored)) => stored,
            Some(Over::Stale(stored, waiters)) => {
                self.serve_instead(&stored, &waiters);
                Some(stored)
            }
        };
        self.clients.release(&mut self.cx, stored);
    }

    /// Answers with what is stored, because the origin failed.
    fn serve_instead(&mut self, stored: &Stored<C>, waiters: &[Waiter]) {
        let outcome = Outcome::Stale { tier: stored.tier(), why: StaleUse::IfError };
        for waiter in waiters {
            self.serve_stored(stored, waiter, outcome, Promote::No);
        }
    }

    fn serve_stored(&mut self, stored: &Stored<C>, waiter: &Waiter, outcome: Outcome, promote: Promote) {
        match stored {
            Stored::Resident(resident) => serve_resident(&mut self.cx, waiter, resident, outcome),
            Stored::Record(open) => self.serve_record(open, waiter, outcome, promote),
        }
    }

    /// Answers a request from an open record. Only who reads the whole copies it (failure T7).
    fn serve_record(&mut self, open: &OpenRecord<C>, waiter: &Waiter, outcome: Outcome, promote: Promote) {
        let cx = &mut self.cx;
        let portion = Portion::of(cx, open, waiter, outcome);
        let copies = promote == Promote::AsConfigured && portion.is_read_whole(open, &waiter.ask);
        let promotion = if copies {
            self.copying.begin_promotion(cx, open, waiter.request, TargetUri::of(&waiter.ask))
        } else {
            None
        };
        let is_over = self.clients.serve_record(cx, open, waiter, outcome, portion, promotion);
        if let (Some(promotion), true) = (promotion, is_over) {
            if let Some(body) = &open.body {
                self.copying.feed_promotion(cx, promotion, open.record.length, body);
            }
            self.end_promotion(promotion);
        }
    }

    /// Answers with a stale record while it is revalidated.
    fn serve_meanwhile(&mut self, open: &OpenRecord<C>, waiter: &Waiter) {
        let outcome = Outcome::Stale { tier: open.tier.id, why: StaleUse::WhileRevalidate };
        self.serve_record(open, waiter, outcome, Promote::No);
    }

    /// Asks the first tier from `from` on that may hold what a fill is for; the origin, when none is left.
    fn look(&mut self, fill: FillId, context: FetchContext<C>, waiters: Vec<RequestId>, from: usize) {
        let is_purging = self.purging.is_purging(context.target);
        let from = if is_purging { self.cx.config.tiers.len() } else { from };
        match self.fetching.look(&mut self.cx, fill, context, waiters, from) {
            Look::Asked => {}
            Look::InDurable(key, record, permit) => {
                let (durable, cx) = self.durable();
                durable.look(cx, fill, key, record, permit);
            }
            Look::Over(context, waiters) => self.end_walk(fill, context, waiters),
        }
    }

    pub(super) fn look_further(&mut self, fill: FillId, looked: Looked<C>) {
        let Looked { context, waiters, tier, .. } = looked;
        self.look(fill, context, waiters, after_tier(&self.cx, tier.id));
    }

    pub(super) fn on_found(
        &mut self,
        fill: FillId,
        record: Record,
        body: Option<C>,
        manifest: Option<Arc<OpenedManifest>>,
    ) {
        let mut looked = self.fetching.take_lookup(fill);
        let (tier, context) = (looked.tier, &looked.context);
        let verdict = self.purging.judge(&self.cx, context.at(), &context.uri, &record);
        let worth = looked.worth(&record, body.as_ref(), verdict);
        let is_open = manifest.as_ref().is_none_or(|manifest| manifest.is_open());
        if is_open && !matches!(worth, Worth::Usable(_)) {
            self.cx.effect(Effect::Release { tier: tier.id, record: looked.record });
        }
        let freshness = match worth {
            Worth::Usable(freshness) => freshness,
            Worth::Nothing => return self.look_further(fill, looked),
            Worth::ToDelete => {
                self.delete_record(tier, looked.context.at(), record.name);
                return self.look_further(fill, looked);
            }
            Worth::Names(names) => {
                self.residence.on_marker(looked.context.target, &names, tier.id, self.cx.now);
                return self.look_for_variants(fill, looked);
            }
        };
        let staleness = rules::Staleness::of(&self.cx.config.policy, &record.head);
        let open =
            Arc::new(OpenRecord { tier, id: looked.record, record, body, freshness, staleness, manifest });
        self.clients.open(&open);
        let is_open = looked.context.sharing == Sharing::Open;
        let promote = if is_open { Promote::AsConfigured } else { Promote::No };
        self.fetching.pass_withheld(&mut self.cx, &mut looked, &open);
        for waiter in self.fetching.take_answered(&self.cx, &mut looked, &open) {
            self.serve_record(&open, &waiter, Outcome::Hit { tier: tier.id }, promote);
        }
        match self.fetching.after_found(&mut self.cx, fill, &mut looked, &open) {
            AfterFound::Over(stored) => {
                self.clients.release(&mut self.cx, stored);
                self.clients.close(&mut self.cx, open.id);
            }
            AfterFound::Further(left) => {
                self.clients.release(&mut self.cx, left);
                self.look_further(fill, looked);
            }
        }
    }

    /// The names are known on which a target's responses depend: each who waits is answered under the key
    /// that its own fields make. The tiers are asked again from the first on, which may have the variant
    /// though it has no marker.
    fn look_for_variants(&mut self, fill: FillId, looked: Looked<C>) {
        let Looked { mut context, waiters, .. } = looked;
        let stored = self.fetching.end_for_variants(&mut context, fill);
        self.clients.release(&mut self.cx, stored);
        let mut own_name = Some(fill);
        for (variant, requests) in self.gather(context.target, waiters) {
            let name = own_name.take().unwrap_or_else(|| FillId(self.cx.ids.mint()));
            match self.fetching.joinable(variant, self.cx.now) {
                Some(other) => {
                    self.cx.resilience.deadlines.end(Timed::Fill(name));
                    self.attach_all(other, requests);
                }
                None => {
                    let context = context.alike(variant);
                    self.fetching.lead_as(name, context.at(), &requests);
                    self.look(name, context, requests, 0);
                }
            }
        }
        if let Some(fill) = own_name {
            self.cx.resilience.deadlines.end(Timed::Fill(fill));
        }
    }

    fn gather(&self, target: CacheKey, requests: Vec<RequestId>) -> Vec<(CacheKey, Vec<RequestId>)> {
        self.fetching.gather(requests, |ask| self.residence.key_for(target, ask))
    }

    /// The walk is over, and no tier had what may be used as it is.
    fn end_walk(&mut self, fill: FillId, mut context: FetchContext<C>, mut waiters: Vec<RequestId>) {
        if let AfterWalk::Stale(open, meanwhile) =
            self.fetching.after_walk(&self.cx, &mut context, &mut waiters)
        {
            for waiter in meanwhile {
                self.serve_meanwhile(&open, &waiter);
            }
        }
        match self.fetching.ask_or_join(&mut self.cx, fill, context, waiters) {
            Unanswered::Asked(over) => self.end(over),
            Unanswered::Join(other, requests, stored) => {
                self.attach_all(other, requests);
                self.clients.release(&mut self.cx, stored);
            }
        }
    }

    pub(super) fn on_head(&mut self, fill: FillId, head: Arc<Head>) {
        let (context, asked) = self.fetching.take_asked(fill);
        let judged = asked.judge(&self.cx, &context, head);
        let asked_at = judged.sent_at;
        let file = |(names, ask): (&_, &_)| self.residence.file(judged.target, names, ask, &judged.head);
        let variant = judged.varies().and_then(file);
        match self.fetching.on_head(&mut self.cx, fill, (context, asked), judged, variant) {
            HeadStep::Streams(begun) => self.begin_stream(fill, begun, asked_at),
            HeadStep::Waits => {}
            HeadStep::Stale(key, stored, waiters) => {
                self.serve_instead(&stored, &waiters);
                stop_bodiless(&mut self.cx, fill, key);
                self.clients.release(&mut self.cx, Some(stored));
            }
            HeadStep::Freshens(not_modified) => self.freshen(not_modified),
            HeadStep::AsksAgain(mut context, waiters) => {
                self.clients.release(&mut self.cx, context.stored.take());
                let over = self.fetching.ask_without_condition(&mut self.cx, context, waiters);
                self.end(over);
            }
        }
    }

    /// A request that went around the cache has an answer. Its target is purged first, and what comes of the
    /// answer is younger than that; whether it was purged before, since it was asked for, must be known till
    /// then.
    pub(super) fn on_answered_around(&mut self, purge: PurgeId, answered: AnsweredAround) {
        let (key, uri) = (answered.key, TargetUri::of(&answered.request));
        let asked_at = answered.asked_at(&self.cx);
        let is_purged = self.purging.came_since(asked_at, (key, &uri), &answered.response);
        self.on_purge(purge, Selector::Key(key), PurgeMode::Hard);
        let judged = if is_purged { Err(NotAdopted::Purged) } else { answered.judge(&self.cx) };
        if let Err(why) = judged.and_then(|judged| self.adopt(judged, answered.origin, answered.sent.0)) {
            self.cx.event(FetchEvent::NotAdopted { key, why });
        }
    }

    /// Stores an answer that nobody waits for, in L0 alone: what a byte tier has from before the purge that
    /// came with it is known by its birth, and this was asked for before that purge.
    fn adopt(&mut self, judged: Judged, origin: OriginId, sent: Instant) -> Result<(), NotAdopted> {
        let (slot, asked_at) = (self.fetching.slot(&self.cx)?, judged.sent_at);
        let variant = match judged.varies() {
            Some((names, ask)) => {
                let filed = self.residence.file(judged.target, names, ask, &judged.head);
                filed.ok_or(NotAdopted::Forbidden(NotStorable::Vary))?
            }
            None => judged.target,
        };
        let fill = self.fetching.adopt(&mut self.cx, variant, (judged, origin), sent, slot);
        self.open_copies(fill, asked_at, &[]);
        self.pump(fill);
        Ok(())
    }

    /// A fill's body is to be kept in L0 and in these tiers; nowhere, where a 304 has forbidden since it was
    /// asked for to keep what is under the key that it turned out to be for.
    fn open_copies(&mut self, fill: FillId, asked_at: WallTime, tiers: &[ByteTier]) {
        let (copied, _, copies) = self.fetching.copied_of(fill);
        let (source, l0) = (CopySource { owner: Owner::Fill(fill), promotes: None }, self.cx.config.l0);
        if !self.purging.was_forbidden_since(copied.at.key, asked_at) {
            *copies = self.copying.lanes.open_copies(&mut self.cx, source, copied, l0, tiers);
        }
    }

    /// The body is about to come: to all who may share it, and into all tiers that may keep it.
    fn begin_stream(&mut self, fill: FillId, begun: Begun<C>, asked_at: WallTime) {
        self.clients.release(&mut self.cx, begun.replaced);
        if begun.is_open {
            self.open_copies(fill, asked_at, &Arc::clone(&self.cx.config.tiers));
        }
        for request in begun.readers {
            self.follow(fill, request);
        }
        self.pump(fill);
        for request in begun.alone {
            self.fetch_alone(request, begun.reason);
        }
        let Some((group, others)) = begun.others else { return };
        for (variant, requests) in self.gather(group.target, others) {
            match self.fetching.joinable(variant, self.cx.now) {
                Some(fill) => self.attach_all(fill, requests),
                None => {
                    let over = self.fetching.fetch_for(&mut self.cx, &group, variant, requests);
                    self.end(over);
                }
            }
        }
    }

    /// What is stored still holds: all who may share it get it under its new head, and its tier is told of
    /// that. A fill that a purge has closed freshens nothing: those who wait get what they asked for before.
    fn freshen(&mut self, not_modified: NotModified<C>) {
        let NotModified { context, waiters, alone, stored, freshened } = not_modified;
        let (at, tier) = (context.at(), stored.tier());
        let is_open = context.sharing == Sharing::Open;
        let is_kept = is_open && freshened.may_stay;
        if is_kept {
            match &freshened.stored {
                Stored::Resident(resident) => {
                    self.cx.event(ResidenceEvent::Freshened { tier, key: at.key });
                    self.residence.store(&mut self.cx, at, Resident::clone(resident), Some(tier));
                }
                Stored::Record(open) => self.freshen_record(open),
            }
        } else if is_open {
            self.forbid(at, &stored, &freshened.stored);
        }
        let promote = if is_kept { Promote::AsConfigured } else { Promote::No };
        for waiter in waiters {
            self.serve_stored(&freshened.stored, &waiter, Outcome::Revalidated { tier }, promote);
        }
        for request in alone {
            self.fetch_alone(request, context.reason);
        }
        self.clients.release(&mut self.cx, Some(stored));
    }

    /// A 304 forbids to keep what it is about: nothing that is as old as that, or as old as the 304, is found
    /// any more under its key. A delete in each tier would come too late for a lookup that overtakes it.
    fn forbid(&mut self, at: StoredKey, stored: &Stored<C>, freshened: &Stored<C>) {
        let born = |stored: &Stored<C>| stored.freshness().born(self.cx.now, self.cx.wall());
        self.purging.forbid(at.key, born(stored).max(born(freshened)));
        self.stop(Scope::Stored(at));
        self.residence.remove(&mut self.cx, at.key, Removal::Forbidden);
        if let Stored::Record(open) = stored {
            self.delete_record(open.tier, at, open.record.name);
        }
    }

    /// A tier is to give a record its new head.
    fn freshen_record(&mut self, open: &OpenRecord<C>) {
        let record = Arc::new(open.record.clone());
        let pending = Freshen::of(&self.cx.config, open);
        if let Some(manifest) = &open.manifest {
            let (durable, cx) = self.durable();
            return durable.freshen_manifest(cx, manifest, record, pending);
        }
        let op = self.cx.operation(Pending::Freshen(pending));
        self.cx.effect(Effect::Freshen { op, tier: open.tier.id, record });
    }

    pub(super) fn on_freshened(&mut self, freshen: Freshen, freshening: Freshening) {
        match freshening {
            Freshening::Done => {}
            // Whoever looks it up next finds what is there.
            Freshening::Overtaken | Freshening::Absent => return,
        }
        let (at, born) = (freshen.at, freshen.freshness.born(self.cx.now, self.cx.wall()));
        // Purged or forbidden while the tier freshened it: whoever finds it, if it is there at all, takes it
        // for absent by its birth.
        if !self.purging.is_purged(at.target, born) && !self.purging.is_forbidden(at.key, born) {
            freshen.tell(&mut self.cx);
        }
    }

    pub(super) fn on_fetch_failed(&mut self, fill: FillId, failure: OriginFailure) {
        let over = self.fetching.on_fetch_failed(&mut self.cx, fill, failure);
        self.end(over);
    }

    pub(super) fn on_pulled(&mut self, fill: FillId, chunk: C) {
        let (received, pulled) = self.fetching.on_pulled(&mut self.cx, fill, chunk.clone());
        if pulled == Pulled::TooMuch {
            self.cx.effect(Effect::Cancel { fill });
            return self.break_off(fill, OriginFailure::TooLong);
        }
        if self.fetching.is_overtaken(fill) {
            return self.cancel(fill);
        }
        let (copied, _, copies) = self.fetching.copied_of(fill);
        let at = copied.at;
        self.copying.lanes.feed_copies(&mut self.cx, at, copies, received, &chunk);
        if pulled == Pulled::Last {
            self.cx.effect(Effect::Cancel { fill });
            return self.complete(fill);
        }
        self.pump(fill);
    }

    pub(super) fn on_pull_ended(&mut self, fill: FillId) {
        if self.fetching.is_overtaken(fill) {
            return self.cancel(fill);
        }
        match self.fetching.on_pull_ended(fill) {
            Ended::Whole => self.complete(fill),
            Ended::BrokenOff(failure) => self.break_off(fill, failure),
        }
    }

    /// The whole body is here.
    fn complete(&mut self, fill: FillId) {
        self.fetching.complete(&mut self.cx, fill);
        let (copied, freshness, copies) = self.fetching.copied_of(fill);
        if let Some(resident) = collected(copied, copies, freshness) {
            self.residence.store(&mut self.cx, copied.at, resident, None);
        }
        self.copying.lanes.end_copies(&mut self.cx, copied, copies, freshness, None);
        self.pump(fill);
    }

    /// The body broke off: nothing of it is kept, and whoever reads it must see it break (failures T3, T11).
    pub(super) fn break_off(&mut self, fill: FillId, failure: OriginFailure) {
        let broken = self.fetching.break_off(&mut self.cx, fill, failure);
        self.end_broken(broken);
    }

    /// Nobody wants it any more.
    fn cancel(&mut self, fill: FillId) {
        match self.fetching.cancel(&mut self.cx, fill) {
            Cancelled::Nothing => {}
            Cancelled::Resting(over) => self.end(Some(over)),
            Cancelled::Fetching(broken) => self.end_broken(broken),
        }
    }

    fn end_broken(&mut self, broken: Broken<C>) {
        let Broken { stored, at, mut copies, readers, end } = broken;
        self.clients.release(&mut self.cx, stored);
        self.copying.lanes.abandon_copies(&mut self.cx, at, &mut copies, LaneEnd::Abandoned);
        self.copying.lanes.close_copies(&mut self.cx, copies);
        for (request, rereading) in readers {
            if let Some(op) = rereading {
                end_reread(&mut self.cx, request, op);
            }
            self.clients.finish(&mut self.cx, request, end);
        }
    }

    /// Moves everything that can move: chunks to readers, the window forward, the origin on; and closes what
    /// is over.
    pub(super) fn pump(&mut self, fill: FillId) {
        let mut last = None;
        while let Some((request, delivery)) = self.fetching.deliver_after(fill, last) {
            self.hand_over(fill, request, delivery);
            last = Some(request);
        }
        self.go_on(fill);
    }

    fn hand_over(&mut self, fill: FillId, request: RequestId, delivery: Delivery<C>) {
        match delivery {
            Delivery::Chunk { chunk, is_last } => {
                self.clients.hand_over(&mut self.cx, request, chunk);
                if is_last {
                    self.clients.finish(&mut self.cx, request, End::Complete);
                }
            }
            Delivery::Over => self.clients.finish(&mut self.cx, request, End::Complete),
            Delivery::Behind { position, base, wanted } => {
                self.reread(fill, request, position, (base, wanted));
            }
        }
    }

    /// Reads back, for a follower that fell behind, what a tier has acknowledged.
    fn reread(&mut self, fill: FillId, request: RequestId, position: u64, (base, wanted): (u64, u64)) {
        let Some(copies) = self.fetching.copies(fill) else { return };
        let Some((readable, writer, tier)) = self.copying.lanes.readable(copies, position) else {
            let tier = self.copying.lanes.unreadable(copies, position);
            self.fetching.unfollow(&mut self.cx, fill, request);
            return self.clients.finish(&mut self.cx, request, End::Aborted(AbortReason::TierRead(tier)));
        };
        let length_max = self.cx.config.read_size.min(readable.min(base) - position).min(wanted);
        let op = read_back(&mut self.cx, request, (tier, writer), position, length_max);
        self.fetching.on_reread(fill, request, op, writer);
    }

    /// Makes room in the window, asks the origin for more if there is room everywhere, and closes what is
    /// over.
    fn go_on(&mut self, fill: FillId) {
        let Some(stream) = self.fetching.streaming(fill) else { return };
        let lanes = &self.copying.lanes;
        let held_back = lanes.holds_back(&stream.copies, self.cx.config.lane_chunks_max);
        let acknowledged = lanes.acknowledged(&stream.copies);
        let progress = Progress { acknowledged, readable: lanes.dependable(&stream.copies) };
        stream.slide(&self.cx, progress);
        if !held_back && !stream.is_full(&self.cx, progress) {
            stream.pull(&mut self.cx, fill);
        }
        if stream.may_end() {
            self.settle(fill);
        }
    }

    /// Ends a fill that has nothing left to do, or that nobody has any use for.
    fn settle(&mut self, fill: FillId) {
        match self.fetching.settle(&self.cx, fill, |copies| self.copying.lanes.is_copying(copies)) {
            Settled::GoesOn => {}
            Settled::Over(copies) => self.copying.lanes.close_copies(&mut self.cx, copies),
            Settled::Unwanted => self.cancel(fill),
        }
    }

    pub(super) fn on_body_read(&mut self, request: RequestId, op: OpId, chunk: C) {
        let read = self.clients.on_body_read(&mut self.cx, request, op, &chunk);
        let (promotion, read, is_end) = match read {
            BodyRead::Follower(fill) => {
                self.fetching.on_read_back(fill, request, chunk.size());
                self.clients.hand_over(&mut self.cx, request, chunk);
                return self.pump(fill);
            }
            BodyRead::Corrupt => {
                return self.finish_reading(request, End::Aborted(AbortReason::TierRead(TIER)));
            }
            BodyRead::Reader { promotion, read, is_end } => (promotion, read, is_end),
        };
        if let Some(promotion) = promotion {
            self.copying.feed_promotion(&mut self.cx, promotion, read, &chunk);
        }
        self.clients.hand_over(&mut self.cx, request, chunk);
        if is_end {
            self.finish_reading(request, End::Complete);
        }
    }

    pub(super) fn on_read_failed(&mut self, request: RequestId, op: OpId, why: ReadFailure) {
        match self.clients.on_read_failed(&mut self.cx, request, op, why) {
            ReadFailed::GoesOn => {}
            ReadFailed::Follower(fill, key) => {
                let (_, writer) = self.fetching.on_read_back_failed(fill, request);
                let tier = self.copying.lanes.on_read_back_failed(writer);
                self.cx.event(told(tier, key, why));
                self.pump(fill);
            }
            ReadFailed::Reader { tier, doomed } => {
                if let Some((at, name)) = doomed {
                    self.delete(tier, at, Some(name));
                }
                self.finish_reading(request, End::Aborted(AbortReason::TierRead(tier)));
            }
        }
    }

    pub(super) fn on_read_late(&mut self, request: RequestId) {
        match self.clients.on_read_late(&mut self.cx, request) {
            Ok(tier) => self.finish_reading(request, End::Aborted(AbortReason::TierRead(tier))),
            Err((fill, key)) => {
                let (op, writer) = self.fetching.on_read_back_failed(fill, request);
                let tier = self.copying.lanes.on_read_back_failed(writer);
                give_up_read_back(&mut self.cx, (request, key), op, tier);
                self.pump(fill);
            }
        }
    }

    /// A reader is done: the client's response ends first, then its promotion commits (C2).
    fn finish_reading(&mut self, request: RequestId, end: End) {
        let ReadEnded { record, promotion } = self.clients.end_reading(&mut self.cx, request, end);
        match (promotion, end) {
            (Some(promotion), End::Complete) => self.end_promotion(promotion),
            (Some(promotion), End::Aborted(_)) => self.copying.abandon_promotion(&mut self.cx, promotion),
            (None, _) => {}
        }
        self.clients.close(&mut self.cx, record);
    }

    /// A lane has done a step: its owner goes on.
    pub(super) fn on_moved(&mut self, moved: Moved) {
        let Moved { writer, owner, came } = moved;
        if let Came::Doomed(doomed) = &came {
            let deletion = self.delete(doomed.tier, doomed.at, Some(doomed.name));
            self.purging.await_deletion(writer, deletion);
        }
        match owner {
            Owner::Fill(fill) => self.pump(fill),
            Owner::Promotion(promotion) => self.copying.settle_promotion(&mut self.cx, promotion),
            Owner::Marker => {
                let lost = self.copying.lanes.settle_marker(&mut self.cx, writer);
                self.unmark(lost);
            }
        }
        if let Came::Stored(tier, record) = came {
            self.mark(tier, &record);
        }
    }

    /// A response was stored in a tier: if it is a variant, its target is marked there, if it may not be
    /// marked yet.
    fn mark(&mut self, tier: TierId, stored: &Arc<Record>) {
        if stored.stored_key().is_variant()
            && let Some(names) = self.residence.names_to_mark(stored.target, tier, self.cx.now)
        {
            let lost = self.copying.lanes.mark(&mut self.cx, tier, stored, &names);
            self.unmark(lost);
        }
    }

    /// These markers will not be there.
    pub(super) fn unmark(&mut self, lost: impl IntoIterator<Item = Lost>) {
        for Lost { target, tier } in lost {
            self.residence.on_unmarked(target, tier);
        }
    }

    /// The reader has read it all, and its response has ended (C2).
    fn end_promotion(&mut self, promotion: PromotionId) {
        if let Some((at, resident, from)) = self.copying.take_collected(promotion) {
            self.residence.store(&mut self.cx, at, resident, Some(from));
        }
        self.copying.end_promotion(&mut self.cx, promotion);
    }

    /// Takes a record off its tier, if it is still the one of that name. L3's are deleted by who uploads
    /// them, and by its collector.
    fn delete_record(&mut self, tier: ByteTier, at: StoredKey, name: RecordName) {
        if !tier.is_durable() {
            self.delete(tier.id, at, Some(name));
        }
    }

    pub(super) fn delete(&mut self, tier: TierId, key: StoredKey, name: Option<RecordName>) -> Awaited {
        let op = self.cx.operation(Pending::Delete(Deletion { tier }));
        self.cx.effect(Effect::Delete { op, tier, key, name });
        Awaited::Operation(op)
    }
}
