//! From the origin to those who read: head, chunks, end. Asking it stands in `asking`.

use super::grouping::Group;
use crate::machine::{
    Engine, Pending,
    caring::Waiter,
    clients::{Demand, Progress},
    copying::{self, Copied, Owner, collected},
    uncacheable,
};
use crate::{
    care::{
        attempts::{Failed, GiveUp},
        deadline::Phase,
    },
    chunk::Chunk,
    config::OnAbandon,
    effect::Effect,
    event::{Event, FetchEnd},
    fill::{Copies, Errand, Fill, Followers, Sharing, Source, Stage, Stream, Window},
    head::{Head, Length, RequestHead},
    id::{FillId, RequestId},
    key::CacheKey,
    plant::Fault,
    reason::{AbortReason, End, LaneEnd, NotStorable, OriginFailure, Storable},
    record::Freshness,
    rules::{self, retry_after, reuse, revalidate, vary::Vary},
    time::{Instant, WallTime},
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

impl<C: Chunk> Engine<C> {
    pub(in crate::machine) fn on_head(&mut self, fill_id: FillId, head: Arc<Head>) {
        let Fill { mut errand, stage } =
            self.fills.remove(&fill_id).expect("a fetch's fill waits for its answer");
        let Stage::Asking { mut waiters, since, mut tries, sent, .. } = stage else {
            unreachable!("answered while {stage:?}")
        };
        self.cx.caring.deadlines.enter(self.cx.now, Waiter::Fill(fill_id), Phase::Paused);
        let sent_at = self.sent_at(since);
        let mut judged = rules::judge(&self.cx.config.policy, &sent.ask, &head, sent_at, self.cx.wall());
        let variant = self.variant_of(&errand, &mut judged, &sent.ask, head.status);
        let (target, length, storable) = (errand.target, head.length(), judged.storable);
        self.cx.event(Event::HeadArrived {
            fill: fill_id,
            key: target,
            variant,
            status: head.status,
            length,
            storable,
        });
        self.learn_of_storing(target, head.status, storable);
        if errand.stored.is_some() && head.status == 304 {
            return self.on_not_modified(fill_id, errand, waiters, &sent.ask, &head, sent_at);
        }
        if reuse::is_error(head.status) {
            waiters = match self.stand_in(&errand, waiters) {
                Ok(()) => {
                    self.end_bodiless(fill_id, &errand);
                    return self.let_go(errand.stored);
                }
                Err(waiters) => waiters,
            };
        }
        if let Some(failed) = Failed::of_status(head.status, retry_after(&head.fields, self.cx.wall()))
            && let Some(at) = self.decide(fill_id, &errand, &waiters, &mut tries, failed)
        {
            self.stop_bodiless(fill_id, target);
            return self.rest(fill_id, errand, waiters, tries, at);
        }
        let replaced = errand.stored.take();
        self.let_go(replaced);
        let errand = self.file_under(fill_id, errand, variant);
        let others = self.part_from(&errand, &sent, &judged, &mut waiters);
        let stream = Stream {
            freshness: self.freshness_of(&judged),
            staleness: judged.staleness,
            head,
            length,
            source: Source::Idle,
            window: Window::new(),
            followers: Followers::default(),
            copies: Copies::default(),
        };
        let group = (!others.is_empty()).then(|| Group::of(&errand));
        self.begin_stream(fill_id, errand, stream, storable, waiters, sent.leader);
        if let Some(group) = group {
            self.regroup(&group, others);
        }
    }

    /// When a request that was made at `since` was sent, on the calendar.
    fn sent_at(&self, since: Instant) -> WallTime {
        let since = if self.cx.config.is_planted(Fault::X14) { self.cx.now } else { since };
        self.cx.wall().before(self.cx.now.since(since))
    }

    fn freshness_of(&self, judged: &rules::Judgement) -> Freshness {
        Freshness { as_of: self.cx.now, age_then: judged.initial_age, lifetime: judged.lifetime.span() }
    }

    /// The key under which a response is filed, if it can be told; what cannot be told may not be stored.
    fn variant_of(
        &mut self,
        errand: &Errand<C>,
        judged: &mut rules::Judgement,
        ask: &RequestHead,
        status: u16,
    ) -> CacheKey {
        let variant = match &judged.vary {
            Vary::Nothing => return errand.key,
            Vary::Fields(names) if judged.storable == Storable::Yes && status != 304 => {
                self.residence.variants.learn(errand.target, names, &ask.fields)
            }
            Vary::Fields(_) | Vary::Anything => None,
        };
        if variant.is_none() && judged.storable == Storable::Yes {
            judged.storable = Storable::No(NotStorable::Vary);
        }
        variant.unwrap_or(errand.key)
    }

    /// Remembers a key whose answers cannot be stored, and forgets one whose answer can.
    fn learn_of_storing(&mut self, target: CacheKey, status: u16, storable: Storable) {
        if storable == Storable::Yes {
            return self.uncacheable.forget(target);
        }
        let Some(why) = uncacheable::says_so(status, storable, self.cx.config.plant) else { return };
        if self.cx.config.uncacheable.is_zero() {
            return;
        }
        if !self.uncacheable.holds(target, self.cx.now) {
            self.cx.event(Event::FoundUncacheable { key: target, why });
        }
        self.uncacheable.remember(target, self.cx.now.after(self.cx.config.uncacheable));
    }

    /// A response turned out to be one variant of its target: it is filed under that one's key.
    fn file_under(&mut self, fill_id: FillId, errand: Errand<C>, variant: CacheKey) -> Errand<C> {
        if variant == errand.key || errand.sharing == Sharing::Private {
            return errand;
        }
        self.end_flight(errand.key, fill_id);
        if errand.sharing == Sharing::Open {
            // One that has its whole body gives way: it may be gone before this one is, and then nobody would lead.
            if let Some(other) = self.flights.get(&variant).copied()
                && self.has_ended(other)
            {
                self.end_flight(variant, other);
            }
            self.lead_flight(variant, fill_id);
        }
        Errand { key: variant, ..errand }
    }

    fn has_ended(&self, fill_id: FillId) -> bool {
        match self.fills.get(&fill_id).map(|fill| &fill.stage) {
            Some(Stage::Streaming(stream)) => stream.source == Source::Ended,
            Some(Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. }) | None => false,
        }
    }

    /// The body is about to come: to all who wait and into all tiers if it may be shared, to the leader otherwise.
    fn begin_stream(
        &mut self,
        fill_id: FillId,
        mut errand: Errand<C>,
        mut stream: Stream<C>,
        storable: Storable,
        mut waiters: Vec<RequestId>,
        leader: Option<RequestId>,
    ) {
        let (at, reason, length) = (errand.at(), errand.reason, stream.length);
        let is_usable = stream.staleness.is_usable(&stream.freshness, self.cx.now);
        let mut refetching = Vec::new();
        if storable != Storable::Yes || !is_usable {
            // What may not be used without the origin's word may not be shared: all but who led, if that one is still
            // here, ask for themselves.
            let leads = leader.is_some() && waiters.first() == leader.as_ref();
            refetching = waiters.split_off(usize::from(leads));
        }
        if storable != Storable::Yes && errand.sharing == Sharing::Open {
            self.end_flight(at.key, fill_id);
            errand.sharing = Sharing::Closed;
        }
        if errand.sharing == Sharing::Open {
            let Stream { head, staleness, .. } = &stream;
            let copied = Copied { at, place: &errand.place, head, staleness: *staleness, length };
            let tiers = Arc::clone(&self.cx.config.tiers);
            let l0 = self.cx.config.l0;
            let source = copying::Source { owner: Owner::Fill(fill_id), promotes: None };
            stream.copies =
                self.copying.open_copies(&mut self.cx, source, copied, l0, &tiers, errand.glimpse.as_deref());
        }
        // Who led has left, and those who waited cannot share it.
        let goes_on = errand.behind.is_some() || self.cx.config.on_abandon == OnAbandon::Finish;
        let is_unread = waiters.is_empty() && !goes_on;
        self.fills.insert(fill_id, Fill { errand, stage: Stage::Streaming(stream) });
        if is_unread {
            self.cancel(fill_id);
        }
        for request in waiters {
            self.follow(fill_id, request);
        }
        self.pump(fill_id);
        for request in refetching {
            self.fetch_privately(request, reason);
        }
    }

    /// A 304 to our own condition: it freshens what is stored, or, if it is about something else, we ask without one.
    fn on_not_modified(
        &mut self,
        fill_id: FillId,
        mut errand: Errand<C>,
        waiters: Vec<RequestId>,
        ask: &RequestHead,
        not_modified: &Head,
        sent: WallTime,
    ) {
        let filed = errand.stored.as_ref().filter(|_| Self::stays_filed(&errand, ask, not_modified));
        let selection = filed.map_or(revalidate::Selection::FetchAgain, |stored| {
            revalidate::selects(self.cx.config.policy.changed_validator, stored.head(), not_modified)
        });
        self.end_bodiless(fill_id, &errand);
        match selection {
            revalidate::Selection::Updates => self.freshen(errand, waiters, ask, not_modified, sent),
            revalidate::Selection::FetchAgain => {
                let refused = errand.stored.take();
                self.let_go(refused);
                let next = FillId(self.cx.ids.mint());
                if errand.sharing == Sharing::Open {
                    self.flights.insert(errand.key, next);
                }
                for request in &waiters {
                    let waiting = self.clients.requests.get_mut(request).expect("waiters have not ended");
                    waiting.progress = Progress::Waiting(next);
                }
                // Their misses were told when the origin was asked first.
                self.ask_origin(next, errand, waiters, 1);
            }
        }
    }

    /// A fetch whose body is not wanted is over with its head.
    fn end_bodiless(&mut self, fill_id: FillId, errand: &Errand<C>) {
        self.end_asking(fill_id, errand);
        self.stop_bodiless(fill_id, errand.target);
    }

    /// Stops a fetch with its head.
    fn stop_bodiless(&mut self, fill_id: FillId, key: CacheKey) {
        self.cx.effect(Effect::Cancel { fill: fill_id });
        let received = ByteCount::ZERO;
        self.cx.event(Event::FetchEnded { fill: fill_id, key, received, end: FetchEnd::Complete });
    }

    pub(in crate::machine) fn on_pulled(&mut self, fill_id: FillId, chunk: C) {
        assert!(chunk.size() > 0, "the answer rule: an empty chunk for {fill_id:?}");
        self.cx.caring.deadlines.enter(self.cx.now, Waiter::Fill(fill_id), Phase::Paused);
        let stream = self.stream(fill_id);
        stream.source = Source::Idle;
        stream.window.push(chunk.clone());
        let received = stream.window.end();
        let is_too_long =
            stream.length != Length::Unknown && stream.check_end(received) == Err(OriginFailure::TooLong);
        if is_too_long {
            self.cx.effect(Effect::Cancel { fill: fill_id });
            return self.break_off(fill_id, OriginFailure::TooLong);
        }
        let is_over = self.stream(fill_id).length == Length::Known(ByteCount(received));
        let Some(Fill { errand, stage: Stage::Streaming(stream) }) = self.fills.get_mut(&fill_id) else {
            unreachable!("{fill_id:?} streamed a moment ago")
        };
        let received = ByteCount(received);
        self.copying.feed_copies(&mut self.cx, errand.at(), &mut stream.copies, received, &chunk);
        if is_over {
            // The last byte is the end. Whoever reads it may ask again at once, and shall find what was stored.
            self.cx.effect(Effect::Cancel { fill: fill_id });
            return self.complete(fill_id);
        }
        self.pump(fill_id);
    }

    pub(in crate::machine) fn on_pull_ended(&mut self, fill_id: FillId) {
        let stream = self.stream(fill_id);
        match stream.check_end(stream.window.end()) {
            Ok(()) => self.complete(fill_id),
            Err(failure) => self.break_off(fill_id, failure),
        }
    }

    pub(in crate::machine) fn on_pull_failed(&mut self, fill_id: FillId, failure: OriginFailure) {
        self.break_off(fill_id, failure);
    }

    /// The whole body is here.
    fn complete(&mut self, fill_id: FillId) {
        self.fetches -= 1;
        self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
        let Some(Fill { errand, stage: Stage::Streaming(stream) }) = self.fills.get_mut(&fill_id) else {
            unreachable!("{fill_id:?} streamed a moment ago")
        };
        stream.source = Source::Ended;
        let received = ByteCount(stream.window.end());
        let at = errand.at();
        let end = FetchEnd::Complete;
        self.cx.event(Event::FetchEnded { fill: fill_id, key: at.target, received, end });
        let Stream { head, freshness, staleness, copies, .. } = stream;
        let length = Length::Known(received);
        let copied = Copied { at, place: &errand.place, head, staleness: *staleness, length };
        if let Some(resident) = collected(copied, copies, *freshness) {
            self.residence.store(&mut self.cx, at, resident, None);
        }
        self.copying.end_copies(&mut self.cx, copied, copies, *freshness, None);
        self.pump(fill_id);
    }

    /// The body broke off: nothing of it is kept, and whoever reads it must see it break (failures T3, T11).
    pub(in crate::machine) fn break_off(&mut self, fill_id: FillId, failure: OriginFailure) {
        self.end_fetch(fill_id, FetchEnd::Failed(failure), AbortReason::Origin(failure));
    }

    /// Nobody wants it any more.
    pub(in crate::machine) fn cancel(&mut self, fill_id: FillId) {
        let Some(fill) = self.fills.get(&fill_id) else {
            return;
        };
        let op = match &fill.stage {
            Stage::Looking { .. } => return,
            Stage::Asking { op, .. } => Some(*op),
            Stage::Resting { .. } => return self.end_resting(fill_id, GiveUp::NobodyWaits),
            Stage::Streaming(stream) => match stream.source {
                Source::Idle => None,
                Source::Pulling(op) => Some(op),
                Source::Ended => return,
            },
        };
        if let Some(op) = op {
            self.cx.forget(op);
        }
        self.cx.effect(Effect::Cancel { fill: fill_id });
        self.end_fetch(fill_id, FetchEnd::Cancelled, AbortReason::ClientLeft);
    }

    fn end_fetch(&mut self, fill_id: FillId, end: FetchEnd, abort: AbortReason) {
        let Fill { mut errand, stage } = self.fills.remove(&fill_id).expect("the caller found the fill");
        self.end_asking(fill_id, &errand);
        let kept = errand.stored.take();
        self.let_go(kept);
        let received = match &stage {
            Stage::Streaming(stream) => stream.window.end(),
            Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. } => 0,
        };
        self.cx.event(Event::FetchEnded {
            fill: fill_id,
            key: errand.target,
            received: ByteCount(received),
            end,
        });
        if let Stage::Streaming(mut stream) = stage {
            self.copying.abandon_copies(&mut self.cx, errand.at(), &mut stream.copies, LaneEnd::Abandoned);
            self.copying.close_lanes(&mut self.cx, &stream.copies.lanes);
            let mut last = None;
            while let Some(request) = stream.followers.after(last) {
                self.forget_reread(request);
                self.clients.finish(&mut self.cx, request, End::Aborted(abort));
                last = Some(request);
            }
        }
    }

    /// Moves everything that can move: chunks to readers, the window forward, the origin on; and closes what is over.
    pub(in crate::machine) fn pump(&mut self, fill_id: FillId) {
        let mut last = None;
        loop {
            let next = match self.fills.get(&fill_id).map(|fill| &fill.stage) {
                Some(Stage::Streaming(stream)) => stream.followers.after(last),
                Some(Stage::Looking { .. } | Stage::Asking { .. } | Stage::Resting { .. }) | None => return,
            };
            let Some(request) = next else { break };
            self.deliver(fill_id, request);
            last = next;
        }
        self.pull(fill_id);
        self.settle(fill_id);
    }

    /// Gives one follower what it waits for, if it is here.
    pub(in crate::machine) fn deliver(&mut self, fill_id: FillId, request: RequestId) {
        let Stage::Streaming(stream) = &mut self.fills.get_mut(&fill_id).expect("the caller pumps it").stage
        else {
            unreachable!("only streams have followers");
        };
        let follower =
            self.clients.requests.get_mut(&request).expect("followers are requests that have not ended");
        let position = follower.sent;
        let Progress::Following { demand, rereading, .. } = &mut follower.progress else {
            unreachable!("{request:?} follows {fill_id:?} but is {:?}", follower.progress);
        };
        if stream.source == Source::Ended && position == stream.window.end() {
            stream.followers.remove(request);
            return self.clients.finish(&mut self.cx, request, End::Complete);
        }
        if *demand == Demand::None || rereading.is_some() {
            return;
        }
        if position < stream.window.base() {
            return self.reread(fill_id, request, position);
        }
        if let Some(chunk) = stream.window.at(position) {
            *demand = Demand::None;
            stream.followers.move_to(request, position.saturating_add(chunk.size()));
            self.clients.hand_over(&mut self.cx, request, chunk);
            // The end may already be known: then it need not wait for another demand.
            self.deliver(fill_id, request);
        }
    }

    /// Makes room in the window, and asks the origin for more if there is room everywhere.
    pub(in crate::machine) fn pull(&mut self, fill_id: FillId) {
        let room = self.cx.config.window.saturating_sub(1);
        let full = self.cx.config.lane_chunks_max;
        let Some(Stage::Streaming(stream)) = self.fills.get_mut(&fill_id).map(|fill| &mut fill.stage) else {
            return;
        };
        if stream.window.held() > room {
            let readable = self.copying.dependable(&stream.copies);
            let slowest = stream.followers.slowest().unwrap_or(stream.window.end());
            stream.window.slide(readable.unwrap_or(0).max(slowest), room);
        }
        let held_back = self.copying.holds_back(&stream.copies, full);
        if stream.source == Source::Idle && stream.window.held() <= room && !held_back {
            let op = self.cx.operation(Pending::Pull(fill_id));
            self.stream(fill_id).source = Source::Pulling(op);
            self.cx.effect(Effect::Pull { op, fill: fill_id });
            self.cx.caring.deadlines.enter(self.cx.now, Waiter::Fill(fill_id), Phase::Chunk);
        }
    }

    /// Ends a fill that has nothing left to do, and one that nobody has any use for: no tier that it may go on for, and no
    /// client, also because their own responses broke off (O1).
    pub(in crate::machine) fn settle(&mut self, fill_id: FillId) {
        let Some(Fill { errand, stage: Stage::Streaming(stream) }) = self.fills.get(&fill_id) else {
            return;
        };
        let key = errand.key;
        let has_all = stream.length == Length::Known(ByteCount(stream.window.end()));
        let goes_on = has_all || errand.behind.is_some() || self.on_abandon() == OnAbandon::Finish;
        let keeps = self.copying.is_copying(&stream.copies) && (goes_on || stream.source == Source::Ended);
        match (stream.source, stream.followers.is_empty(), keeps) {
            (Source::Ended, true, false) => {
                let Some(Fill { stage: Stage::Streaming(stream), .. }) = self.fills.remove(&fill_id) else {
                    return;
                };
                self.end_flight(key, fill_id);
                self.copying.close_lanes(&mut self.cx, &stream.copies.lanes);
            }
            // What was not kept is not for those who come now: they shall look again.
            (Source::Ended, false, false) => self.end_flight(key, fill_id),
            (Source::Idle | Source::Pulling(_), true, false) => self.cancel(fill_id),
            (_, _, true) | (Source::Idle | Source::Pulling(_), false, false) => {}
        }
    }

    pub(in crate::machine) fn stream(&mut self, fill_id: FillId) -> &mut Stream<C> {
        match self.fills.get_mut(&fill_id).map(|fill| &mut fill.stage) {
            Some(Stage::Streaming(stream)) => stream,
            other => unreachable!("{fill_id:?} should stream, but is {other:?}"),
        }
    }
}
