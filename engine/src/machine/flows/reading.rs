//! From a tier to those who read: stored records, and what has left a fill's window.

use crate::machine::{
    Engine,
    caring::Waiter,
    clients::{Demand, OpenRecord, Progress, ReadStep, stop_race},
};
use crate::{
    care::hedge::Answer,
    chunk::Chunk,
    effect::{Effect, Outcome, ReadSource, Reply, ReplyBody},
    event::{Event, TierOperation},
    fill::Stage,
    id::{FillId, OpId, RecordId, RequestId, TierId},
    reason::{AbortReason, End, Late, ReadFailure},
    rules::Piece,
    units::ByteCount,
};
use alloc::sync::Arc;

impl<C: Chunk> Engine<C> {
    /// Reads back, for a follower that fell behind, what a tier has acknowledged.
    pub(in crate::machine) fn reread(&mut self, fill_id: FillId, request: RequestId, position: u64) {
        let Stage::Streaming(stream) = &self.fills[&fill_id].stage else {
            unreachable!("only streams have followers")
        };
        let base = stream.window.base();
        let Some((readable, writer, tier)) = self.copying.readable(&stream.copies, position) else {
            let tier = self.copying.unreadable(&stream.copies, position);
            self.stream(fill_id).followers.remove(request);
            return self.clients.finish(&mut self.cx, request, End::Aborted(AbortReason::TierRead(tier)));
        };
        let length_max = self.cx.config.read_size.min(readable.min(base) - position);
        let op = self.clients.begin_read(&mut self.cx, request, tier);
        let follower =
            self.clients.requests.get_mut(&request).expect("followers are requests that have not ended");
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

    pub(in crate::machine) fn on_body_read(&mut self, request: RequestId, op: OpId, chunk: C) {
        assert!(chunk.size() > 0, "the answer rule: an empty read for {request:?}");
        let step = self.clients.on_read_answered(&mut self.cx, request, op, Answer::Given);
        assert!(step == ReadStep::Over, "an answer decides a read, but {request:?}'s goes on");
        let reader = self.clients.requests.get_mut(&request).expect("a read is forgotten with its request");
        match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { fill, demand, rereading } => {
                let fill = *fill;
                *rereading = None;
                *demand = Demand::None;
                let position = reader.sent.saturating_add(chunk.size());
                self.clients.hand_over(&mut self.cx, request, chunk);
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
                (*first, *count) = (*first + chunk.size(), *count - chunk.size());
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
                self.clients.hand_over(&mut self.cx, request, chunk);
                if is_end {
                    self.finish_reading(request, End::Complete);
                }
            }
        }
    }

    pub(in crate::machine) fn on_read_failed(&mut self, request: RequestId, op: OpId, why: ReadFailure) {
        let key = self.clients.requests[&request].key;
        let told = |tier| match why {
            ReadFailure::Unavailable => Event::TierFailed { tier, operation: TierOperation::Read },
            ReadFailure::Rotten => Event::FoundRotten { tier, key },
        };
        if let ReadStep::GoesOn(tier) =
            self.clients.on_read_answered(&mut self.cx, request, op, Answer::Failed)
        {
            return self.cx.event(told(tier));
        }
        let reader = self.clients.requests.get_mut(&request).expect("a read is forgotten with its request");
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
                let OpenRecord { tier, at, name, .. } = self.clients.records[record];
                self.cx.event(told(tier));
                self.delete_record(tier, at, name);
                self.finish_reading(request, End::Aborted(AbortReason::TierRead(tier)));
            }
        }
    }

    /// A reader is done: the client's response ends first, then its promotion commits (C2).
    pub(in crate::machine) fn finish_reading(&mut self, request: RequestId, end: End) {
        let reader = self.clients.requests.get_mut(&request).expect("the caller found the request");
        let Progress::Reading { record, promotion, .. } = reader.progress else {
            unreachable!("{request:?} reads a record but is {:?}", reader.progress);
        };
        if let Some(durable) = &mut self.durable {
            durable.forget_digest(request);
        }
        self.clients.finish(&mut self.cx, request, end);
        if let Some(promotion) = promotion {
            match end {
                End::Complete => self.end_promotion(promotion),
                End::Aborted(_) => self.copying.abandon_promotion(&mut self.cx, promotion),
            }
        }
        self.close_reader(record);
    }

    /// One holder fewer; the last one closes the record.
    pub(in crate::machine) fn close_reader(&mut self, record: RecordId) {
        let open = self.clients.records.get_mut(&record).expect("a record is open while it is held");
        open.holders -= 1;
        if open.holders == 0 {
            let tier = open.tier;
            self.clients.records.remove(&record);
            self.release(tier, record);
        }
    }

    /// A follower's fill is over: the answer to its read is of no interest any more.
    pub(in crate::machine) fn forget_reread(&mut self, request: RequestId) {
        let Some(follower) = self.clients.requests.get_mut(&request) else {
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

    /// Lets a waiting request follow a stream from its first byte.
    pub(in crate::machine) fn follow(&mut self, fill_id: FillId, request: RequestId) {
        self.stream(fill_id).followers.insert(request);
        let fill = &self.fills[&fill_id];
        let Stage::Streaming(stream) = &fill.stage else {
            unreachable!("{request:?} follows before the head")
        };
        let storing = self.copying.is_copying(&stream.copies);
        let age = stream.freshness.age(self.cx.now);
        let following = self.clients.requests.get_mut(&request).expect("the caller entered the request");
        following.progress = Progress::Following { fill: fill_id, demand: Demand::None, rereading: None };
        let reply = Reply {
            head: Arc::clone(&stream.head),
            length: stream.length,
            age,
            fresh_for: stream.freshness.lifetime.saturating_sub(age),
            outcome: Outcome::Miss { reason: fill.errand.reason, collapsed: following.collapsed, storing },
            body: ReplyBody::Streamed,
        };
        self.cx.effect(Effect::Serve { request, reply });
    }

    /// The bytes did not come in time. What the tier has stays in its index: it is slow, not lost.
    pub(in crate::machine) fn on_read_late(&mut self, request: RequestId) {
        let reader =
            self.clients.requests.get_mut(&request).expect("a deadline is forgotten with its request");
        let key = reader.key;
        match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { fill, rereading, .. } => {
                let fill = *fill;
                let (op, writer) = rereading.take().expect("a follower's read reads back");
                let tier = self.copying.on_read_back_failed(writer);
                self.cx.caring.deadlines.end(Waiter::Reader(request));
                self.cx.give_up(op);
                self.cx.event(Event::DeadlineMissed { key, what: Late::Read(tier) });
                self.pump(fill);
            }
            Progress::Reading { record, read, .. } => {
                let tier = self.clients.records[record].tier;
                let race = read.take().expect("a reader's deadline belongs to its race");
                stop_race(&mut self.cx, request);
                race.running().into_iter().flatten().for_each(|op| self.cx.give_up(op));
                self.cx.event(Event::DeadlineMissed { key, what: Late::Read(tier) });
                self.finish_reading(request, End::Aborted(AbortReason::TierRead(tier)));
            }
        }
    }
}
