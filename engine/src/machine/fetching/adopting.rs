//! Answers that are stored though nobody asked the cache for them: a POST that went around it was answered
//! with what a GET would get.
//!
//! Such an answer is a fill from its head on, so a purge closes it as any other. Nobody joins it, for its
//! body comes as fast as one client takes it; and whatever is fetched for its target meanwhile is younger,
//! and overtakes it.

use super::{
    FetchContext, Fetching, Fill, Sharing, Stage, Window,
    fill::{OriginSide, Stream},
    followers::Followers,
    heads::{Judged, freshness_of},
    slots::Slot,
};
use crate::machine::{context::Context, copying::Copies, resilience::Timed};
use crate::{
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{FetchEnd, FetchEvent, NotAdopted},
        head::{Head, RequestHead},
        id::{FillId, OriginId},
        key::{CacheKey, StoredKey},
        reason::{MissReason, NotStorable, Storable},
        selector::TargetUri,
        time::{Instant, WallTime},
        units::ByteCount,
    },
    resilience::deadline::Phase,
    rules,
};
use alloc::sync::Arc;

/// A request that went around the cache, and its answer's head.
#[derive(Debug)]
pub(in crate::machine) struct AnsweredAround {
    pub(in crate::machine) key: CacheKey,
    pub(in crate::machine) origin: OriginId,
    pub(in crate::machine) request: Arc<RequestHead>,
    pub(in crate::machine) response: Arc<Head>,
    /// When the request was about to be sent.
    pub(in crate::machine) sent: (Instant, WallTime),
}

impl AnsweredAround {
    /// Since when a purge of its key must not have come for it to be stored: the earlier reading, where the
    /// calendar jumped meanwhile.
    pub(in crate::machine) fn asked_at<C: Chunk>(&self, cx: &Context<C>) -> WallTime {
        let (at, wall) = self.sent;
        wall.min(cx.wall().before(cx.now.since(at)))
    }

    /// What the rules make of it; or why it is not to be stored.
    pub(in crate::machine) fn judge<C: Chunk>(&self, cx: &Context<C>) -> Result<Judged, NotAdopted> {
        if !rules::may_answer_gets(&self.request, &self.response) {
            return Err(NotAdopted::Forbidden(NotStorable::Method));
        }
        if cx.config.l0.is_none() {
            return Err(NotAdopted::NoMemory);
        }
        let (ask, head) = (Arc::clone(&self.request), Arc::clone(&self.response));
        let judged = Judged::of(cx, (self.key, self.key), ask, head, self.sent.0);
        if let Storable::No(why) = judged.judgement.storable {
            return Err(NotAdopted::Forbidden(why));
        }
        if !judged.judgement.staleness.is_usable(&freshness_of(cx.now, &judged.judgement), cx.now) {
            return Err(NotAdopted::Stale);
        }
        Ok(judged)
    }
}

impl<C: Chunk> Fetching<C> {
    /// A slot for an answer that would be adopted.
    pub(in crate::machine) fn slot(&self, cx: &Context<C>) -> Result<Slot, NotAdopted> {
        self.slots.take(cx.config.fills_max).ok_or(NotAdopted::TooManyFills)
    }

    /// Stores an answer that nobody waits for. Its body is about to come.
    pub(in crate::machine) fn adopt(
        &mut self,
        cx: &mut Context<C>,
        variant: CacheKey,
        (judged, origin): (Judged, OriginId),
        sent: Instant,
        slot: Slot,
    ) -> FillId {
        let (fill, key, length) = (FillId(cx.ids.mint()), judged.target, judged.head.length());
        cx.event(FetchEvent::Adopted { fill, key, variant, length, sent_ago: cx.now.since(sent) });
        cx.effect(Effect::Adopt { fill });
        cx.resilience.deadlines.begin(cx.now, Timed::Fill(fill));
        cx.resilience.deadlines.enter(cx.now, Timed::Fill(fill), Phase::Paused);
        let at = StoredKey { target: key, key: variant };
        let uri = TargetUri::of(&judged.ask);
        let context = FetchContext {
            is_adopted: true,
            ..FetchContext::new(at, uri, origin, Sharing::Open, MissReason::Absent)
        };
        let stream = Stream {
            freshness: freshness_of(cx.now, &judged.judgement),
            staleness: judged.judgement.staleness,
            head: judged.head,
            length,
            source: OriginSide::Idle,
            slot: Some(slot),
            window: Window::new(self.windows.clone()),
            followers: Followers::default(),
            copies: Copies::default(),
        };
        self.adopted.insert(key, fill);
        self.fills.insert(fill, Fill { context, stage: Stage::Streaming(stream) });
        fill
    }

    /// Something is fetched for this target that is younger than what was adopted for it.
    pub(super) fn overtake_adopted(&mut self, target: CacheKey) {
        self.adopted.remove(&target);
    }

    /// Was this an adopted answer, and is there a younger one by now?
    pub(in crate::machine) fn is_overtaken(&self, fill: FillId) -> bool {
        let context = &self.fills[&fill].context;
        context.is_adopted && self.adopted.get(&context.target) != Some(&fill)
    }

    /// An adopted answer is over, if it is this.
    pub(super) fn end_adoption(&mut self, target: CacheKey, fill: FillId) {
        if self.adopted.get(&target) == Some(&fill) {
            self.adopted.remove(&target);
        }
    }
}

/// Tells that no more of a body will come.
pub(super) fn tell_ended<C: Chunk>(
    cx: &mut Context<C>,
    fill: FillId,
    context: &FetchContext<C>,
    received: ByteCount,
    end: FetchEnd,
) {
    let key = context.target;
    cx.event(if context.is_adopted {
        FetchEvent::AdoptionEnded { fill, key, received, end }
    } else {
        FetchEvent::FetchEnded { fill, key, received, end }
    });
}
