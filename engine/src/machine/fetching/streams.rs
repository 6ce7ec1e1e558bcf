//! From the origin to those who read: chunks, and the end.

use super::{
    Fetching, Fill, Over, Stage, Waiter,
    adopting::tell_ended,
    fill::{Asked, OriginSide, Share, Stream},
    stream_in,
};
use crate::machine::{
    context::{Context, Pending},
    copying::{Copied, Copies},
    resilience::Timed,
    stored::Stored,
};
use crate::{
    language::{
        chunk::Chunk,
        effect::{Effect, Outcome, Reply, ReplyBody},
        event::{FetchEnd, RequestEvent},
        head::Length,
        id::{FillId, OpId, RequestId, WriterId},
        key::StoredKey,
        reason::{AbortReason, End, OriginFailure},
        record::Freshness,
        units::ByteCount,
    },
    resilience::deadline::Phase,
    rules,
};
use alloc::{sync::Arc, vec::Vec};

/// What a reader without company needs of a window, in bytes: what is on its way to it is in memory beside
/// that. A piece of the origin's is about twice as large, so the window holds one and not two.
const ALONE: u64 = 32 << 10;

/// What a follower gets next.
pub(in crate::machine) enum Delivery<C> {
    /// A chunk; it may be the last, and then it has had everything.
    Chunk { chunk: C, is_last: bool },
    /// What it asks for has left the window, which begins at `base`; it wants so many bytes of what is before
    /// that.
    Behind { position: u64, base: u64, wanted: u64 },
    /// It has had everything.
    Over,
}

/// How far tiers have come with a body.
#[derive(Clone, Copy, Debug)]
pub(in crate::machine) struct Progress {
    /// In taking it, if one still does.
    pub(in crate::machine) acknowledged: Option<u64>,
    /// So that it can be read back.
    pub(in crate::machine) readable: Option<u64>,
}

/// How what has come of a body stands to what was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Pulled {
    /// More may come.
    More,
    /// That was the last byte: whoever reads it may ask again at once, and shall find what was stored.
    Last,
    /// More than was promised.
    TooMuch,
}

/// How a body has ended, as the origin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Ended {
    /// The whole body is here.
    Whole,
    BrokenOff(OriginFailure),
}

/// What becomes of a fill after a step.
pub(in crate::machine) enum Settled<C> {
    GoesOn,
    /// Nothing is left to do; these are to be closed.
    Over(Copies<C>),
    /// Nobody has any use for it.
    Unwanted,
}

/// A fetch that is over before its end.
pub(in crate::machine) struct Broken<C> {
    /// What the fill had found, and where its own response would have been stored.
    pub(in crate::machine) stored: Option<Stored<C>>,
    pub(in crate::machine) at: StoredKey,
    pub(in crate::machine) copies: Copies<C>,
    /// Who was reading it, by which operation if it was reading back, and how that ends.
    pub(in crate::machine) readers: Vec<(RequestId, Option<OpId>)>,
    pub(in crate::machine) end: End,
}

/// What a fill that nobody wants was doing.
pub(in crate::machine) enum Cancelled<C> {
    /// What cannot be stopped, or was over.
    Nothing,
    /// It rested.
    Resting(Over<C>),
    /// The origin was at work.
    Fetching(Broken<C>),
}

impl<C: Chunk> Fetching<C> {
    /// What is to be copied of a body, on what terms, and the copies being made.
    pub(in crate::machine) fn copied_of(&mut self, fill: FillId) -> (Copied<'_>, Freshness, &mut Copies<C>) {
        let (context, stream) = stream_in(&mut self.fills, fill);
        let Stream { head, length, freshness, staleness, source, window, copies, .. } = stream;
        let length = match source {
            OriginSide::Ended => Length::Known(ByteCount(window.end())),
            OriginSide::Idle | OriginSide::Pulling(_) => *length,
        };
        let seen = context.snapshot.as_deref();
        let copied =
            Copied { at: context.at(), uri: &context.uri, head, staleness: *staleness, length, seen };
        (copied, *freshness, copies)
    }

    /// Lets a waiting request follow a stream from its first byte. `is_copying` says whether a tier takes it.
    pub(in crate::machine) fn follow(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        request: RequestId,
        is_copying: impl FnOnce(&Copies<C>) -> bool,
    ) -> (Waiter, Reply<C>) {
        let waiter = self.take_waiter(request);
        let (context, stream) = stream_in(&mut self.fills, fill);
        let (part, head, length) = match (stream.share(&waiter.ask, cx.wall()), stream.length) {
            (Share::Part(range), Length::Known(whole)) => {
                let head = rules::partial_head(&stream.head, range, whole.0);
                (Some(range), Arc::new(head), Length::Known(ByteCount(range.length())))
            }
            (Share::Part(_) | Share::Whole | Share::Nothing, length) => {
                (None, Arc::clone(&stream.head), length)
            }
        };
        if let (Some(_), Length::Known(length)) = (part, length) {
            cx.event(RequestEvent::FollowsPart { request, key: waiter.key, length });
        }
        stream.followers.insert(request, part);
        let storing = is_copying(&stream.copies);
        let age = stream.freshness.age(cx.now);
        let reply = Reply {
            head,
            length,
            age,
            fresh_for: stream.freshness.lifetime.saturating_sub(age),
            outcome: Outcome::Miss { reason: context.reason, collapsed: waiter.collapsed, storing },
            body: ReplyBody::Streamed,
        };
        (waiter, reply)
    }

    /// A chunk came. Says how many bytes that makes, and how they stand to what was promised.
    pub(in crate::machine) fn on_pulled(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        chunk: C,
    ) -> (ByteCount, Pulled) {
        assert!(chunk.size() > 0, "the answer rule: an empty chunk for {fill:?}");
        cx.resilience.deadlines.enter(cx.now, Timed::Fill(fill), Phase::Paused);
        let stream = self.stream(fill);
        stream.source = OriginSide::Idle;
        stream.window.push(chunk);
        let received = ByteCount(stream.window.end());
        let pulled = match stream.length {
            Length::Known(promised) if received > promised => Pulled::TooMuch,
            Length::Known(promised) if received == promised => Pulled::Last,
            Length::Known(_) | Length::Unknown => Pulled::More,
        };
        (received, pulled)
    }

    /// The origin says that this was all.
    pub(in crate::machine) fn on_pull_ended(&mut self, fill: FillId) -> Ended {
        let stream = self.stream(fill);
        match stream.check_end(stream.window.end()) {
            Ok(()) => Ended::Whole,
            Err(failure) => Ended::BrokenOff(failure),
        }
    }

    /// The whole body is here.
    pub(in crate::machine) fn complete(&mut self, cx: &mut Context<C>, fill: FillId) {
        cx.resilience.deadlines.end(Timed::Fill(fill));
        let (context, stream) = stream_in(&mut self.fills, fill);
        (stream.source, stream.slot) = (OriginSide::Ended, None);
        tell_ended(cx, fill, context, ByteCount(stream.window.end()), FetchEnd::Complete);
    }

    /// The body broke off: nothing of it is kept, and whoever reads it must see it break (failures T3, T11).
    pub(in crate::machine) fn break_off(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        failure: OriginFailure,
    ) -> Broken<C> {
        self.end_fetch(cx, fill, FetchEnd::Failed(failure), AbortReason::Origin(failure))
    }

    /// Nobody wants it any more.
    pub(in crate::machine) fn cancel(&mut self, cx: &mut Context<C>, fill: FillId) -> Cancelled<C> {
        let op = match self.fills.get(&fill).map(|fill| &fill.stage) {
            None | Some(Stage::Looking { .. }) => return Cancelled::Nothing,
            Some(Stage::Asking(Asked { op, .. })) => Some(*op),
            Some(Stage::Resting { .. }) => return Cancelled::Resting(self.end_resting(cx, fill)),
            Some(Stage::Streaming(stream)) => match stream.source {
                OriginSide::Idle => None,
                OriginSide::Pulling(op) => Some(op),
                OriginSide::Ended => return Cancelled::Nothing,
            },
        };
        if let Some(op) = op {
            cx.forget(op);
        }
        cx.effect(Effect::Cancel { fill });
        Cancelled::Fetching(self.end_fetch(cx, fill, FetchEnd::Cancelled, AbortReason::ClientLeft))
    }

    fn end_fetch(
        &mut self,
        cx: &mut Context<C>,
        fill: FillId,
        end: FetchEnd,
        abort: AbortReason,
    ) -> Broken<C> {
        let Fill { context, stage } = self.fills.take(&fill);
        self.end_asking(cx, fill, &context);
        self.end_adoption(context.target, fill);
        let (received, copies, followers) = match stage {
            Stage::Streaming(stream) => (stream.window.end(), stream.copies, Some(stream.followers)),
            Stage::Looking { .. } | Stage::Asking(_) | Stage::Resting { .. } => (0, Copies::default(), None),
        };
        tell_ended(cx, fill, &context, ByteCount(received), end);
        let mut readers = Vec::new();
        if let Some(mut followers) = followers {
            while let Some(request) = followers.after(readers.last().map(|(request, _)| *request)) {
                readers.push((request, followers.get_mut(request).rereading.map(|(op, _)| op)));
            }
        }
        let end = End::Aborted(abort);
        Broken { at: context.at(), stored: context.stored, copies, readers, end }
    }

    /// A follower can take a chunk.
    pub(in crate::machine) fn on_demand(&mut self, fill: FillId, request: RequestId) {
        let follower = self.stream(fill).followers.get_mut(request);
        assert!(!follower.demands, "{request:?} demands twice");
        follower.demands = true;
    }

    /// What a follower waits for, if it is here. It counts as handed over.
    pub(in crate::machine) fn deliver(&mut self, fill: FillId, request: RequestId) -> Option<Delivery<C>> {
        self.stream(fill).deliver(request)
    }

    /// The first follower after `last` that gets what it waits for, and that. It counts as handed over.
    pub(in crate::machine) fn deliver_after(
        &mut self,
        fill: FillId,
        mut last: Option<RequestId>,
    ) -> Option<(RequestId, Delivery<C>)> {
        let stream = self.streaming(fill)?;
        loop {
            let request = stream.followers.after(last)?;
            if let Some(delivery) = stream.deliver(request) {
                return Some((request, delivery));
            }
            last = Some(request);
        }
    }

    /// A follower reads back what a writer's tier has acknowledged.
    pub(in crate::machine) fn on_reread(
        &mut self,
        fill: FillId,
        request: RequestId,
        op: OpId,
        writer: WriterId,
    ) {
        self.stream(fill).followers.get_mut(request).rereading = Some((op, writer));
    }

    /// A follower was handed what it has read back.
    pub(in crate::machine) fn on_read_back(&mut self, fill: FillId, request: RequestId, size: u64) {
        let followers = &mut self.stream(fill).followers;
        let follower = followers.get_mut(request);
        (follower.demands, follower.rereading) = (false, None);
        followers.advance(request, size);
    }

    /// What a follower was reading back cannot be had: says by which operation, and from where.
    pub(in crate::machine) fn on_read_back_failed(
        &mut self,
        fill: FillId,
        request: RequestId,
    ) -> (OpId, WriterId) {
        let rereading = self.stream(fill).followers.get_mut(request).rereading.take();
        rereading.expect("a follower's read reads back")
    }

    /// A follower is here no more.
    pub(in crate::machine) fn unfollow(&mut self, cx: &mut Context<C>, fill: FillId, request: RequestId) {
        let follower = self.stream(fill).followers.remove(request);
        if let Some((op, _)) = follower.and_then(|follower| follower.rereading) {
            end_reread(cx, request, op);
        }
    }

    /// Ends a fill that has nothing left to do, and one that nobody has any use for: no tier that it may go
    /// on for, and no client, also because their own responses broke off (O1).
    pub(in crate::machine) fn settle(
        &mut self,
        cx: &Context<C>,
        fill: FillId,
        is_copying: impl FnOnce(&Copies<C>) -> bool,
    ) -> Settled<C> {
        let Some(known) = self.fills.get_mut(&fill) else { return Settled::GoesOn };
        let goes_on = known.outlives_readers(&cx.config);
        let Fill { context, stage: Stage::Streaming(stream) } = known else { return Settled::GoesOn };
        let (key, target) = (context.key, context.target);
        let keeps = is_copying(&stream.copies) && (goes_on || stream.source == OriginSide::Ended);
        match (stream.source, stream.followers.is_empty(), keeps) {
            (OriginSide::Ended, true, false) => {
                let copies = core::mem::take(&mut stream.copies);
                self.end_flight(key, fill);
                self.end_adoption(target, fill);
                self.fills.remove(&fill);
                Settled::Over(copies)
            }
            // What was not kept is not for those who come now: they shall look again.
            (OriginSide::Ended, false, false) => {
                self.end_flight(key, fill);
                Settled::GoesOn
            }
            (OriginSide::Idle | OriginSide::Pulling(_), true, false) => {
                if context.is_for_part {
                    self.unkept.remember(target, cx.now.after(cx.config.uncacheable));
                }
                Settled::Unwanted
            }
            (_, _, true) | (OriginSide::Idle | OriginSide::Pulling(_), false, false) => Settled::GoesOn,
        }
    }
}

impl<C: Chunk> Stream<C> {
    /// What a follower waits for, if it is here. It counts as handed over.
    fn deliver(&mut self, request: RequestId) -> Option<Delivery<C>> {
        let (base, end) = (self.window.base(), self.window.end());
        let has_ended = self.source == OriginSide::Ended;
        let follower = self.followers.get_mut(request);
        let position = follower.position();
        if follower.has_part() || has_ended && position == end {
            self.followers.remove(request);
            return Some(Delivery::Over);
        }
        if !follower.demands || follower.rereading.is_some() {
            return None;
        }
        if position < base {
            return Some(Delivery::Behind { position, base, wanted: follower.wants(base - position) });
        }
        let chunk = self.window.at(position)?;
        let wanted = follower.wants(chunk.size());
        let chunk = if wanted < chunk.size() { chunk.take(wanted) } else { chunk };
        follower.demands = false;
        let is_last =
            follower.ends_with(chunk.size()) || has_ended && position.saturating_add(chunk.size()) == end;
        if is_last {
            // The end is known already: it need not wait for another demand.
            self.followers.remove(request);
        } else {
            self.followers.advance(request, chunk.size());
        }
        Some(Delivery::Chunk { chunk, is_last })
    }

    /// Has the origin done its part, or does nobody read? Else nothing of it can be over.
    pub(in crate::machine) fn may_end(&self) -> bool {
        self.source == OriginSide::Ended || self.followers.is_empty()
    }

    /// Makes room in the window for what is still to come: what all have read, and what can be read back from
    /// a tier, may go.
    pub(in crate::machine) fn slide(&mut self, cx: &Context<C>, tiers: Progress) {
        if self.source == OriginSide::Ended {
            return;
        }
        let slowest = self.followers.slowest().unwrap_or(self.window.end());
        let limit = tiers.readable.unwrap_or(0).max(slowest);
        while self.is_full(cx, tiers) && self.window.pop_oldest(limit) {}
    }

    /// Does the window hold all that it may before the next chunk comes? It is for readers at different
    /// places: one alone needs no more than what is on its way, unless L0 collects the same bytes, or they
    /// wait for a tier, or one read would bring them back; and when all windows together hold too much,
    /// nobody gets more.
    pub(in crate::machine) fn is_full(&self, cx: &Context<C>, tiers: Progress) -> bool {
        let held = self.window.held();
        if held >= cx.config.window {
            return true;
        }
        let has_company = self.followers.len() > 1;
        let may_grow = has_company && self.window.held_by_all() < cx.config.windows_memory.0;
        if may_grow || self.copies.collects() {
            return false;
        }
        match tiers.acknowledged {
            None => held >= ALONE,
            Some(taken) => taken.saturating_sub(self.window.base()) >= cx.config.read_size.max(ALONE),
        }
    }

    /// Asks the origin for more, if it waits for that.
    pub(in crate::machine) fn pull(&mut self, cx: &mut Context<C>, fill: FillId) {
        if self.source != OriginSide::Idle {
            return;
        }
        let op = cx.operation(Pending::Pull(fill));
        self.source = OriginSide::Pulling(op);
        cx.effect(Effect::Pull { op, fill });
        cx.resilience.deadlines.enter(cx.now, Timed::Fill(fill), Phase::Chunk);
    }
}

/// Nobody waits for what a follower reads back.
pub(in crate::machine) fn end_reread<C: Chunk>(cx: &mut Context<C>, request: RequestId, op: OpId) {
    cx.forget(op);
    cx.resilience.deadlines.end(Timed::Reader(request));
}
