//! Clients: what each request waits for or reads, and which stored records are open for them.
//!
//! A client is told a response, its chunks and its end, or why there is none. What a request waits for is named here, and
//! known elsewhere.

mod races;

pub(super) use races::{ReadStep, stop_race};

use crate::{
    care::hedge::Race,
    chunk::Chunk,
    effect::{Effect, Outcome, ReadSource, Reply, ReplyBody},
    event::Event,
    head::{Length, RequestHead},
    id::{FillId, OpId, OriginId, PromotionId, RecordId, RecordName, RequestId, TierId, WriterId},
    key::{CacheKey, StoredKey},
    machine::context::Context,
    memory::Resident,
    reason::{Bypass, End, Refusal},
    rules::{Piece, Share},
    table::Table,
    units::ByteCount,
};
use alloc::{collections::VecDeque, sync::Arc};

/// A client's request that has not ended.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) key: CacheKey,
    pub(super) origin: OriginId,
    pub(super) ask: Arc<RequestHead>,
    /// Did it join what another request had begun?
    pub(super) collapsed: bool,
    /// Body bytes handed over.
    pub(super) sent: u64,
    pub(super) progress: Progress,
}

/// ```text
/// Waiting ──head──▶ Following ──end──▶ done
///    ╰────found───▶ Reading ────end──▶ done
/// ```
#[derive(Debug)]
pub(super) enum Progress {
    /// For a tier's answer or the origin's head.
    Waiting(FillId),
    /// A body that is arriving.
    Following {
        fill: FillId,
        demand: Demand,
        /// Where it reads back what has left the window.
        rereading: Option<(OpId, WriterId)>,
    },
    /// Pieces of a stored record.
    Reading {
        record: RecordId,
        /// What is still to be sent, in order.
        pieces: VecDeque<Piece>,
        demand: Demand,
        read: Option<Race>,
        promotion: Option<PromotionId>,
    },
}

/// Can the client take a chunk now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// It has not asked for one.
    None,
    /// It waits for one.
    Open,
}

/// A stored record that is open for reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenRecord {
    pub(super) tier: TierId,
    pub(super) at: StoredKey,
    pub(super) name: RecordName,
    /// How many hold it: requests that read it, and a fill that keeps it while the origin is asked.
    pub(super) holders: usize,
}

/// Every request that has not ended, and every record that is open.
#[derive(Debug, Default)]
pub(super) struct Clients {
    pub(super) requests: Table<RequestId, Request>,
    pub(super) records: Table<RecordId, OpenRecord>,
}

impl Clients {
    /// How a request was asked.
    pub(super) fn ask(&self, request: RequestId) -> &Arc<RequestHead> {
        &self.requests[&request].ask
    }

    /// Enters a request that waits for `fill`.
    pub(super) fn enter(
        &mut self,
        request: RequestId,
        key: CacheKey,
        origin: OriginId,
        ask: &Arc<RequestHead>,
        fill: FillId,
    ) {
        let waiting = Request {
            key,
            origin,
            ask: Arc::clone(ask),
            collapsed: false,
            sent: 0,
            progress: Progress::Waiting(fill),
        };
        let before = self.requests.insert(request, waiting);
        assert!(before.is_none(), "the driver used {request:?} twice");
    }

    /// These wait for this fill from now on.
    pub(super) fn wait_for(&mut self, fill: FillId, requests: &[RequestId]) {
        for request in requests {
            let waiting = self.requests.get_mut(request).expect("who waits has not ended");
            waiting.progress = Progress::Waiting(fill);
        }
    }

    /// Sends a request around the cache.
    pub(super) fn pass<C: Chunk>(&mut self, cx: &mut Context<C>, request: RequestId, bypass: Bypass) {
        self.requests.remove(&request);
        cx.event(Event::Passed { request, bypass });
        cx.effect(Effect::Pass { request, bypass });
    }

    /// Answers a request with an error.
    pub(super) fn refuse<C: Chunk>(&mut self, cx: &mut Context<C>, request: RequestId, refusal: Refusal) {
        self.requests.remove(&request);
        cx.event(Event::Refused { request, refusal });
        cx.effect(Effect::Refuse { request, refusal });
    }

    /// Answers one request with this share of a response whose body is at hand.
    pub(super) fn reply_at_once<C: Chunk>(
        &mut self,
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
        self.requests.remove(&request);
        cx.effect(Effect::Serve { request, reply });
        cx.event(Event::Served { request, key, sent, end: End::Complete });
    }

    /// Hands a chunk to a client that waits for one. The caller has closed the demand.
    pub(super) fn hand_over<C: Chunk>(&mut self, cx: &mut Context<C>, request: RequestId, chunk: C) {
        let served = self.requests.get_mut(&request).expect("the caller found the request");
        served.sent = served.sent.saturating_add(chunk.size());
        cx.effect(Effect::Body { request, chunk });
    }

    /// Ends a client's response and forgets the request.
    pub(super) fn finish<C: Chunk>(&mut self, cx: &mut Context<C>, request: RequestId, end: End) {
        let finished = self.requests.remove(&request).expect("a request ends once");
        cx.event(Event::Served { request, key: finished.key, sent: ByteCount(finished.sent), end });
        cx.effect(Effect::Finish { request, end });
    }

    /// Gives a reader the next of what it waits for, or asks the tier for it. Says whether that was the last.
    pub(super) fn read_on<C: Chunk>(&mut self, cx: &mut Context<C>, request: RequestId) -> bool {
        let read_size = cx.config.read_size;
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
                self.hand_over(cx, request, chunk);
                return is_end;
            }
            None => unreachable!("{request:?} has read all of it, and is finished"),
        };
        let tier = self.records[&source].tier;
        let op = self.begin_read(cx, request, tier);
        let race = self.begin_race(cx, request, tier, op);
        let reader = self.requests.get_mut(&request).expect("it was found above");
        if let Progress::Reading { read, .. } = &mut reader.progress {
            *read = Some(race);
        }
        cx.effect(Effect::Read { op, tier, source: ReadSource::Record(source), offset, length_max });
        false
    }
}
