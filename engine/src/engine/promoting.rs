//! Promotions: what a hit in one tier copies into faster ones while it streams.
//!
//! The copy into L0 is made in step with the reader and becomes visible when the whole record was read. Copies into
//! byte tiers go through lanes, which outlive the reader. A promotion never restarts a lifetime (failure F4), never
//! holds its reader back (P2), and ends without a trace when the reader leaves (failure T6).

use super::{
    Engine,
    copying::Copied,
    lanes::{Owner, Source},
};
use crate::{
    chunk::Chunk,
    config::Promotion,
    fill::{Copies, Kept},
    head::{Head, Length},
    id::{PromotionId, RequestId, TierId, WriterId},
    key::StoredKey,
    plant::Fault,
    reason::LaneEnd,
    record::Freshness,
    rules::Staleness,
    selector::Place,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

/// Copies being made of one record.
#[derive(Debug)]
pub(super) struct Promoting<C> {
    pub(super) at: StoredKey,
    from: TierId,
    pub(super) place: Place,
    pub(super) head: Arc<Head>,
    length: ByteCount,
    freshness: Freshness,
    staleness: Staleness,
    pub(super) copies: Copies<C>,
    /// A purge came: nothing may be published any more.
    pub(super) is_closed: bool,
}

impl<C: Chunk> Engine<C> {
    /// Begins to copy a record that is about to be read, as far as the policies of its edges ask for it. One reader of
    /// a key does so at a time.
    pub(super) fn begin_promotion(
        &mut self,
        kept: &Kept<C>,
        request: RequestId,
        place: Place,
    ) -> Option<PromotionId> {
        let Kept { tier, record, freshness, staleness, .. } = kept;
        let (freshness, staleness) = (*freshness, *staleness);
        let (at, key) = (record.stored_key(), record.key);
        if self.promoted.contains_key(&key) {
            return None;
        }
        let wants = |promotion: &Promotion, hits: u32| match promotion {
            Promotion::Never => self.cx.config.is_planted(Fault::X40),
            Promotion::OnStreamCommitAtFinish => true,
            Promotion::NeverIfLengthUnknown => record.head.length() != Length::Unknown,
            Promotion::AfterHits(wanted) => {
                hits + u32::from(self.cx.config.is_planted(Fault::X66)) >= *wanted
            }
        };
        let counts = |edge: &(TierId, Promotion)| matches!(edge.1, Promotion::AfterHits(_));
        let hits = if tier.promotes.iter().flatten().any(counts) { self.hits.count(key) } else { 0 };
        let into = |wanted: TierId| {
            tier.promotes.iter().flatten().any(|(into, promotion)| *into == wanted && wants(promotion, hits))
        };
        let l0 = self.cx.config.l0.filter(|_| into(TierId::L0));
        let tiers: Vec<_> = self.cx.config.tiers.iter().filter(|tier| into(tier.id)).copied().collect();
        if l0.is_none() && tiers.is_empty() {
            return None;
        }
        let promotion = PromotionId(self.cx.ids.mint());
        let length = Length::Known(record.length);
        let copied = Copied { at, place: &place, head: &record.head, staleness, length };
        let source = Source { owner: Owner::Promotion(promotion), promotes: Some((tier.id, request)) };
        let copies = self.open_copies(source, copied, l0, &tiers, None);
        if copies.is_empty() {
            return None;
        }
        let head = Arc::clone(&record.head);
        let promoting = Promoting {
            at,
            from: tier.id,
            place,
            head,
            length: record.length,
            freshness,
            staleness,
            copies,
            is_closed: false,
        };
        self.promotions.insert(promotion, promoting);
        self.promoted.insert(key, promotion);
        Some(promotion)
    }

    /// A chunk was read; with it, `read` bytes.
    pub(super) fn feed_promotion(&mut self, promotion: PromotionId, read: ByteCount, chunk: &C) {
        let promoting = self.promotions.get_mut(&promotion).expect("a promotion lasts while it is read for");
        let (at, mut copies) = (promoting.at, core::mem::take(&mut promoting.copies));
        self.feed_copies(at, &mut copies, read, chunk);
        self.promotion(promotion).copies = copies;
    }

    /// The reader has read it all, and its response has ended (C2).
    pub(super) fn end_promotion(&mut self, promotion: PromotionId) {
        let promoting = self.promotion(promotion);
        let Promoting { at, from, length, mut freshness, staleness, .. } = *promoting;
        let (head, place) = (Arc::clone(&promoting.head), promoting.place.clone());
        let mut copies = core::mem::take(&mut promoting.copies);
        let copied = Copied { at, place: &place, head: &head, staleness, length: Length::Known(length) };
        if self.cx.config.is_planted(Fault::F4) {
            (freshness.as_of, freshness.age_then) = (self.cx.now, Duration::ZERO);
        }
        self.end_copies(copied, &mut copies, freshness, Some(from));
        self.promotion(promotion).copies = copies;
        self.promoted.remove(&at.key);
        self.settle_promotion(promotion);
    }

    /// The reader left, or could not read on.
    pub(super) fn abandon_promotion(&mut self, promotion: PromotionId) {
        self.drop_promotion(promotion, LaneEnd::Abandoned);
        self.promoted.remove(&self.promotions[&promotion].at.key);
        self.settle_promotion(promotion);
    }

    /// Stops what must not be published. Says which tiers are just publishing it.
    pub(super) fn drop_promotion(&mut self, promotion: PromotionId, why: LaneEnd) -> Vec<WriterId> {
        let promoting = self.promotion(promotion);
        promoting.is_closed = true;
        let (at, mut copies) = (promoting.at, core::mem::take(&mut promoting.copies));
        let committing = self.abandon_copies(at, &mut copies, why);
        self.promotion(promotion).copies = copies;
        committing
    }

    /// Ends a promotion whose copies are all made or given up, and whose reader is done.
    pub(super) fn settle_promotion(&mut self, promotion: PromotionId) {
        let promoting = &self.promotions[&promotion];
        let is_read = self.promoted.get(&promoting.at.key) == Some(&promotion);
        if is_read || self.is_copying(&promoting.copies) {
            return;
        }
        let promoting = self.promotions.remove(&promotion).expect("it was found above");
        self.close_lanes(&promoting.copies.lanes);
    }

    fn promotion(&mut self, promotion: PromotionId) -> &mut Promoting<C> {
        self.promotions.get_mut(&promotion).expect("a promotion lasts until it is settled")
    }
}
