//! What a client is told: a response, its chunks and its end, or why there is none.

use super::{Demand, Engine, Progress};
use crate::{
    chunk::Chunk,
    effect::{Effect, Outcome, Reply, ReplyBody},
    event::Event,
    fill::Stage,
    id::{FillId, RequestId},
    plant::Fault,
    reason::{Bypass, End, Refusal},
    units::ByteCount,
};
use alloc::sync::Arc;

impl<C: Chunk> Engine<C> {
    /// Sends a request around the cache.
    pub(super) fn pass(&mut self, request: RequestId, bypass: Bypass) {
        self.requests.remove(&request);
        self.cx.event(Event::Passed { request, bypass });
        self.cx.effect(Effect::Pass { request, bypass });
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, request: RequestId, refusal: Refusal) {
        self.requests.remove(&request);
        self.cx.event(Event::Refused { request, refusal });
        self.cx.effect(Effect::Refuse { request, refusal });
    }

    /// Lets a waiting request follow a stream from its first byte.
    pub(super) fn follow(&mut self, fill_id: FillId, request: RequestId) {
        self.stream(fill_id).followers.insert(request);
        let fill = &self.fills[&fill_id];
        let Stage::Streaming(stream) = &fill.stage else {
            unreachable!("{request:?} follows before the head")
        };
        let storing = self.copying.is_copying(&stream.copies);
        let age = stream.freshness.age(self.cx.now);
        let following = self.requests.get_mut(&request).expect("the caller entered the request");
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

    /// Hands a chunk to a client that waits for one. The caller has closed the demand.
    pub(super) fn hand_over(&mut self, request: RequestId, chunk: C) {
        let served = self.requests.get_mut(&request).expect("the caller found the request");
        served.sent = served.sent.saturating_add(chunk.size());
        self.cx.effect(Effect::Body { request, chunk });
    }

    /// Ends a client's response and forgets the request.
    pub(super) fn finish(&mut self, request: RequestId, end: End) {
        let finished = self.requests.remove(&request).expect("a request ends once");
        let sent = if self.cx.config.is_planted(Fault::X64) { 0 } else { finished.sent };
        self.cx.event(Event::Served { request, key: finished.key, sent: ByteCount(sent), end });
        self.cx.effect(Effect::Finish { request, end });
    }
}
