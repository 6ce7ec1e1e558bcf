//! Reading an open record for a client, piece by piece.

use super::{BodySource, Clients, Holding, races};
use crate::machine::{context::Context, resilience::Timed};
use crate::{
    language::{
        chunk::Chunk,
        effect::{Effect, ReadSource},
        event::{Event, RequestEvent, ResilienceEvent, TierOperation},
        id::{FillId, OpId, PromotionId, RecordId, RecordName, RequestId, TierId, WriterId},
        key::{CacheKey, StoredKey},
        reason::{AbortReason, End, Late, ReadFailure},
        units::ByteCount,
    },
    resilience::hedge::{Answer, Race},
    rules::Piece,
};
use alloc::collections::VecDeque;

/// What a client reads of an open record.
#[derive(Debug)]
pub(super) struct Reading<C: Chunk> {
    pub(super) record: RecordId,
    /// What is still to be sent, in order.
    pub(super) pieces: VecDeque<Piece>,
    /// Does the client wait for a chunk?
    demands: bool,
    pub(super) read: Option<Race>,
    promotion: Option<PromotionId>,
    /// What was read so far from the first byte on, where that is to be checked.
    digest: Option<C::Digest>,
}

impl<C: Chunk> Reading<C> {
    pub(super) const fn new(
        record: RecordId,
        pieces: VecDeque<Piece>,
        promotion: Option<PromotionId>,
    ) -> Self {
        Self { record, pieces, demands: false, read: None, promotion, digest: None }
    }
}

/// Who demanded a chunk.
pub(in crate::machine) enum Demanded {
    /// Nobody: its response has ended.
    Nobody,
    /// A follower of this fill.
    Follower(FillId),
    /// A reader of a record, which waits for the tier.
    Reader,
    /// A reader of a record who was handed the last of it.
    Last,
}

/// Who left.
pub(in crate::machine) enum Left {
    Follower(FillId),
    Reader(ReadEnded),
}

/// What a reader that is done leaves behind.
pub(in crate::machine) struct ReadEnded {
    pub(in crate::machine) record: RecordId,
    pub(in crate::machine) promotion: Option<PromotionId>,
}

/// Whose bytes came.
pub(in crate::machine) enum BodyRead {
    /// A follower's that reads back what has left the window.
    Follower(FillId),
    /// A reader's of a record.
    Reader {
        promotion: Option<PromotionId>,
        /// Body bytes read so far.
        read: ByteCount,
        /// Was this the last of it?
        is_end: bool,
    },
    /// A reader's of what is not what was uploaded into L3.
    Corrupt,
}

/// Whose bytes did not come.
pub(in crate::machine) enum ReadFailed {
    /// Nobody's yet: another read runs.
    GoesOn,
    Follower(FillId, CacheKey),
    /// A reader's of this tier, which is to delete the record, unless it is L3.
    Reader {
        tier: TierId,
        doomed: Option<(StoredKey, RecordName)>,
    },
}

impl<C: Chunk> Clients<C> {
    /// A client can take a chunk.
    pub(in crate::machine) fn on_demand(&mut self, cx: &mut Context<C>, request: RequestId) -> Demanded {
        match self.requests.get_mut(&request).map(|known| &mut known.source) {
            None => Demanded::Nobody,
            Some(BodySource::Following(fill)) => Demanded::Follower(*fill),
            Some(BodySource::Reading(reading)) => {
                assert!(!reading.demands, "{request:?} demands twice");
                reading.demands = true;
                if self.read_on(cx, request) { Demanded::Last } else { Demanded::Reader }
            }
        }
    }

    /// A client left.
    pub(in crate::machine) fn leave(&mut self, cx: &mut Context<C>, request: RequestId) -> Option<Left> {
        let leaving = self.requests.remove(&request)?;
        let (key, sent) = (leaving.key, ByteCount(leaving.sent));
        cx.event(RequestEvent::Served { request, key, sent, end: End::Aborted(AbortReason::ClientLeft) });
        Some(match leaving.source {
            BodySource::Following(fill) => Left::Follower(fill),
            BodySource::Reading(Reading { record, read, promotion, .. }) => {
                if let Some(race) = read {
                    races::forget(cx, request, &race);
                }
                Left::Reader(ReadEnded { record, promotion })
            }
        })
    }

    /// A reader is done: ends its response.
    pub(in crate::machine) fn end_reading(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        end: End,
    ) -> ReadEnded {
        let Reading { record, promotion, .. } = self.reading(request);
        let (record, promotion) = (*record, *promotion);
        self.finish(cx, request, end);
        ReadEnded { record, promotion }
    }

    /// Gives a reader the next of what it waits for, or asks the tier for it. Says whether that was the last.
    fn read_on(&mut self, cx: &mut Context<C>, request: RequestId) -> bool {
        let read_size = cx.config.read_size;
        let Reading { record, pieces, demands, .. } = self.reading(request);
        let (source, offset, length_max) = match pieces.front() {
            Some(Piece::Bytes { first, count }) => (*record, *first, read_size.min(*count)),
            Some(Piece::Text(text)) => {
                let chunk = C::text(text);
                pieces.pop_front();
                *demands = false;
                let is_end = pieces.is_empty();
                self.hand_over(cx, request, chunk);
                return is_end;
            }
            None => unreachable!("{request:?} has read all of it, and is finished"),
        };
        let tier = self.records[&source].tier.id;
        let op = races::begin_read(cx, request, tier);
        self.reading(request).read = Some(races::begin(cx, request, tier, op));
        cx.effect(Effect::Read { op, tier, source: ReadSource::Record(source), offset, length_max });
        false
    }

    /// Bytes were read for a client.
    pub(in crate::machine) fn on_body_read(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        op: OpId,
        chunk: &C,
    ) -> BodyRead {
        let size = chunk.size();
        assert!(size > 0, "the answer rule: an empty read for {request:?}");
        let other = self.on_read_answered(cx, request, op, Answer::Given);
        assert!(other.is_none(), "an answer decides a read, but {request:?}'s goes on");
        let reader = &mut self.requests[&request];
        let reading = match &mut reader.source {
            BodySource::Following(fill) => return BodyRead::Follower(*fill),
            BodySource::Reading(reading) => reading,
        };
        reading.demands = false;
        let Some(Piece::Bytes { first, count }) = reading.pieces.front_mut() else {
            unreachable!("bytes were read for {request:?}, which waits for {:?}", reading.pieces)
        };
        let piece = (*first, *count);
        assert!(
            size <= *count,
            "the answer rule: {size} bytes were read for {request:?}, and {count} wanted"
        );
        (*first, *count) = (*first + size, *count - size);
        if *count == 0 {
            reading.pieces.pop_front();
        }
        let Reading { record, promotion, digest, .. } = reading;
        let (promotion, is_end, read) =
            (*promotion, reading.pieces.is_empty(), ByteCount(reader.sent + size));
        let manifest = self.records.get(record).and_then(|open| open.manifest.as_deref());
        if manifest.is_some_and(|manifest| !manifest.agrees(cx, digest, piece, chunk)) {
            return BodyRead::Corrupt;
        }
        BodyRead::Reader { promotion, read, is_end }
    }

    /// Bytes cannot be had for a client.
    pub(in crate::machine) fn on_read_failed(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
        op: OpId,
        why: ReadFailure,
    ) -> ReadFailed {
        let key = self.requests[&request].key;
        if let Some(tier) = self.on_read_answered(cx, request, op, Answer::Failed) {
            cx.event(told(tier, key, why));
            return ReadFailed::GoesOn;
        }
        let record = match &self.requests[&request].source {
            BodySource::Following(fill) => return ReadFailed::Follower(*fill, key),
            BodySource::Reading(reading) => reading.record,
        };
        let Holding { tier, at, name, .. } = self.records[&record];
        cx.event(told(tier.id, key, why));
        let doomed = (!tier.is_durable()).then_some((at, name));
        ReadFailed::Reader { tier: tier.id, doomed }
    }

    /// The bytes did not come in time. What the tier has stays in its index: it is slow, not lost. Says whose
    /// they were: a follower's, or a reader's of this tier, which is given up.
    pub(in crate::machine) fn on_read_late(
        &mut self,
        cx: &mut Context<C>,
        request: RequestId,
    ) -> Result<TierId, (FillId, CacheKey)> {
        let reader = &mut self.requests[&request];
        let key = reader.key;
        let (record, race) = match &mut reader.source {
            BodySource::Following(fill) => return Err((*fill, key)),
            BodySource::Reading(Reading { record, read, .. }) => (*record, read.take()),
        };
        let race = race.expect("a reader's deadline belongs to its race");
        let tier = self.records[&record].tier.id;
        races::stop(cx, request);
        race.running().into_iter().flatten().for_each(|op| cx.give_up(op));
        cx.event(ResilienceEvent::DeadlineMissed { key, what: Late::Read(tier) });
        Ok(tier)
    }

    pub(super) fn reading(&mut self, request: RequestId) -> &mut Reading<C> {
        match &mut self.requests[&request].source {
            BodySource::Reading(reading) => reading,
            BodySource::Following(fill) => unreachable!("{request:?} reads no record, but follows {fill:?}"),
        }
    }
}

/// Reads back, for a follower that fell behind, what a writer's tier has acknowledged.
pub(in crate::machine) fn read_back<C: Chunk>(
    cx: &mut Context<C>,
    request: RequestId,
    (tier, writer): (TierId, WriterId),
    offset: u64,
    length_max: u64,
) -> OpId {
    let op = races::begin_read(cx, request, tier);
    cx.effect(Effect::Read { op, tier, source: ReadSource::Writer(writer), offset, length_max });
    op
}

/// A follower's read back did not end in time.
pub(in crate::machine) fn give_up_read_back<C: Chunk>(
    cx: &mut Context<C>,
    (request, key): (RequestId, CacheKey),
    op: OpId,
    tier: TierId,
) {
    cx.resilience.deadlines.end(Timed::Reader(request));
    cx.give_up(op);
    cx.event(ResilienceEvent::DeadlineMissed { key, what: Late::Read(tier) });
}

/// What a failed read says of its tier.
pub(in crate::machine) const fn told(tier: TierId, key: CacheKey, why: ReadFailure) -> Event {
    match why {
        ReadFailure::Unavailable => {
            Event::Resilience(ResilienceEvent::TierFailed { tier, operation: TierOperation::Read })
        }
        ReadFailure::Rotten => Event::Resilience(ResilienceEvent::FoundRotten { tier, key }),
    }
}
