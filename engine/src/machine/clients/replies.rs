//! What a request gets of a stored response: all of it, or what its method, conditions and ranges leave.

use super::{BodySource, Clients, reading::Reading};
use crate::machine::{context::Context, fetching::Waiter, stored::OpenRecord};
use crate::{
    language::{
        chunk::Chunk,
        effect::{Effect, Outcome, Reply, ReplyBody},
        event::{Event, RequestEvent},
        head::{Head, Length, Method, RequestHead},
        id::{PromotionId, RequestId},
        key::CacheKey,
        reason::End,
        record::Freshness,
        resident::Resident,
        selector::TargetUri,
        units::ByteCount,
    },
    rules::{self, Piece, Share},
};
use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

/// What a request gets of a stored response.
fn share_of<C: Chunk>(
    cx: &mut Context<C>,
    ask: &RequestHead,
    head: &Head,
    length: ByteCount,
    freshness: Freshness,
) -> Share {
    let now = cx.wall();
    let received = now.before(cx.now.since(freshness.as_of));
    rules::share(ask, head, length.0, received, now, || cx.boundaries.wide_bits())
}

/// Tells by which tier a request was answered, and why that was allowed.
fn tell_outcome<C: Chunk>(cx: &mut Context<C>, request: RequestId, key: CacheKey, outcome: Outcome) {
    cx.event(match outcome {
        Outcome::Hit { tier } => Event::Request(RequestEvent::Hit { request, key, tier }),
        Outcome::Stale { tier, why } => Event::Request(RequestEvent::ServedStale { request, key, tier, why }),
        Outcome::Revalidated { tier } => Event::Request(RequestEvent::Revalidated { request, key, tier }),
        Outcome::Miss { .. } => unreachable!("a record that answers is no miss"),
    });
}

/// Answers a request from L0.
pub(in crate::machine) fn serve_resident<C: Chunk>(
    cx: &mut Context<C>,
    waiter: &Waiter,
    resident: &Arc<Resident<C>>,
    outcome: Outcome,
) {
    let Waiter { request, key, ref ask, .. } = *waiter;
    tell_outcome(cx, request, key, outcome);
    let share = share_of(cx, ask, &resident.head, resident.length, resident.freshness);
    reply_at_once(cx, request, key, resident, outcome, share);
}

/// Answers one request with this share of a response whose body is at hand.
fn reply_at_once<C: Chunk>(
    cx: &mut Context<C>,
    request: RequestId,
    key: CacheKey,
    resident: &Arc<Resident<C>>,
    outcome: Outcome,
    share: Share,
) {
    let age = resident.freshness.age(cx.now);
    let body = match share {
        Share::Whole => Arc::clone(resident),
        Share::Pieces(head, pieces) => Arc::new(resident.share(head, &pieces)),
    };
    let sent = body.length;
    let reply = Reply {
        head: Arc::clone(&body.head),
        length: Length::Known(sent),
        age,
        fresh_for: resident.freshness.lifetime.saturating_sub(age),
        outcome,
        body: ReplyBody::Whole(body),
    };
    cx.effect(Effect::Serve { request, reply });
    cx.event(RequestEvent::Served { request, key, sent, end: End::Complete });
}

/// What a request gets of a record, before it gets it.
pub(in crate::machine) struct Portion(Share);

impl Portion {
    /// Tells that an open record answers a request, and cuts out what it gets.
    pub(in crate::machine) fn of<C: Chunk>(
        cx: &mut Context<C>,
        open: &OpenRecord<C>,
        waiter: &Waiter,
        outcome: Outcome,
    ) -> Self {
        tell_outcome(cx, waiter.request, waiter.key, outcome);
        let stored = &open.record;
        Self(share_of(cx, &waiter.ask, &stored.head, stored.length, open.freshness))
    }

    /// Is all of the record read, so that it can be copied on the way (failure T7)?
    pub(in crate::machine) fn is_read_whole<C>(&self, open: &OpenRecord<C>, ask: &RequestHead) -> bool {
        let is_whole = matches!(self.0, Share::Whole) && open.record.length > ByteCount::ZERO;
        is_whole && ask.method == Method::Get
    }
}

impl<C: Chunk> Clients<C> {
    /// Answers a waiting request from an open record. Only what is sent is read; `promotion` is fed by who
    /// reads it. Is the answer complete already?
    pub(in crate::machine) fn serve_record(
        &mut self,
        cx: &mut Context<C>,
        open: &OpenRecord<C>,
        waiter: &Waiter,
        outcome: Outcome,
        Portion(share): Portion,
        promotion: Option<PromotionId>,
    ) -> bool {
        let Waiter { request, key, ref ask, .. } = *waiter;
        let stored = &open.record;
        if let Some(body) = &open.body {
            let resident = Arc::new(Resident {
                head: Arc::clone(&stored.head),
                chunks: if stored.length.0 > 0 { Vec::from([body.clone()]) } else { Vec::new() },
                length: stored.length,
                freshness: open.freshness,
                staleness: open.staleness,
                uri: TargetUri::of(ask),
            });
            reply_at_once(cx, request, key, &resident, outcome, share);
            return true;
        }
        let whole = Piece::Bytes { first: 0, count: stored.length.0 };
        let (head, mut pieces) = match share {
            Share::Whole => (Arc::clone(&stored.head), VecDeque::from([whole])),
            Share::Pieces(head, pieces) => (Arc::new(head), VecDeque::from(pieces)),
        };
        let length = pieces.iter().fold(0, |sum, piece| sum + piece.size());
        let age = open.freshness.age(cx.now);
        let fresh_for = open.freshness.lifetime.saturating_sub(age);
        let (length, body) = (Length::Known(ByteCount(length)), ReplyBody::Streamed);
        cx.effect(Effect::Serve { request, reply: Reply { head, length, age, fresh_for, outcome, body } });
        pieces.retain(|piece| piece.size() > 0);
        if ask.method != Method::Get || pieces.is_empty() {
            cx.event(RequestEvent::Served { request, key, sent: ByteCount::ZERO, end: End::Complete });
            cx.effect(Effect::Finish { request, end: End::Complete });
            return true;
        }
        self.records[&open.id].holders += 1;
        let reading = Reading::new(open.id, pieces, promotion);
        self.enter(request, key, BodySource::Reading(reading));
        false
    }
}
