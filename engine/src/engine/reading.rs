//! From a tier to those who read: stored records, and what has left a fill's window.

use super::{Demand, Engine, Progress, caring::Waiter, racing::ReadStep};
use crate::{
    care::hedge::Answer,
    chunk::Chunk,
    effect::{Effect, ReadSource},
    event::{Event, TierOperation},
    fill::Stage,
    id::{FillId, OpId, RecordId, RecordName, RequestId, TierId},
    key::StoredKey,
    plant::Fault,
    reason::{AbortReason, End, ReadFailure},
    rules::Piece,
    units::ByteCount,
};

/// A stored record that is open for reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenRecord {
    pub(super) tier: TierId,
    pub(super) at: StoredKey,
    pub(super) name: RecordName,
    /// How many hold it: requests that read it, and a fill that keeps it while the origin is asked.
    pub(super) holders: usize,
}

impl<C: Chunk> Engine<C> {
    /// Gives a reader the next of what it waits for, or asks the tier for it.
    pub(super) fn read_on(&mut self, request: RequestId) {
        let read_size = self.cx.config.read_size;
        let reader = self.requests.get_mut(&request).expect("the caller found the request");
        let Progress::Reading { record, pieces, demand, .. } = &mut reader.progress else {
            unreachable!("{request:?} reads a record but is {:?}", reader.progress);
        };
        let (source, offset, length_max) = match pieces.front() {
            Some(Piece::Bytes { first, count }) => (*record, *first, read_size.min(*count)),
            Some(Piece::Text(text)) => {
                let chunk = C::text(text);
                pieces.pop_front();
                *demand = Demand::None;
                let is_end = pieces.is_empty();
                self.hand_over(request, chunk);
                if is_end {
                    self.finish_reading(request, End::Complete);
                }
                return;
            }
            None => unreachable!("{request:?} has read all of it, and is finished"),
        };
        let source = if self.cx.config.is_planted(Fault::T9) { self.newest_of(source) } else { source };
        let tier = self.records[&source].tier;
        let op = self.begin_read(request, tier);
        let race = self.begin_race(request, tier, op);
        let reader = self.requests.get_mut(&request).expect("it was found above");
        if let Progress::Reading { read, .. } = &mut reader.progress {
            *read = Some(race);
        }
        self.cx.effect(Effect::Read { op, tier, source: ReadSource::Record(source), offset, length_max });
    }

    /// The record of the same key in the same tier that was opened last: what a planted fault reads from.
    fn newest_of(&self, source: RecordId) -> RecordId {
        let own = self.records[&source];
        let alike = self.records.names_of(|open| (open.tier, open.at) == (own.tier, own.at));
        alike.last().copied().unwrap_or(source)
    }

    /// Reads back, for a follower that fell behind, what a tier has acknowledged.
    pub(super) fn reread(&mut self, fill_id: FillId, request: RequestId, position: u64) {
        let Stage::Streaming(stream) = &self.fills[&fill_id].stage else {
            unreachable!("only streams have followers")
        };
        let base = stream.window.base();
        let Some((readable, writer, tier)) = self.copying.readable(&stream.copies, position) else {
            let tier = self.copying.unreadable(&stream.copies, position);
            self.stream(fill_id).followers.remove(request);
            return self.finish(request, End::Aborted(AbortReason::TierRead(tier)));
        };
        let length_max = self.cx.config.read_size.min(readable.min(base) - position);
        let op = self.begin_read(request, tier);
        let follower = self.requests.get_mut(&request).expect("followers are requests that have not ended");
        let Progress::Following { rereading, .. } = &mut follower.progress else {
            unreachable!("{request:?} follows {fill_id:?} but is {:?}", follower.progress);
        };
        *rereading = Some((op, writer));
        self.cx.effect(Effect::Read {
            op,
            tier,
            source: ReadSource::Writer(writer),
            offset: position,
            length_max,
        });
    }

    pub(super) fn on_body_read(&mut self, request: RequestId, op: OpId, chunk: C) {
        assert!(chunk.size() > 0, "the answer rule: an empty read for {request:?}");
        let step = self.on_read_answered(request, op, Answer::Given);
        assert!(step == ReadStep::Over, "an answer decides a read, but {request:?}'s goes on");
        let reader = self.requests.get_mut(&request).expect("a read is forgotten with its request");
        match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { fill, demand, rereading } => {
                let fill = *fill;
                *rereading = None;
                *demand = Demand::None;
                let position = reader.sent.saturating_add(chunk.size());
                self.hand_over(request, chunk);
                self.stream(fill).followers.move_to(request, position);
                self.pump(fill);
            }
            Progress::Reading { record, pieces, demand, promotion, .. } => {
                *demand = Demand::None;
                let position = reader.sent + chunk.size();
                let Some(Piece::Bytes { first, count }) = pieces.front_mut() else {
                    unreachable!("bytes were read for {request:?}, which waits for {pieces:?}")
                };
                assert!(
                    chunk.size() <= *count,
                    "the answer rule: {} bytes were read for {request:?}, and {count} wanted",
                    chunk.size()
                );
                let (record, promotion, piece) = (*record, *promotion, (*first, *count));
                let is_planted = self.cx.config.is_planted(Fault::T10);
                let had = if is_planted { self.cx.config.read_size.min(*count) } else { chunk.size() };
                (*first, *count) = (*first + had, *count - had);
                if *count == 0 {
                    pieces.pop_front();
                }
                let is_end = pieces.is_empty();
                let is_true = match &mut self.durable {
                    Some(durable) => {
                        durable.agrees_with_manifest(&mut self.cx, request, record, piece, &chunk)
                    }
                    None => true,
                };
                if !is_true {
                    return self.finish_reading(request, End::Aborted(AbortReason::TierRead(TierId::L3)));
                }
                if let Some(promotion) = promotion {
                    self.copying.feed_promotion(&mut self.cx, promotion, ByteCount(position), &chunk);
                }
                self.hand_over(request, chunk);
                if is_end {
                    self.finish_reading(request, End::Complete);
                }
            }
        }
    }

    pub(super) fn on_read_failed(&mut self, request: RequestId, op: OpId, why: ReadFailure) {
        let key = self.requests[&request].key;
        let told = |tier| match why {
            ReadFailure::Unavailable => Event::TierFailed { tier, operation: TierOperation::Read },
            ReadFailure::Rotten => Event::FoundRotten { tier, key },
        };
        if let ReadStep::GoesOn(tier) = self.on_read_answered(request, op, Answer::Failed) {
            return self.cx.event(told(tier));
        }
        let reader = self.requests.get_mut(&request).expect("a read is forgotten with its request");
        match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { fill, rereading, .. } => {
                let fill = *fill;
                let (_, writer) = rereading.take().expect("a follower's read reads back");
                let tier = self.copying.on_read_back_failed(writer);
                self.cx.event(told(tier));
                self.pump(fill);
            }
            Progress::Reading { record, .. } => {
                let OpenRecord { tier, at, name, .. } = self.records[record];
                self.cx.event(told(tier));
                self.delete_record(tier, at, name);
                self.finish_reading(request, End::Aborted(AbortReason::TierRead(tier)));
            }
        }
    }

    /// A reader is done: the client's response ends first, then its promotion commits (C2).
    pub(super) fn finish_reading(&mut self, request: RequestId, end: End) {
        let reader = self.requests.get_mut(&request).expect("the caller found the request");
        let Progress::Reading { record, promotion, .. } = reader.progress else {
            unreachable!("{request:?} reads a record but is {:?}", reader.progress);
        };
        if let Some(durable) = &mut self.durable {
            durable.forget_digest(request);
        }
        if let (Some(promotion), true) = (promotion, self.cx.config.is_planted(Fault::X41)) {
            self.end_promotion(promotion);
            self.finish(request, end);
            return self.close_reader(record);
        }
        self.finish(request, end);
        if let Some(promotion) = promotion {
            match end {
                End::Complete => self.end_promotion(promotion),
                End::Aborted(_) => self.copying.abandon_promotion(&mut self.cx, promotion),
            }
        }
        self.close_reader(record);
    }

    /// One holder fewer; the last one closes the record.
    pub(super) fn close_reader(&mut self, record: RecordId) {
        let open = self.records.get_mut(&record).expect("a record is open while it is held");
        open.holders -= 1;
        if open.holders == 0 {
            let tier = open.tier;
            self.records.remove(&record);
            self.release(tier, record);
        }
    }

    /// A follower's fill is over: the answer to its read is of no interest any more.
    pub(super) fn forget_reread(&mut self, request: RequestId) {
        let Some(follower) = self.requests.get_mut(&request) else {
            return;
        };
        match &mut follower.progress {
            Progress::Following { rereading, .. } => {
                if let Some((op, _)) = rereading.take() {
                    self.cx.forget(op);
                    self.cx.caring.deadlines.end(Waiter::Reader(request));
                }
            }
            Progress::Waiting(_) | Progress::Reading { .. } => {}
        }
    }
}
