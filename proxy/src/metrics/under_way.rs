//! What a shard has under way, as far as a counter needs two events: one that begins and one that ends.

use super::labels::{Answered, TierEdge};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{
    AbortReason, ByteCount, CacheKey, End, FillId, Instant, RecordName, RequestId, TierId,
};

/// Promotions that are remembered. More than these are not under way in one shard; the limit is for the case
/// that an end is never told.
const PROMOTIONS_MAX: usize = 1 << 16;

/// A copy that is being made: of two into L0 of one key, either.
type CopyPlace = (TierId, CacheKey, Option<RecordName>);

#[derive(Debug, Default)]
pub(super) struct UnderWay {
    requests: BTreeMap<RequestId, Progress>,
    /// When the origin was asked.
    fetches: BTreeMap<FillId, Instant>,
    promotions: BTreeMap<CopyPlace, TierEdge>,
}

/// How far a request is that has no outcome yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Asked,
    Missed,
}

impl UnderWay {
    pub(super) fn asked(&mut self, request: RequestId) {
        self.requests.insert(request, Progress::Asked);
    }

    pub(super) fn missed(&mut self, request: RequestId) {
        if let Some(progress) = self.requests.get_mut(&request) {
            *progress = Progress::Missed;
        }
    }

    /// An event said how.
    pub(super) fn answered(&mut self, request: RequestId) {
        self.requests.remove(&request);
    }

    /// The response is over. What it was, if no event has said that before: a miss that was answered with
    /// what the origin sent, or a client that left without a byte.
    pub(super) fn served(&mut self, request: RequestId, sent: ByteCount, end: End) -> Option<Answered> {
        let progress = self.requests.remove(&request)?;
        let left = sent == ByteCount::ZERO && end == End::Aborted(AbortReason::ClientLeft);
        Some(match progress {
            Progress::Missed if !left => Answered::Miss,
            Progress::Missed | Progress::Asked => Answered::Left,
        })
    }

    pub(super) fn fetched(&mut self, fill: FillId, now: Instant) {
        self.fetches.insert(fill, now);
    }

    /// How long the head took, the first time that this is asked.
    pub(super) fn head_arrived(&mut self, fill: FillId, now: Instant) -> Option<Duration> {
        self.fetches.remove(&fill).map(|asked| now.since(asked))
    }

    pub(super) fn promotes(&mut self, place: CopyPlace, edge: TierEdge) {
        if self.promotions.len() < PROMOTIONS_MAX {
            self.promotions.insert(place, edge);
        }
    }

    /// Which promotion that was, if it was one.
    pub(super) fn promotion_ended(&mut self, place: CopyPlace) -> Option<TierEdge> {
        self.promotions.remove(&place)
    }
}
